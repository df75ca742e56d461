import { fixedPoint } from "../../genesis/json.ts";
import { isqrt } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";

/** Which updates enter, and how much of them: thresholds compared in exact integers, nothing divided before it is compared. */

type Aggregation = TaskSpec["aggregation"];

/** Inner products of the round's vectors, by index. */
export type Geometry = { readonly inner: (i: number, j: number) => bigint };

/**
 * Norm bound and floor of a round, as squares of 1000 times the norm in model units.
 * Before there is a median, the bound is the task's first one and the floor refuses the zero update alone.
 */
export type NormLimits = { readonly upper: bigint; readonly lower: bigint };

export function normLimits({ aggregation, model }: TaskSpec, medianNorm: bigint): NormLimits {
  if (medianNorm === 0n)
    return { upper: (1000n * fixedPoint(aggregation.firstNormBound, model.scaleBits)) ** 2n, lower: 0n };
  return {
    upper: (medianNorm * BigInt(aggregation.normBoundPermille)) ** 2n,
    lower: (medianNorm * BigInt(aggregation.normFloorPermille)) ** 2n,
  };
}

/**
 * @param norm2 squared norm in squared lane units
 * @param exponent a lane stands for 2^exponent model units
 */
export function sizeVerdict(
  norm2: bigint,
  exponent: number,
  limits: NormLimits,
): "too-large" | "too-small" | undefined {
  const scaled = (1_000_000n * norm2) << BigInt(2 * exponent);
  if (scaled > limits.upper) return "too-large";
  if (norm2 === 0n || scaled < limits.lower) return "too-small";
  return undefined;
}

/** Near-equal: cosine at least p ‰, and squared distance at most q ‰ of the larger squared norm. */
export function nearEqual(i: number, j: number, { inner }: Geometry, aggregation: Aggregation): boolean {
  const [ij, ii, jj] = [inner(i, j), inner(i, i), inner(j, j)];
  const p = BigInt(aggregation.duplicateCosinePermille);
  const q = BigInt(aggregation.duplicateDistancePermille);
  const cosine = ij > 0n && 1_000_000n * ij * ij >= p * p * ii * jj;
  return cosine && 1000n * (ii + jj - 2n * ij) <= q * (ii > jj ? ii : jj);
}

export type Votes = { readonly harmful: number; readonly neutral: number; readonly helpful: number };

export function voters({ harmful, neutral, helpful }: Votes): number {
  return harmful + neutral + helpful;
}

/** With fewer than 2f_c + 1 votes there is no verdict: f_c liars could otherwise make one. */
export function hasVerdict(votes: Votes, fCommittee: number): boolean {
  return voters(votes) >= 2 * fCommittee + 1;
}

/**
 * Harmful: a strict majority of the voting institutions other than the owner, and at least f_c + 1 of them, say so. The second
 * follows from the first, since a verdict needs 2f_c + 1 votes.
 */
export function isHarmful(votes: Votes, fCommittee: number): boolean {
  return hasVerdict(votes, fCommittee) && 2 * votes.harmful > voters(votes);
}

/** The mirror of the harmful verdict. */
export function isHelpful(votes: Votes, fCommittee: number): boolean {
  return hasVerdict(votes, fCommittee) && 2 * votes.helpful > voters(votes);
}

/** 1.0 of a clipping factor. */
export const SCALE_ONE = 1 << 16;

/** Clipping factor ⌊2^16 · target / norm⌋, at most 1.0, from the squares of both. */
export function clipScale(norm2: bigint, target2: bigint): number {
  return norm2 <= target2 ? SCALE_ONE : Number(isqrt((target2 << 32n) / norm2));
}

/** u·s / 2^16 per lane, rounded to nearest, halves away from zero. */
export function clipLanes(lanes: Int16Array, scale: number): Int16Array {
  if (scale === SCALE_ONE) return lanes;
  // |u|·s is below 2^11 · 2^16, so int32 arithmetic is exact.
  return lanes.map((u) => (u < 0 ? -((-u * scale + 0x8000) >> 16) : (u * scale + 0x8000) >> 16));
}
