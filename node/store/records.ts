import { createHash } from "node:crypto";
import type { AbstractBatchOptions } from "abstract-level";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { type Database, databaseError } from "./database.ts";
import { keyText } from "./layout.ts";

/**
 * A record is its value and a checksum over key and value: LevelDB returns what a bit flip left of a value without an error,
 * and so would one value in place of another go unnoticed. Not a secret and not a signature: it finds damage, not malice.
 */
const CHECK_BYTES = 16;

const check = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  createHash("sha256").update(key).update(value).digest().subarray(0, CHECK_BYTES);

export function sealRecord(key: Uint8Array, value: Uint8Array): Uint8Array {
  return Buffer.concat([value, check(key, value)]);
}

/** The value of a record. @throws PoflError CORRUPT_RECORD naming the key */
export function openRecord(key: Uint8Array, record: Uint8Array): Uint8Array {
  const end = record.length - CHECK_BYTES;
  // LevelDB hands out Buffers; a plain view keeps Buffer's own slice and toString out of what is decoded from it.
  const value = new Uint8Array(record.buffer, record.byteOffset, Math.max(0, end));
  if (end < 0 || !bytesEqual(record.subarray(end), check(key, value)))
    throw corruptRecord(key, "does not match its checksum");
  return value;
}

/** The error for a record that is not what it should be. */
export function corruptRecord(key: Uint8Array, what: string, cause?: unknown): PoflError {
  return new PoflError(
    "CORRUPT_RECORD",
    `record ${keyText(key)} of the database ${what}: the disk or a file was damaged. Stop the node, move data/chain away and start ` +
      "again: the chain is fetched from peers (the keys and the signer's state are kept elsewhere and must stay)",
    { key: keyText(key) },
    cause === undefined ? {} : { cause },
  );
}

export type Range = { gte?: Uint8Array; lt?: Uint8Array; reverse?: boolean; limit?: number };
export type Put = readonly [key: Uint8Array, value: Uint8Array];

/** Checksummed records over a database; remembers that a write failed. */
export class Records {
  readonly db: Database;
  readonly path: string;
  #failure: PoflError | undefined;

  constructor(db: Database, path: string) {
    this.db = db;
    this.path = path;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    let record: Uint8Array | undefined;
    try {
      record = await this.db.get(key);
    } catch (error) {
      const failed = databaseError(error, this.path);
      throw failed.code === "DATABASE_DAMAGED" ? corruptRecord(key, "can't be read", error) : failed;
    }
    return record && openRecord(key, record);
  }

  async *all(range: Range): AsyncGenerator<[Uint8Array, Uint8Array]> {
    try {
      for await (const [key, record] of this.db.iterator(range)) yield [key, openRecord(key, record)];
    } catch (error) {
      throw databaseError(error, this.path);
    }
  }

  async write(puts: readonly Put[]): Promise<void> {
    if (this.#failure) {
      const { message } = this.#failure;
      throw new PoflError("STORE_FAILED", `an earlier write failed: ${message}`, {}, { cause: this.#failure });
    }
    const batch = puts.map(([key, value]) => ({ type: "put" as const, key, value: sealRecord(key, value) }));
    // `sync` is LevelDB's and false by default; memory-level ignores it.
    const options: AbstractBatchOptions<Uint8Array, Uint8Array> & { sync: boolean } = { sync: true };
    try {
      await this.db.batch(batch, options);
    } catch (error) {
      this.#failure = databaseError(error, this.path);
      throw this.#failure;
    }
  }
}
