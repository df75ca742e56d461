import { taggedHash, u64Bytes } from "../crypto/hash.ts";

export { canonicalKey } from "../crypto/order.ts";

import type { Validator } from "../types/block.ts";
import { PoflError } from "../types/errors.ts";
import { type Address, bytesEqual, type Hash } from "../types/primitives.ts";

/** Who sits in the committee and who proposes: functions of finalised data and the seed that the last block fixed. */

const TAG_COMMITTEE = "pofl/committee/1";
const TAG_PROPOSER = "pofl/proposer/1";

/** Faulty seats that a committee of n tolerates, f_c = ⌊(n−1)/3⌋; 0 for an empty one. */
export function faults(n: number): number {
  return n < 1 ? 0 : Math.floor((n - 1) / 3);
}

/**
 * Committee of a height: weighted draw without replacement, everyone when there are no more than `seats`.
 * Nobody without weight is drawn while someone with weight is left; then the remaining seats are filled evenly, so that the
 * committee keeps its size and with it its tolerance.
 * @param seed seed(h−1)
 * @returns indices into `validators`, ascending
 */
export function drawCommittee(validators: readonly Validator[], seats: number, seed: Hash): number[] {
  const left = validators.map((v, index) => ({ index, weight: v.committeeWeight }));
  if (left.length <= seats) return left.map((v) => v.index);
  const drawn: number[] = [];
  for (let seat = 0; seat < seats; seat++) {
    const at = drawIndex(
      left.map((v) => v.weight),
      TAG_COMMITTEE,
      [seed, u64Bytes(seat)],
    );
    drawn.push((left.splice(at, 1)[0] as { index: number }).index);
  }
  return drawn.sort((a, b) => a - b);
}

/**
 * Index of the proposer of (height, round), drawn by power.
 * @param seed seed(height−1)
 * @throws PoflError NO_VALIDATORS
 */
export function drawProposer(validators: readonly Validator[], seed: Hash, height: number, round: number): number {
  return drawIndex(
    validators.map((v) => v.power),
    TAG_PROPOSER,
    [seed, u64Bytes(height), u64Bytes(round)],
  );
}

export type ProposerInput = {
  readonly validators: readonly Validator[];
  /** Miners of the last block, best first. */
  readonly ranking: readonly Address[];
  /** Whether the last block carried learning. */
  readonly learned: boolean;
  readonly seed: Hash;
  readonly height: number;
  readonly round: number;
};

/**
 * Who may build in a round. Round 0 after a learning block belongs to its best-ranked miner that is a validator now; every other
 * round is drawn by power, so that an empty block never keeps its author in office.
 * @throws PoflError NO_VALIDATORS
 */
export function proposerOf({ validators, ranking, learned, seed, height, round }: ProposerInput): number {
  if (round === 0 && learned) {
    for (const miner of ranking) {
      const index = validators.findIndex((v) => bytesEqual(v.address, miner));
      if (index >= 0) return index;
    }
  }
  return drawProposer(validators, seed, height, round);
}

/** Index drawn in proportion to the weights; evenly when all are zero. */
function drawIndex(weights: readonly bigint[], tag: string, parts: readonly Uint8Array[]): number {
  if (weights.length === 0) throw new PoflError("NO_VALIDATORS", "nobody to draw from: the validator set is empty");
  const total = weights.reduce((sum, w) => sum + w, 0n);
  if (total === 0n) return Number(uniform(BigInt(weights.length), tag, parts));
  let point = uniform(total, tag, parts);
  return weights.findIndex((weight) => {
    if (point < weight) return true;
    point -= weight;
    return false;
  });
}

const RANGE = 1n << 256n;

/**
 * Uniform in [0, bound): a hash taken modulo the bound. Hashes in the incomplete last interval are drawn again, so there is no
 * modulo bias at all.
 */
export function uniform(bound: bigint, tag: string, parts: readonly Uint8Array[]): bigint {
  const limit = RANGE - (RANGE % bound);
  for (let attempt = 0; ; attempt++) {
    const hash = taggedHash(tag, ...parts, u64Bytes(attempt));
    const value = BigInt(`0x${Buffer.from(hash).toString("hex")}`);
    if (value < limit) return value % bound;
  }
}
