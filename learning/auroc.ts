/** Area under the ROC curve with its sampling variance (DeLong et al. 1988), by midranks (Sun and Xu 2014): O(n log n). */
export type Auroc = {
  /** Probability that a positive scores above a negative; ties count half. */
  readonly value: number;
  /** undefined with fewer than two of either class. */
  readonly variance: number | undefined;
  /** value ± 1.96 standard errors, within [0, 1]. */
  readonly ci95: readonly [number, number] | undefined;
};
/** Two scores on the same rows: `z` is (first − second) over its standard error, `p` two-sided. */
export type PairedTest = { readonly difference: number; readonly z: number; readonly p: number };

/** Quantile .975 of the normal distribution. */
const Z95 = 1.959963984540054;

/** Ranks from 1, equal values sharing the mean of theirs. */
function midranks(values: Float64Array): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let i = 0; i < order.length; ) {
    let j = i;
    while (j < order.length && values[order[j]!] === values[order[i]!]) j++;
    for (let k = i; k < j; k++) ranks[order[k]!] = (i + j + 1) / 2;
    i = j;
  }
  return ranks;
}

type Placements = {
  readonly value: number;
  /** For each positive, the share of negatives below it; for each negative, the share of positives above it. */
  readonly positives: Float64Array;
  readonly negatives: Float64Array;
};

function placements(scores: ArrayLike<number>, labels: ArrayLike<number>): Placements | undefined {
  const all = Float64Array.from(scores);
  const x = all.filter((_, i) => labels[i] === 1);
  const y = all.filter((_, i) => labels[i] !== 1);
  const [m, n] = [x.length, y.length];
  if (m === 0 || n === 0) return undefined;
  const joint = midranks(Float64Array.from([...x, ...y]));
  const [inX, inY] = [midranks(x), midranks(y)];
  const positives = inX.map((rank, i) => (joint[i]! - rank) / n);
  const negatives = inY.map((rank, j) => 1 - (joint[m + j]! - rank) / m);
  return { value: mean(positives), positives, negatives };
}

function mean(values: Float64Array): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Sample covariance (denominator n − 1). */
function covariance(a: Float64Array, b: Float64Array): number {
  const [ma, mb] = [mean(a), mean(b)];
  return a.reduce((sum, v, i) => sum + (v - ma) * (b[i]! - mb), 0) / (a.length - 1);
}

function deLong(a: Placements, b: Placements): number {
  return (
    covariance(a.positives, b.positives) / a.positives.length +
    covariance(a.negatives, b.negatives) / a.negatives.length
  );
}

/** AUROC of `scores` (any monotone score will do) for 0/1 `labels`; undefined when there is only one class. */
export function auroc(scores: ArrayLike<number>, labels: ArrayLike<number>): Auroc | undefined {
  const p = placements(scores, labels);
  if (p === undefined) return undefined;
  if (p.positives.length < 2 || p.negatives.length < 2) {
    return { value: p.value, variance: undefined, ci95: undefined };
  }
  const variance = deLong(p, p);
  const margin = Z95 * Math.sqrt(variance);
  return { value: p.value, variance, ci95: [Math.max(0, p.value - margin), Math.min(1, p.value + margin)] };
}

/** DeLong's test for two correlated AUROCs; undefined without two of each class or when the scores rank alike. */
export function compareAuroc(
  first: ArrayLike<number>,
  second: ArrayLike<number>,
  labels: ArrayLike<number>,
): PairedTest | undefined {
  const [a, b] = [placements(first, labels), placements(second, labels)];
  if (a === undefined || b === undefined || a.positives.length < 2 || a.negatives.length < 2) return undefined;
  const variance = deLong(a, a) + deLong(b, b) - 2 * deLong(a, b);
  if (variance <= 0) return undefined;
  const difference = a.value - b.value;
  const z = difference / Math.sqrt(variance);
  return { difference, z, p: erfc(Math.abs(z) / Math.SQRT2) };
}

/** Complementary error function for x ≥ 0, relative error below 1e-13: series below 2, continued fraction above (DLMF 7.6.2, 7.9.2). */
export function erfc(x: number): number {
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = 0;
  for (let k = 120; k >= 1; k--) fraction = k / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}
