import { norm } from "../quantise.ts";
import type { Random } from "../random.ts";

/** Vectors of one length, real units. */

export function scaled(v: Float32Array, factor: number): Float32Array {
  return v.map((x) => factor * x);
}

export function plus(a: Float32Array, b: Float32Array, factor = 1): Float32Array {
  return a.map((x, k) => x + factor * (b[k] as number));
}

export function mean(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(vectors[0]?.length ?? 0);
  for (const v of vectors) for (let k = 0; k < sum.length; k++) sum[k]! += (v[k] as number) / vectors.length;
  return sum;
}

/** Per coordinate, of the population. */
export function deviation(vectors: readonly Float32Array[], centre: Float32Array): Float32Array {
  return centre.map((m, k) => Math.sqrt(vectors.reduce((s, v) => s + ((v[k] as number) - m) ** 2, 0) / vectors.length));
}

export function inner(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += (a[k] as number) * (b[k] as number);
  return sum;
}

export function distance2(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += ((a[k] as number) - (b[k] as number)) ** 2;
  return sum;
}

/** A direction drawn uniformly, of the given norm. */
export function direction(length: number, size: number, random: Random): Float32Array {
  const v = Float32Array.from({ length }, () => random.normal());
  return scaled(v, size / (norm(v) || 1));
}

/**
 * Share of its norm as noise that keeps a copy from being refused as a duplicate: two such copies have a cosine of 0.99, and the chain's
 * default for near-equal is 0.999.
 */
export const COPY_NOISE = 0.1;

/** v plus noise of `share` times its norm. */
export function noisy(v: Float32Array, share: number, random: Random): Float32Array {
  return plus(v, direction(v.length, share * norm(v), random));
}

export function toNorm(v: Float32Array, size: number): Float32Array {
  return scaled(v, size / (norm(v) || 1));
}
