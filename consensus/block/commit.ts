import { verifyVote } from "../../crypto/domain.ts";
import type { Validator } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { type Commit, PRECOMMIT, type SignedVote } from "../../types/vote.ts";
import { Power } from "../bft/votes.ts";

/** The votes that a certificate is made of. */
export function precommitsOf({ height, round, blockId, signatures }: Commit): SignedVote[] {
  return signatures.map(({ validator, time, signature }) => ({
    message: { type: PRECOMMIT, height, round, blockId, validRound: 0, time, validator },
    signature,
  }));
}

/**
 * Checks a certificate: precommits of one round for `blockId` from more than two thirds of the power of `validators`,
 * strictly ascending, every signature good.
 * @throws PoflError BAD_COMMIT
 */
export function verifyCommit(
  genesisHash: Hash,
  validators: readonly Validator[],
  height: number,
  blockId: Hash,
  commit: Commit,
): void {
  const refuse = (why: string): never => {
    throw new PoflError("BAD_COMMIT", `certificate of height ${height}: ${why}`);
  };
  if (commit.height !== height) refuse(`it is of height ${commit.height}`);
  if (!bytesEqual(commit.blockId, blockId)) refuse("it is of another block");
  const power = new Power(validators);
  let signed = 0n;
  let previous = -1;
  for (const vote of precommitsOf(commit)) {
    const { validator } = vote.message;
    if (validator <= previous) refuse("validators are not strictly ascending");
    previous = validator;
    const key = validators[validator]?.consensusKey ?? refuse(`there is no validator ${validator}`);
    if (!verifyVote(genesisHash, key, vote)) refuse(`the signature of validator ${validator} is bad`);
    signed += power.each[validator] as bigint;
  }
  if (!power.quorum(signed)) refuse(`${signed} of ${power.total} power signed, more than two thirds are needed`);
}

/**
 * Time of the block after `commit`: the median of the certificate's times weighted by power (the value below which at most half of
 * the signed power lies), and above the parent's.
 */
export function medianTime(validators: readonly Validator[], commit: Commit, parentTime: number): number {
  const times = commit.signatures
    .map(({ validator, time }) => ({ time, power: validators[validator]?.power ?? 0n }))
    .sort((a, b) => a.time - b.time);
  const half = times.reduce((sum, t) => sum + t.power, 0n) / 2n;
  let below = 0n;
  let median = parentTime + 1;
  for (const { time, power } of times) {
    below += power;
    if (below > half) {
      median = time;
      break;
    }
  }
  return Math.max(median, parentTime + 1);
}
