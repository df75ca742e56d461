import type { TaskSpec } from "../../genesis/task.ts";
import { lowerMedian } from "./integers.ts";

/** Weights, and the scale of the next round's lanes. */

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
