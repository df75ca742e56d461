import { type BlobTree, blobTree, chunkCount, chunkOf, treeProof } from "../crypto/blob.ts";
import { bytesEqual, toHex } from "../types/primitives.ts";
import { decodeRequest, encodeChunk } from "./blobwire.ts";
import type { Limits } from "./limits.ts";
import type { BlobSource, RequestHandler } from "./types.ts";

/** Trees kept so that a blob is hashed once for all its requests: 32 bytes per chunk each. */
const TREES = 64;

/** Answers with the chunks asked for, in order; with nothing when the blob is not held. */
export function blobServer(source: () => BlobSource | undefined, limits: Limits): RequestHandler {
  const trees = new Map<string, BlobTree>();
  return async function* serve(_peer, request) {
    const { root, size, from, count } = decodeRequest(request);
    const bytes = await source()?.(root);
    if (!bytes || bytes.length !== size) return;
    const key = toHex(root);
    const tree = trees.get(key) ?? blobTree(bytes);
    // A source that gives out other bytes than it was asked for would make us look like liars.
    if (!bytesEqual(tree.root, root)) throw new Error(`the blob store returned other bytes for ${key}`);
    trees.delete(key);
    trees.set(key, tree);
    if (trees.size > TREES) trees.delete(trees.keys().next().value as string);
    const end = Math.min(chunkCount(size), from + Math.min(count, limits.chunksPerRequest));
    for (let index = from; index < end; index++) {
      yield encodeChunk({ index, proof: treeProof(tree, index), bytes: chunkOf(bytes, index) });
    }
  };
}
