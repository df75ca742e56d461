import { type Cursor, checksum, malformed, varint } from "./bytes.ts";

/** LevelDB's tables: sorted keys in blocks. Format: doc/table_format.md. */

const FOOTER_BYTES = 48;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
/** Of a block: its kind (0 = plain, 1 = Snappy) and CRC-32C. */
const TRAILER_BYTES = 5;
/** Behind a key in a table: sequence number and type. */
const TAG_BYTES = 8;

type Handle = { readonly offset: number; readonly size: number };
type Entry = { readonly key: Buffer; readonly value: Buffer };
type Block = { readonly intact: boolean; readonly plain: boolean; readonly contents: Buffer };

/**
 * Refuses a table that LevelDB can't read or that would end the process.
 * @param bytes that the MANIFEST gives it
 * @returns where something else is damaged: values, or keys that make sense; what that means is for the records' own checksums to find
 * @throws Malformed
 */
export function checkTable(file: Buffer, bytes: number): string[] {
  if (file.length !== bytes) malformed(`it has ${file.length} bytes, not ${bytes}`);
  const footer = file.subarray(Math.max(0, file.length - FOOTER_BYTES));
  if (footer.length < FOOTER_BYTES || !footer.subarray(FOOTER_BYTES - MAGIC.length).equals(MAGIC)) {
    malformed("it does not end as a table");
  }
  const cursor = { at: 0 };
  const [meta, index] = [handleAt(footer, cursor), handleAt(footer, cursor)];
  if (footer.subarray(cursor.at, -MAGIC.length).some((byte) => byte !== 0))
    malformed("its footer is not padded with zeros");
  const inner = [meta, index].map((handle) => block(file, handle));
  if (inner.some(({ intact }) => !intact)) malformed("its index does not match its checksum");
  // Of a build before database.ts turned compression off; `pofl db compact` writes it anew.
  if (inner.some(({ plain }) => !plain)) return [];
  const filters = entriesOf(inner[0]?.contents as Buffer).map(({ value }) => handleAt(value, { at: 0 }));
  for (const handle of filters) if (!block(file, handle).intact) malformed("its filter does not match its checksum");
  const data = entriesOf(inner[1]?.contents as Buffer).map(({ key, value }) => ({
    last: key,
    handle: handleAt(value, { at: 0 }),
  }));
  // Nothing may lie between the blocks, nor behind them.
  const all = [...data.map(({ handle }) => handle), ...filters, meta, index].sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, size } of all) {
    if (offset !== end) malformed(`its block at ${offset} should begin at ${end}`);
    end += size + TRAILER_BYTES;
  }
  if (end + FOOTER_BYTES !== file.length) malformed(`it has ${file.length} bytes, its blocks end at ${end}`);
  const damaged: string[] = [];
  let previous: Buffer | undefined;
  for (const { last, handle } of data) {
    const { intact, plain, contents } = block(file, handle);
    if (!intact && !plain) malformed(`its block at ${handle.offset} does not match its checksum`);
    if (!intact) {
      mustBeReadable(contents, previous, last, handle.offset);
      damaged.push(`its block at ${handle.offset} does not match its checksum`);
    }
    previous = last;
  }
  return damaged;
}

/** Keys as LevelDB expects them, whatever became of the values. */
function mustBeReadable(contents: Buffer, previous: Buffer | undefined, last: Buffer, offset: number): void {
  const where = `its block at ${offset} does not match its checksum, and`;
  const entries = entriesOf(contents);
  if (entries.length === 0) malformed(`${where} holds nothing`);
  let before = previous;
  for (const { key } of entries) {
    const type = key[key.length - TAG_BYTES];
    if (key.length < TAG_BYTES || (type !== 0 && type !== 1)) malformed(`${where} a key is none`);
    if (before && compareKeys(before, key) >= 0) malformed(`${where} its keys are not in order`);
    before = key;
  }
  if (compareKeys(before as Buffer, last) > 0) malformed(`${where} its keys are not those of the index`);
}

/** By the key proper, then the newest first. */
function compareKeys(a: Buffer, b: Buffer): number {
  const proper = Buffer.compare(a.subarray(0, -TAG_BYTES), b.subarray(0, -TAG_BYTES));
  if (proper !== 0) return proper;
  const tag = (key: Buffer) => key.readBigUInt64LE(key.length - TAG_BYTES);
  return tag(a) > tag(b) ? -1 : tag(a) < tag(b) ? 1 : 0;
}

function block(file: Buffer, { offset, size }: Handle): Block {
  const end = offset + size;
  if (end + TRAILER_BYTES > file.length) malformed(`a block at ${offset} of ${size} bytes is beyond its end`);
  return {
    intact: checksum(file.subarray(offset, end + 1)) === file.readUInt32LE(end + 1),
    plain: file[end] === 0,
    contents: file.subarray(offset, end),
  };
}

/** Entries of a block: keys share their beginning with the one before, but for those at restarts, whose offsets stand at the end. */
function entriesOf(contents: Buffer): Entry[] {
  if (contents.length < 4) malformed("a block is too short");
  const restarts = contents.readUInt32LE(contents.length - 4);
  const end = contents.length - 4 - 4 * restarts;
  if (restarts === 0 || end < 0) malformed("a block's restarts are beyond its end");
  const entries: Entry[] = [];
  const whole = new Set<number>([0]);
  let key: Buffer = Buffer.alloc(0);
  const cursor: Cursor = { at: 0 };
  while (cursor.at < end) {
    const start = cursor.at;
    const [shared, fresh, length] = [varint(contents, cursor), varint(contents, cursor), varint(contents, cursor)];
    if (shared > key.length || cursor.at + fresh + length > end) malformed("an entry is beyond its block");
    if (shared === 0) whole.add(start);
    key = Buffer.concat([key.subarray(0, shared), contents.subarray(cursor.at, cursor.at + fresh)]);
    cursor.at += fresh;
    entries.push({ key, value: contents.subarray(cursor.at, cursor.at + length) });
    cursor.at += length;
  }
  for (let i = 0; i < restarts; i++) {
    if (!whole.has(contents.readUInt32LE(end + 4 * i))) malformed("a restart is not at a whole key");
  }
  return entries;
}

function handleAt(bytes: Buffer, cursor: Cursor): Handle {
  return { offset: varint(bytes, cursor), size: varint(bytes, cursor) };
}
