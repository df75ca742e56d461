import { verifyAttestation, verifyClosing, verifyPledge, verifyProposal, verifyVote } from "../crypto/domain.ts";
import { PoflError } from "../types/errors.ts";
import { type Evidence, type Offence, type OffenceKind, type OffenceOf, offenceOf } from "../types/evidence.ts";
import { bytesEqual, compareBytes, type Hash, type Height, toHex, ZERO_HASH } from "../types/primitives.ts";
import {
  Attestation,
  Closing,
  Pledge,
  type SignedAttestation,
  type SignedClosing,
  type SignedPledge,
} from "../types/round.ts";
import {
  PRECOMMIT,
  PREVOTE,
  Proposal,
  type SignedProposal,
  type SignedVote,
  type Vote,
  Vote as VoteContainer,
} from "../types/vote.ts";

/**
 * Which pairs of messages signed by one key prove that it is not run by a correct node, whatever the network did and whatever others
 * signed. docs/adr/0011 argues each of them, and why a proposal out of turn is not one.
 */

/** What two votes of one validator prove, if anything. */
export function voteOffence(a: SignedVote, b: SignedVote): OffenceOf<"double-vote" | "amnesia"> | undefined {
  if (isDoubleVote(a.message, b.message)) return { kind: "double-vote", ...ordered(VoteContainer, a, b) };
  if (isAmnesia(a.message, b.message)) return { kind: "amnesia", first: a, second: b };
  if (isAmnesia(b.message, a.message)) return { kind: "amnesia", first: b, second: a };
  return undefined;
}

/** Two votes of one kind in one round for different things; what a prevote is for is a block and its validRound together. */
function isDoubleVote(a: Vote, b: Vote): boolean {
  if (a.height !== b.height || a.round !== b.round || a.type !== b.type) return false;
  if (!bytesEqual(a.blockId, b.blockId)) return true;
  // The clock in a precommit is no value that it votes for.
  return a.type === PREVOTE && a.validRound !== b.validRound;
}

/**
 * A precommit locks its block in its round. A correct node prevotes another block later only with a proof-of-lock that is not older than
 * its lock, hence than the precommit, and says its round in the prevote. validRound is stored plus one.
 */
function isAmnesia(precommit: Vote, prevote: Vote): boolean {
  return (
    precommit.type === PRECOMMIT &&
    prevote.type === PREVOTE &&
    precommit.height === prevote.height &&
    precommit.round < prevote.round &&
    !bytesEqual(precommit.blockId, ZERO_HASH) &&
    !bytesEqual(prevote.blockId, ZERO_HASH) &&
    !bytesEqual(precommit.blockId, prevote.blockId) &&
    prevote.validRound - 1 < precommit.round
  );
}

/** Two different proposals of one round. */
export function proposalOffence(a: SignedProposal, b: SignedProposal): OffenceOf<"double-proposal"> | undefined {
  const same = a.message.height === b.message.height && a.message.round === b.message.round;
  return same && differ(Proposal, a, b) ? { kind: "double-proposal", ...ordered(Proposal, a, b) } : undefined;
}

/** Of pledges, closings and attestations a correct node signs one a height. */
export function pledgeOffence(a: SignedPledge, b: SignedPledge): OffenceOf<"double-pledge"> | undefined {
  if (a.message.height !== b.message.height || !differ(Pledge, a, b)) return undefined;
  return { kind: "double-pledge", ...ordered(Pledge, a, b) };
}

export function closingOffence(a: SignedClosing, b: SignedClosing): OffenceOf<"double-closing"> | undefined {
  if (a.message.height !== b.message.height || !differ(Closing, a, b)) return undefined;
  return { kind: "double-closing", ...ordered(Closing, a, b) };
}

export function attestationOffence(
  a: SignedAttestation,
  b: SignedAttestation,
): OffenceOf<"double-attestation"> | undefined {
  if (a.message.height !== b.message.height || !differ(Attestation, a, b)) return undefined;
  return { kind: "double-attestation", ...ordered(Attestation, a, b) };
}

type Rooted<M> = { hashTreeRoot(message: M): Uint8Array };

function differ<M>(type: Rooted<M>, a: { message: M }, b: { message: M }): boolean {
  return !bytesEqual(type.hashTreeRoot(a.message), type.hashTreeRoot(b.message));
}

/** By the roots of the messages, so that one pair has one encoding. */
function ordered<M, S extends { message: M }>(type: Rooted<M>, a: S, b: S): { first: S; second: S } {
  const ascending = compareBytes(type.hashTreeRoot(a.message), type.hashTreeRoot(b.message)) < 0;
  return ascending ? { first: a, second: b } : { first: b, second: a };
}

/** What the pair proves by the rules above; its order says nothing here. */
function proven(offence: Offence): Offence | undefined {
  switch (offence.kind) {
    case "double-vote":
    case "amnesia":
      return voteOffence(offence.first, offence.second);
    case "double-proposal":
      return proposalOffence(offence.first, offence.second);
    case "double-pledge":
      return pledgeOffence(offence.first, offence.second);
    case "double-closing":
      return closingOffence(offence.first, offence.second);
    case "double-attestation":
      return attestationOffence(offence.first, offence.second);
  }
}

function signatures(genesisHash: Hash, key: Uint8Array, offence: Offence): boolean {
  switch (offence.kind) {
    case "double-vote":
    case "amnesia":
      return [offence.first, offence.second].every((signed) => verifyVote(genesisHash, key, signed));
    case "double-proposal":
      return [offence.first, offence.second].every((signed) => verifyProposal(genesisHash, key, signed));
    case "double-pledge":
      return [offence.first, offence.second].every((signed) => verifyPledge(genesisHash, key, signed));
    case "double-closing":
      return [offence.first, offence.second].every((signed) => verifyClosing(genesisHash, key, signed));
    case "double-attestation":
      return [offence.first, offence.second].every((signed) => verifyAttestation(genesisHash, key, signed));
  }
}

export function offenceHeight(offence: Offence): Height {
  return offence.first.message.height;
}

/** The round of the later message; undefined for what is signed once a height. */
export function offenceRound(offence: Offence): number | undefined {
  const { message } = offence.second;
  return "round" in message ? message.round : undefined;
}

/** Who signed the first message, by its place in the set of the height. */
export function accused(offence: Offence): number {
  const { message } = offence.first;
  if ("validator" in message) return message.validator;
  if ("proposer" in message) return message.proposer;
  return "miner" in message ? message.miner : message.member;
}

const SAYS: Record<OffenceKind, string> = {
  "double-vote": "two different votes of one height, round and type",
  "double-proposal": "two different proposals of one height and round",
  amnesia: "a precommit, and a later prevote for another block with an older proof-of-lock",
  "double-pledge": "two different pledges of one height",
  "double-closing": "two different closings of one height",
  "double-attestation": "two different attestations of one height",
};

/**
 * What can be said of evidence without a state: the pair is one that no correct node signs, in its one order, and both are signed by
 * the key. Whoever sends other evidence is not correct.
 * @throws PoflError BAD_EVIDENCE
 */
export function checkOffence(evidence: Evidence, genesisHash: Hash): Offence {
  const offence = offenceOf(evidence);
  const refuse = (why: string): never => {
    throw new PoflError("BAD_EVIDENCE", `evidence against ${toHex(evidence.consensusKey)}: ${why}`);
  };
  const found = proven(offence);
  if (found?.kind !== offence.kind) return refuse(`it does not show ${SAYS[offence.kind]}`);
  if (found.first !== offence.first) return refuse("its two messages are in the wrong order");
  if (!signatures(genesisHash, evidence.consensusKey, offence)) return refuse("a signature does not verify");
  return offence;
}
