import { createHash } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { errorText, PoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { onDisk } from "../store/disk.ts";

/**
 * A snapshot's file: a line that says what it is, then sections: kind (u8), length (u32, big-endian), bytes, checksum of all three. The checksum
 * tells damage, and where; whether what is there is true is not its business.
 */

const MAGIC = Buffer.from("pofl-snapshot/1\n");
const CHECK_BYTES = 8;
const HEAD_BYTES = 5;
/** A model of the largest size and its root. */
const MAX_SECTION_BYTES = 257 * 1024 * 1024;

/** In the order of a file. */
export const SECTIONS = ["chain", "beginning", "headers", "block", "state", "piece", "model", "end"] as const;
export type SectionKind = (typeof SECTIONS)[number];
export type Section = {
  readonly kind: SectionKind;
  readonly bytes: Uint8Array /** Where it begins in the file. */;
  readonly at: number;
};

const checkOf = (head: Uint8Array, bytes: Uint8Array) =>
  createHash("sha256").update(head).update(bytes).digest().subarray(0, CHECK_BYTES);

export class SectionWriter {
  readonly #path: string;
  readonly #fd: number;
  bytes = MAGIC.length;

  /** @throws PoflError ALREADY_EXISTS, and of the disk */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, "wx", 0o644);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "EEXIST") {
        throw new PoflError(
          "ALREADY_EXISTS",
          `${path}: exists already and is left as it is`,
          { file: path },
          { cause },
        );
      }
      throw new PoflError("FILE_UNWRITABLE", `${path}: ${errorText(cause)}`, { file: path }, { cause });
    }
    this.#put(MAGIC);
  }

  add(kind: SectionKind, bytes: Uint8Array): void {
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt8(SECTIONS.indexOf(kind));
    head.writeUInt32BE(bytes.length, 1);
    for (const part of [head, bytes, checkOf(head, bytes)]) this.#put(part);
    this.bytes += HEAD_BYTES + bytes.length + CHECK_BYTES;
  }

  #put(part: Uint8Array): void {
    onDisk(this.#path, () => {
      for (let done = 0; done < part.length; ) done += writeSync(this.#fd, part, done);
    });
  }

  /** Whole and on the disk. */
  finish(): void {
    onDisk(this.#path, () => fsyncSync(this.#fd));
    closeSync(this.#fd);
  }

  /** Leaves nothing. */
  abandon(): void {
    closeSync(this.#fd);
    rmSync(this.#path, { force: true });
  }
}

/** @throws PoflError FILE_UNREADABLE; SNAPSHOT_DAMAGED with the place in the file */
export function* readSections(path: string): Generator<Section> {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new PoflError("FILE_UNREADABLE", `${path}: ${errorText(cause)}`, { file: path }, { cause });
  }
  try {
    if (!fstatSync(fd).isFile()) throw new PoflError("FILE_UNREADABLE", `${path}: is no file`, { file: path });
    let at = 0;
    /** Errors name where the section begins: its length may be what is damaged. */
    const take = (count: number, start: number): Uint8Array => {
      const bytes = new Uint8Array(count);
      let done = 0;
      while (done < count) {
        const got = onDisk(path, () => readSync(fd, bytes, done, count - done, at + done));
        if (got === 0) return damaged(path, start, `the file ends ${count - done} bytes too early`);
        done += got;
      }
      at += count;
      return bytes;
    };
    if (!bytesEqual(take(MAGIC.length, 0), MAGIC)) damaged(path, 0, "it is no snapshot of this program");
    for (;;) {
      const start = at;
      const head = take(HEAD_BYTES, start);
      const kind = SECTIONS[head[0] as number] ?? damaged(path, start, `a section of unknown kind ${head[0]}`);
      const length = Buffer.from(head).readUInt32BE(1);
      if (length > MAX_SECTION_BYTES) damaged(path, start, `a section of ${length} bytes`);
      const bytes = take(length, start);
      if (!bytesEqual(take(CHECK_BYTES, start), checkOf(head, bytes)))
        damaged(path, start, `the section "${kind}" does not match its checksum`);
      yield { kind, bytes, at: start };
      if (kind !== "end") continue;
      if (onDisk(path, () => readSync(fd, new Uint8Array(1), 0, 1, at)) > 0)
        damaged(path, at, "something follows its end");
      return;
    }
  } finally {
    closeSync(fd);
  }
}

function damaged(path: string, at: number, why: string): never {
  throw new PoflError("SNAPSHOT_DAMAGED", `${path}: byte ${at}: ${why}; copy or export it again`, { file: path, at });
}
