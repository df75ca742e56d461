import {
  commitmentOf,
  verifyAttestation,
  verifyClosing,
  verifyPledge,
  verifyProposal,
  verifyVote,
} from "../../crypto/domain.ts";
import { errorText } from "../../types/errors.ts";
import { offenceOf } from "../../types/evidence.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { Proposal, Vote, type VoteType } from "../../types/vote.ts";
import { offenceHeight } from "../../vm/offences.ts";
import { checkAttestation } from "../block/inputs.ts";
import type { Message } from "../messages.ts";
import type { HeightRun } from "./height.ts";

export type HeightMessage = Exclude<Message, { kind: "status" | "final" | "evidence" }>;

export function messageHeight(message: Message): number {
  switch (message.kind) {
    case "status":
    case "block-request":
    case "block":
    case "reveal":
    case "beacon":
      return message.value.height;
    case "proposal":
      return message.value.proposal.message.height;
    case "final":
      return message.value.block.header.height;
    case "evidence":
      return offenceHeight(offenceOf(message.value));
    case "vote":
    case "pledge":
    case "closing":
    case "attestation":
      return message.value.message.height;
  }
}

/**
 * Takes in a message of the height in progress: membership, then duplicate, then signature, and only then the machines.
 * What is merely late or known is ignored; `refuse` is for what no correct node sends. True if it was good and new.
 */
export function receive(
  run: HeightRun,
  message: HeightMessage,
  reply: (message: Message) => void,
  reject: (why: string) => void,
): boolean {
  const refuse = (why: string): false => {
    reject(why);
    return false;
  };
  const { ctx, bft, blocks, learning } = run;
  const { genesisHash, validators } = ctx;
  const keyOf = (index: number): Uint8Array | undefined => validators[index]?.consensusKey;
  const session = learning?.session;
  const ofTask = (task: Hash) => session !== undefined && bytesEqual(task, session.config.task);
  switch (message.kind) {
    case "vote": {
      const { value: vote } = message;
      const { validator, round, type } = vote.message;
      const key = keyOf(validator);
      if (!key) return refuse("of nobody in the set");
      const known = bft.votesOf(round, type as VoteType)[validator];
      if ((known && Vote.equals(known.message, vote.message)) || !bft.keeps(round, validator)) return false;
      if (!verifyVote(genesisHash, key, vote)) return refuse("bad signature");
      // An equivocator that has used up its share may not spoil the proof-of-lock that others saw complete.
      if (!run.admits(validator) && !bft.wants(vote)) return false;
      run.toBft({ type: "vote", vote });
      return true;
    }
    case "proposal": {
      const { proposal, block } = message.value;
      const { proposer, round, blockId } = proposal.message;
      const key = keyOf(proposer);
      if (!key || proposer !== ctx.proposer(round)) return refuse("not from its proposer");
      const known = bft.proposal(round);
      const same = known !== undefined && Proposal.equals(known.message, proposal.message);
      if ((same && (block.length === 0 || blocks.bytes(blockId))) || !bft.keeps(round, proposer)) return false;
      if (!verifyProposal(genesisHash, key, proposal)) return refuse("bad signature");
      // A copy that brings the block counts no more: anybody may have sent one without it before.
      if (!same && !run.admits(proposer)) return false;
      return orRefuse(() => run.onProposal(proposal, block, !same), refuse);
    }
    case "beacon":
      return run.onBeacon(message.value.proof);
    case "block-request": {
      const block = blocks.bytes(message.value.blockId);
      if (block) reply({ kind: "block", value: { height: ctx.height, block } });
      return false;
    }
    case "block":
      orRefuse(() => run.onBlock(message.value.block), refuse);
      return false;
    case "pledge": {
      const { value: pledge } = message;
      const key = keyOf(pledge.message.miner);
      if (!ofTask(pledge.message.task) || !key || !session?.wantsPledge(pledge)) return false;
      if (!verifyPledge(genesisHash, key, pledge)) return refuse("bad signature");
      learning?.handle({ type: "pledge", pledge });
      return true;
    }
    case "closing": {
      const { value: closing } = message;
      const { member, commitments } = closing.message;
      const key = keyOf(member);
      if (!ofTask(closing.message.task) || !key || !session?.wantsClosing(closing)) return false;
      const ascends = commitments.every((c, i) => c.miner > (commitments[i - 1]?.miner ?? -1));
      if (!ascends || commitments.some((c) => c.miner >= validators.length)) {
        return refuse("its commitments are not strictly ascending by miner");
      }
      if (!verifyClosing(genesisHash, key, closing)) return refuse("bad signature");
      learning?.handle({ type: "closing", closing });
      return true;
    }
    case "reveal": {
      const { value: reveal } = message;
      if (!ofTask(reveal.task)) return false;
      const commitment = commitmentOf({ height: ctx.height, task: reveal.task, opening: reveal.opening });
      if (session?.revealOf(reveal.opening.miner, commitment)) return false;
      learning?.handle({ type: "reveal", reveal, commitment });
      return session?.revealOf(reveal.opening.miner, commitment) !== undefined;
    }
    case "attestation": {
      const { value: attestation } = message;
      const { member } = attestation.message;
      const key = keyOf(member);
      if (!ofTask(attestation.message.task) || !key || !session?.wantsAttestation(attestation)) return false;
      if (!orRefuse(() => checkAttestation(attestation.message, validators.length), refuse)) return false;
      if (!verifyAttestation(genesisHash, key, attestation)) return refuse("bad signature");
      learning?.handle({ type: "attestation", attestation });
      return true;
    }
  }
}

/** False when `act` says so, or throws. */
function orRefuse(act: () => unknown, refuse: (why: string) => void): boolean {
  try {
    return act() !== false;
  } catch (error) {
    refuse(errorText(error));
    return false;
  }
}
