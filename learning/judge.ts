import { createHash } from "node:crypto";
import type { TaskSpec } from "../genesis/task.ts";
import { HARMFUL, HELPFUL, type Metrics, NEUTRAL, NO_VOTE, type UpdateVote } from "../types/round.ts";
import { coarseMetrics, evaluate, rowLoss } from "./evaluate.ts";
import { dequantise, dequantiseModel, norm } from "./quantise.ts";
import { Random } from "./random.ts";
import { pick, type Samples } from "./samples.ts";
import type { Trainer } from "./trainers/trainer.ts";

/**
 * A committee member's private opinion of each update (PROTOCOL section 4.5), from its own validation rows.
 *
 * An update u of n is judged where the round is heading: P = M + the coordinate-wise median of all updates, and
 * raw = loss(P) − loss(P + u/n), what its share would add there. At M itself, raw says mostly how unlike two hospitals are, since a
 * whole local step overshoots for everyone else: measured on seven hospitals of the embedded cohort, two of them sending −4 × their update, at
 * equally few wrong verdicts (0.3 %), M + u finds 37 % of the reversed updates and P + u/n 52 %. The scale is the sampling error of the
 * member's own raw values, not their MAD, which the attackers themselves and the differences between hospitals blow up.
 *
 * What is published of the rows is three coarse levels and coarse metrics, nothing else. Coarse is not enough: a level is the exact
 * sign of a difference of losses for whoever fills a round with zero updates, and a step of 0.005 is exact to the patient below 200
 * rows. So no two questions are asked of the same rows: each gets its own secret noise on every input, and votes a secret half of
 * them. The figures are in docs/learning.md, the attacks in test/learning/probing.test.ts.
 */

/**
 * Harmful is what lies this many standard errors below the median raw value, and below zero. It is as low as it can be without condemning
 * an honest hospital unlike all others (Switzerland of the heart data, whose patients are nearly all ill): at 5 it already loses 4 % of its
 * verdicts.
 */
export const HARMFUL_ERRORS = 6;

/** Standard deviation of the noise on each input, of columns that are 1 or 2 wide. At 0.1 the metrics already hide what is learned. */
export const BLUR = 0.05;

export type JudgedUpdate = { readonly miner: number; readonly blob: Uint8Array };
export type JudgeRequest = {
  readonly task: TaskSpec;
  /** The global model, fixed point. */
  readonly model: Int32Array;
  /** A lane q stands for q · 2^exponent model units. */
  readonly exponent: number;
  /** Running median norm, model units; 0 = none yet. Larger updates are judged scaled down to the chain's norm bound. */
  readonly medianNorm: bigint;
  readonly updates: readonly JudgedUpdate[];
};
export type Judgement = { readonly votes: UpdateVote[]; readonly metrics: Metrics | undefined };
/** One update's effect: the mean over the rows of loss before − loss after, and the standard error of that mean. */
export type Effect = { readonly raw: number; readonly error: number };

/**
 * Votes from the effects of one round; `undefined` (an update that can't be applied) gets no vote. Helpful is what improves the model or
 * lies within one standard error of the median.
 */
export function levels(effects: readonly (Effect | undefined)[]): UpdateVote[] {
  const known = effects.filter((e) => e !== undefined);
  const centre = median(known.map((e) => e.raw));
  const error = median(known.map((e) => e.error));
  return effects.map((e) => {
    if (e === undefined) return NO_VOTE;
    if (e.raw < Math.min(0, centre - HARMFUL_ERRORS * error)) return HARMFUL;
    return e.raw > 0 || e.raw >= centre - error ? HELPFUL : NEUTRAL;
  });
}

/** Lower median; 0 of nothing. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1] ?? 0;
}

/**
 * Votes on updates and reports coarse metrics of `model`. With fewer than the task's `minimumRows` validation rows there are no votes
 * and no metrics: few rows could be read out of them. The same question has the same answer.
 * @param secret fixes the noise and the half of the rows; who knows it can ask the rows themselves. `Random` is no cipher, but what it
 *   draws here stays here
 */
export async function judge(
  trainer: Trainer,
  rows: Samples,
  secret: string,
  { task, model, exponent, medianNorm, updates }: JudgeRequest,
): Promise<Judgement> {
  const enough = rows.n >= task.aggregation.minimumRows;
  if (!enough) return { votes: updates.map(() => NO_VOTE), metrics: undefined };
  const random = new Random("judge", secret, digest(model, updates));
  const seen = { ...rows, x: rows.x.map((v) => v + BLUR * random.normal()) };
  const half = pick(seen, drawHalf(rows.n, random));
  const { scaleBits } = task.model;
  const parameters = dequantiseModel(model, scaleBits);
  const metrics = coarseMetrics(evaluate(await trainer.logits(parameters, seen), seen.y));
  const deltas = updates.map(({ blob }) =>
    blob.length === 2 * model.length ? dequantise(blob, scaleBits, exponent) : undefined,
  );
  const known = deltas.filter((d) => d !== undefined);
  const bound = normBound(task, medianNorm, known);
  for (const delta of known) {
    const factor = bound / norm(delta);
    if (factor < 1) delta.set(delta.map((v) => v * factor));
  }
  const centre = parameters.map((p, i) => p + middle(known, i));
  const before = losses(await trainer.logits(centre, half), half.y);
  const effects: (Effect | undefined)[] = [];
  for (const delta of deltas) {
    const moved = delta && centre.map((p, i) => p + delta[i]! / known.length);
    effects.push(moved && effect(before, losses(await trainer.logits(moved, half), half.y), rows.n));
  }
  return { votes: levels(effects), metrics };
}

/** What the question is: any other model or update is another one. */
function digest(model: Int32Array, updates: readonly JudgedUpdate[]): string {
  const hash = createHash("sha256").update(model);
  for (const { blob } of updates) hash.update(createHash("sha256").update(blob).digest());
  return hash.digest("hex");
}

/** Half of n rows, rounded up. Not a half of each label: the shares of the labels would then be known exactly. */
function drawHalf(n: number, random: Random): Uint32Array {
  return random.shuffle(Uint32Array.from({ length: n }, (_, i) => i)).subarray(0, Math.ceil(n / 2));
}

function losses(logits: Float32Array, labels: Float32Array): Float64Array {
  return Float64Array.from(logits, (z, i) => rowLoss(z, labels[i]!));
}

/** Median of coordinate i: the middle value, or the mean of the two. */
function middle(deltas: readonly Float32Array[], i: number): number {
  const sorted = deltas.map((d) => d[i]!).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** @param all rows that the member has: the error is that of all, so that the half adds noise and moves no threshold */
function effect(before: Float64Array, after: Float64Array, all: number): Effect {
  const n = before.length;
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const gain = before[i]! - after[i]!;
    sum += gain;
    squares += gain * gain;
  }
  const raw = sum / n;
  return { raw, error: Math.sqrt(Math.max(0, squares / n - raw * raw) / all) };
}

/** In real units: what the selection would reject as too large is judged at the largest size that it accepts. */
function normBound(task: TaskSpec, medianNorm: bigint, deltas: readonly Float32Array[]): number {
  const running = medianNorm > 0n ? Number(medianNorm) / 2 ** task.model.scaleBits : median(deltas.map(norm));
  return (running * task.aggregation.normBoundPermille) / 1000;
}
