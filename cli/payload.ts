import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import { padPayload, recordTooLarge, type Sidecar } from "../crypto/record.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { HASH_BYTES } from "../types/primitives.ts";
import { usage } from "./failure.ts";

/** Payloads of records on their way in: from a file, the command line or stdin, padded and salted. Nothing here writes to a disk. */

/** Nothing larger than this can be a record; the exact limit is padPayload's. */
const MAX_READ_BYTES = 1024 * 1024;

export type PayloadFlags = { file?: string; text?: string };

export function payloadOptions(command: Command, what: string): Command {
  return command
    .option("--file <F>", `${what}: a file, or - for stdin`)
    .option("--text <T>", `${what}: text (the shell may remember it; --file does not)`);
}

/**
 * The payload that the flags name; undefined if they name none.
 * @throws PoflError USAGE for both, or for nothing in it; FILE_UNREADABLE; RECORD_TOO_LARGE
 */
export async function givenPayload({ file, text }: PayloadFlags): Promise<Uint8Array | undefined> {
  if (file !== undefined && text !== undefined) throw usage("--file and --text exclude each other");
  if (file === undefined && text === undefined) return undefined;
  const payload = text !== undefined ? new TextEncoder().encode(text) : await contentOf(file as string);
  if (payload.length === 0) throw usage(`${file ?? "--text"} is empty: a record has something in it`);
  return payload;
}

async function contentOf(file: string): Promise<Uint8Array> {
  try {
    if (file === "-") return await stdin();
    const { size } = statSync(file);
    if (size > MAX_READ_BYTES) throw recordTooLarge(size);
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof PoflError) throw cause;
    throw new PoflError("FILE_UNREADABLE", `${file}: can't be read: ${errorText(cause)}`, { file }, { cause });
  }
}

async function stdin(): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_READ_BYTES) throw recordTooLarge(bytes);
  }
  return Buffer.concat(parts);
}

/** Padded, under a fresh salt, which is what makes an erasure one: nobody can guess 256 bits. @throws PoflError RECORD_TOO_LARGE */
export function sealPayload(payload: Uint8Array): Sidecar {
  return { salt: new Uint8Array(randomBytes(HASH_BYTES)), body: padPayload(payload) };
}

/** Whether a terminal may get it: a record is a stranger's text, and control characters would let it drive the terminal. */
export function isPlainText(text: string | null): text is string {
  return text !== null && !/[^\P{Cc}\t\n\r]/u.test(text);
}
