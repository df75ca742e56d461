import { ContainerType, ListCompositeType, type Type, type ValueOf } from "@chainsafe/ssz";
import { CertifiedBlock } from "../types/block.ts";
import { PoflError } from "../types/errors.ts";
import { Evidence } from "../types/evidence.ts";
import { MAX_BLOCK_BYTES, MAX_VALIDATORS } from "../types/limits.ts";
import { Bool, Bytes32, Bytes80, bytesUpTo, decode, U32, U53 } from "../types/primitives.ts";
import { Reveal, SignedAttestation, SignedClosing, SignedPledge } from "../types/round.ts";
import { SignedProposal, SignedVote } from "../types/vote.ts";

/** What validators say to each other on their direct streams: one byte of kind, then the SSZ of the message. */

/** One bit per validator, in a fixed number of bytes. */
const Bitmap = bytesUpTo(MAX_VALIDATORS / 8);

/** Rounds of which a status tells: the newest ones, and those with a proof-of-lock. */
export const MAX_STATUS_ROUNDS = 16;

export const RoundStatus = new ContainerType(
  {
    round: U32,
    proposal: Bool,
    prevotes: Bitmap,
    precommits: Bitmap,
    /** Whether the prevotes are a proof-of-lock. An equivocator's bit may stand for another vote than the one it needs. */
    lock: Bool,
  },
  { typeName: "RoundStatus" },
);

/** What a node has of the height that it works on; peers send what is missing from it. */
export const Status = new ContainerType(
  {
    /** The height being decided: head + 1. */
    height: U53,
    head: Bytes32,
    /** Peers that the sender is connected to: new messages are passed on to those who lack some validators. */
    peers: U32,
    rounds: new ListCompositeType(RoundStatus, MAX_STATUS_ROUNDS),
    pledges: Bitmap,
    closings: Bitmap,
    reveals: Bitmap,
    attestations: Bitmap,
  },
  { typeName: "Status" },
);

/** A proposal with its block, or without when the receiver is known to have it. */
export const ProposalMessage = new ContainerType(
  { proposal: SignedProposal, block: bytesUpTo(MAX_BLOCK_BYTES) },
  { typeName: "ProposalMessage" },
);
export const BlockRequest = new ContainerType({ height: U53, blockId: Bytes32 }, { typeName: "BlockRequest" });
export const BlockAnswer = new ContainerType(
  { height: U53, block: bytesUpTo(MAX_BLOCK_BYTES) },
  { typeName: "BlockAnswer" },
);

/** The proof of the first proposer, ahead of its block: checking takes milliseconds, and everyone has time while training. */
export const Beacon = new ContainerType({ height: U53, proof: Bytes80 }, { typeName: "Beacon" });

const TYPES = {
  status: Status,
  proposal: ProposalMessage,
  vote: SignedVote,
  pledge: SignedPledge,
  closing: SignedClosing,
  reveal: Reveal,
  attestation: SignedAttestation,
  "block-request": BlockRequest,
  block: BlockAnswer,
  /** The decided block with its certificate, for a peer that is one height behind. */
  final: CertifiedBlock,
  beacon: Beacon,
  evidence: Evidence,
} as const;

export type MessageKind = keyof typeof TYPES;
export type Message = { [K in MessageKind]: { kind: K; value: ValueOf<(typeof TYPES)[K]> } }[MessageKind];
export type Status = ValueOf<typeof Status>;
export type RoundStatus = ValueOf<typeof RoundStatus>;

/** The byte of a kind is its place here; never reordered. */
const KINDS = Object.keys(TYPES) as MessageKind[];

export function encodeMessage(message: Message): Uint8Array {
  const type = TYPES[message.kind] as unknown as Type<unknown>;
  const body = type.serialize(message.value);
  const frame = new Uint8Array(1 + body.length);
  frame[0] = KINDS.indexOf(message.kind);
  frame.set(body, 1);
  return frame;
}

/** @throws PoflError BAD_ENCODING */
export function decodeMessage(frame: Uint8Array): Message {
  const kind = KINDS[frame[0] ?? 255];
  if (kind === undefined) throw new PoflError("BAD_ENCODING", "unknown kind of message");
  const type = TYPES[kind] as unknown as Type<unknown>;
  return { kind, value: decode(type, frame.subarray(1)) } as Message;
}

export function bitmap(has: readonly unknown[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(has.length / 8));
  has.forEach((x, i) => {
    if (x !== undefined && x !== false) bytes[i >> 3] = (bytes[i >> 3] as number) | (1 << (i & 7));
  });
  return bytes;
}

export function hasBit(bytes: Uint8Array, index: number): boolean {
  return (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}
