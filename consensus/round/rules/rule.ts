import { compareBigints, lowerMedian } from "../integers.ts";
import type { Geometry } from "../select.ts";

/** What an aggregation rule is: who enters (`select`), and what their vectors become (`combine`). Pure, in integers. */

/** The distinct updates of a round, in canonical order, which breaks every tie. */
export type Field = Geometry & {
  /** Found harmful by the committee. */
  readonly harmful: readonly boolean[];
  /** Tolerated faulty updates of all. */
  readonly f: number;
};

export type Selection = {
  /** 0 where the rule ranks nobody. */
  readonly scores: readonly bigint[];
  /** What is not central is suspect: if it enters, with its norm clipped. */
  readonly central: readonly boolean[];
  /** How often each enters, before its weight; 0 = left out. 0 for the harmful. */
  readonly counts: readonly number[];
};

/** An update that enters, with its lanes as they enter. */
export type Part = { readonly lanes: Int16Array; readonly weight: number };

/** What entered: one or more, in canonical order. */
export type Entrants = Geometry & { readonly parts: readonly Part[]; readonly f: number };

/** sums / denominator in lane units, exact: whole numbers below 2^53. */
export type Combination = { readonly sums: Float64Array; readonly denominator: number };

export type Rule = {
  readonly select: (field: Field) => Selection;
  readonly combine: (entrants: Entrants) => Combination;
};

/** Rules that rank nobody: whoever is not harmful enters once. */
export function everyone({ harmful }: Field): Selection {
  return {
    scores: harmful.map(() => 0n),
    central: harmful.map(() => true),
    counts: harmful.map((h) => (h ? 0 : 1)),
  };
}

/**
 * Tolerance among the k that are left without the harmful: f, as far as k carries it (k ≥ 2f + 3). Each verdict that is right
 * takes one of the f away, and this takes at most one away for two verdicts.
 */
export function toleranceAmong(k: number, f: number): number {
  return Math.max(0, Math.min(f, Math.floor((k - 3) / 2)));
}

/** Squared distances from inner products. */
export function distances2({ inner }: Geometry): (i: number, j: number) => bigint {
  return (i, j) => inner(i, i) + inner(j, j) - 2n * inner(i, j);
}

/** Lower median of the squared norms of the central ones; the harmful count only if there is no other. */
export function centralNorm2({ harmful, inner }: Field, { central }: Selection): bigint {
  const all = central.flatMap((is, i) => (is ? [i] : []));
  const sound = all.filter((i) => !harmful[i]);
  const norms2 = (sound.length > 0 ? sound : all).map((i) => inner(i, i));
  return lowerMedian(norms2, compareBigints) ?? 0n;
}
