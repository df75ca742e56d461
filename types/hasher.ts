import { type Hasher, setHasher, zeroHash } from "@chainsafe/persistent-merkle-tree";
import { hasher as portable } from "@chainsafe/persistent-merkle-tree/hasher/as-sha256";

/**
 * SHA-256 for all SSZ roots, chosen once, before any root is computed (types/primitives.ts imports this file first).
 * hashtree is native and hashes 16 blocks at a time; where it has no build, as-sha256 (WebAssembly) gives the same bytes.
 */
async function fastest(): Promise<Hasher> {
  try {
    const { hasher } = await import("@chainsafe/persistent-merkle-tree/hasher/hashtree");
    // A native build that hashes wrongly on this processor would fork the node off: compare one known pair first.
    const pair = hasher.digest64(zeroHash(0), zeroHash(0));
    return Buffer.compare(pair, zeroHash(1)) === 0 ? hasher : portable;
  } catch {
    return portable;
  }
}

const chosen = await fastest();
setHasher(chosen);

/** "hashtree" or "as-sha256": for logs and benchmarks. */
export const sszHasher: string = chosen.name;
