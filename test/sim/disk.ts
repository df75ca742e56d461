import { MemoryLevel } from "memory-level";
import type { DurableLog } from "../../consensus/signer.ts";
import { type Database, ENCODINGS } from "../../node/store/database.ts";
import type { Chance } from "./clock.ts";

/** What one machine keeps when its power fails: synced entries of its logs, batches of its database, blobs. */

/** First byte of the entry that begins a height in the consensus log (`consensus/engine/wal.ts`). */
const HEIGHT_TAG = 0;

/** A log whose unsynced tail is lost in a crash, from a random entry on. Every write asks `gate` first: a dead machine writes nothing. */
export class SimLog implements DurableLog {
  entries: Uint8Array[] = [];
  #synced = 0;
  #mark = 0;
  readonly #gate: () => boolean;

  constructor(gate: () => boolean) {
    this.#gate = gate;
  }

  append(bytes: Uint8Array, { sync }: { sync: boolean }): void {
    if (!this.#gate()) return;
    if (bytes[0] === HEIGHT_TAG) this.#mark = this.entries.length;
    this.entries.push(bytes.slice());
    if (sync) this.sync();
  }

  sync(): void {
    if (this.#synced === this.entries.length || !this.#gate()) return;
    this.#synced = this.entries.length;
  }

  reset(entries: readonly Uint8Array[] = []): void {
    if (!this.#gate()) return;
    this.entries = entries.map((e) => e.slice());
    this.#mark = 0;
    this.#synced = this.entries.length;
  }

  /** Of the consensus log: entries of the height in progress. */
  get ofHeight(): number {
    return this.entries.length - this.#mark;
  }

  crash(chance: Chance): void {
    this.entries = this.entries.slice(0, chance.whole(this.#synced, this.entries.length));
    this.#mark = Math.max(
      0,
      this.entries.findLastIndex((e) => e[0] === HEIGHT_TAG),
    );
    this.#synced = this.entries.length;
  }
}

export type Disk = {
  readonly wal: SimLog;
  readonly signer: SimLog;
  readonly blobs: Map<string, Uint8Array>;
  readonly db: Database;
};

export function newDisk(gate: () => boolean): Disk {
  const db: Database = new MemoryLevel<Uint8Array, Uint8Array>({ ...ENCODINGS, storeEncoding: "view" });
  return { wal: new SimLog(gate), signer: new SimLog(gate), blobs: new Map(), db };
}
