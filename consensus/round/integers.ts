/** Exact integer helpers of the round. */

export function compareBigints(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** n / d rounded to nearest, halves away from zero; d > 0. */
export function divideHalfAway(n: bigint, d: bigint): bigint {
  return n < 0n ? -((-n * 2n + d) / (2n * d)) : (n * 2n + d) / (2n * d);
}

/**
 * ⌊value · 2^bits⌋ of a non-negative number of a task file, from the decimal digits that canonical JSON prints: nodes agree on
 * text, and no float arithmetic is left to agree on.
 */
export function fixedPoint(value: number, bits: number): bigint {
  const [mantissa = "0", power = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(power) - fraction.length;
  const scaled = BigInt(whole + fraction) << BigInt(bits);
  return shift >= 0 ? scaled * 10n ** BigInt(shift) : scaled / 10n ** BigInt(-shift);
}

/** The lower of the two middle values when their number is even; undefined of nothing. */
export function lowerMedian<T>(values: readonly T[], compare: (a: T, b: T) => number): T | undefined {
  return values.toSorted(compare)[Math.floor((values.length - 1) / 2)];
}
