import { type CertifiedBlock, Header } from "../../types/block.ts";
import { Commit } from "../../types/vote.ts";
import type { State } from "../../vm/state.ts";
import { LIST_NAMES } from "../../vm/view.ts";
import { layout } from "./layout.ts";
import { corruptRecord, type Put, type Records } from "./records.ts";

/** What a store begins with in place of genesis, and what of blocks it gives to those who want no more than headers. */

/** The validators (an encoded ValidatorSet) of a height and of those after it, until the next entry. */
export type SetFrom = { readonly height: number; readonly set: Uint8Array };

/** A verified beginning. */
export type Snapshot = {
  readonly certified: CertifiedBlock;
  /** After the block. */
  readonly state: State;
  /** Ascending; those that are known, the block's own among them. */
  readonly sets: readonly SetFrom[];
};

export type Certificate = {
  readonly header: Header;
  readonly commit: Commit;
  /** Of the block, which was read for it. */
  readonly recordBytes: number;
};

/** All records but the block's and the head. */
export function snapshotPuts({ certified, state, sets }: Snapshot): Put[] {
  const records = state.records();
  const base = Buffer.alloc(8);
  base.writeBigUInt64BE(BigInt(certified.block.header.height));
  const puts: Put[] = [
    [layout.base, base],
    [layout.singles, records.singles],
  ];
  // Lists only ever grow, so that nothing of the genesis state is left over.
  for (const table of LIST_NAMES) {
    let index = 0;
    for (const bytes of records.lists[table]) puts.push([layout.record(table, index++), bytes]);
  }
  for (const { height, set } of sets) puts.push([layout.validators(height), set]);
  return puts;
}

export async function readBase(disk: Records): Promise<number> {
  const bytes = await disk.get(layout.base);
  if (!bytes) return 0;
  if (bytes.length !== 8) throw corruptRecord(layout.base, "has the wrong length");
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0));
}

const HEADER_BYTES = Header.fixedSize as number;

/** CertifiedBlock = the offsets of block and commit (u32), then both; a Block begins with its Header. @throws PoflError CORRUPT_RECORD */
export async function readCertificate(disk: Records, height: number): Promise<Certificate | undefined> {
  const bytes = await disk.get(layout.block(height));
  if (!bytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [block, commit] = [view.getUint32(0, true), view.getUint32(4, true)];
  return {
    header: Header.deserialize(bytes.subarray(block, block + HEADER_BYTES)),
    commit: Commit.deserialize(bytes.subarray(commit)),
    recordBytes: bytes.length,
  };
}
