import type { Hash } from "../../types/primitives.ts";
import type { ListName, PerList } from "../../vm/view.ts";

/**
 * Every key of the database. A key is one ASCII letter, then fixed-width big-endian numbers, so that LevelDB's order is theirs.
 *
 * | key                | value                                  | written                              |
 * |--------------------|----------------------------------------|--------------------------------------|
 * | G                  | genesis hash                           | once, with V and the genesis state   |
 * | V                  | LAYOUT_VERSION (u32)                   | once                                 |
 * | H                  | height (u64), block id                 | every block; height 0 at genesis     |
 * | B                  | height (u64) of the snapshot           | once, by a home that began with one  |
 * | b height(8)        | SSZ CertifiedBlock                     | every block                          |
 * | r height(8)        | SSZ ReceiptList, or LOST_RECEIPTS      | every block                          |
 * | i block id(32)     | height (u64)                           | every block                          |
 * | t transaction(32)  | height (u64), index in the block (u32) | every transaction                    |
 * | v height(8)        | SSZ ValidatorSet from that height on   | when the set changed                 |
 * | s                  | SSZ Singles: the state but its lists   | every block                          |
 * | a index(4)         | SSZ Account                            | every changed one                    |
 * | m index(4)         | SSZ Miner                              | every changed one                    |
 * | k index(4)         | SSZ Task                               | every changed one                    |
 * | c index(4)         | SSZ RecordEntry                        | every changed one                    |
 * | q index(4)         | SSZ RequestEntry                       | every changed one                    |
 * | e index(4)         | SSZ KeyEpoch                           | every changed one                    |
 * | d index(4)         | SSZ Ceremony                           | every changed one                    |
 *
 * Numbers in values are big-endian. Every value is followed by a checksum that covers its key (records.ts). All that one
 * block writes goes in one synced batch, so H names a block whose records are all there: or the database is damaged.
 */
export const LAYOUT_VERSION = 2;

/** In place of the receipts of a block that was lost with them and put back: one byte, which no list of receipts is. */
export const LOST_RECEIPTS: Uint8Array = Uint8Array.of(0);

const GENESIS = 0x47;
const VERSION = 0x56;
const HEAD = 0x48;
const BASE = 0x42;
const BLOCK = 0x62;
const RECEIPTS = 0x72;
const ID = 0x69;
const TX = 0x74;
const VALIDATORS = 0x76;
const SINGLES = 0x73;
const TABLES: PerList<number> = {
  accounts: 0x61,
  miners: 0x6d,
  tasks: 0x6b,
  records: 0x63,
  requests: 0x71,
  epochs: 0x65,
  ceremonies: 0x64,
};

/** Bytes of a key, by its letter: whatever else is in a database is damage. */
export const KEY_BYTES: ReadonlyMap<number, number> = new Map<number, number>([
  ...[GENESIS, VERSION, HEAD, BASE, SINGLES].map((letter): [number, number] => [letter, 1]),
  ...[BLOCK, RECEIPTS, VALIDATORS].map((letter): [number, number] => [letter, 9]),
  ...[ID, TX].map((letter): [number, number] => [letter, 33]),
  ...Object.values(TABLES).map((letter): [number, number] => [letter, 5]),
]);

const u64 = (prefix: number, value: number): Uint8Array => {
  const key = Buffer.alloc(9);
  key.writeUInt8(prefix);
  key.writeBigUInt64BE(BigInt(value), 1);
  return key;
};
const u32 = (prefix: number, value: number): Uint8Array => {
  const key = Buffer.alloc(5);
  key.writeUInt8(prefix);
  key.writeUInt32BE(value, 1);
  return key;
};
const hashed = (prefix: number, hash: Hash): Uint8Array => Buffer.concat([Uint8Array.of(prefix), hash]);

export const layout = {
  genesis: Uint8Array.of(GENESIS),
  version: Uint8Array.of(VERSION),
  head: Uint8Array.of(HEAD),
  base: Uint8Array.of(BASE),
  singles: Uint8Array.of(SINGLES),
  block: (height: number) => u64(BLOCK, height),
  receipts: (height: number) => u64(RECEIPTS, height),
  id: (blockId: Hash) => hashed(ID, blockId),
  tx: (tx: Hash) => hashed(TX, tx),
  validators: (height: number) => u64(VALIDATORS, height),
  /** All ids, and all transactions. */
  ids: { gte: Uint8Array.of(ID), lt: Uint8Array.of(ID + 1) },
  txs: { gte: Uint8Array.of(TX), lt: Uint8Array.of(TX + 1) },
  /** Sets that began at or below `height`. */
  validatorsUpTo: (height: number) => ({ gte: u64(VALIDATORS, 0), lt: u64(VALIDATORS, height + 1) }),
  record: (table: ListName, index: number) => u32(TABLES[table], index),
  /** All records of a table: from `gte` up to but not including `lt`. */
  table: (table: ListName) => ({ gte: Uint8Array.of(TABLES[table]), lt: Uint8Array.of(TABLES[table] + 1) }),
  /** The height in the key of a block, of receipts or of a validator set; undefined for others. */
  heightOf: (key: Uint8Array): number | undefined =>
    [BLOCK, RECEIPTS, VALIDATORS].includes(key[0] as number) && key.length === 9
      ? Number(Buffer.from(key).readBigUInt64BE(1))
      : undefined,
  /** The index within a table's key. */
  indexOf: (key: Uint8Array) => Buffer.from(key).readUInt32BE(1),
} as const;

/** A key for people: its letter and the rest in hex. */
export function keyText(key: Uint8Array): string {
  return String.fromCharCode(key[0] ?? 0) + Buffer.from(key.subarray(1)).toString("hex");
}
