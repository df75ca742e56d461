import type { Amount } from "../../types/primitives.ts";
import { type Geometry, hasVerdict, isHelpful, type Votes, voters } from "./select.ts";

/**
 * What an update contributed, and what it is paid. The first formula (PROTOCOL section 8 leaves it open): leave-one-out, never
 * the inner product with an aggregate that contains the update itself, which pays noise for its own norm.
 */

/** One distinct, well-formed update. */
export type Claim = {
  /** Its index in the geometry. */
  readonly at: number;
  /** Clipping factor to the lower-median norm of the central ones, of 2^16. Central ones are clipped too: norm doesn't pay. */
  readonly scale: number;
  /** Weight in the mean; 0 = rejected. */
  readonly weight: number;
  readonly central: boolean;
  readonly votes: Votes;
};

/**
 * c_i = ⟨clip(u_i), A₋ᵢ⟩ in squared lane units, truncated towards zero; A₋ᵢ is the weighted mean of the other accepted, clipped
 * updates. 0 when there is no other.
 */
export function contributions(claims: readonly Claim[], { inner }: Geometry): bigint[] {
  return claims.map((own) => {
    let sum = 0n;
    let weight = 0n;
    for (const other of claims) {
      if (other === own || other.weight === 0) continue;
      sum += BigInt(other.weight) * BigInt(other.scale) * inner(own.at, other.at);
      weight += BigInt(other.weight);
    }
    return weight === 0n ? 0n : (BigInt(own.scale) * sum) / (weight << 32n);
  });
}

/** 1.0 of a vote factor. */
const ONE = 1n << 16n;
/** The part of the pool that is divided evenly is one in this many. */
const EVEN_PART = 4n;

/**
 * v_i of 2^16: the mean of the votes (harmful 0, neutral ½, helpful 1) without the f_c lowest, so that f_c liars take nothing
 * away. 1.0 where there are too few votes for a verdict.
 */
export function voteFactor(votes: Votes, fCommittee: number): bigint {
  if (!hasVerdict(votes, fCommittee)) return ONE;
  const harmful = Math.min(votes.harmful, fCommittee);
  const neutral = Math.min(votes.neutral, fCommittee - harmful);
  const helpful = fCommittee - harmful - neutral;
  const points = votes.neutral - neutral + 2 * (votes.helpful - helpful);
  return (ONE * BigInt(points)) / BigInt(2 * (voters(votes) - fCommittee));
}

/**
 * Pay per claim: of three quarters of the pool c_i⁺ / Σ|c|, of one quarter an even share, both times v_i. Shares are taken of all
 * claims, rejected ones included, so what a vote takes from one goes to no other but stays in the escrow.
 * The sum of magnitudes, not of the positive ones: near convergence nearly every contribution is negative, and a free-rider with a
 * chance positive one would take the whole (measured: noise 32 % of the pool, with magnitudes 4 %).
 * The even share keeps honest hospitals alive whose contribution is negative then. A suspect, which geometry speaks against, is
 * paid only if it contributes and the committee's verdict is helpful.
 */
export function payments(
  claims: readonly Claim[],
  contribution: readonly bigint[],
  pool: Amount,
  fCommittee: number,
): Amount[] {
  const n = BigInt(claims.length);
  const total = contribution.reduce((sum, c) => sum + (c < 0n ? -c : c), 0n);
  return claims.map(({ weight, central, votes }, i) => {
    const c = contribution[i] as bigint;
    const own = c > 0n ? c : 0n;
    const supported = own > 0n && isHelpful(votes, fCommittee);
    if (weight === 0 || !(central || supported)) return 0n;
    // share = 3/4 · own / total + 1/4 · 1 / n, over the common denominator; without any contribution only the even part.
    const [up, down] = total === 0n ? [1n, n] : [(EVEN_PART - 1n) * n * own + total, n * total];
    return (pool * voteFactor(votes, fCommittee) * up) / (EVEN_PART * down * ONE);
  });
}
