import type { Hash } from "../types/primitives.ts";

/** Names on the wire. Each holds the first 8 bytes of the genesis hash, so that two chains share no protocol. */

/** Gossip topics. */
export type Topic = "tx" | "head";
export const TOPICS: readonly Topic[] = ["tx", "head"];

export const DIRECT = "direct/1";
export const PEERS = "peers/1";
export const BLOB = "blob/1";

/** 16 hexadecimal digits. */
export function genesisTag(genesisHash: Hash): string {
  return Buffer.from(genesisHash.subarray(0, 8)).toString("hex");
}

/** `/pofl/<genesis16>/<name>`: a protocol or a topic. */
export function wireName(genesisHash: Hash, name: string): string {
  return `/pofl/${genesisTag(genesisHash)}/${name}`;
}

/** The chain whose direct protocol is among `protocols`, as its 16 digits. */
export function chainOf(protocols: readonly string[]): string | undefined {
  for (const protocol of protocols) {
    const match = protocol.match(/^\/pofl\/([0-9a-f]{16})\/direct\/1$/);
    if (match) return match[1];
  }
  return undefined;
}
