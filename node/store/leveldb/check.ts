import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorText, PoflError } from "../../../types/errors.ts";
import { errorCode, onDisk } from "../disk.ts";
import { Malformed, malformed } from "./bytes.ts";
import { logRecords } from "./log.ts";
import { type LiveFiles, liveFiles } from "./manifest.ts";
import { checkTable } from "./table.ts";

/**
 * Looks at a database's files before LevelDB does. It skips what is damaged in its log without a word, reads tables without comparing checksums,
 * and ends the whole process by an assertion when a damaged key makes no sense to it.
 */

/**
 * @returns what is damaged in a way that LevelDB reads, a sentence for each place: records may be missing or changed
 * @throws PoflError FILE_DAMAGED naming the file and what is wrong, when LevelDB must not read it; disk errors
 */
export function checkFiles(folder: string): string[] {
  const live = liveIn(folder);
  if (!live) return [];
  const said: string[] = [];
  const numbered = onDisk(folder, () => readdirSync(folder).sort()).map((name) => {
    const [, number, kind] = /^(\d+)\.(ldb|sst|log)$/.exec(name) ?? [];
    return { name, number: Number(number), kind };
  });
  for (const { name, number, kind } of numbered) {
    const bytes = live.tables.get(number);
    const file = bytes !== undefined || (kind === "log" && number >= live.log) ? read(join(folder, name)) : undefined;
    // Another process has it open and tidied up, or it is missing: LevelDB says which.
    if (!file) continue;
    if (kind !== "log") {
      for (const damage of inFile(name, () => checkTable(file, bytes as number))) said.push(`${name}: ${damage}`);
      continue;
    }
    const damage = damageOf(() => [...logRecords(file)]);
    if (damage !== undefined) said.push(`${name}: ${damage}`);
  }
  if (!numbered.some(({ kind, number }) => kind === "log" && number === live.log)) {
    said.push(`${String(live.log).padStart(6, "0")}.log: is missing`);
  }
  return said;
}

/** Undefined for a new database. */
function liveIn(folder: string): LiveFiles | undefined {
  const current = read(join(folder, "CURRENT"));
  if (!current) return undefined;
  return inFile("CURRENT", () => {
    const manifest = /^(MANIFEST-\d+)\n$/.exec(current.toString("latin1"))?.[1] ?? malformed("it names no MANIFEST");
    const edits = read(join(folder, manifest)) ?? malformed(`it names ${manifest}, which is missing`);
    return inFile(manifest, () => liveFiles(edits));
  });
}

function read(path: string): Buffer | undefined {
  return onDisk(path, () => {
    try {
      return readFileSync(path);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  });
}

function damageOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}

function inFile<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new PoflError("FILE_DAMAGED", `its file ${name}: ${errorText(cause)}`, { file: name }, { cause });
  }
}
