import type { TaskSpec } from "../../genesis/task.ts";
import { divideHalfAway, lowerMedian } from "./integers.ts";
import type { Combination } from "./rules/rule.ts";

/** Weights, the step of the model, and the scale of the next round's lanes. */

/**
 * Weight of each accepted update: 1, or its declared sample count, capped at a multiple of their lower median since nobody can
 * check it, and at least 1.
 */
export function weightsOf(aggregation: TaskSpec["aggregation"], samples: readonly number[]): number[] {
  if (aggregation.weights === "equal") return samples.map(() => 1);
  const median = BigInt(lowerMedian(samples, (a, b) => a - b) ?? 0);
  const cap = Number((median * BigInt(aggregation.weightCapPermille)) / 1000n);
  return samples.map((s) => Math.max(1, Math.min(s, cap)));
}

/** Of a part: 128 of them times a lane sum to less than 2^53. */
export const MAX_WEIGHT = 2 ** 35;

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/**
 * model + sums · 2^exponent / denominator, each parameter rounded to nearest, halves away from zero.
 * @returns undefined when a parameter leaves int32: a model that diverged is not saturated into one that nobody trained
 */
export function moveModel(
  model: Int32Array,
  { sums, denominator }: Combination,
  exponent: number,
): Int32Array | undefined {
  const out = new Int32Array(model.length);
  for (let k = 0; k < out.length; k++) {
    const next = (model[k] as number) + meanOf(sums[k] as number, exponent, denominator);
    if (next > INT32_MAX || next < INT32_MIN) return undefined;
    out[k] = next;
  }
  return out;
}

/** sum · 2^exponent / total, halves away from zero. Doubles where they are exact, which with equal weights is always. */
export function meanOf(sum: number, exponent: number, total: number): number {
  const size = 2 * Math.abs(sum) * 2 ** exponent + total;
  if (size > Number.MAX_SAFE_INTEGER) return Number(divideHalfAway(BigInt(sum) << BigInt(exponent), BigInt(total)));
  // The remainder of doubles is exact, so this quotient is a whole number before it is divided.
  const quotient = (size - (size % (2 * total))) / (2 * total);
  return sum < 0 ? -quotient : quotient;
}

export const MAX_EXPONENT = 15;

/**
 * Exponent of the next round's lanes. The largest lane of an update with norm m is taken as 4·m/√d (four standard deviations, at
 * most m) and kept between 2^9 and 2^10 lanes, so that an update with twice the norm still fits into 12 bits; one step per round.
 * @param medianNorm of the accepted updates, model units
 * @param d parameters
 */
export function nextExponent(exponent: number, medianNorm: bigint, d: number): number {
  if (medianNorm === 0n) return exponent;
  const peak2 = BigInt(Math.min(16, d)) * medianNorm * medianNorm;
  const unit2 = BigInt(d) << BigInt(2 * exponent);
  if (peak2 > unit2 << 20n) return Math.min(MAX_EXPONENT, exponent + 1);
  if (peak2 < unit2 << 18n) return Math.max(0, exponent - 1);
  return exponent;
}
