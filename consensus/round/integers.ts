/** Exact integer helpers of the round. */

export function compareBigints(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** n / d rounded to nearest, halves away from zero; d > 0. */
export function divideHalfAway(n: bigint, d: bigint): bigint {
  return n < 0n ? -((-n * 2n + d) / (2n * d)) : (n * 2n + d) / (2n * d);
}

/** sum · 2^exponent / total, halves away from zero. Doubles where they are exact, which with equal weights is always. */
export function meanOf(sum: number, exponent: number, total: number): number {
  const size = 2 * Math.abs(sum) * 2 ** exponent + total;
  if (size > Number.MAX_SAFE_INTEGER) return Number(divideHalfAway(BigInt(sum) << BigInt(exponent), BigInt(total)));
  // The remainder of doubles is exact, so this quotient is a whole number before it is divided.
  const quotient = (size - (size % (2 * total))) / (2 * total);
  return sum < 0 ? -quotient : quotient;
}

/** The lower of the two middle values when their number is even; undefined of nothing. */
export function lowerMedian<T>(values: readonly T[], compare: (a: T, b: T) => number): T | undefined {
  return values.toSorted(compare)[Math.floor((values.length - 1) / 2)];
}
