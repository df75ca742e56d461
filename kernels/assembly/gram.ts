/**
 * AssemblyScript. The lower triangle of U·Uᵀ for int16 vectors, exact for every int16, a tile of lanes at a time.
 *
 * Shape: four rows times two rows have eight sums, which together with what they are made of just fit the fifteen registers that V8
 * leaves on x64; every load then feeds two or four products. Rows lie in pairs, 16 bytes of one and 16 of the other in turn, so that
 * two rows are a single stream for the prefetcher. Four rows of a chunk stay in the first-level cache (16 KiB) while the others
 * (all rows of a chunk: 512 KiB for 128) stream past them from the second.
 *
 * Exactness: a dot of two pairs lies in [−2^31 + 2^16, 2^31], and only the very last value does not fit an i32. Sums therefore start
 * from −2^16 and wrap: whatever a run of dots adds up to, if its size is at most 2^31 − 2^16, or if it is a single dot, the biased
 * sum is right. A run is as long as the largest lane of the tile allows, 2048 lanes at ±2047, and is then widened into 64 bits.
 */

/** Lanes of a tile; it has so many chunks. */
export const TILE: usize = 8192;
const CHUNK: usize = 2048;
/** Bytes between pairs of a chunk: 64 more than they fill, since rows a power of two apart would share their cache sets. */
const PAIR: usize = CHUNK * 4 + 64;

/**
 * Two rows of a tile are put here, one after the other. A large typed array starts 16 bytes into a page; a block copy to the same
 * place in a page is the fastest there is, and one to just behind it several times slower on Zen 3.
 */
export const STAGE: usize = 16;
const PANEL: usize = 65536;

/** Added by the biases of the four lanes of a sum. */
const BIAS: i64 = 4 << 16;
/** Half of what a biased sum can hold: each dot is at most twice the square of the largest lane. */
const ROOM: u32 = 0x3fff_8000;

/** Bytes from one chunk of the panel to the next. */
function chunkBytes(rows: usize): usize {
  return (rows / 2) * PAIR;
}

/** Address of the rows × rows sums. */
function sums(rows: usize): usize {
  return PANEL + (TILE / CHUNK) * chunkBytes(rows);
}

/** Bytes of memory that so many rows take, a multiple of four. */
export function needs(rows: usize): usize {
  return sums(rows) + rows * rows * 8;
}

export function clear(rows: usize): void {
  memory.fill(sums(rows), 0, rows * rows * 8);
}

/**
 * Moves the two staged rows into the panel. Beyond `lanes` they must be zero up to a multiple of sixteen.
 * @returns the largest absolute value among them, at most 32768
 */
export function pack(pair: usize, rows: usize, lanes: usize): u32 {
  const end = STAGE + ((lanes + 15) & ~15) * 2;
  let most = i16x8.splat(0);
  let more = most;
  let to = PANEL + pair * PAIR;
  for (let from = STAGE; from < end; to += chunkBytes(rows)) {
    const stop = min(end, from + CHUNK * 2);
    for (let q = to; from < stop; from += 32, q += 64) {
      const a = v128.load(from);
      const b = v128.load(from, TILE * 2);
      const c = v128.load(from, 16);
      const d = v128.load(from, TILE * 2 + 16);
      v128.store(q, a);
      v128.store(q, b, 16);
      v128.store(q, c, 32);
      v128.store(q, d, 48);
      // The absolute value of −32768 is right as an unsigned number.
      most = i16x8.max_u(most, i16x8.max_u(i16x8.abs(a), i16x8.abs(b)));
      more = i16x8.max_u(more, i16x8.max_u(i16x8.abs(c), i16x8.abs(d)));
    }
  }
  most = i16x8.max_u(most, more);
  most = i16x8.max_u(most, i16x8.shuffle(most, most, 4, 5, 6, 7, 0, 1, 2, 3));
  most = i16x8.max_u(most, i16x8.shuffle(most, most, 2, 3, 0, 1, 6, 7, 4, 5));
  return max<u32>(i16x8.extract_lane_u(most, 0), i16x8.extract_lane_u(most, 1));
}

/** Adds the products of the packed tile to the sums; `most` bounds the absolute values of all of its lanes. */
export function multiply(rows: usize, lanes: usize, most: u32): void {
  const bytes = ((lanes + 15) & ~15) * 4;
  const dots = max<u32>(1, ROOM / max<u32>(1, most * most));
  const run = min<usize>(CHUNK / 8, dots) * 32;
  let panel = PANEL;
  for (let from: usize = 0; from < bytes; from += CHUNK * 4) {
    const size = min(CHUNK * 4, bytes - from);
    for (let at: usize = 0; at < size; at += run) triangle(panel + at, min(run, size - at), sums(rows), rows);
    panel += chunkBytes(rows);
  }
}

function triangle(panel: usize, bytes: usize, g: usize, rows: usize): void {
  const line = rows * 8;
  for (let i: usize = 0; i < rows; i += 4) {
    const a = panel + (i / 2) * PAIR;
    const to = g + i * line;
    for (let j: usize = 0; j < i + 2; j += 2) block(a, panel + (j / 2) * PAIR, bytes, to + j * 8, line);
    corner(a + PAIR, bytes, to + 2 * line + (i + 2) * 8, line);
  }
}

/**
 * Four rows times two. Exported so that it stays a function of its own: the engine recompiles a hot function between two calls of it,
 * and can't while it runs. Two steps per turn, with a way out between them that doesn't join the other's: without it the engine moves
 * all loads to the front and runs out of registers, and if they join it orders each sum right behind its dot, which waits.
 */
export function block(a: usize, b: usize, bytes: usize, g: usize, line: usize): void {
  let c00 = i32x4.splat(-65536);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  const end = a + bytes;
  const last = end - 32;
  while (true) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, 16);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x, b0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, PAIR);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x, b0));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, PAIR + 16);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x, b0));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x, b1));
    if (a === last) {
      widen(g, c00, c01);
      widen(g + line, c10, c11);
      widen(g + 2 * line, c20, c21);
      widen(g + 3 * line, c30, c31);
      return;
    }
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load(a, 32);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, 48);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x, b0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, PAIR + 32);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x, b0));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x, b1));
    x = v128.load(a, PAIR + 48);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x, b0));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x, b1));
    a += 64;
    b += 64;
    if (a === end) break;
  }
  widen(g, c00, c01);
  widen(g + line, c10, c11);
  widen(g + 2 * line, c20, c21);
  widen(g + 3 * line, c30, c31);
}

/** A pair of rows with itself: three products, of which the upper right element gets the lower left's. */
export function corner(a: usize, bytes: usize, g: usize, line: usize): void {
  let c00 = i32x4.splat(-65536);
  let c10 = c00;
  let c11 = c00;
  const end = a + bytes;
  do {
    const a0 = v128.load(a);
    const a1 = v128.load(a, 16);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(a0, a0));
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(a1, a0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(a1, a1));
    a += 32;
  } while (a < end);
  widen(g, c00, c10);
  widen(g + line, c10, c11);
}

/** Adds two sums to two neighbours in a row of g. */
function widen(g: usize, left: v128, right: v128): void {
  const l = i64x2.add(i64x2.extend_low_i32x4_s(left), i64x2.extend_high_i32x4_s(left));
  const r = i64x2.add(i64x2.extend_low_i32x4_s(right), i64x2.extend_high_i32x4_s(right));
  const both = i64x2.add(i64x2.shuffle(l, r, 0, 2), i64x2.shuffle(l, r, 1, 3));
  v128.store(g, i64x2.add(v128.load(g), i64x2.add(both, i64x2.splat(BIAS))));
}

/**
 * Writes the n × n symmetric matrix over the panel, which is not needed any more.
 * @returns its address
 */
export function finish(n: usize, rows: usize): usize {
  const g = sums(rows);
  for (let i: usize = 0; i < n; i++) {
    for (let j: usize = 0; j <= i; j++) {
      const x = load<i64>(g + (i * rows + j) * 8);
      store<i64>(PANEL + (i * n + j) * 8, x);
      store<i64>(PANEL + (j * n + i) * 8, x);
    }
  }
  return PANEL;
}
