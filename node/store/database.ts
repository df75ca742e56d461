import { mkdirSync, readdirSync } from "node:fs";
import type { AbstractLevel } from "abstract-level";
import { ClassicLevel } from "classic-level";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { diskError, errorCode, onDisk } from "./disk.ts";
import { checkFiles } from "./leveldb/check.ts";

/** Any abstract-level database of bytes: classic-level on a disk, memory-level in memory. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array>;

/** The encodings that a Database is made with. */
export const ENCODINGS = { keyEncoding: "view", valueEncoding: "view" } as const;

export function noChain(folder: string): PoflError {
  const why = "no chain is stored here; start the node first, or give the right --home";
  return new PoflError("NO_CHAIN", `${folder}: ${why}`, { path: folder });
}

/** Opening would make a database where none is. One that is damaged is one. @throws PoflError NO_CHAIN; disk errors */
export function mustHaveDatabase(folder: string): void {
  const files = onDisk(folder, () => {
    try {
      return readdirSync(folder);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return [];
      throw error;
    }
  });
  if (files.length === 0) throw noChain(folder);
}

/**
 * Opens the LevelDB database in `folder`, which it makes if need be. Reads all its files first (leveldb/check.ts).
 * @param warn told of damage that does not keep the database from being opened
 * @throws PoflError DATABASE_LOCKED, DISK_FULL, READ_ONLY, DATABASE_DAMAGED, DISK_FAILED
 */
export async function openDatabase(folder: string, warn: (damage: string) => void = () => {}): Promise<Database> {
  const files = onDisk(folder, () => {
    mkdirSync(folder, { recursive: true });
    return readdirSync(folder);
  });
  // Without CURRENT, LevelDB would take the folder for a new database and delete everything in it.
  const data = files.filter((name) => /^MANIFEST-|\.(?:ldb|sst|log)$/.test(name));
  if (data.length > 0 && !files.includes("CURRENT")) {
    throw damaged(folder, `its file CURRENT is missing, though ${data[0]} is there`);
  }
  try {
    for (const damage of checkFiles(folder)) warn(`file ${damage}`);
  } catch (error) {
    throw isPoflError(error, "FILE_DAMAGED") ? damaged(folder, error.message, { cause: error }) : error;
  }
  // Uncompressed: half as large again (3.5 MB for 2,000 blocks of one transfer, in place of 2.2), but of a damaged table more can be read.
  const db = new ClassicLevel<Uint8Array, Uint8Array>(folder, { ...ENCODINGS, compression: false });
  try {
    await db.open();
  } catch (error) {
    throw databaseError(error, folder);
  }
  return db;
}

/** What is said of damage that does not keep the database from being opened. */
export function damagedFile(path: string, damage: string): string {
  return `${path}: ${damage}: records may be lost. Stop the node and run \`pofl db check\`, which names them and says what to do`;
}

/** What LevelDB refused, as a PoflError with the path and the remedy. */
export function databaseError(error: unknown, path: string): PoflError {
  if (error instanceof PoflError) return error;
  const options = { cause: error };
  switch (errorCode(error)) {
    case "LEVEL_LOCKED":
      return new PoflError(
        "DATABASE_LOCKED",
        `${path} is in use by another process; stop that node first, or give this one another --home`,
        { path },
        options,
      );
    case "LEVEL_CORRUPTION":
      return damaged(path, errorText(error instanceof Error ? (error.cause ?? error) : error), options);
    default:
      return diskError(error, path);
  }
}

function damaged(path: string, why: string, options?: ErrorOptions): PoflError {
  return new PoflError(
    "DATABASE_DAMAGED",
    `${path} is damaged (${why}); move it away and start again: ` +
      "the chain is fetched from peers (the keys and the signer's state are kept elsewhere and must stay)",
    { path },
    options,
  );
}
