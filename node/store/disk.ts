import * as fs from "node:fs";
import { dirname } from "node:path";
import { errorText, PoflError } from "../../types/errors.ts";

/** The file calls of this folder: what can fail on a disk, said once. Tests hand in calls that fail. */

export type DiskCalls = Pick<
  typeof fs,
  | "openSync"
  | "writeSync"
  | "fsyncSync"
  | "closeSync"
  | "renameSync"
  | "unlinkSync"
  | "ftruncateSync"
  | "readFileSync"
  | "mkdirSync"
>;
export const realDisk: DiskCalls = fs;

/** The `code` of a Node error, looked for in its causes too: LevelDB hides it there. */
export function errorCode(error: unknown): string | undefined {
  let code: string | undefined;
  for (let e = error; e instanceof Error; e = e.cause) {
    const own = (e as NodeJS.ErrnoException).code;
    if (typeof own === "string") code = own;
  }
  return code;
}

/** LevelDB reports what the system said as text only. */
function systemSays(error: unknown, code: string, text: RegExp): boolean {
  if (errorCode(error) === code) return true;
  for (let e = error; e instanceof Error; e = e.cause) if (text.test(e.message)) return true;
  return false;
}

/**
 * Says what the disk refused: PoflError DISK_FULL, READ_ONLY or DISK_FAILED, with the path and the remedy.
 * A PoflError is returned as it is.
 */
export function diskError(error: unknown, path: string): PoflError {
  if (error instanceof PoflError) return error;
  const options = { cause: error };
  if (systemSays(error, "ENOSPC", /no space left/i) || systemSays(error, "EDQUOT", /quota exceeded/i)) {
    return new PoflError(
      "DISK_FULL",
      `no space left to write ${path}; free some and start the node again, nothing final is lost`,
      { path },
      options,
    );
  }
  if (
    systemSays(error, "EROFS", /read-only file system/i) ||
    systemSays(error, "EACCES", /permission denied/i) ||
    systemSays(error, "EPERM", /operation not permitted/i)
  ) {
    return new PoflError(
      "READ_ONLY",
      `${path} can't be read or written (${errorText(error)}); check that the disk is mounted read-write and that this user owns the folder`,
      { path },
      options,
    );
  }
  return new PoflError("DISK_FAILED", `${path}: ${errorText(error)}; check the disk`, { path }, options);
}

/** Runs `work` and says what the disk refused. */
export function onDisk<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw diskError(error, path);
  }
}

/** `writeSync` may write less than asked. */
export function writeAll(disk: DiskCalls, fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += disk.writeSync(fd, bytes, at, bytes.length - at);
}

/** Makes the names in a folder durable: a created or renamed file is only lasting once its folder is synced. */
export function syncFolder(disk: DiskCalls, folder: string): void {
  const fd = disk.openSync(folder, "r");
  try {
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
}

/** Puts `bytes` at `path` so that a crash leaves either the old file or the new one, never a mixture. */
export function replaceFile(disk: DiskCalls, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.new`;
  const fd = disk.openSync(temporary, "w", 0o600);
  try {
    writeAll(disk, fd, bytes);
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
  disk.renameSync(temporary, path);
  syncFolder(disk, dirname(path));
}
