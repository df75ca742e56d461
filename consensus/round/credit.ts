import { isqrt } from "../../genesis/model.ts";
import type { Amount } from "../../types/primitives.ts";
import { compareBigints } from "./integers.ts";
import { type Geometry, hasVerdict, type Votes, voters } from "./select.ts";

/**
 * Who is paid for a round. An update earns by what it tells that the chain's record did not: the part of it that the last round's
 * updates don't explain must point the way in which the same parts of the others point, for longer than chance does.
 * The constraints are PROTOCOL section 8, the measurements docs/robustness.md.
 */

/** 1.0 of an agreement, as 2^16; of a variance, as 2^32. */
const ONE = 1n << 16n;

/** A miner's moving sums over its updates of this task. */
export type Standing = {
  /** Σ (7/8)^age · agreement, of 2^16. */
  readonly credit: bigint;
  /** Variance that `credit` would have, were all its updates random directions, of 2^32. */
  readonly variance: bigint;
};
export const NO_STANDING: Standing = { credit: 0n, variance: 0n };

/** Last learning round's updates, by their index in the geometry, and their share in the step that the model took. */
export type PastUpdate = { readonly at: number; readonly coefficient: bigint };

/**
 * The agreement of each update with the others, of 2^16, and the variance of a random direction's, of 2^32.
 *
 * From each update two directions are taken out: the last step of the model, and the one update of the last round (anybody's, its
 * own miner's too) that then resembles it most. What is left of a replayed step, of a copied or resent update, or of a mean of them
 * is noise. The agreement is the mean of the cosines between what is left of it and, with the same directions out, of the others, the
 * largest and the smallest quarter left out: colluders that agree with one another are trimmed away, and so are those that agree with
 * nobody, which would take everyone's pay along. It ignores norms, weights and votes, so that scaling gains nothing and a vote on one
 * update moves no other's agreement.
 * All in integers: inner products of projections are scaled by the squared norms that they would be divided by.
 * @param at indices of the distinct updates in the geometry
 * @param d parameters
 * @param trim cosines left out at either end, as far as one is left
 */
export function agreements(
  at: readonly number[],
  past: readonly PastUpdate[],
  { inner }: Geometry,
  d: number,
  trim = Math.floor(at.length / 4),
): { readonly agreement: bigint; readonly variance: bigint }[] {
  const withStep = (v: number) => past.reduce((sum, p) => sum + p.coefficient * inner(v, p.at), 0n);
  const onStep = new Map([...at, ...past.map((p) => p.at)].map((v) => [v, withStep(v)]));
  const step2 = past.reduce((sum, p) => sum + p.coefficient * (onStep.get(p.at) as bigint), 0n);
  const hasStep = step2 > 0n;
  /** ⟨v, w⟩ without the step's direction, times the step's squared norm. */
  const beside = (v: number, w: number) =>
    hasStep ? inner(v, w) * step2 - (onStep.get(v) as bigint) * (onStep.get(w) as bigint) : inner(v, w);

  const own2 = at.map((i) => beside(i, i));
  const known = past.map((p) => ({ at: p.at, norm2: beside(p.at, p.at) })).filter((p) => p.norm2 > 0n);
  const between = at.map((i, a) => at.map((j, b) => (b < a ? beside(i, j) : 0n)));
  const pair = (a: number, b: number) => (a === b ? own2[a] : b < a ? between[a]?.[b] : between[b]?.[a]) as bigint;

  return at.map((i, a) => {
    let source: { at: number; norm2: bigint; with: bigint } | undefined;
    for (const p of known) {
      const product = beside(i, p.at);
      // Largest squared cosine, compared without dividing; of equal ones the first.
      if (product !== 0n && (!source || product ** 2n * source.norm2 > source.with ** 2n * p.norm2)) {
        source = { ...p, with: product };
      }
    }
    const s = source;
    const ofSource = s && at.map((j) => beside(j, s.at));
    /** Without the source's direction as well, times its squared norm. */
    const left = (b: number, c: number) =>
      s && ofSource ? pair(b, c) * s.norm2 - (ofSource[b] as bigint) * (ofSource[c] as bigint) : pair(b, c);
    const mine = left(a, a);
    const cosines = at.flatMap((_, b) => (b === a ? [] : [cosine(left(a, b), mine, left(b, b))]));
    const free = d - (hasStep ? 1 : 0) - (s ? 1 : 0);
    if (mine === 0n || free < 1 || cosines.length === 0) return { agreement: 0n, variance: 0n };
    return { agreement: trimmedMean(cosines, trim), variance: ONE ** 2n / BigInt(free) };
  });
}

/** Truncated towards zero. */
function trimmedMean(values: readonly bigint[], trim: number): bigint {
  const ends = Math.min(trim, Math.floor((values.length - 1) / 2));
  const middle = values.toSorted(compareBigints).slice(ends, values.length - ends);
  return middle.reduce((sum, v) => sum + v, 0n) / BigInt(middle.length);
}

/** inner / √(a2 · b2) of 2^16, truncated towards zero; 0 where a vector is. */
function cosine(inner: bigint, a2: bigint, b2: bigint): bigint {
  if (a2 === 0n || b2 === 0n) return 0n;
  const size = isqrt(((inner ** 2n) << 32n) / (a2 * b2));
  return inner < 0n ? -size : size;
}

/** After one more update; a round's agreement fades to its e-th part in about eight. */
export function moved({ credit, variance }: Standing, round: { agreement: bigint; variance: bigint }): Standing {
  return {
    credit: (7n * credit) / 8n + round.agreement,
    variance: (49n * variance) / 64n + round.variance,
  };
}

/** What of a credit chance doesn't explain: the part beyond one and a half standard deviations of random directions'. */
export function beyondChance({ credit, variance }: Standing): bigint {
  const beyond = credit - (3n * isqrt(variance)) / 2n;
  return beyond > 0n ? beyond : 0n;
}

/**
 * v of 2^16: the mean of the votes (harmful 0, neutral ½, helpful 1) without the f_c lowest and the f_c highest, so that f_c liars
 * neither take away nor add what no honest member said. 1.0 where there are too few votes for a verdict.
 */
export function voteFactor(votes: Votes, fCommittee: number): bigint {
  if (!hasVerdict(votes, fCommittee)) return ONE;
  const left = voters(votes) - 2 * fCommittee;
  // In ascending order: how many of the first k votes are neutral or better, and how many helpful.
  const raised = (k: number) => Math.max(0, k - votes.harmful) + Math.max(0, k - votes.harmful - votes.neutral);
  return (ONE * BigInt(raised(fCommittee + left) - raised(fCommittee))) / BigInt(2 * left);
}

/** One distinct update after the round. */
export type Claim = {
  readonly agreement: bigint;
  readonly standing: Standing;
  readonly votes: Votes;
  readonly rejected: boolean;
};

/**
 * Pay per claim: pool · (agreement / Σ |agreement|) · (the part of its credit beyond chance) · v; nothing for what is rejected or agrees
 * with nobody. The sum is over all claims, before votes: what is taken from one goes to no other but stays in the escrow. Of magnitudes,
 * since near convergence agreements are chance, as often below zero as above, and whoever is above would take all.
 */
export function payments(claims: readonly Claim[], pool: Amount, fCommittee: number): Amount[] {
  const total = claims.reduce((sum, { agreement: c }) => sum + (c < 0n ? -c : c), 0n);
  return claims.map(({ agreement, standing, votes, rejected }) => {
    const beyond = beyondChance(standing);
    if (rejected || agreement <= 0n || beyond === 0n) return 0n;
    return (pool * agreement * beyond * voteFactor(votes, fCommittee)) / (total * standing.credit * ONE);
  });
}
