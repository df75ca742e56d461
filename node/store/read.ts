import type { Header } from "../../types/block.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { LIST_NAMES, perList } from "../../vm/view.ts";
import type { StoredHead } from "./holes.ts";
import { layout } from "./layout.ts";
import { corruptRecord, type Records } from "./records.ts";

/** Reading what is neither a block nor beside one: the head and the state at it. */

/** @throws PoflError CORRUPT_RECORD */
export async function readHead(disk: Records): Promise<StoredHead> {
  const bytes = await disk.get(layout.head);
  if (bytes?.length !== 40) throw corruptRecord(layout.head, bytes ? "has the wrong length" : "is missing");
  return { height: number(bytes, 0, 8), id: bytes.slice(8) };
}

export function headBytes(head: StoredHead): Uint8Array {
  const height = Buffer.alloc(8);
  height.writeBigUInt64BE(BigInt(head.height));
  return Buffer.concat([height, head.id]);
}

/** A big-endian number in a value. */
export function number(bytes: Uint8Array, at: number, length: 4 | 8): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return length === 4 ? view.getUint32(at) : Number(view.getBigUint64(at));
}

/**
 * The state that is stored, which must be that of the head.
 * @param header the head's; undefined at genesis
 * @throws PoflError CORRUPT_RECORD
 */
export async function readState(disk: Records, height: number, header: Header | undefined): Promise<State> {
  const singles = await disk.get(layout.singles);
  if (!singles) throw corruptRecord(layout.singles, "is missing");
  const lists = perList((): Uint8Array[] => []);
  for (const table of LIST_NAMES) {
    for await (const [key, bytes] of disk.all(layout.table(table))) {
      const next = lists[table].length;
      if (layout.indexOf(key) !== next) throw corruptRecord(layout.record(table, next), "is missing");
      lists[table].push(bytes);
    }
  }
  const state = State.load({ singles, lists });
  if (state.height !== height || (header && !bytesEqual(state.root(), header.stateRoot))) {
    throw corruptRecord(layout.singles, `and the records of the state are not those of block ${height}`);
  }
  return state;
}
