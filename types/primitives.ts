import "./hasher.ts";
import { BooleanType, ByteListType, ByteVectorType, type Type, UintBigintType, UintNumberType } from "@chainsafe/ssz";
import { PoflError } from "./errors.ts";

/** Block height; genesis is 0. */
export type Height = number;
/** Amount in the smallest unit; always within u64. */
export type Amount = bigint;
/** 32 bytes. */
export type Hash = Uint8Array;
/** First 20 bytes of the tagged hash of an account's public key. */
export type Address = Uint8Array;

export const HASH_BYTES = 32;
export const ADDRESS_BYTES = 20;
export const SIGNATURE_BYTES = 64;
export const PUBLIC_KEY_BYTES = 32;
/** ECVRF-EDWARDS25519-SHA512-TAI proof (RFC 9381 section 5.5). */
export const VRF_PROOF_BYTES = 80;

/** The hash that stands for "no value": the nil vote, "no task". */
export const ZERO_HASH: Hash = new Uint8Array(HASH_BYTES);

export const Bytes20 = new ByteVectorType(ADDRESS_BYTES);
export const Bytes32 = new ByteVectorType(HASH_BYTES);
export const Bytes64 = new ByteVectorType(SIGNATURE_BYTES);
export const Bytes80 = new ByteVectorType(VRF_PROOF_BYTES);
export const U8 = new UintNumberType(1);
export const U16 = new UintNumberType(2);
export const U32 = new UintNumberType(4);
/** Heights, nonces, milliseconds: a number, refused by `decode` past 2^53 − 1. */
export const U53 = new UintNumberType(8);
/** Amounts and exact sums: a bigint. */
export const U64 = new UintBigintType(8);
export const Bool = new BooleanType();
export const bytesUpTo = (limit: number): ByteListType => new ByteListType(limit);

/**
 * Decodes `bytes` and accepts them only if they are the one canonical encoding of the value.
 * SSZ decoders let integers past 2^53 lose bits; encoding again and comparing refuses those too.
 * @throws PoflError BAD_ENCODING
 */
export function decode<T>(type: Type<T>, bytes: Uint8Array): T {
  let value: T;
  let again: Uint8Array;
  try {
    value = type.deserialize(bytes);
    again = type.serialize(value);
  } catch (cause) {
    throw new PoflError("BAD_ENCODING", `not a valid ${type.typeName}: ${(cause as Error).message}`, {}, { cause });
  }
  if (!bytesEqual(again, bytes)) {
    throw new PoflError("BAD_ENCODING", `not the canonical encoding of a ${type.typeName}`);
  }
  return value;
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Lexicographic order of the bytes: the only order used where bytes are sorted. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** `0x` and lower-case digits. */
export function toHex(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/**
 * Reads `0x…` of exactly `length` bytes (any length if left out). `Buffer.from(s, "hex")` alone cuts bad input short.
 * @throws PoflError BAD_HEX
 */
export function fromHex(text: string, length?: number): Uint8Array {
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(text)) {
    throw new PoflError("BAD_HEX", `"${text.slice(0, 80)}" is not 0x followed by pairs of hexadecimal digits`);
  }
  const bytes = new Uint8Array(Buffer.from(text.slice(2), "hex"));
  if (length !== undefined && bytes.length !== length) {
    throw new PoflError("BAD_HEX", `expected ${length} bytes, got ${bytes.length}`);
  }
  return bytes;
}

const U64_MAX = (1n << 64n) - 1n;

/**
 * Reads an amount written as a decimal string, in the smallest unit.
 * @throws PoflError BAD_AMOUNT
 */
export function parseAmount(text: string): Amount {
  // The length cap comes first: BigInt of a million digits takes a tenth of a second.
  if (!/^(?:0|[1-9][0-9]{0,19})$/.test(text)) {
    throw new PoflError("BAD_AMOUNT", `"${text.slice(0, 40)}" is not a whole decimal number of the smallest unit`);
  }
  const value = BigInt(text);
  if (value > U64_MAX) throw new PoflError("BAD_AMOUNT", `${text} is more than 2^64 - 1`);
  return value;
}
