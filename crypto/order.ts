import type { Hash } from "../types/primitives.ts";
import { taggedHash } from "./hash.ts";

/**
 * The key of the canonical order, which breaks all ties. It depends on nothing that a miner chooses in the round, so there is
 * nothing to grind.
 * @param seed seed(h−1)
 */
export function canonicalKey(seed: Hash, institution: Hash): Hash {
  return taggedHash("pofl/canonical-order/1", seed, institution);
}
