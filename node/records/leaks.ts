import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { type Sidecar, splitSidecar, unpadPayload } from "../../crypto/record.ts";
import { isPoflError } from "../../types/errors.ts";
import { HASH_BYTES, toHex } from "../../types/primitives.ts";
import { diskError, errorCode } from "../store/disk.ts";
import { MIN_NEEDLE_BYTES, type Searcher } from "./search.ts";

/** What a payload that got out of its folder would be known by, and where in a home that is looked for. */

/** What is wrong with a file of the home. */
export type AuditProblem = {
  readonly file: string;
  readonly what: "salt found" | "payload found" | "does not open" | "left behind";
  /** The record, or the request whose replacement it is: 0x…; or the name of the copy that was looked for. */
  readonly id: string;
  /** Offset in the file, of the first; null where the whole file is meant. */
  readonly at: number | null;
};
export type Found = { readonly what: "salt found" | "payload found"; readonly id: string };

/** A payload's name: the record or request, and its commitment. */
const NAME = /^([0-9a-f]{64})\.([0-9a-f]{64})$/;
/** A payload is looked for by its start, middle and end: of each so much. */
const PIECE_BYTES = 64;
const HALF_SALT = HASH_BYTES / 2;
/** Different bytes in a piece: fewer occur anywhere, as zeros do. */
const MIN_DISTINCT = 8;

/** The record or request in the name of its file, 0x…; "0x" for any other file. */
export const idIn = (file: string): string => `0x${NAME.exec(file)?.[1] ?? ""}`;

export function filesOf(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Whatever the file holds, cut as a sidecar; undefined when it is gone. */
export function readSidecar(path: string): Sidecar | undefined {
  try {
    return splitSidecar(new Uint8Array(readFileSync(path)));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw diskError(error, path);
  }
}

/** Raw, and as hexadecimal digits. */
function add(searcher: Searcher<Found>, bytes: Uint8Array, what: Found): void {
  searcher.add({ bytes, what });
  searcher.add({ bytes: Buffer.from(toHex(bytes).slice(2)), what });
}

/** What is looked for: the two halves of each salt, since a block of a database may cut it in two, and pieces of payloads. */
export function addNeedles(searcher: Searcher<Found>, folder: string): { salts: number; payloads: number } {
  let salts = 0;
  let payloads = 0;
  for (const file of filesOf(folder)) {
    const sidecar = readSidecar(join(folder, file));
    if (sidecar?.salt.length !== HASH_BYTES) continue;
    const id = idIn(file);
    salts++;
    for (const from of [0, HALF_SALT]) {
      add(searcher, sidecar.salt.slice(from, from + HALF_SALT), { what: "salt found", id });
    }
    if (addPieces(searcher, payloadIn(sidecar.body), id)) payloads++;
  }
  return { salts, payloads };
}

/** Pieces of a payload; false when it is too short or too uniform to be looked for. */
export function addPieces(searcher: Searcher<Found>, payload: Uint8Array, id: string): boolean {
  const pieces = piecesOf(payload);
  for (const piece of pieces) add(searcher, piece, { what: "payload found", id });
  return pieces.length > 0;
}

function payloadIn(body: Uint8Array): Uint8Array {
  try {
    return unpadPayload(body);
  } catch (error) {
    if (!isPoflError(error, "BAD_RECORD")) throw error;
    return body;
  }
}

function piecesOf(payload: Uint8Array): Uint8Array[] {
  const end = payload.length - PIECE_BYTES;
  const starts = end <= 0 ? [0] : [0, end >> 1, end];
  const pieces = starts.map((at) => payload.slice(at, at + PIECE_BYTES));
  return pieces.filter((piece) => piece.length >= MIN_NEEDLE_BYTES && new Set(piece).size >= MIN_DISTINCT);
}

/** Every file below `dir` but those of the folder that is left out. */
export async function searchFiles(dir: string, searcher: Searcher<Found>, leftOut?: string) {
  const problems: AuditProblem[] = [];
  let files = 0;
  let bytes = 0;
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile() || (leftOut !== undefined && file.startsWith(leftOut + sep))) continue;
    try {
      const searched = await searcher.findInFile(file);
      files++;
      bytes += searched.bytes;
      for (const [found, at] of searched.found) problems.push({ file, ...found, at });
    } catch (error) {
      // A running node's database drops files as it goes.
      if (errorCode(error) !== "ENOENT") throw diskError(error, file);
    }
  }
  return { files, bytes, problems };
}
