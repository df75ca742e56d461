/** Whole-number helpers of the second implementation: bigints, roots and factors by bisection. */

/** Largest s of at most 2^16 with s · |u| ≤ 2^16 · target. */
export function factor(norm2: bigint, target2: bigint): bigint {
  let [low, high] = [0n, 65536n];
  while (low < high) {
    const s = (low + high + 1n) / 2n;
    if (s * s * norm2 <= target2 << 32n) low = s;
    else high = s - 1n;
  }
  return low;
}

export function root(x: bigint): bigint {
  let [low, high] = [0n, 1n];
  while (high * high <= x) high *= 2n;
  while (low + 1n < high) {
    const mid = (low + high) / 2n;
    if (mid * mid <= x) low = mid;
    else high = mid;
  }
  return low;
}

/** Nearest whole number to a / b, halves away from zero. */
export function nearest(a: bigint, b: bigint): bigint {
  if (a < 0n) return -nearest(-a, b);
  return a / b + ((a % b) * 2n >= b ? 1n : 0n);
}

export function ascending(values: bigint[]): bigint[] {
  return [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function lower(values: bigint[]): bigint | undefined {
  return ascending(values)[Math.ceil(values.length / 2) - 1];
}

export function total(values: bigint[]): bigint {
  return values.reduce((a, b) => a + b, 0n);
}

export function dot(a: bigint[], b: bigint[]): bigint {
  let s = 0n;
  for (let k = 0; k < a.length; k++) s += (a[k] as bigint) * (b[k] as bigint);
  return s;
}

export function squaredDistance(a: bigint[], b: bigint[]): bigint {
  let s = 0n;
  for (let k = 0; k < a.length; k++) s += ((a[k] as bigint) - (b[k] as bigint)) ** 2n;
  return s;
}

/** v less its projection on w, times |w|²: whole numbers. */
export function without(v: bigint[], w: bigint[]): bigint[] {
  const [vw, ww] = [dot(v, w), dot(w, w)];
  return ww === 0n ? v : v.map((x, k) => x * ww - vw * (w[k] as bigint));
}

/** Of 2^16, towards zero. */
export function cosine(a: bigint[], b: bigint[]): bigint {
  const [ab, aa, bb] = [dot(a, b), dot(a, a), dot(b, b)];
  if (aa === 0n || bb === 0n) return 0n;
  const size = root((ab * ab * 4294967296n) / (aa * bb));
  return ab < 0n ? -size : size;
}
