import { PoflError } from "../types/errors.ts";
import { MAX_RECORD_BYTES, RECORD_STEP_BYTES } from "../types/limits.ts";
import { type Address, bytesEqual, HASH_BYTES, type Hash } from "../types/primitives.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/** What lies beside the chain for a record: payload and salt, and how the chain commits to them. */

/** `body` is the payload as it is stored and committed to: padded. */
export type Sidecar = { readonly salt: Uint8Array; readonly body: Uint8Array };

/** As it is sent and stored: salt, then body. */
export function joinSidecar({ salt, body }: Sidecar): Uint8Array {
  const bytes = new Uint8Array(salt.length + body.length);
  bytes.set(salt);
  bytes.set(body, salt.length);
  return bytes;
}

/** A copy, whatever the bytes are (`slice` of a Buffer would be none); `sidecarOpens` says whether it is one. */
export function splitSidecar(bytes: Uint8Array): Sidecar {
  return { salt: new Uint8Array(bytes.subarray(0, HASH_BYTES)), body: new Uint8Array(bytes.subarray(HASH_BYTES)) };
}

/** Unique to a record: an account uses a nonce once, and a transaction makes one record (action 0). */
export function recordLabel(genesisHash: Hash, sender: Address, nonce: number): Hash {
  return taggedHash("pofl/record/label/1", genesisHash, sender, u64Bytes(nonce), u64Bytes(0));
}

/** cm. The salt has 256 bits that nobody can guess: with it gone, cm tells nothing of the payload. */
export function recordCommitment({ salt, body }: Sidecar): Hash {
  if (salt.length !== HASH_BYTES) throw new PoflError("BAD_RECORD", `a salt has 32 bytes, not ${salt.length}`);
  return taggedHash("pofl/record/1", salt, body);
}

/** Whether the sidecar is what `cm` and `length` stand for. */
export function sidecarOpens(sidecar: Sidecar, cm: Hash, length: number): boolean {
  return (
    sidecar.salt.length === HASH_BYTES && sidecar.body.length === length && bytesEqual(recordCommitment(sidecar), cm)
  );
}

/** cm of nothing: what an erasure puts in the payload's place. Public, and no body has it: every body has at least a step. */
export function erasedCommitment(label: Hash, version: number): Hash {
  return taggedHash("pofl/record/erased/1", label, u64Bytes(version));
}

/** Whether a padded length may be: one step at least. */
export function isBodyLength(length: number): boolean {
  return length >= RECORD_STEP_BYTES && length <= MAX_RECORD_BYTES && length % RECORD_STEP_BYTES === 0;
}

/**
 * Padding of ISO/IEC 7816-4: 0x80, then zeros up to a multiple of RECORD_STEP_BYTES.
 * @throws PoflError RECORD_TOO_LARGE
 */
export function padPayload(payload: Uint8Array): Uint8Array {
  const length = Math.ceil((payload.length + 1) / RECORD_STEP_BYTES) * RECORD_STEP_BYTES;
  if (length > MAX_RECORD_BYTES) throw recordTooLarge(payload.length);
  const body = new Uint8Array(length);
  body.set(payload);
  body[payload.length] = 0x80;
  return body;
}

export function recordTooLarge(bytes: number): PoflError {
  return new PoflError(
    "RECORD_TOO_LARGE",
    `a record of ${bytes} bytes; at most ${MAX_RECORD_BYTES - 1} may be: put a hash of the document into the record, or cut it`,
  );
}

/** The payload in a body. @throws PoflError BAD_RECORD when it is not padded: its sender wrote nonsense, which is on the chain for good */
export function unpadPayload(body: Uint8Array): Uint8Array {
  let end = body.length - 1;
  while (end >= 0 && body[end] === 0) end--;
  if (end < 0 || body[end] !== 0x80) throw new PoflError("BAD_RECORD", "the payload is not padded as it must be");
  return body.slice(0, end);
}
