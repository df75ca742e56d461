import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";

/**
 * What the network's adversary reads of a frame without decoding it. Offsets follow from the SSZ of `consensus/messages.ts`; a test holds them
 * against the real decoder.
 */
export type Peeked = {
  readonly kind: PeekKind;
  readonly height: number;
  readonly round: number;
  /** As in the message: 0 = none. */
  readonly validRound: number;
  readonly validator: number;
  /** Hexadecimal; empty where there is none. */
  readonly blockId: string;
};
export type PeekKind = "prevote" | "precommit" | "proposal" | "status" | "final" | "other";

/** The first byte of a frame. */
export const KIND = { status: 0, proposal: 1, vote: 2, final: 9 } as const;

export function peek(frame: Uint8Array): Peeked {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const u32 = (at: number) => (at + 4 <= frame.length ? view.getUint32(at, true) : 0);
  const u53 = (at: number) => (at + 8 <= frame.length ? Number(view.getBigUint64(at, true)) : 0);
  const id = (at: number) =>
    Buffer.from(frame.buffer, frame.byteOffset + at, Math.min(32, Math.max(0, frame.length - at))).toString("hex");
  switch (frame[0]) {
    case KIND.vote:
      return {
        kind: frame[1] === PREVOTE ? "prevote" : frame[1] === PRECOMMIT ? "precommit" : "other",
        height: u53(2),
        round: u32(10),
        blockId: id(14),
        validRound: u32(46),
        validator: u32(58),
      };
    case KIND.proposal:
      // The proposal of fixed size, then the offset of the block.
      return {
        kind: "proposal",
        height: u53(1),
        round: u32(9),
        blockId: id(13),
        validRound: u32(45),
        validator: u32(49),
      };
    case KIND.status:
      return { kind: "status", height: u53(1), round: 0, validRound: 0, validator: -1, blockId: "" };
    case KIND.final:
      return { kind: "final", height: 0, round: 0, validRound: 0, validator: -1, blockId: "" };
    default:
      return { kind: "other", height: 0, round: 0, validRound: 0, validator: -1, blockId: "" };
  }
}

export const NIL = "0".repeat(64);

export function peekText({ kind, height, round, validRound, validator, blockId }: Peeked): string {
  if (kind === "status") return `status ${height}`;
  if (kind === "final" || kind === "other") return kind;
  const value = blockId === NIL ? "nil" : blockId.slice(0, 8);
  return `${kind} ${height}/${round} ${value}${validRound > 0 ? ` vr ${validRound - 1}` : ""} by ${validator}`;
}
