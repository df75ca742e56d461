import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from "../types/limits.ts";
import { bytesEqual, type Hash } from "../types/primitives.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/**
 * Blobs (updates, models) are named by the root of a Merkle tree over chunks of 256 KiB, so that each chunk is verified as it
 * arrives, from any source. The tree has the shape of RFC 9162 section 2.1 (the left part is the largest power of two
 * below the count): nothing is padded or doubled, so no two lists of chunks share a root. The size is hashed into the root: it
 * fixes the number of chunks, the length of each and of each proof. An empty blob is one empty chunk, verified like any other.
 */

const leaf = (chunk: Uint8Array): Hash => taggedHash("pofl/blob/leaf/1", chunk);
const node = (left: Hash, right: Hash): Hash => taggedHash("pofl/blob/node/1", left, right);
const bind = (size: number, top: Hash): Hash => taggedHash("pofl/blob/root/1", u64Bytes(size), top);

/** Number of chunks of a blob of `size` bytes; at least 1. */
export function chunkCount(size: number): number {
  return Math.max(1, Math.ceil(size / BLOB_CHUNK_BYTES));
}

/** Length in bytes of chunk `index` of a blob of `size` bytes. */
export function chunkLength(size: number, index: number): number {
  return Math.min(BLOB_CHUNK_BYTES, size - index * BLOB_CHUNK_BYTES);
}

/** Where the left subtree of `count` ≥ 2 leaves ends: the largest power of two below it. */
function splitAt(count: number): number {
  return 2 ** (31 - Math.clz32(count - 1));
}

function top(leaves: readonly Hash[]): Hash {
  if (leaves.length === 1) return leaves[0] as Hash;
  const k = splitAt(leaves.length);
  return node(top(leaves.slice(0, k)), top(leaves.slice(k)));
}

function path(leaves: readonly Hash[], index: number): Hash[] {
  if (leaves.length === 1) return [];
  const k = splitAt(leaves.length);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return index < k ? [...path(left, index), top(right)] : [...path(right, index - k), top(left)];
}

/** A blob hashed once, from which any number of proofs are read: what a server of chunks keeps. */
export type BlobTree = { readonly root: Hash; readonly size: number; readonly leaves: readonly Hash[] };

export function blobTree(bytes: Uint8Array): BlobTree {
  const leaves = Array.from({ length: chunkCount(bytes.length) }, (_, i) => leaf(chunkOf(bytes, i)));
  return { root: bind(bytes.length, top(leaves)), size: bytes.length, leaves };
}

/** Hashes from the sibling of the chunk up to the top. @throws RangeError when there is no such chunk */
export function treeProof(tree: BlobTree, index: number): Hash[] {
  if (!isIndex(tree.size, index)) throw new RangeError(`chunk ${index} of ${tree.leaves.length}`);
  return path(tree.leaves, index);
}

/** The chunk's bytes, a view of `bytes`. */
export function chunkOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES);
}

/** The name of a blob. */
export function blobRoot(bytes: Uint8Array): Hash {
  return blobTree(bytes).root;
}

/** As `treeProof`; hashes the whole blob each time, so a server keeps a `blobTree`. @throws RangeError */
export function chunkProof(bytes: Uint8Array, index: number): Hash[] {
  return treeProof(blobTree(bytes), index);
}

const isIndex = (size: number, index: number): boolean =>
  Number.isSafeInteger(index) && index >= 0 && index < chunkCount(size);

/** Whether `chunk` is the chunk `index` of the blob of `size` bytes named `root`. Never throws. */
export function verifyChunk(
  root: Hash,
  size: number,
  index: number,
  chunk: Uint8Array,
  proof: readonly Hash[],
): boolean {
  if (!Number.isSafeInteger(size) || size < 0 || size > MAX_BLOB_BYTES || !isIndex(size, index)) return false;
  if (chunk.length !== chunkLength(size, index) || proof.some((hash) => hash.length !== 32)) return false;
  let used = 0;
  // Climbs from the leaf, taking one hash of the proof for each level at which the subtree has a sibling.
  const climb = (count: number, at: number): Hash | undefined => {
    if (count === 1) return leaf(chunk);
    const k = splitAt(count);
    const below = at < k ? climb(k, at) : climb(count - k, at - k);
    const sibling = proof[used++];
    if (!below || !sibling) return undefined;
    return at < k ? node(below, sibling) : node(sibling, below);
  };
  const found = climb(chunkCount(size), index);
  return found !== undefined && used === proof.length && bytesEqual(bind(size, found), root);
}
