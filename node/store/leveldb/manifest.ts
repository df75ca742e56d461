import { type Cursor, malformed, sized, varint } from "./bytes.ts";
import { logRecords } from "./log.ts";

/** LevelDB's MANIFEST: a log of edits, which say what files there are. Format: db/version_edit.cc. */

export type LiveFiles = {
  /** File number → bytes. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs from this number on hold what is in no table yet. */
  readonly log: number;
};

/** Tags of the fields of an edit. */
const FIELD = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const;

/**
 * The files that the database consists of. Others may lie about, half-written by a process that was killed; LevelDB removes them.
 * @throws Malformed
 */
export function liveFiles(manifest: Buffer): LiveFiles {
  const live = { tables: new Map<number, number>(), log: 0 };
  for (const edit of logRecords(manifest)) apply(edit, live);
  return live;
}

function apply(edit: Buffer, live: { tables: Map<number, number>; log: number }): void {
  const cursor: Cursor = { at: 0 };
  while (cursor.at < edit.length) {
    const tag = varint(edit, cursor);
    switch (tag) {
      case FIELD.comparator:
        sized(edit, cursor);
        break;
      case FIELD.logNumber:
        live.log = varint(edit, cursor);
        break;
      case FIELD.nextFile:
      case FIELD.lastSequence:
      case FIELD.previousLog:
        varint(edit, cursor);
        break;
      case FIELD.compactPointer:
        varint(edit, cursor);
        sized(edit, cursor);
        break;
      case FIELD.deletedFile:
        varint(edit, cursor);
        live.tables.delete(varint(edit, cursor));
        break;
      case FIELD.newFile: {
        varint(edit, cursor);
        const number = varint(edit, cursor);
        live.tables.set(number, varint(edit, cursor));
        sized(edit, cursor);
        sized(edit, cursor);
        break;
      }
      default:
        malformed(`an edit has an unknown field ${tag}`);
    }
  }
}
