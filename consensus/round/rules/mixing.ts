import { compareBigints } from "../integers.ts";
import { krumRanking } from "../krum.ts";
import type { Geometry } from "../select.ts";
import { dimension, type ReadColumn, trimmed } from "./coordinates.ts";
import { type Combination, distances2, type Entrants, type Field, type Selection, toleranceAmong } from "./rule.ts";

/**
 * Nearest-neighbour mixing (Allouah et al. 2023, "Fixing by Mixing"): before another rule, each update is replaced by the mean of
 * the n − f nearest to it, its own included. The means are never divided: a mixed vector is a sum, and all sums have equally many
 * terms. Only updates that were not found harmful are mixed.
 */

/** For each of n updates the n − f nearest, itself first, ties by index. */
export function neighbourhoods(geometry: Geometry, n: number, f: number): number[][] {
  const distance2 = distances2(geometry);
  const indices = Array.from({ length: n }, (_, i) => i);
  return indices.map((i) => {
    const far = indices.map((j) => distance2(i, j));
    return indices.toSorted((a, b) => compareBigints(far[a] as bigint, far[b] as bigint) || a - b).slice(0, n - f);
  });
}

/** Inner products of the mixed vectors: ⟨y_i, y_j⟩ = Σ_a Σ_b ⟨u_a, u_b⟩ over both neighbourhoods, one sum after the other. */
function mixedGeometry({ inner }: Geometry, near: readonly (readonly number[])[]): Geometry {
  const half = near.map((_, a) => near.map((ofJ) => ofJ.reduce((sum, b) => sum + inner(a, b), 0n)));
  const whole = near.map((ofI) => near.map((_, j) => ofI.reduce((sum, a) => sum + (half[a]?.[j] as bigint), 0n)));
  return { inner: (i, j) => whole[i]?.[j] as bigint };
}

/**
 * Multi-Krum over the mixed vectors. The mean of the central ones is a mean of the updates in which each counts as often as it
 * stands in a central neighbourhood; what stands in none is left out.
 */
export function mixedKrum({ inner, harmful, f }: Field): Selection {
  const sound = harmful.flatMap((h, i) => (h ? [] : [i]));
  const k = sound.length;
  const tolerance = toleranceAmong(k, f);
  const own = { inner: (a: number, b: number) => inner(sound[a] as number, sound[b] as number) };
  const near = neighbourhoods(own, k, tolerance);
  const { scores: mixedScores, order } = krumRanking(distances2(mixedGeometry(own, near)), k, tolerance);

  const scores = harmful.map(() => 0n);
  const counts = harmful.map(() => 0);
  // A score of sums of k − f terms, as one of means: only what is published is divided.
  const terms2 = BigInt(k - tolerance) ** 2n;
  mixedScores.forEach((score, a) => {
    scores[sound[a] as number] = score / terms2;
  });
  for (const i of order.slice(0, k - tolerance)) {
    for (const a of near[i] as number[]) counts[sound[a] as number]! += 1;
  }
  return { scores, central: counts.map((c) => c > 0), counts };
}

/** Coordinate-wise trimmed mean of the mixed vectors. */
export function mixedTrimmedMean(entrants: Entrants): Combination {
  const { parts } = entrants;
  const n = parts.length;
  const f = toleranceAmong(n, entrants.f);
  const lanes = parts.map((p) => p.lanes);
  // At most n/2 are not among the nearest: it is quicker to take those out of the sum of all.
  const far = neighbourhoods(entrants, n, f).map((near) => {
    const kept = new Set(near);
    return lanes.filter((_, j) => !kept.has(j));
  });
  const read: ReadColumn = (column, k) => {
    let all = 0;
    for (let i = 0; i < n; i++) all += (lanes[i] as Int16Array)[k] as number;
    for (let i = 0; i < n; i++) {
      let rest = all;
      const out = far[i] as Int16Array[];
      for (let j = 0; j < out.length; j++) rest -= (out[j] as Int16Array)[k] as number;
      column[i] = rest;
    }
  };
  const { sums, denominator } = trimmed(n, dimension(entrants), read, f);
  return { sums, denominator: denominator * (n - f) };
}
