import { SignedAttestation, SignedClosing, SignedPledge } from "../../types/round.ts";
import { PRECOMMIT, PREVOTE, SignedProposal, SignedVote } from "../../types/vote.ts";
import type { Bft } from "../bft/machine.ts";
import type { Session } from "../session/machine.ts";
import { type SignedSlot, SLOT_KINDS, type SlotKind } from "../signer.ts";

/** What a validator has signed at a height, as far as it is known here, as its signer's file would hold it. */
export function saidBy(index: number, bft: Bft, session: Session | undefined): SignedSlot[] {
  const { height } = bft.config;
  const slots: SignedSlot[] = [];
  const add = (kind: SlotKind, round: number, message: Uint8Array | undefined) => {
    if (message) slots.push({ height, round, kind: SLOT_KINDS.indexOf(kind), message });
  };
  for (const round of bft.knownRounds()) {
    const proposal = bft.proposal(round);
    if (proposal?.message.proposer === index) add("proposal", round, SignedProposal.serialize(proposal));
    const [prevote, precommit] = [bft.votesOf(round, PREVOTE)[index], bft.votesOf(round, PRECOMMIT)[index]];
    add("prevote", round, prevote && SignedVote.serialize(prevote));
    add("precommit", round, precommit && SignedVote.serialize(precommit));
  }
  const pledge = session?.pledges().find((p) => p.message.miner === index);
  const [closing, attestation] = [session?.closingOf(index), session?.attestationOf(index)];
  add("pledge", 0, pledge && SignedPledge.serialize(pledge));
  add("closing", 0, closing && SignedClosing.serialize(closing));
  add("attestation", 0, attestation && SignedAttestation.serialize(attestation));
  return slots;
}
