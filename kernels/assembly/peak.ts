/**
 * AssemblyScript. What the machine's vector unit gives at most, for `bench/kernel.ts` to measure the kernel by: dots on registers,
 * twelve at a time, more than their latency can fill. The sums feed the dots, or the compiler would find that all are the same.
 */

/** Products that one round of either makes. */
export const PRODUCTS: u32 = 12 * 8;

/** Dots whose results are added up, as any sum of products must. */
export function dotAdd(rounds: u32): i32 {
  const x = i16x8.splat(3);
  let c0 = i32x4.splat(1);
  let c1 = i32x4.splat(2);
  let c2 = i32x4.splat(3);
  let c3 = i32x4.splat(4);
  let c4 = i32x4.splat(5);
  let c5 = i32x4.splat(6);
  let c6 = i32x4.splat(7);
  let c7 = i32x4.splat(8);
  let c8 = i32x4.splat(9);
  let c9 = i32x4.splat(10);
  let c10 = i32x4.splat(11);
  let c11 = i32x4.splat(12);
  for (let k: u32 = 0; k < rounds; k++) {
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(x, c0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(x, c1));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(x, c2));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(x, c3));
    c4 = i32x4.add(c4, i32x4.dot_i16x8_s(x, c4));
    c5 = i32x4.add(c5, i32x4.dot_i16x8_s(x, c5));
    c6 = i32x4.add(c6, i32x4.dot_i16x8_s(x, c6));
    c7 = i32x4.add(c7, i32x4.dot_i16x8_s(x, c7));
    c8 = i32x4.add(c8, i32x4.dot_i16x8_s(x, c8));
    c9 = i32x4.add(c9, i32x4.dot_i16x8_s(x, c9));
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x, c10));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x, c11));
  }
  return fold(c0, c1, c2, c3, c4, c5) + fold(c6, c7, c8, c9, c10, c11);
}

/** Dots alone. */
export function dot(rounds: u32): i32 {
  const x = i16x8.splat(3);
  let c0 = i32x4.splat(1);
  let c1 = i32x4.splat(2);
  let c2 = i32x4.splat(3);
  let c3 = i32x4.splat(4);
  let c4 = i32x4.splat(5);
  let c5 = i32x4.splat(6);
  let c6 = i32x4.splat(7);
  let c7 = i32x4.splat(8);
  let c8 = i32x4.splat(9);
  let c9 = i32x4.splat(10);
  let c10 = i32x4.splat(11);
  let c11 = i32x4.splat(12);
  for (let k: u32 = 0; k < rounds; k++) {
    c0 = i32x4.dot_i16x8_s(x, c0);
    c1 = i32x4.dot_i16x8_s(x, c1);
    c2 = i32x4.dot_i16x8_s(x, c2);
    c3 = i32x4.dot_i16x8_s(x, c3);
    c4 = i32x4.dot_i16x8_s(x, c4);
    c5 = i32x4.dot_i16x8_s(x, c5);
    c6 = i32x4.dot_i16x8_s(x, c6);
    c7 = i32x4.dot_i16x8_s(x, c7);
    c8 = i32x4.dot_i16x8_s(x, c8);
    c9 = i32x4.dot_i16x8_s(x, c9);
    c10 = i32x4.dot_i16x8_s(x, c10);
    c11 = i32x4.dot_i16x8_s(x, c11);
  }
  return fold(c0, c1, c2, c3, c4, c5) + fold(c6, c7, c8, c9, c10, c11);
}

function fold(a: v128, b: v128, c: v128, d: v128, e: v128, f: v128): i32 {
  const all = i32x4.add(i32x4.add(i32x4.add(a, b), i32x4.add(c, d)), i32x4.add(e, f));
  return (
    i32x4.extract_lane(all, 0) + i32x4.extract_lane(all, 1) + i32x4.extract_lane(all, 2) + i32x4.extract_lane(all, 3)
  );
}
