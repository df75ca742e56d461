import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { type DiskCalls, diskError, errorCode, onDisk, realDisk, replaceFile, writeAll } from "./disk.ts";

/**
 * An append-only file of entries: the consensus WAL and the signer's state.
 *
 *   file  = MAGIC (16 bytes) ‖ frame*
 *   frame = length (u32 LE) ‖ ~length (u32 LE) ‖ entry, zeros up to a multiple of 8 ‖ tag (8 bytes)
 *   tag   = SHA-256(tag of the frame before, or MAGIC ‖ all of the frame before the tag)[0..8]
 *
 * A crash during an append leaves a torn tail: the file ends inside a frame, or the rest of it is zeros that the file system
 * allotted and never filled. A tail like that was never synced, so nothing depended on it, and it is cut off. Everything
 * else that does not check is damage, and is refused: the tag stands last and the length has its complement, so no flipped bit
 * can make a synced frame look torn; and everything is a multiple of 8 bytes, so no sector ends inside a length or a tag.
 * Tags are chained, so a frame that was removed or moved is found too.
 */
export type Journal = {
  /** What the file held when it was opened, oldest first. */
  readonly entries: readonly Uint8Array[];
  /** Bytes of a torn tail that was cut off on opening; 0 after a clean stop. */
  readonly tornBytes: number;
  /** Bytes of the file. */
  readonly size: number;
  /**
   * Adds an entry; with `sync` it is on the disk when this returns. After an error the entry is not in the journal, and the
   * journal goes on working unless the disk failed to sync: what it then holds is unknown, so it refuses until reopened.
   * @throws PoflError DISK_FULL, READ_ONLY, DISK_FAILED, JOURNAL_FAILED, JOURNAL_CLOSED
   */
  append(entry: Uint8Array, options: { sync: boolean }): void;
  /** Makes everything appended so far durable; returns at once when it is. @throws as `append` */
  sync(): void;
  /** Atomically replaces everything by `entries`, durable when it returns. @throws as `append` */
  reset(entries?: readonly Uint8Array[]): void;
  close(): void;
};

const MAGIC = Buffer.from("pofl-journal/1\n\0", "latin1");
const HEAD_BYTES = 8;
const TAG_BYTES = 8;
/** No caller writes near as much; a length above it is damage. */
export const MAX_ENTRY_BYTES = 64 * 1024 * 1024;

const padded = (length: number): number => Math.ceil(length / 8) * 8;
const zeros = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

function tagOf(before: Uint8Array, body: Uint8Array): Uint8Array {
  return createHash("sha256").update(before).update(body).digest().subarray(0, TAG_BYTES);
}

function frame(before: Uint8Array, entry: Uint8Array): { bytes: Buffer; tag: Uint8Array } {
  const body = Buffer.alloc(HEAD_BYTES + padded(entry.length));
  body.writeUInt32LE(entry.length, 0);
  body.writeUInt32LE(~entry.length >>> 0, 4);
  body.set(entry, HEAD_BYTES);
  const tag = tagOf(before, body);
  return { bytes: Buffer.concat([body, tag]), tag };
}

type Contents = { entries: Uint8Array[]; end: number; tag: Uint8Array };

/** Reads frames up to the end or to a torn tail. @throws PoflError CORRUPT_JOURNAL */
export function readJournal(file: Buffer, path: string, remedy = "Restore it from a copy"): Contents {
  const corrupt = (at: number, what: string): never => {
    throw new PoflError("CORRUPT_JOURNAL", `${path}: damaged at byte ${at}: ${what}. ${remedy}`, { path, at });
  };
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) corrupt(0, "it does not begin as a journal");
  const entries: Uint8Array[] = [];
  let end = MAGIC.length;
  let tag: Uint8Array = MAGIC;
  while (end < file.length) {
    const rest = file.subarray(end);
    if (rest.length < HEAD_BYTES || zeros(rest)) break;
    const length = rest.readUInt32LE(0);
    if (rest.readUInt32LE(4) !== ~length >>> 0 || length > MAX_ENTRY_BYTES) corrupt(end, "the length does not check");
    const tagAt = HEAD_BYTES + padded(length);
    const bytes = tagAt + TAG_BYTES;
    if (rest.length < bytes) break;
    const entry = rest.subarray(HEAD_BYTES, HEAD_BYTES + length);
    const expected = tagOf(tag, rest.subarray(0, tagAt));
    if (!bytesEqual(rest.subarray(tagAt, bytes), expected)) {
      if (zeros(rest.subarray(tagAt))) break;
      corrupt(end, "the entry does not check");
    }
    entries.push(new Uint8Array(entry));
    tag = expected;
    end += bytes;
  }
  return { entries, end, tag };
}

/**
 * Opens a journal, or starts one. One process at a time: the lock of the home folder sees to that.
 * @param remedy what to do about a damaged one, a sentence or more
 * @throws PoflError CORRUPT_JOURNAL naming the place; DISK_FULL, READ_ONLY, DISK_FAILED
 */
export function openJournal(path: string, disk: DiskCalls = realDisk, remedy?: string): Journal {
  return onDisk(path, () => {
    disk.mkdirSync(dirname(path), { recursive: true });
    // Whole or not at all: so a file shorter than its first line is damage, never an interrupted start.
    let file = readIfThere(path, disk);
    if (!file) {
      replaceFile(disk, path, MAGIC);
      file = disk.readFileSync(path);
    }
    const contents = readJournal(file, path, remedy);
    const fd = disk.openSync(path, "r+");
    if (contents.end < file.length) {
      try {
        disk.ftruncateSync(fd, contents.end);
        disk.fsyncSync(fd);
      } catch (error) {
        disk.closeSync(fd);
        throw error;
      }
    }
    disk.closeSync(fd);
    return new FileJournal(path, disk, contents, file.length - contents.end);
  });
}

function readIfThere(path: string, disk: DiskCalls): Buffer | undefined {
  try {
    return disk.readFileSync(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

class FileJournal implements Journal {
  readonly entries: readonly Uint8Array[];
  readonly tornBytes: number;
  private readonly path: string;
  private readonly disk: DiskCalls;
  private fd: number | undefined;
  private end: number;
  /** Something was written and not synced yet. */
  private dirty = false;
  private tag: Uint8Array;
  /** Why nothing can be written any more. */
  private failure: unknown;

  constructor(path: string, disk: DiskCalls, contents: Contents, tornBytes: number) {
    this.path = path;
    this.disk = disk;
    this.entries = contents.entries;
    this.end = contents.end;
    this.tag = contents.tag;
    this.tornBytes = tornBytes;
    this.fd = disk.openSync(path, "a");
  }

  get size(): number {
    return this.end;
  }

  append(entry: Uint8Array, options: { sync: boolean }): void {
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError(`an entry of ${entry.length} bytes`);
    const fd = this.writable();
    const { bytes, tag } = frame(this.tag, entry);
    try {
      writeAll(this.disk, fd, bytes);
    } catch (error) {
      // Part of the frame may be there: take it away, or the next one would follow on a torn frame.
      try {
        this.disk.ftruncateSync(fd, this.end);
      } catch {
        this.failure = error;
      }
      throw diskError(error, this.path);
    }
    this.end += bytes.length;
    this.tag = tag;
    this.dirty = true;
    if (options.sync) this.sync();
  }

  sync(): void {
    const fd = this.writable();
    if (!this.dirty) return;
    try {
      this.disk.fsyncSync(fd);
      this.dirty = false;
    } catch (error) {
      // After a failed fsync the kernel may drop the dirty pages and report success next time.
      this.failure = error;
      throw diskError(error, this.path);
    }
  }

  reset(entries: readonly Uint8Array[] = []): void {
    const old = this.writable();
    let tag: Uint8Array = MAGIC;
    const parts: Uint8Array[] = [MAGIC];
    for (const entry of entries) {
      const next = frame(tag, entry);
      parts.push(next.bytes);
      tag = next.tag;
    }
    const file = Buffer.concat(parts);
    onDisk(this.path, () => replaceFile(this.disk, this.path, file));
    this.end = file.length;
    this.tag = tag;
    this.dirty = false;
    this.disk.closeSync(old);
    this.fd = undefined;
    try {
      this.fd = this.disk.openSync(this.path, "a");
    } catch (error) {
      this.failure = error;
      throw diskError(error, this.path);
    }
  }

  close(): void {
    if (this.fd === undefined) return;
    this.disk.closeSync(this.fd);
    this.fd = undefined;
  }

  private writable(): number {
    if (this.failure !== undefined) {
      throw new PoflError(
        "JOURNAL_FAILED",
        `${this.path}: the disk failed earlier (${diskError(this.failure, this.path).message}); start the node again`,
        { path: this.path },
        { cause: this.failure },
      );
    }
    if (this.fd === undefined) throw new PoflError("JOURNAL_CLOSED", `${this.path} is closed`, { path: this.path });
    return this.fd;
  }
}
