import type { TaskSpec } from "../genesis/task.ts";
import { HARMFUL, HELPFUL, type Metrics, NEUTRAL, NO_VOTE, type UpdateVote } from "../types/round.ts";
import { coarseMetrics, evaluate, rowLoss } from "./evaluate.ts";
import { dequantise, dequantiseModel, norm } from "./quantise.ts";
import type { Samples } from "./samples.ts";
import type { Trainer } from "./trainers/trainer.ts";

/**
 * A committee member's private opinion of each update (PROTOCOL section 4.5): raw = loss(M) − loss(M + u) on its own validation rows,
 * turned into three coarse levels. What is published of the rows is these levels and coarse metrics, nothing else.
 */

/** An update is harmful when it lowers `raw` this many spreads below the median of the round, and below zero. */
export const HARMFUL_SPREADS = 4;
/** 1.4826 · MAD estimates the standard deviation of normal values. */
const MAD_SCALE = 1.4826;

export type JudgedUpdate = { readonly miner: number; readonly blob: Uint8Array };
export type Judgement = { readonly votes: UpdateVote[]; readonly metrics: Metrics | undefined };
/** One update's effect: the mean over the rows of loss before − loss after, and the standard error of that mean. */
export type Effect = { readonly raw: number; readonly error: number };

/**
 * Votes from the effects of one round; `undefined` (an update that can't be applied) gets no vote. The scale is the member's own:
 * the median of its values and the larger of their robust spread (MAD) and the typical standard error, since differences within
 * sampling error mean nothing near convergence.
 */
export function levels(effects: readonly (Effect | undefined)[]): UpdateVote[] {
  const known = effects.filter((e) => e !== undefined);
  const raws = known.map((e) => e.raw);
  const centre = middle(raws, "lower");
  const deviation =
    MAD_SCALE *
    middle(
      raws.map((r) => Math.abs(r - centre)),
      "upper",
    );
  const spread = Math.max(
    deviation,
    middle(
      known.map((e) => e.error),
      "upper",
    ),
  );
  return effects.map((e) => {
    if (e === undefined) return NO_VOTE;
    if (e.raw < Math.min(0, centre - HARMFUL_SPREADS * spread)) return HARMFUL;
    return e.raw >= centre - spread ? HELPFUL : NEUTRAL;
  });
}

/** Lower or upper median; 0 of nothing. */
function middle(values: readonly number[], which: "lower" | "upper"): number {
  const sorted = values.toSorted((a, b) => a - b);
  const index = which === "lower" ? Math.ceil(sorted.length / 2) - 1 : Math.floor(sorted.length / 2);
  return sorted[index] ?? 0;
}

/**
 * Votes on updates and reports coarse metrics of `model`. With fewer than the task's `minimumRows` validation rows there are no votes
 * and no metrics: few rows could be read out of them.
 * @param exponent a lane q stands for q · 2^exponent model units
 * @param medianNorm running median norm, model units; 0 = none yet. Larger updates are judged scaled down to the chain's norm bound
 */
export async function judge(
  task: TaskSpec,
  trainer: Trainer,
  rows: Samples,
  model: Int32Array,
  exponent: number,
  medianNorm: bigint,
  updates: readonly JudgedUpdate[],
): Promise<Judgement> {
  const enough = rows.n >= task.aggregation.minimumRows;
  if (!enough) return { votes: updates.map(() => NO_VOTE), metrics: undefined };
  const { scaleBits } = task.model;
  const parameters = dequantiseModel(model, scaleBits);
  const logits = await trainer.logits(parameters, rows);
  const before = Float64Array.from(logits, (z, i) => rowLoss(z, rows.y[i]!));
  const deltas = updates.map(({ blob }) =>
    blob.length === 2 * model.length ? dequantise(blob, scaleBits, exponent) : undefined,
  );
  const bound = normBound(task, medianNorm, deltas);
  const effects: (Effect | undefined)[] = [];
  for (const delta of deltas) {
    if (delta === undefined) {
      effects.push(undefined);
      continue;
    }
    const length = norm(delta);
    const factor = length > bound ? bound / length : 1;
    const moved = parameters.map((p, i) => p + factor * delta[i]!);
    effects.push(effect(before, await trainer.logits(moved, rows), rows.y));
  }
  return { votes: levels(effects), metrics: coarseMetrics(evaluate(logits, rows.y)) };
}

function effect(before: Float64Array, logits: Float32Array, labels: Float32Array): Effect {
  const n = before.length;
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const gain = before[i]! - rowLoss(logits[i]!, labels[i]!);
    sum += gain;
    squares += gain * gain;
  }
  const raw = sum / n;
  return { raw, error: Math.sqrt(Math.max(0, squares / n - raw * raw) / n) };
}

/** In real units: what the selection would reject as too large is judged at the largest size that it accepts. */
function normBound(task: TaskSpec, medianNorm: bigint, deltas: readonly (Float32Array | undefined)[]): number {
  const known = deltas.filter((d) => d !== undefined).map(norm);
  const median = medianNorm > 0n ? Number(medianNorm) / 2 ** task.model.scaleBits : middle(known, "lower");
  return (median * task.aggregation.normBoundPermille) / 1000;
}
