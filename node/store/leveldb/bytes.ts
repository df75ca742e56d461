import crc32c from "crc-32/crc32c.js";

/** What LevelDB's files have in common. Formats: https://github.com/google/leveldb/tree/main/doc */

/** The bytes are not what LevelDB writes; the message says how. */
export class Malformed extends Error {}

export const malformed = (why: string): never => {
  throw new Malformed(why);
};

/** Where reading goes on. */
export type Cursor = { at: number };

/** Seven bits a byte, the lowest first. @throws Malformed */
export function varint(bytes: Buffer, cursor: Cursor): number {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
    const byte = bytes[cursor.at++] ?? malformed("a number is cut off");
    value += (byte & 127) * scale;
    if (byte < 128) return value;
  }
  return malformed("a number is too large");
}

/** Bytes behind their length. @throws Malformed */
export function sized(bytes: Buffer, cursor: Cursor): Buffer {
  const length = varint(bytes, cursor);
  if (cursor.at + length > bytes.length) malformed("a text is cut off");
  cursor.at += length;
  return bytes.subarray(cursor.at - length, cursor.at);
}

/** LevelDB stores checksums turned and shifted, since a checksum of data that holds checksums is weak. */
export function checksum(bytes: Buffer): number {
  const crc = crc32c.buf(bytes) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
