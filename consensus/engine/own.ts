import { signAttestation, signClosing, signPledge, signProposal, signVote } from "../../crypto/domain.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { Attestation, Closing, Pledge, SignedAttestation, SignedClosing, SignedPledge } from "../../types/round.ts";
import { PREVOTE, Proposal, SignedProposal, SignedVote, type Vote } from "../../types/vote.ts";
import { voteOffence } from "../../vm/offences.ts";
import type { SignedSlot, SignGuard, SlotKind } from "../signer.ts";

/** Own signed messages: each goes through the guard, and a request made before gets the message made then. */
export class OwnMessages {
  readonly #guard: SignGuard;
  readonly #genesisHash: Hash;
  readonly #secret: Uint8Array;

  constructor(guard: SignGuard, genesisHash: Hash, key: KeyPair) {
    this.#guard = guard;
    this.#genesisHash = genesisHash;
    this.#secret = key.secret;
  }

  /** False at heights below one at which something was signed: all would be refused, and the engine has said so at its start. */
  signsAt(height: number): boolean {
    return height >= this.#guard.height;
  }

  vote(message: Vote): SignedVote {
    const kind: SlotKind = message.type === PREVOTE ? "prevote" : "precommit";
    const bytes = this.#guard.once(
      kind,
      message.height,
      message.round,
      (earlier) => {
        // The clock has moved since: the vote of then, with its time, is sent again.
        const before = SignedVote.deserialize(earlier).message;
        return bytesEqual(before.blockId, message.blockId) && before.validRound === message.validRound;
      },
      () => {
        const vote = signVote(this.#genesisHash, this.#secret, message);
        this.#refuseAmnesia(vote);
        return SignedVote.serialize(vote);
      },
    );
    return SignedVote.deserialize(bytes);
  }

  /** What the vote's log says was signed is known from here on. True if the signer's file had lost it. @throws PoflError CORRUPT_JOURNAL */
  adopt(slot: SignedSlot): boolean {
    return this.#guard.adopt(slot);
  }

  /**
   * The vote's log remembers the lock. Should it be lost, what was signed still does: a node that forgot must not burn its stake.
   * @throws PoflError DOUBLE_SIGN
   */
  #refuseAmnesia(vote: SignedVote): void {
    const { height, round, type } = vote.message;
    for (const bytes of this.#guard.signed(type === PREVOTE ? "precommit" : "prevote", height)) {
      if (voteOffence(SignedVote.deserialize(bytes), vote)) {
        throw new PoflError(
          "DOUBLE_SIGN",
          `refused: a vote in round ${round} of height ${height} that goes against a precommit of another round`,
        );
      }
    }
  }

  proposal(message: Proposal): SignedProposal {
    const bytes = this.#guard.once(
      "proposal",
      message.height,
      message.round,
      (earlier) => Proposal.equals(SignedProposal.deserialize(earlier).message, message),
      () => SignedProposal.serialize(signProposal(this.#genesisHash, this.#secret, message)),
    );
    return SignedProposal.deserialize(bytes);
  }

  pledge(message: Pledge): SignedPledge {
    const bytes = this.#guard.once(
      "pledge",
      message.height,
      0,
      (earlier) => Pledge.equals(SignedPledge.deserialize(earlier).message, message),
      () => SignedPledge.serialize(signPledge(this.#genesisHash, this.#secret, message)),
    );
    return SignedPledge.deserialize(bytes);
  }

  /** After a restart the node may have seen other pledges than before: what it signed then stands. */
  closing(message: Closing): SignedClosing {
    const earlier = this.#guard.earlier("closing", message.height, 0);
    if (earlier) return SignedClosing.deserialize(earlier);
    const bytes = this.#guard.once(
      "closing",
      message.height,
      0,
      (before) => Closing.equals(SignedClosing.deserialize(before).message, message),
      () => SignedClosing.serialize(signClosing(this.#genesisHash, this.#secret, message)),
    );
    return SignedClosing.deserialize(bytes);
  }

  /** As with closings: the attestation signed first is the only one of the height. */
  attestation(message: Attestation): SignedAttestation {
    const earlier = this.#guard.earlier("attestation", message.height, 0);
    if (earlier) return SignedAttestation.deserialize(earlier);
    const bytes = this.#guard.once(
      "attestation",
      message.height,
      0,
      (before) => Attestation.equals(SignedAttestation.deserialize(before).message, message),
      () => SignedAttestation.serialize(signAttestation(this.#genesisHash, this.#secret, message)),
    );
    return SignedAttestation.deserialize(bytes);
  }

  /** What was signed at `height` before a restart. */
  earlier(height: number): { pledge?: SignedPledge; closing?: SignedClosing; attestation?: SignedAttestation } {
    const pledge = this.#guard.earlier("pledge", height, 0);
    const closing = this.#guard.earlier("closing", height, 0);
    const attestation = this.#guard.earlier("attestation", height, 0);
    return {
      ...(pledge && { pledge: SignedPledge.deserialize(pledge) }),
      ...(closing && { closing: SignedClosing.deserialize(closing) }),
      ...(attestation && { attestation: SignedAttestation.deserialize(attestation) }),
    };
  }
}
