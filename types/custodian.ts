import { ByteVectorType, ContainerType, type ValueOf } from "@chainsafe/ssz";
import { Bytes32, Bytes64, U32 } from "./primitives.ts";

/** A share's scalar under XChaCha20-Poly1305: 32 bytes and a tag of 16. */
export const SEALED_SHARE_BYTES = 48;

/** A dealt share for one receiver. Dealers and receivers are named by their index among the ceremony's, from 0. */
export const SealedShare = new ContainerType(
  { ceremony: Bytes32, dealer: U32, receiver: U32, ciphertext: new ByteVectorType(SEALED_SHARE_BYTES) },
  { typeName: "SealedShare" },
);
/** Signed by the dealer's custodian key. */
export const SignedShare = new ContainerType({ message: SealedShare, signature: Bytes64 }, { typeName: "SignedShare" });

/** One custodian's part of an opening. */
export const SignatureShare = new ContainerType(
  {
    /** Hash of the sharing, the redaction and the ordered list of nonce commitments: what the share was made for. */
    session: Bytes32,
    /** Index among the custodians, from 0. */
    custodian: U32,
    /** A scalar, 32 bytes little-endian. */
    share: Bytes32,
  },
  { typeName: "SignatureShare" },
);
export const SignedSignatureShare = new ContainerType(
  { message: SignatureShare, signature: Bytes64 },
  { typeName: "SignedSignatureShare" },
);

/** A custodian begins a session for the redaction of a request. */
export const SessionAsk = new ContainerType(
  {
    request: Bytes32,
    /** Of the key's custodians: a share of an earlier one is none of theirs. */
    generation: U32,
    /** Who asks: index among the custodians, from 0. */
    coordinator: U32,
    /** Random: nonces that were offered for one session are good for no other. */
    nonce: Bytes32,
  },
  { typeName: "SessionAsk" },
);
export const SignedSessionAsk = new ContainerType(
  { message: SessionAsk, signature: Bytes64 },
  { typeName: "SignedSessionAsk" },
);
/** One custodian's nonce commitments for a session. */
export const SessionOffer = new ContainerType(
  {
    /** Root of the SessionAsk. */
    session: Bytes32,
    /** Index among the custodians, from 0. */
    custodian: U32,
    hiding: Bytes32,
    binding: Bytes32,
  },
  { typeName: "SessionOffer" },
);
export const SignedSessionOffer = new ContainerType(
  { message: SessionOffer, signature: Bytes64 },
  { typeName: "SignedSessionOffer" },
);

export type SealedShare = ValueOf<typeof SealedShare>;
export type SignedShare = ValueOf<typeof SignedShare>;
export type SignatureShare = ValueOf<typeof SignatureShare>;
export type SignedSignatureShare = ValueOf<typeof SignedSignatureShare>;
export type SessionAsk = ValueOf<typeof SessionAsk>;
export type SignedSessionAsk = ValueOf<typeof SignedSessionAsk>;
export type SessionOffer = ValueOf<typeof SessionOffer>;
export type SignedSessionOffer = ValueOf<typeof SignedSessionOffer>;
