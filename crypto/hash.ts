import { createHash } from "node:crypto";
import type { Hash } from "../types/primitives.ts";

/** SHA-256 of the parts, one after the other. Nothing separates them: their lengths must be fixed by what they are. */
export function sha256(...parts: readonly Uint8Array[]): Hash {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** Tags are constants of the code, so the map stays small. */
const prefixes = new Map<string, Uint8Array>();

function prefixOf(tag: string): Uint8Array {
  const known = prefixes.get(tag);
  if (known) return known;
  const once = sha256(new TextEncoder().encode(tag));
  const prefix = new Uint8Array([...once, ...once]);
  prefixes.set(tag, prefix);
  return prefix;
}

/**
 * SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ parts…), as in BIP 340: one function per purpose. The prefix fills one block of
 * SHA-256, so no input under one tag, and no plain SHA-256 of structured data, collides with one under another.
 * @param tag a constant, `pofl/<purpose>/<version>`
 */
export function taggedHash(tag: string, ...parts: readonly Uint8Array[]): Hash {
  return sha256(prefixOf(tag), ...parts);
}

/** An integer as 8 bytes, little-endian: how heights and sizes enter a hash. */
export function u64Bytes(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
