import { randomBytes } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";

/**
 * One process per home: two would sign with the same keys. Each puts down an empty file of its own, and then looks for those of others: of
 * two that come at once, the later one to put its file down sees the other's, and gives way; it may be that both do. No name is used twice,
 * so that whoever removes a dead one's file can't hit that of a living one. The name holds the process id and, where the system tells it,
 * when that process started: ids are reused, and in a container every node is process 1.
 */

/** The name of a lock: `LOCK.PID.START.RANDOM`. */
const NAME = /^LOCK\.([1-9]\d{0,8})\.(\d*)\.[0-9a-f]{16}$/;

type Owner = { readonly pid: number; readonly started: string };

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); empty where there is no /proc. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command in field 2 may hold spaces and parentheses: count from its last parenthesis.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

function alive(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return owner.started === "" || startOf(owner.pid) === owner.started;
}

/** Removes what the dead left. @throws PoflError HOME_LOCKED with one of the living whose file is not `own` */
function refuseOthers(file: string, own?: string): void {
  const folder = dirname(file);
  for (const name of readdirSync(folder)) {
    const [, pid, started] = NAME.exec(name) ?? [];
    if (pid === undefined || started === undefined || name === own) continue;
    if (!alive({ pid: Number(pid), started })) {
      rmSync(join(folder, name), { force: true });
      continue;
    }
    const why = `process ${pid} uses this home; stop it, or give another --home`;
    throw new PoflError("HOME_LOCKED", `${file}: ${why}`, { file: join(folder, name), pid: Number(pid) });
  }
}

/** Whether a file of that name says that a process uses the home. */
export const isLock = (name: string): boolean => NAME.test(name);

export function homeUnwritable(file: string, cause: unknown): PoflError {
  const why = `can't be written: ${errorText(cause)}`;
  const remedy = "check that the disk is mounted read-write and has room, and that this user owns the folder";
  return new PoflError("HOME_UNWRITABLE", `${file}: ${why}; ${remedy}`, { file }, { cause });
}

/**
 * Takes the lock `file`, of which only names with more after it exist; the returned function gives it back and may be called twice.
 * That of a process that is gone does not count.
 * @throws PoflError HOME_LOCKED with the process id, HOME_UNWRITABLE (full or read-only disk, no permission)
 */
export function takeLock(file: string): () => void {
  const own = `${file}.${process.pid}.${startOf(process.pid)}.${randomBytes(8).toString("hex")}`;
  const release = () => rmSync(own, { force: true });
  try {
    // Who comes to a home that is held disturbs nobody.
    refuseOthers(file);
    closeSync(openSync(own, "wx", 0o600));
    try {
      refuseOthers(file, basename(own));
    } catch (error) {
      release();
      throw error;
    }
  } catch (error) {
    if (isPoflError(error)) throw error;
    throw homeUnwritable(own, error);
  }
  return release;
}
