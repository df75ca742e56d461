import { commitmentOf, verifyAttestation, verifyPledge } from "../../crypto/domain.ts";
import type { Block } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { type Attestation, HARMFUL, HELD, HELPFUL, type Learning, NO_REVEAL, NO_VOTE } from "../../types/round.ts";
import { faults } from "../committee.ts";
import type { HeightContext } from "./context.ts";

/** The learning part of a block without the result that follows from it. */
export type LearningInputs = Omit<Learning, "result">;

export function invalid(why: string): never {
  throw new PoflError("INVALID_BLOCK", why);
}

/**
 * Checks what miners and members signed: committee, order, signatures, openings. What follows from it is recomputed elsewhere.
 * @throws PoflError INVALID_BLOCK
 */
export function checkLearning(ctx: HeightContext, learning: LearningInputs): void {
  const { validators, committee, height, genesisHash, task } = ctx;
  if (!task) return invalid("it carries learning, but no task is active");
  if (!bytesEqual(learning.task, task.id)) invalid("its learning is of another task");
  const belongs = (m: { height: number; task: Hash }) => m.height === height && bytesEqual(m.task, task.id);

  const quorum = committee.length - faults(committee.length);
  if (learning.attestations.length < quorum) {
    invalid(`${learning.attestations.length} attestations, ${quorum} are needed`);
  }
  let previous = -1;
  for (const attestation of learning.attestations) {
    const { member } = attestation.message;
    if (member <= previous) invalid("attestations are not strictly ascending by member");
    previous = member;
    if (!committee.includes(member)) invalid(`validator ${member} attests without a seat`);
    if (!belongs(attestation.message)) invalid("an attestation is of another height or task");
    checkAttestation(attestation.message, validators.length);
    const key = validators[member]?.consensusKey as Hash;
    if (!verifyAttestation(genesisHash, key, attestation))
      invalid(`the attestation of member ${member} is not signed by it`);
  }

  previous = -1;
  const commitments = new Map<number, Hash>();
  for (const pledge of learning.pledges) {
    const { miner, commitment } = pledge.message;
    if (miner <= previous) invalid("pledges are not strictly ascending by miner");
    previous = miner;
    const key = validators[miner]?.consensusKey;
    if (!key || !belongs(pledge.message)) return invalid("a pledge is of nobody, or of another height or task");
    if (!verifyPledge(genesisHash, key, pledge)) invalid(`the pledge of miner ${miner} is not signed by it`);
    commitments.set(miner, commitment);
  }

  previous = -1;
  for (const opening of learning.openings) {
    if (opening.miner <= previous) invalid("openings are not strictly ascending by miner");
    previous = opening.miner;
    const commitment = commitments.get(opening.miner);
    if (!commitment || !bytesEqual(commitment, commitmentOf({ height, task: task.id, opening }))) {
      invalid(`the opening of miner ${opening.miner} opens no pledge of the block`);
    }
  }
}

/**
 * The shape that every attestation must have, on the wire and in a block.
 * @throws PoflError INVALID_BLOCK
 */
export function checkAttestation(attestation: Attestation, validators: number): void {
  let previous = -1;
  for (const { miner, status, vote } of attestation.updates) {
    if (miner <= previous || miner >= validators) invalid("attested updates are not strictly ascending by miner");
    previous = miner;
    if (status < HELD || status > NO_REVEAL) invalid("an attested status is unknown");
    if (vote > HELPFUL || (vote >= HARMFUL && status !== HELD)) invalid("a vote is unknown, or on an update not held");
    if (vote !== NO_VOTE && attestation.metrics.length === 0) invalid("it votes without validation rows");
  }
  const metrics = attestation.metrics[0];
  if (metrics && (metrics.accuracy > 1000 || metrics.auroc > 1000 || metrics.n === 0)) invalid("metrics out of range");
}

/** Whether a block says what it must where a task is active and it carries no learning. */
export function checkNoLearning(ctx: HeightContext, block: Pick<Block, "learning" | "header">): void {
  if (ctx.task && block.learning.length === 0 && block.header.round < ROUND_WITHOUT_LEARNING) {
    invalid(`a task is active: only a block built in round ${ROUND_WITHOUT_LEARNING} or later may carry no learning`);
  }
}

/** From this round on a proposer that lacks attestations may build without learning, so that the chain lives on. */
export const ROUND_WITHOUT_LEARNING = 2;
