import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { errorText, PoflError } from "../types/errors.ts";

/**
 * One process per home: two would sign with the same keys. The file holds the process id and, where the system tells it, when that process
 * started: ids are reused, and in a container every node is process 1.
 */

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

function readOwner(file: string): Owner | undefined {
  try {
    const [pid, started] = readFileSync(file, "utf8").trim().split(" ");
    return Number.isSafeInteger(Number(pid)) && Number(pid) > 0
      ? { pid: Number(pid), started: started ?? "" }
      : undefined;
  } catch {
    return undefined;
  }
}

export function homeUnwritable(file: string, cause: unknown): PoflError {
  const why = `can't be written: ${errorText(cause)}`;
  const remedy = "check that the disk is mounted read-write and has room, and that this user owns the folder";
  return new PoflError("HOME_UNWRITABLE", `${file}: ${why}; ${remedy}`, { file }, { cause });
}

function create(file: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw homeUnwritable(file, error);
  }
  try {
    writeSync(fd, `${process.pid} ${startOf(process.pid)}\n`);
    fsyncSync(fd);
  } catch (error) {
    rmSync(file, { force: true });
    throw homeUnwritable(file, error);
  } finally {
    closeSync(fd);
  }
  return true;
}

/**
 * Takes the lock `file`; the returned function gives it back and may be called twice.
 * A lock whose process is gone is taken over.
 * @throws PoflError HOME_LOCKED with the process id, HOME_UNWRITABLE (full or read-only disk, no permission)
 */
export function takeLock(file: string): () => void {
  for (let attempt = 0; !create(file); attempt++) {
    const owner = readOwner(file);
    if (attempt > 2 || (owner && alive(owner))) {
      const who = owner ? `process ${owner.pid}` : "another process";
      throw new PoflError("HOME_LOCKED", `${file}: ${who} uses this home; stop it, or give another --home`, {
        file,
        pid: owner?.pid ?? 0,
      });
    }
    // Renaming is atomic: of two processes that found the same dead owner only one moves its file away.
    try {
      renameSync(file, `${file}.stale`);
      rmSync(`${file}.stale`, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        throw homeUnwritable(file, error);
      }
    }
  }
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    rmSync(file, { force: true });
  };
}
