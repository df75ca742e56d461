/**
 * G = U·Uᵀ of int16 vectors, exact: every distance, norm and cosine of the selection comes from it.
 * The plain-TypeScript twin of the WASM kernel: both give the same bits.
 */

/** Lanes per tile: the tiles of all vectors stay in cache while their pairs are multiplied. */
const TILE = 4096;
/** A product is at most 2^30, so this many of them sum to at most 2^52 and no double loses a bit. */
const LANES_PER_FLUSH = 1 << 22;

/**
 * @param vectors n vectors of one length d, any int16 values, n·d up to 2^30
 * @returns n×n inner products, row-major, symmetric
 * @throws RangeError when the lengths differ
 */
export function gram(vectors: readonly Int16Array[]): BigInt64Array {
  const n = vectors.length;
  const d = vectors[0]?.length ?? 0;
  if (vectors.some((v) => v.length !== d)) throw new RangeError("gram: vectors of different lengths");
  const out = new BigInt64Array(n * n);
  const partial = new Float64Array(n * n);
  for (let start = 0; start < d; start += LANES_PER_FLUSH) {
    const end = Math.min(d, start + LANES_PER_FLUSH);
    partial.fill(0);
    for (let from = start; from < end; from += TILE) {
      const to = Math.min(end, from + TILE);
      for (let i = 0; i < n; i++) {
        const a = vectors[i] as Int16Array;
        for (let j = 0; j <= i; j++) {
          partial[i * n + j]! += dot(a, vectors[j] as Int16Array, from, to);
        }
      }
    }
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) out[i * n + j]! += BigInt(partial[i * n + j] as number);
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) out[j * n + i] = out[i * n + j] as bigint;
  }
  return out;
}

function dot(a: Int16Array, b: Int16Array, from: number, to: number): number {
  let sum = 0;
  for (let k = from; k < to; k++) sum += (a[k] as number) * (b[k] as number);
  return sum;
}
