import { ContainerType, ListCompositeType, UnionType, type ValueOf } from "@chainsafe/ssz";
import { SignedSessionAsk, SignedSessionOffer } from "../../types/custodian.ts";
import { MAX_CUSTODIANS } from "../../types/limits.ts";
import { Bytes32, Bytes64, U32 } from "../../types/primitives.ts";

/**
 * What custodians' nodes ask each other, by requests of the protocol `custodian/1`. An answer is one frame, or none: "not here", "not
 * yet" and "no" look alike. Everything that counts is signed with a custodian key, so that it matters to nobody which peer it came from.
 */

export const CUSTODIAN_PROTOCOL = "custodian/1";

/** The sealed share for a receiver of a ceremony. Answer: SignedShare. */
export const ShareWanted = new ContainerType({ ceremony: Bytes32, receiver: U32 }, { typeName: "ShareWanted" });
/** Signatures of a ceremony's key statement, by place in its plan. Answer: Signatures. */
export const StatementsWanted = new ContainerType({ ceremony: Bytes32 }, { typeName: "StatementsWanted" });
/** Consents to a redaction, by place among the custodians in office. Answer: Signatures. */
export const ConsentsWanted = new ContainerType({ request: Bytes32 }, { typeName: "ConsentsWanted" });
/** A signature share for these nonces. Answer: SignedSignatureShare. The session itself is a SignedSessionAsk; answer: SignedSessionOffer. */
export const PartWanted = new ContainerType(
  {
    /** Root of the SessionAsk. */
    session: Bytes32,
    /** Of all who sign, ascending by custodian. */
    offers: new ListCompositeType(SignedSessionOffer, MAX_CUSTODIANS),
  },
  { typeName: "PartWanted" },
);
/** An approval of this opening. Answer: Signatures, with one. */
export const ApprovalWanted = new ContainerType(
  { request: Bytes32, r: Bytes32, s: Bytes32 },
  { typeName: "ApprovalWanted" },
);

const QUESTIONS = {
  share: ShareWanted,
  statements: StatementsWanted,
  consents: ConsentsWanted,
  session: SignedSessionAsk,
  part: PartWanted,
  approval: ApprovalWanted,
} as const;
export type QuestionKind = keyof typeof QUESTIONS;
const KINDS = Object.keys(QUESTIONS) as QuestionKind[];

/** A selector byte (the place above), then the container. */
export const Question = new UnionType(Object.values(QUESTIONS));
export type TypedQuestion = { [K in QuestionKind]: { kind: K; value: ValueOf<(typeof QUESTIONS)[K]> } }[QuestionKind];

export function typedQuestion({ selector, value }: ValueOf<typeof Question>): TypedQuestion {
  return { kind: KINDS[selector], value } as TypedQuestion;
}

export function encodeQuestion({ kind, value }: TypedQuestion): Uint8Array {
  return Question.serialize({ selector: KINDS.indexOf(kind), value } as ValueOf<typeof Question>);
}

const PlacedSignature = new ContainerType({ custodian: U32, signature: Bytes64 }, { typeName: "PlacedSignature" });
export const Signatures = new ListCompositeType(PlacedSignature, MAX_CUSTODIANS);
export type PlacedSignature = ValueOf<typeof PlacedSignature>;

/** The longest answer is a full list of signatures. */
export const MAX_ANSWER_BYTES = 8192;
