import { type Hash, toHex } from "../../types/primitives.ts";
import type { BlobStore } from "./blobs.ts";

/**
 * A blob store that also remembers what was put or read last, up to `maxBytes`: an update is read four times in its round, by
 * the fetch, the votes, the proposal and the judgement of the block. Bytes that are handed in or out must not be changed.
 */
export function withRecent(blobs: BlobStore, maxBytes: number): BlobStore {
  const recent = new Map<string, Uint8Array>();
  let held = 0;
  const forget = (key: string) => {
    held -= recent.get(key)?.length ?? 0;
    recent.delete(key);
  };
  const remember = (root: Hash, bytes: Uint8Array) => {
    const key = toHex(root);
    forget(key);
    if (bytes.length > maxBytes / 4) return;
    recent.set(key, bytes);
    held += bytes.length;
    // A Map keeps the order of insertion: the first is the one that was used longest ago.
    for (const oldest of recent.keys()) {
      if (held <= maxBytes) break;
      forget(oldest);
    }
  };
  return {
    put: async (bytes) => {
      const root = await blobs.put(bytes);
      remember(root, bytes);
      return root;
    },
    get: async (root, size) => {
      const bytes = recent.get(toHex(root)) ?? (await blobs.get(root));
      if (bytes) remember(root, bytes);
      return bytes && (size === undefined || size === bytes.length) ? bytes : undefined;
    },
    has: (root) => blobs.has(root),
    list: (time) => blobs.list(time),
    prune: async (keep) => {
      for (const key of [...recent.keys()]) if (!keep(key)) forget(key);
      return blobs.prune(keep);
    },
    get bytes() {
      return blobs.bytes;
    },
  };
}
