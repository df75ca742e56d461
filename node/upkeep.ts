import { existsSync, lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { genesisHash } from "../genesis/genesis.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { type HomePaths, homePaths, readGenesis } from "./home.ts";
import { lastHeight } from "./lastheight.ts";
import { isLock, takeLock } from "./lock.ts";
import { type CheckReport, checkRecords, type Damage } from "./store/check.ts";
import { damagedFile, databaseError, mustHaveDatabase, openDatabase } from "./store/database.ts";
import { onDisk } from "./store/disk.ts";
import { keyText, layout } from "./store/layout.ts";
import { Records } from "./store/records.ts";

/** What is done to the home of a stopped node: looking at its database, making it smaller, beginning afresh. */

/** @throws PoflError NO_HOME, NO_CHAIN, HOME_LOCKED */
async function withStopped<T>(dir: string, work: (paths: HomePaths) => Promise<T>): Promise<T> {
  const paths = homePaths(dir);
  if (!existsSync(paths.data)) {
    const why = "no data of a node here; give the --home of a node that has run";
    throw new PoflError("NO_HOME", `${paths.data}: ${why}`, { file: paths.data });
  }
  const unlock = takeLock(paths.lock);
  try {
    return await work(paths);
  } finally {
    unlock();
  }
}

const REWRITE = "if no record is named below, none was hit, and `pofl db compact` writes the file anew";
const FETCH = "start the node and leave it running: it fetches the blocks from peers";

/** A table holds old records, which are all looked at; a log the newest, and LevelDB leaves out what it can't read there. */
function fileDamage(what: string): Damage {
  const remedy = /^file \d+\.log:/.test(what) ? `the newest blocks may be gone: ${FETCH}` : REWRITE;
  return { key: "", height: null, what, remedy };
}

/** Blocks that are gone from the top leave a whole database of a shorter chain: what else the node remembers tells. */
function lostEnd(data: string, { height: head, damages }: CheckReport): Damage[] {
  if (damages.some(({ key }) => key === keyText(layout.head))) return [];
  const damage = { key: "", height: null };
  try {
    const was = lastHeight(data);
    if (was <= head + 1) return [];
    const what = `ends at height ${head}, though this node was at ${was}`;
    return [{ ...damage, what, remedy: `${FETCH}, and votes again above ${was}` }];
  } catch (error) {
    if (!isPoflError(error, "CORRUPT_JOURNAL")) throw error;
    return [{ ...damage, what: "can't be compared with the height that this node was at", remedy: error.message }];
  }
}

/**
 * Checks the whole database of a stopped node. It is changed in no record; LevelDB tidies its own files when it is opened.
 * @throws PoflError NO_HOME, NO_CHAIN, HOME_LOCKED, NO_GENESIS, BAD_JSON, BAD_GENESIS; DATABASE_DAMAGED when it can't be opened; disk errors
 */
export function checkHome(
  dir: string,
  onProgress?: (height: number, head: number) => void,
): Promise<CheckReport & { readonly path: string }> {
  return withStopped(dir, async (paths) => {
    const hash = genesisHash(readGenesis(paths.genesis));
    mustHaveDatabase(paths.chain);
    const files: Damage[] = [];
    const db = await openDatabase(paths.chain, (what) => files.push(fileDamage(what)));
    try {
      const report = await checkRecords(new Records(db, paths.chain), hash, onProgress);
      return { path: paths.chain, ...report, damages: [...files, ...lostEnd(paths.data, report), ...report.damages] };
    } finally {
      await db.close();
    }
  });
}

/** Sizes of the database's files, bytes. */
export type CompactReport = { readonly path: string; readonly before: number; readonly after: number };

/**
 * Lets LevelDB rewrite the database of a stopped node without what was overwritten. Needs about as much room as it takes meanwhile.
 * @param onDamage told of damaged files, a sentence for each
 * @throws PoflError as checkHome, and DISK_FULL
 */
export function compactHome(dir: string, onDamage: (what: string) => void = () => {}): Promise<CompactReport> {
  return withStopped(dir, async (paths) => {
    mustHaveDatabase(paths.chain);
    const before = sizeOf(paths.chain);
    const db = await openDatabase(paths.chain, (what) => onDamage(damagedFile(paths.chain, what)));
    try {
      if (!(db instanceof ClassicLevel)) throw new Error("not on a disk");
      // From the lowest key to above the highest: all keys begin with an ASCII letter.
      await db.compactRange(Uint8Array.of(0), Uint8Array.of(0xff));
    } catch (error) {
      throw databaseError(error, paths.chain);
    } finally {
      await db.close();
    }
    return { path: paths.chain, before, after: sizeOf(paths.chain) };
  });
}

/** What lies in `data/` that nothing brings back, or whose loss would let a key sign twice. */
const KEPT = ["signer.state", "custodian", "custodian.sessions", "last_start.json"];

export type ResetPlan = {
  readonly path: string;
  /** Names in `data/`, each with its bytes. */
  readonly removes: readonly { readonly name: string; readonly bytes: number }[];
  readonly keeps: readonly string[];
};

/** What `resetHome` would do. @throws PoflError NO_HOME, HOME_LOCKED */
export function resetPlan(dir: string): Promise<ResetPlan> {
  return withStopped(dir, async ({ data }) => planOf(data));
}

/**
 * Removes everything in `data/` that peers can give again: the chain, blobs, records' payloads, the consensus log. What the validator has
 * signed and a custodian's shares stay, and so does all of `config/`.
 * @throws PoflError NO_HOME, HOME_LOCKED, READ_ONLY, DISK_FAILED
 */
export function resetHome(dir: string): Promise<ResetPlan> {
  return withStopped(dir, async ({ data }) => {
    const plan = planOf(data);
    for (const { name } of plan.removes) {
      const path = join(data, name);
      onDisk(path, () => rmSync(path, { recursive: true, force: true }));
    }
    return plan;
  });
}

function planOf(data: string): ResetPlan {
  const names = onDisk(data, () => readdirSync(data).sort()).filter((name) => !isLock(name));
  const removes = names.filter((name) => !KEPT.includes(name));
  return {
    path: data,
    removes: removes.map((name) => ({ name, bytes: sizeOf(join(data, name)) })),
    keeps: names.filter((name) => KEPT.includes(name)),
  };
}

/** @throws PoflError READ_ONLY, DISK_FAILED */
function sizeOf(path: string): number {
  const stat = onDisk(path, () => lstatSync(path));
  if (!stat.isDirectory()) return stat.size;
  const names = onDisk(path, () => readdirSync(path));
  return names.reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
