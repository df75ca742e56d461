import type { Validator } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { type RoundResult, UPDATE_STATUS, type UpdateResult, type UpdateStatus } from "../../types/round.ts";
import type { Task } from "../../types/state.ts";
import { trainersPool } from "../../vm/rewards.ts";
import { computeRound, type RoundInput, type RoundOutcome } from "../round/compute.ts";
import { NO_STANDING } from "../round/credit.ts";
import { type CountedUpdate, type Tally, tally } from "../round/tally.ts";
import type { HeightContext } from "./context.ts";
import { invalid, type LearningInputs } from "./inputs.ts";

/** The learning part of a block: from what its round is computed, and what comes of it. */

/** Model and updates; a blob that is not here is undefined. */
export type Blobs = {
  readonly from: "blobs";
  readonly model: Int32Array;
  readonly blob: (root: Hash) => Uint8Array | undefined;
};

/**
 * Where the round result comes from: recomputed from the updates, here or before (`computeRound` of this block's `roundInput`, for
 * whoever computes elsewhere); or read from a block that a certificate vouches for.
 */
export type ResultSource =
  | Blobs
  | { readonly from: "outcome"; readonly outcome: RoundOutcome }
  | { readonly from: "certificate"; readonly result: RoundResult | undefined };

/** The round result that a block must carry, and the model after it where it was computed here. */
export function learn(
  ctx: HeightContext,
  learning: LearningInputs,
  counted: Tally,
  source: ResultSource,
): { result: RoundResult; model: Int32Array | undefined } {
  if (!ctx.task) return invalid("it carries learning, but no task is active");
  checkOpenings(learning, counted);
  if (source.from === "certificate") {
    return { result: source.result ?? invalid("its round result is missing"), model: undefined };
  }
  const outcome = source.from === "outcome" ? source.outcome : computeRound(roundInput(ctx, learning, source));
  if (outcome.failure === undefined) return outcome;
  return { result: withoutLearning(ctx.task, counted), model: undefined };
}

/** Attestations say which updates count; the openings must be exactly theirs. */
function checkOpenings(learning: LearningInputs, counted: Tally): void {
  const openings = new Map(learning.openings.map((o) => [o.miner, o]));
  const pledged = new Map(learning.pledges.map((p) => [p.message.miner, p.message.commitment]));
  // An opening fits its pledge (checkLearning); that the pledge is the one attested is checked here.
  const opened = ({ miner, commitment }: CountedUpdate) =>
    openings.has(miner) && bytesEqual(pledged.get(miner) ?? ZERO_HASH, commitment);
  if (openings.size !== counted.included.length || !counted.included.every(opened)) {
    invalid("its openings are not exactly the updates that f_c + 1 included attestations hold");
  }
}

/**
 * Everything that the round of a block is computed from.
 * @throws PoflError INVALID_BLOCK; MISSING_BLOBS when updates are not here, which says nothing about the block
 */
export function roundInput(ctx: HeightContext, learning: LearningInputs, source: Blobs): RoundInput {
  const { task, spec, parent, genesis, validators, committee } = ctx;
  if (!task || !spec) return invalid("it carries learning, but no task is active");
  const counted = tally({ validators, committee, ...learning });
  checkOpenings(learning, counted);
  const openings = new Map(learning.openings.map((o) => [o.miner, o]));
  const missing: string[] = [];
  const standings = new Map(task.standings.map((s) => [s.miner, s]));
  const standing = (validator: number) => {
    const miner = parent.state.miner((validators[validator] as Validator).address)?.index;
    const known = miner === undefined ? undefined : standings.get(miner);
    return known ? { credit: BigInt.asIntN(64, known.credit), variance: known.variance } : NO_STANDING;
  };
  const updates = counted.included.map((u) => {
    const opening = openings.get(u.miner) as (typeof learning.openings)[number];
    const blob = source.blob(opening.blobRoot);
    if (!blob) missing.push(toHex(opening.blobRoot));
    return { ...u, samples: opening.samples, standing: standing(u.miner), blob: blob ?? new Uint8Array(0) };
  });
  // Without updates there is nothing to compare with the last round's.
  const past = (updates.length > 0 ? task.recorded : []).map(({ blobRoot, coefficient }) => {
    const blob = source.blob(blobRoot);
    if (!blob) missing.push(toHex(blobRoot));
    return { blob: blob ?? new Uint8Array(0), coefficient };
  });
  if (missing.length > 0) {
    throw new PoflError("MISSING_BLOBS", `${missing.length} updates are not here`, { first: missing[0] as string });
  }
  return {
    spec,
    seed: parent.state.seed,
    model: source.model,
    exponent: task.exponent,
    medianNorm: task.medianNorm,
    committeeSize: committee.length,
    updates,
    past,
    notHeld: counted.notHeld,
    pool: trainersPool(parent.state, genesis, task),
  };
}

/** The result of a round that shows too few updates: the model stays, nobody is paid. */
function withoutLearning(task: Task, counted: Tally): RoundResult {
  const entry = (u: CountedUpdate, status: UpdateStatus): UpdateResult => ({
    miner: u.miner,
    commitment: u.commitment,
    status: UPDATE_STATUS.indexOf(status),
    norm2: 0n,
    krumScore: 0n,
    harmful: u.harmful,
    neutral: u.neutral,
    helpful: u.helpful,
    weight: 0n,
    scale: 0,
    contribution: 0n,
    credit: 0n,
    variance: 0n,
    pay: 0n,
  });
  return {
    exponent: task.exponent,
    nextExponent: task.exponent,
    fKrum: 0,
    medianNorm: task.medianNorm,
    modelRoot: task.modelRoot,
    updates: [
      ...counted.included.map((u) => entry(u, "unused")),
      ...counted.notHeld.map((u) => entry(u, "not-held")),
    ].sort((a, b) => a.miner - b.miner),
  };
}
