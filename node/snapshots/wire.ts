import { ContainerType, ListBasicType } from "@chainsafe/ssz";
import { PoflError } from "../../types/errors.ts";
import { decode, U32, U53 } from "../../types/primitives.ts";
import { PieceName } from "../../vm/snapshot.ts";

/** Questions and answers of a joining node; docs/protocol.md says the same. */

/** Answered with LightBlocks, ascending, up to 64 a frame. */
export const HEADERS_PROTOCOL = "headers/1";
export const HeadersWanted = new ContainerType({ from: U53, count: U32 }, { typeName: "HeadersWanted" });
/** Of one answer: a second of work for whoever verifies it. */
export const MAX_HEADERS = 1024;

export const SNAPSHOT_PROTOCOL = "snapshot/1";
/** Heights at which a peer gives states, descending. */
export const Offers = new ListBasicType(U53, 16);
const AtHeight = new ContainerType({ height: U53 }, { typeName: "AtHeight" });
const PieceWanted = new ContainerType({ height: U53, piece: PieceName }, { typeName: "PieceWanted" });

export type Question =
  | { readonly kind: "offers" }
  | { readonly kind: "top"; readonly height: number }
  | { readonly kind: "piece"; readonly height: number; readonly piece: PieceName }
  /** Who decides a height. */
  | { readonly kind: "validators"; readonly height: number };

const KINDS = ["offers", "top", "piece", "validators"] as const;

export function encodeQuestion(question: Question): Uint8Array {
  const selector = Uint8Array.of(KINDS.indexOf(question.kind));
  switch (question.kind) {
    case "offers":
      return selector;
    case "piece":
      return Buffer.concat([selector, PieceWanted.serialize(question)]);
    default:
      return Buffer.concat([selector, AtHeight.serialize(question)]);
  }
}

/** @throws PoflError BAD_ENCODING */
export function decodeQuestion(bytes: Uint8Array): Question {
  const kind = KINDS[bytes[0] ?? KINDS.length];
  const rest = bytes.slice(1);
  switch (kind) {
    case undefined:
      throw new PoflError("BAD_ENCODING", "a question about snapshots of an unknown kind");
    case "offers":
      if (rest.length > 0) throw new PoflError("BAD_ENCODING", "a question for offers holds nothing");
      return { kind };
    case "piece":
      return { kind, ...decode(PieceWanted, rest) };
    default:
      return { kind, ...decode(AtHeight, rest) };
  }
}
