import { PoflError } from "../types/errors.ts";
import { MAX_BLOB_BYTES } from "../types/limits.ts";
import { HASH_BYTES, type Hash } from "../types/primitives.ts";

/**
 * Fixed layouts of the blob protocol, integers little-endian.
 * Request: root (32), size (u32), first chunk (u32), number of chunks (u32).
 * Each frame of the answer: index (u32), number of proof hashes (u8), the hashes, the bytes of the chunk.
 */

export type BlobRequest = { readonly root: Hash; readonly size: number; readonly from: number; readonly count: number };
export type BlobChunk = { readonly index: number; readonly proof: readonly Hash[]; readonly bytes: Uint8Array };

const REQUEST_BYTES = HASH_BYTES + 12;

export function encodeRequest(request: BlobRequest): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(request.root);
  view.setUint32(HASH_BYTES, request.size, true);
  view.setUint32(HASH_BYTES + 4, request.from, true);
  view.setUint32(HASH_BYTES + 8, request.count, true);
  return bytes;
}

/** @throws PoflError BAD_ENCODING */
export function decodeRequest(bytes: Uint8Array): BlobRequest {
  if (bytes.length !== REQUEST_BYTES) throw new PoflError("BAD_ENCODING", `a blob request of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(HASH_BYTES, true);
  if (size > MAX_BLOB_BYTES) throw new PoflError("BAD_ENCODING", `a blob request for ${size} bytes`);
  const [from, count] = [view.getUint32(HASH_BYTES + 4, true), view.getUint32(HASH_BYTES + 8, true)];
  return { root: bytes.slice(0, HASH_BYTES), size, from, count };
}

export function encodeChunk(chunk: BlobChunk): Uint8Array {
  const head = 5 + chunk.proof.length * HASH_BYTES;
  const bytes = new Uint8Array(head + chunk.bytes.length);
  new DataView(bytes.buffer).setUint32(0, chunk.index, true);
  bytes[4] = chunk.proof.length;
  chunk.proof.forEach((hash, i) => {
    bytes.set(hash, 5 + i * HASH_BYTES);
  });
  bytes.set(chunk.bytes, head);
  return bytes;
}

/** The parts are views of `bytes`. @throws PoflError BAD_ENCODING */
export function decodeChunk(bytes: Uint8Array): BlobChunk {
  const hashes = bytes[4] ?? 0;
  const head = 5 + hashes * HASH_BYTES;
  if (bytes.length < head) throw new PoflError("BAD_ENCODING", `a blob chunk of ${bytes.length} bytes is cut short`);
  const index = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  const proof = Array.from({ length: hashes }, (_, i) => bytes.subarray(5 + i * HASH_BYTES, 5 + (i + 1) * HASH_BYTES));
  return { index, proof, bytes: bytes.subarray(head) };
}
