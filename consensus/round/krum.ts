import type { TaskSpec } from "../../genesis/task.ts";
import { PoflError } from "../../types/errors.ts";
import { compareBigints, divideHalfAway } from "./integers.ts";

/**
 * Multi-Krum as Blanchard et al. define it (NeurIPS 2017, "Machine Learning with Adversaries"): the score of an update is the
 * sum of its squared distances to the n − f − 2 nearest others, and the n − f best are central.
 */

export type KrumRanking = {
  readonly scores: readonly bigint[];
  /** All indices, best first; ties by index. */
  readonly order: readonly number[];
};

/**
 * @param distance2 squared distance of two updates
 * @param n number of updates
 * @param f tolerance; n − f − 2 neighbours, none when that is not positive
 */
export function krumRanking(distance2: (i: number, j: number) => bigint, n: number, f: number): KrumRanking {
  const indices = Array.from({ length: n }, (_, i) => i);
  const neighbours = Math.max(0, n - f - 2);
  const scores = indices.map((i) =>
    indices
      .filter((j) => j !== i)
      .map((j) => distance2(i, j))
      .sort(compareBigints)
      .slice(0, neighbours)
      .reduce((sum, d) => sum + d, 0n),
  );
  const order = indices.toSorted((i, j) => compareBigints(scores[i] as bigint, scores[j] as bigint) || i - j);
  return { scores, order };
}

/**
 * f_krum of a round with n distinct updates: ⌊(n−3)/2⌋ up to the task's cap when it says "auto"; undefined when the task fixes an
 * f that n does not carry (n < 2f + 3). It is never lowered in silence.
 */
export function krumTolerance(aggregation: Pick<TaskSpec["aggregation"], "f" | "maxF">, n: number): number | undefined {
  if (aggregation.f === "auto") return Math.max(0, Math.min(aggregation.maxF, Math.floor((n - 3) / 2)));
  return n >= 2 * aggregation.f + 3 ? aggregation.f : undefined;
}

export type KrumResult = {
  readonly scores: bigint[];
  /** Indices of the n − f best, best first; ties by index. */
  readonly selected: number[];
  /** Mean of the selected, each coordinate rounded to nearest, halves away from zero. */
  readonly aggregate: number[];
};

/**
 * Multi-Krum alone on vectors of safe integers, as `pofl krum` runs it. Exact for any such input.
 * @throws PoflError BAD_UPDATES: f or a coordinate is no whole number, vectors of different lengths, n < 2f + 3
 */
export function krum(f: number, updates: readonly (readonly number[])[]): KrumResult {
  const bad = (why: string): never => {
    throw new PoflError("BAD_UPDATES", why);
  };
  if (!Number.isSafeInteger(f) || f < 0) bad(`f is ${f}: it must be a whole number, 0 or more`);
  if (!Array.isArray(updates)) bad("updates must be a list of lists of whole numbers");
  const n = updates.length;
  if (n < 2 * f + 3) bad(`f = ${f} needs at least 2f + 3 = ${2 * f + 3} updates, there are ${n}`);
  const vectors = updates.map((update, i) => {
    if (!Array.isArray(update)) return bad(`updates[${i}] must be a list of whole numbers`);
    if (update.length === 0) bad(`updates[${i}] is empty`);
    const width = updates[0]?.length;
    if (update.length !== width) bad(`updates[${i}] has ${update.length} numbers, updates[0] has ${width}`);
    return update.map((x, k) => {
      if (!Number.isSafeInteger(x)) {
        bad(`updates[${i}][${k}] is ${JSON.stringify(x)}: it must be a whole number of at most 2^53 − 1`);
      }
      return BigInt(x);
    });
  });
  const distances = vectors.map((a, i) => vectors.slice(0, i).map((b) => distance2(a, b)));
  const { scores, order } = krumRanking((i, j) => distances[Math.max(i, j)]?.[Math.min(i, j)] as bigint, n, f);
  const selected = order.slice(0, n - f);
  const aggregate = (vectors[0] as bigint[]).map((_, k) => {
    const sum = selected.reduce((s, i) => s + (vectors[i]?.[k] as bigint), 0n);
    return Number(divideHalfAway(sum, BigInt(selected.length)));
  });
  return { scores: [...scores], selected, aggregate };
}

function distance2(a: readonly bigint[], b: readonly bigint[]): bigint {
  return a.reduce((sum, x, k) => sum + (x - (b[k] as bigint)) ** 2n, 0n);
}
