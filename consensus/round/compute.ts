import { serverOptimiser } from "../../genesis/aggregation.ts";
import { isqrt } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import { fastGram } from "../../kernels/wasm.ts";
import { type Amount, bytesEqual, compareBytes, type Hash } from "../../types/primitives.ts";
import { type RoundResult, UPDATE_STATUS, type UpdateResult, type UpdateStatus } from "../../types/round.ts";
import { canonicalKey, faults } from "../committee.ts";
import { MAX_WEIGHT, nextExponent, weightsOf } from "./aggregate.ts";
import { agreements, moved, NO_STANDING, type PastUpdate, payments, type Standing } from "./credit.ts";
import { compareBigints, lowerMedian } from "./integers.ts";
import { lanesOf, MAX_LANE, modelRoot, parametersOf } from "./model.ts";
import { moveModel } from "./optimiser.ts";
import { centralNorm2, type Field, type Selection } from "./rules/rule.ts";
import { RULES, toleranceOf } from "./rules/rules.ts";
import {
  clipLanes,
  clipScale,
  type Geometry,
  isHarmful,
  nearEqual,
  normLimits,
  SCALE_ONE,
  sizeVerdict,
  type Votes,
} from "./select.ts";

/** From attested updates to the new model: PROTOCOL section 6, step by step, in integers. */

/** An attested update without its bytes: what the tally says of it. */
export type RoundEntry = Votes & {
  /** Index in the validator set of the height. */
  readonly miner: number;
  readonly institution: Hash;
  readonly commitment: Hash;
};
export type RoundUpdate = RoundEntry & {
  readonly samples: number;
  readonly blob: Uint8Array;
  /** Its miner's, before the round. */
  readonly standing: Standing;
};
/** An update of the task's last learning round, and its weight times clipping factor in that round's mean. */
export type RecordedBlob = { readonly blob: Uint8Array; readonly coefficient: bigint };

export type RoundInput = {
  readonly spec: TaskSpec;
  /** seed(h−1). */
  readonly seed: Hash;
  /** As stored: parameters, then the server optimiser's moments. */
  readonly model: Int32Array;
  readonly exponent: number;
  /** Model units; 0 before the first. */
  readonly medianNorm: bigint;
  readonly committeeSize: number;
  /** S, in any order. */
  readonly updates: readonly RoundUpdate[];
  /** The record that everybody could copy from; in the order of the state. */
  readonly past: readonly RecordedBlob[];
  /** Pledged but not in S: listed in the result, and nothing more. */
  readonly notHeld: readonly RoundEntry[];
  /** The trainers' pool of the round. */
  readonly pool: Amount;
};

export type RoundOutcome =
  | { readonly result: RoundResult; readonly model: Int32Array; readonly failure?: never }
  /** The block can carry no learning: too few updates for the task or its f, or a number that leaves int32. */
  | { readonly failure: "too-few" | "overflow"; readonly why: string };

/** An update on its way through the steps. */
type Entry = {
  readonly update: RoundUpdate;
  readonly lanes: Int16Array;
  /** Index in the geometry; −1 = malformed. */
  at: number;
  status: UpdateStatus;
  score: bigint;
  scale: number;
  /** How often it enters by the rule; times its declared weight, that is its weight. */
  count: number;
  weight: number;
  contribution: bigint;
  standing: Standing;
  pay: Amount;
};

export function computeRound(input: RoundInput): RoundOutcome {
  const { spec, exponent, committeeSize } = input;
  const { aggregation, rounds } = spec;
  const d = parametersOf(spec, input.model).length;
  if (input.updates.length < rounds.minimumUpdates) {
    return tooFew(`${input.updates.length} updates, the task needs ${rounds.minimumUpdates}`);
  }
  const fCommittee = faults(committeeSize);
  const entries = canonicalEntries(input, d);
  const { geometry, past } = measure(entries, input);
  const norm2 = (e: Entry) => geometry.inner(e.at, e.at);

  const limits = normLimits(spec, input.medianNorm);
  const sized = entries.filter((e) => e.at >= 0);
  for (const e of sized) e.status = sizeVerdict(norm2(e), exponent, limits) ?? e.status;
  const distinct = dropDuplicates(
    sized.filter((e) => e.status === "accepted"),
    geometry,
    aggregation,
  );

  const f = toleranceOf(aggregation, distinct.length);
  if (f === undefined)
    return tooFew(`f = ${aggregation.f} is fixed, and ${distinct.length} updates are fewer than 2f + 3`);
  const rule = RULES[aggregation.rule];
  const field: Field = {
    ...among(distinct, geometry),
    harmful: distinct.map((e) => isHarmful(e.update, fCommittee)),
    f,
  };
  const selection = rule.select(field);
  const target2 = centralNorm2(field, selection);
  mark(distinct, field, selection);
  for (const e of distinct) e.scale = e.status === "accepted" ? SCALE_ONE : clipScale(norm2(e), target2);
  const accepted = distinct.filter((e) => e.count > 0);
  const weights = weightsOf(
    aggregation,
    accepted.map((e) => e.update.samples),
  );
  accepted.forEach((e, i) => {
    e.weight = Math.min(MAX_WEIGHT, e.count * (weights[i] as number));
  });
  const parts = accepted.map((e) => ({
    lanes: e.status === "accepted" ? e.lanes : clipLanes(e.lanes, e.scale),
    weight: e.weight,
  }));
  const combined = accepted.length > 0 ? rule.combine({ ...among(accepted, geometry), parts, f }) : undefined;
  const optimiser = serverOptimiser(aggregation, spec.model.scaleBits);
  const model = combined ? moveModel(optimiser, input.model, combined, exponent) : input.model.slice();
  if (!model) return { failure: "overflow", why: "a number of the new model leaves int32: the training diverged" };

  const found = agreements(
    distinct.map((e) => e.at),
    past,
    geometry,
    d,
  );
  distinct.forEach((e, i) => {
    const round = found[i] as (typeof found)[number];
    e.contribution = round.agreement;
    e.standing = moved(e.update.standing, round);
  });
  const claims = distinct.map((e) => ({
    agreement: e.contribution,
    standing: e.standing,
    votes: e.update,
    rejected: e.weight === 0,
  }));
  payments(claims, input.pool, fCommittee).forEach((pay, i) => {
    (distinct[i] as Entry).pay = pay;
  });

  const clippedNorms2 = accepted.map((e) => {
    const own = norm2(e);
    return e.status === "accepted" || own < target2 ? own : target2;
  });
  const median2 = lowerMedian(clippedNorms2, compareBigints);
  const medianNorm = median2 === undefined ? input.medianNorm : isqrt(median2 << BigInt(2 * exponent));
  const result: RoundResult = {
    exponent,
    nextExponent: median2 === undefined ? exponent : nextExponent(exponent, medianNorm, d),
    fKrum: f,
    medianNorm,
    modelRoot: modelRoot(model),
    updates: [
      ...entries.map((e) => toResult(e.update, e, e.at < 0 ? 0n : norm2(e))),
      ...input.notHeld.map((u) => toResult(u, NOT_HELD_ENTRY, 0n)),
    ].sort((a, b) => a.miner - b.miner),
  };
  return { result, model };
}

function tooFew(why: string): RoundOutcome {
  return { failure: "too-few", why };
}

/** The updates in canonical order; two of one institution, which a sound validator set excludes, by index. */
function canonicalEntries({ updates, seed }: RoundInput, d: number): Entry[] {
  return updates
    .map((update) => ({ update, key: canonicalKey(seed, update.institution) }))
    .sort((a, b) => compareBytes(a.key, b.key) || a.update.miner - b.update.miner)
    .map(({ update }) => {
      const lanes = update.blob.length === 2 * d ? lanesOf(update.blob) : new Int16Array(0);
      const wellFormed = lanes.length === d && lanes.every((q) => q >= -MAX_LANE && q <= MAX_LANE);
      const standing = moved(update.standing, NO_AGREEMENT);
      return { ...NEW_ENTRY, update, lanes, standing, status: wellFormed ? "accepted" : "malformed" };
    });
}

/** Of an update that says nothing: its miner's credit fades. */
const NO_AGREEMENT = { agreement: 0n, variance: 0n };
const NEW_ENTRY = {
  ...{ at: -1, score: 0n, scale: 0, count: 0, weight: 0 },
  ...{ contribution: 0n, standing: NO_STANDING, pay: 0n },
};
const NOT_HELD_ENTRY = { ...NEW_ENTRY, status: "not-held" as const };

/** Gram matrix of the well-formed ones, which get their index, and of the recorded ones after them. */
function measure(entries: readonly Entry[], { past }: RoundInput): { geometry: Geometry; past: PastUpdate[] } {
  const formed = entries.filter((e) => e.status !== "malformed");
  formed.forEach((e, at) => {
    e.at = at;
  });
  const g = fastGram([...formed.map((e) => e.lanes), ...past.map((p) => lanesOf(p.blob))]);
  const n = formed.length + past.length;
  return {
    geometry: { inner: (i, j) => g[i * n + j] as bigint },
    past: past.map(({ coefficient }, i) => ({ at: formed.length + i, coefficient })),
  };
}

/** Walks in canonical order and keeps what is near-equal to nothing kept before; one update per institution. */
function dropDuplicates(
  entries: readonly Entry[],
  geometry: Geometry,
  aggregation: TaskSpec["aggregation"],
): readonly Entry[] {
  const kept: Entry[] = [];
  for (const e of entries) {
    const again = kept.some(
      (k) => bytesEqual(k.update.institution, e.update.institution) || nearEqual(k.at, e.at, geometry, aggregation),
    );
    if (again) e.status = "duplicate";
    else kept.push(e);
  }
  return kept;
}

/** The geometry by places in a list. */
function among(list: readonly Entry[], { inner }: Geometry): Geometry {
  return { inner: (i, j) => inner((list[i] as Entry).at, (list[j] as Entry).at) };
}

/** What the votes and the rule make of each. */
function mark(distinct: readonly Entry[], { harmful }: Field, { scores, central, counts }: Selection): void {
  distinct.forEach((e, i) => {
    e.score = scores[i] as bigint;
    e.count = counts[i] as number;
    if (harmful[i]) e.status = "harmful";
    else if (e.count === 0) e.status = "suspect";
    else e.status = central[i] ? "accepted" : "accepted-clipped";
  });
}

function toResult(
  { miner, commitment, harmful, neutral, helpful }: RoundEntry,
  e: Pick<Entry, "status" | "score" | "contribution" | "standing" | "scale" | "weight" | "pay">,
  norm2: bigint,
): UpdateResult {
  return {
    miner,
    commitment,
    status: UPDATE_STATUS.indexOf(e.status),
    norm2,
    krumScore: e.score,
    harmful,
    neutral,
    helpful,
    weight: BigInt(e.weight),
    scale: e.scale,
    contribution: BigInt.asUintN(64, e.contribution),
    credit: BigInt.asUintN(64, e.standing.credit),
    variance: e.standing.variance,
    pay: e.pay,
  };
}
