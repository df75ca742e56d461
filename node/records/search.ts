import { createReadStream } from "node:fs";

/** Finds any of many byte strings in files, in one pass over each. */

/** Of every needle at least this many bytes. */
export const MIN_NEEDLE_BYTES = 16;
/** Read at a time. */
const CHUNK_BYTES = 1024 * 1024;
const KEY_BYTES = 3;

export type Needle<T> = { readonly bytes: Uint8Array; readonly what: T };

export class Searcher<T> {
  /** Which first three bytes some needle has: a look at one table for each place of a file, and most end there. */
  readonly #first = new Uint8Array(1 << (8 * KEY_BYTES));
  readonly #byFirst = new Map<number, Needle<T>[]>();
  readonly #chunkBytes: number;
  #longest = 0;

  constructor(chunkBytes = CHUNK_BYTES) {
    this.#chunkBytes = chunkBytes;
  }

  add(needle: Needle<T>): void {
    if (needle.bytes.length < MIN_NEEDLE_BYTES) throw new RangeError("too short to be looked for");
    const key = keyAt(needle.bytes, 0);
    this.#first[key] = 1;
    const known = this.#byFirst.get(key);
    if (known) known.push(needle);
    else this.#byFirst.set(key, [needle]);
    this.#longest = Math.max(this.#longest, needle.bytes.length);
  }

  /** Everything that begins in `bytes` at `from` or later: [what, where]. */
  find(bytes: Uint8Array, from = 0): [T, number][] {
    const found: [T, number][] = [];
    const last = bytes.length - MIN_NEEDLE_BYTES;
    for (let at = from; at <= last; at++) {
      const key = keyAt(bytes, at);
      if (this.#first[key] === 0) continue;
      for (const { bytes: needle, what } of this.#byFirst.get(key) ?? []) {
        if (Buffer.compare(needle, bytes.subarray(at, at + needle.length)) === 0) found.push([what, at]);
      }
    }
    return found;
  }

  /** The same in a file, with the number of bytes read. @throws Error of the file system */
  async findInFile(path: string): Promise<{ readonly found: [T, number][]; readonly bytes: number }> {
    const found: [T, number][] = [];
    let kept = Buffer.alloc(0);
    let bytes = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: this.#chunkBytes }) as AsyncIterable<Buffer>) {
      const start = bytes - kept.length;
      const window = Buffer.concat([kept, chunk]);
      bytes += chunk.length;
      // What begins so late that it may go on in the next chunk is looked at then.
      const settled = Math.max(0, window.length - (this.#longest - 1));
      for (const [what, at] of this.find(window)) if (at < settled) found.push([what, start + at]);
      kept = window.subarray(settled);
    }
    for (const [what, at] of this.find(kept)) found.push([what, bytes - kept.length + at]);
    return { found, bytes };
  }
}

const keyAt = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
