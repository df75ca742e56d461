import { meanLoss } from "../../learning/evaluate.ts";
import { dequantise, dequantiseModel, norm } from "../../learning/quantise.ts";
import { join } from "../../learning/samples.ts";
import type { Seen } from "./simulate.ts";

/** The yardstick: Shapley values of a round by brute force, all subsets, on the real validation loss of all sites together. */

/**
 * v(S) = loss(M) − loss(M + mean of the updates of S), each shortened to the lower median norm; v of nobody is 0.
 * @returns one value per site, nats
 */
export async function shapley(
  { model, blobs, exponent, trainer, validation }: Seen,
  scaleBits: number,
): Promise<number[]> {
  const n = blobs.length;
  if (n > 10) throw new RangeError(`${2 ** n} subsets are too many`);
  const rows = join(validation);
  const start = dequantiseModel(model, scaleBits);
  const updates = blobs.map((blob) => dequantise(blob, scaleBits, exponent));
  const sizes = updates.map(norm);
  const usual = [...sizes].sort((a, b) => a - b)[Math.ceil(n / 2) - 1] as number;
  const clipped = updates.map((u, i) => u.map((v) => v * Math.min(1, usual / ((sizes[i] as number) || 1))));
  const value = new Float64Array(1 << n);
  const before = meanLoss(await trainer.logits(start, rows), rows.y);
  for (let set = 1; set < 1 << n; set++) {
    const members = clipped.filter((_, i) => (set >> i) & 1);
    const moved = start.map((p, k) => p + members.reduce((s, u) => s + (u[k] as number), 0) / members.length);
    value[set] = before - meanLoss(await trainer.logits(moved, rows), rows.y);
  }
  const weight = weights(n);
  return clipped.map((_, i) => {
    let phi = 0;
    for (let set = 0; set < 1 << n; set++) {
      if ((set >> i) & 1) continue;
      phi += (weight[bits(set)] as number) * ((value[set | (1 << i)] as number) - (value[set] as number));
    }
    return phi;
  });
}

/** s! (n − s − 1)! / n! for coalitions of s. */
function weights(n: number): number[] {
  const factorial = [1];
  for (let i = 1; i <= n; i++) factorial.push(i * (factorial[i - 1] as number));
  const at = (i: number) => factorial[i] as number;
  return Array.from({ length: n }, (_, s) => (at(s) * at(n - s - 1)) / at(n));
}

function bits(set: number): number {
  let count = 0;
  for (let rest = set; rest > 0; rest &= rest - 1) count++;
  return count;
}

/** Spearman's rank correlation with midranks; undefined where all values of one side are equal. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number | undefined {
  const [x, y] = [midranks(a), midranks(b)];
  const centre = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((v, i) => {
    const w = (y[i] as number) - centre;
    xy += (v - centre) * w;
    xx += (v - centre) ** 2;
    yy += w ** 2;
  });
  return xx === 0 || yy === 0 ? undefined : xy / Math.sqrt(xx * yy);
}

function midranks(values: readonly number[]): number[] {
  return values.map((v) => {
    const below = values.filter((w) => w < v).length;
    const equal = values.filter((w) => w === v).length;
    return below + (equal - 1) / 2;
  });
}
