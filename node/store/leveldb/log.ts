import { checksum, malformed } from "./bytes.ts";

/** LevelDB's logs, of which MANIFEST is one: records, cut in pieces that do not cross a page. Format: doc/log_format.md. */

const PAGE_BYTES = 32 * 1024;
/** Of a piece: checksum (4), length (2), kind (1). */
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

/**
 * Whole records, as far as the file goes: one that a crash cut off at its end never counted.
 * @throws Malformed
 */
export function* logRecords(file: Buffer): Generator<Buffer> {
  let pieces: Buffer[] = [];
  for (let at = 0; at + HEADER_BYTES <= file.length; ) {
    const room = PAGE_BYTES - (at % PAGE_BYTES);
    if (room < HEADER_BYTES) {
      at += room;
      continue;
    }
    const bytes = file.readUInt16LE(at + 4);
    const end = at + HEADER_BYTES + bytes;
    const kind = file[at + 6] as number;
    if (HEADER_BYTES + bytes > room || kind < FULL || kind > LAST) malformed(`its piece at ${at} is none`);
    if (end > file.length) return;
    if (checksum(file.subarray(at + 6, end)) !== file.readUInt32LE(at)) {
      malformed(`its piece at ${at} does not match its checksum`);
    }
    if (kind === FULL || kind === FIRST) pieces = [];
    pieces.push(file.subarray(at + HEADER_BYTES, end));
    if (kind === FULL || kind === LAST) yield Buffer.concat(pieces);
    at = end;
  }
}
