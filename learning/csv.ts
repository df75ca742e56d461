import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { errorText, PoflError } from "../types/errors.ts";

/** A table as text: one record per line of the source, each with as many cells as there are columns. */
export type Table = {
  /** Base name, as it stands in messages. */
  readonly file: string;
  readonly columns: readonly string[];
  readonly records: readonly Record[];
};
/** `line` is the 1-based line on which the record starts; `cells` are trimmed unless quoted. */
export type Record = { readonly line: number; readonly cells: readonly string[] };

/**
 * Splits CSV (RFC 4180: quotes, doubled quotes, line breaks inside quotes, CRLF or LF; also a byte-order mark and blank lines) or,
 * with `separator` "\t", TSV into records.
 * @throws PoflError DATA_BAD_CSV for a quote that never ends or is followed by text
 */
export function parseRecords(text: string, file: string, separator = ","): Record[] {
  const records: Record[] = [];
  let line = 1;
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at < text.length) {
    const start = line;
    const cells: string[] = [];
    let quoted = false;
    for (;;) {
      let cell: string;
      while (text[at] === " ") at++;
      if (text[at] === '"') {
        quoted = true;
        cell = "";
        for (;;) {
          const end = text.indexOf('"', at + 1);
          if (end < 0) throw badCsv(file, start, "a quote is never closed");
          const piece = text.slice(at + 1, end);
          line += piece.split("\n").length - 1;
          cell += piece;
          at = end + 1;
          if (text[at] !== '"') break;
          cell += '"';
        }
        while (text[at] === " ") at++;
        if (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") {
          throw badCsv(file, line, "text follows a closing quote; double the quotes inside a quoted cell");
        }
      } else {
        const from = at;
        while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") at++;
        cell = text.slice(from, at).trim();
      }
      cells.push(cell);
      if (text[at] !== separator) break;
      at++;
    }
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
    line++;
    if (quoted || cells.length > 1 || cells[0] !== "") records.push({ line: start, cells });
  }
  return records;
}

function badCsv(file: string, line: number, why: string): PoflError {
  return new PoflError("DATA_BAD_CSV", `${file}: line ${line}: ${why}`, { file, line });
}

/**
 * Gives the records names: `columns`, or the first record when it is left out. Every record must have as many cells.
 * @throws PoflError DATA_BAD_CSV, DATA_NO_ROWS, DATA_RAGGED (the file, the line, how many cells)
 */
export function parseTable(text: string, file: string, columns?: readonly string[]): Table {
  const records = parseRecords(text, file, /\.tsv$/i.test(file) ? "\t" : ",");
  const header = columns ?? records.shift()?.cells ?? [];
  if (records.length === 0) {
    const why = columns === undefined && header.length > 0 ? "a header line but no rows" : "no rows";
    throw new PoflError("DATA_NO_ROWS", `${file}: ${why}; one line per patient is needed`, { file });
  }
  const twice = header.find((name, i) => header.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new PoflError("DATA_BAD_CSV", `${file}: line 1: two columns are named "${twice}"; rename one`, {
      file,
      line: 1,
    });
  }
  for (const { line, cells } of records) {
    if (cells.length === header.length) continue;
    const source = columns ? "the task's schema.columns" : "the header";
    throw new PoflError(
      "DATA_RAGGED",
      `${file}: line ${line}: ${cells.length} cells, but ${source} names ${header.length} columns`,
      { file, line },
    );
  }
  return { file, columns: header, records };
}

/**
 * Reads a table; a name that ends in .tsv is split at tabs, any other at commas.
 * @throws PoflError DATA_UNREADABLE, and what parseTable throws
 */
export function readTable(path: string, columns?: readonly string[]): Table {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (cause) {
    const why = cause instanceof TypeError ? "not UTF-8 text" : errorText(cause);
    throw new PoflError("DATA_UNREADABLE", `${path}: can't be read: ${why}`, { file: path }, { cause });
  }
  return parseTable(text, basename(path), columns);
}
