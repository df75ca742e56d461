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

export type SealedShare = ValueOf<typeof SealedShare>;
export type SignedShare = ValueOf<typeof SignedShare>;
export type SignatureShare = ValueOf<typeof SignatureShare>;
export type SignedSignatureShare = ValueOf<typeof SignedSignatureShare>;
