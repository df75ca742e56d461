import { nearest, root } from "./numbers.ts";
import type { Fraction } from "./rules.ts";

/** The server optimisers once more, from docs/protocol.md ("Server optimisers") alone. */

export type PlainOptimiser = {
  optimiser?: string | undefined;
  serverRate?: number | undefined;
  momentum?: number | undefined;
  secondMomentum?: number | undefined;
  tau?: number | undefined;
};

/** How many numbers are stored for each parameter. */
export function copies({ optimiser }: PlainOptimiser): number {
  return optimiser === "fedadam" ? 3 : optimiser === "fedavgm" ? 2 : 1;
}

/** What is stored after the round; a number may lie outside int32. */
export function moved(
  settings: PlainOptimiser,
  scaleBits: number,
  stored: bigint[],
  mean: Fraction[],
  exponent: number,
): bigint[] {
  const d = stored.length / copies(settings);
  const part = (i: number) => stored.slice(i * d, (i + 1) * d);
  const delta = mean.map(([up, down]) => nearest(up * 2n ** BigInt(exponent), down));
  const x = part(0);
  const sixteen = (v: number | undefined) => fixed(v ?? 0, 16);
  const rate = sixteen(settings.serverRate);
  const beta1 = sixteen(settings.momentum);
  if (settings.optimiser === "fedavgm") {
    const m = part(1).map((old, k) => (beta1 * old) / 65536n + (delta[k] as bigint));
    return [...x.map((p, k) => p + nearest(rate * (m[k] as bigint), 65536n)), ...m];
  }
  if (settings.optimiser === "fedadam") {
    const beta2 = sixteen(settings.secondMomentum);
    const tau = fixed(settings.tau ?? 0, scaleBits);
    // Division of bigints truncates, as the text wants it.
    const m = part(1).map((old, k) => (beta1 * old + (65536n - beta1) * 16n * (delta[k] as bigint)) / 65536n);
    const v = part(2).map((old, k) => {
      const before = unpacked(old);
      return packed(before + floor((65536n - beta2) * ((delta[k] as bigint) ** 2n - before), 65536n));
    });
    const steps = m.map((own, k) => {
      const down = (root(unpacked(v[k] as bigint)) + tau) * 2n ** 20n;
      return nearest(rate * own * 2n ** BigInt(scaleBits), down);
    });
    return [...x.map((p, k) => p + (steps[k] as bigint)), ...m, ...v];
  }
  return x.map((p, k) => p + (delta[k] as bigint));
}

function floor(a: bigint, b: bigint): bigint {
  return a >= 0n ? a / b : -((-a + b - 1n) / b);
}

function packed(v: bigint): bigint {
  let e = 0n;
  while (v / 4n ** e >= 134217728n) e++;
  return e * 134217728n + v / 4n ** e;
}

function unpacked(p: bigint): bigint {
  return (p % 134217728n) * 4n ** (p / 134217728n);
}

/** value · 2^bits, rounded down: a double is a whole number over a power of two, so this is exact. */
export function fixed(value: number, bits: number): bigint {
  let [mantissa, shift] = [value, 0];
  while (!Number.isInteger(mantissa) && shift < 1100) {
    mantissa *= 2;
    shift++;
  }
  return (BigInt(mantissa) * 2n ** BigInt(bits)) / 2n ** BigInt(shift);
}
