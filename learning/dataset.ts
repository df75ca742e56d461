import { featureWidth } from "../genesis/model.ts";
import type { Feature, TaskSpec } from "../genesis/task.ts";
import { PoflError } from "../types/errors.ts";
import { readTable, type Table } from "./csv.ts";
import { readImages } from "./images.ts";
import type { Dataset } from "./samples.ts";

/** What is wrong or odd with one cell. Errors stop the loading; warnings and dropped rows don't. */
export type Problem = {
  readonly severity: "error" | "warning" | "dropped";
  readonly code: "DATA_BAD_CELL" | "DATA_OUT_OF_RANGE" | "DATA_MISSING";
  readonly file: string;
  readonly line: number;
  /** 1-based field of the line. */
  readonly column: number;
  readonly name: string;
  readonly message: string;
};

type Column = { readonly index: number; readonly name: string };
type Reader = {
  readonly column: Column;
  readonly width: number;
  read(cell: string, x: Float32Array, at: number): Verdict;
};
/** undefined = read; "missing" = the row is dropped. */
type Verdict = undefined | "missing" | { severity: "error" | "warning"; why: string };

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function toNumber(cell: string): number | undefined {
  return NUMBER.test(cell) ? Number(cell) : undefined;
}

function shown(cell: string): string {
  return JSON.stringify(cell.length > 24 ? `${cell.slice(0, 24)}…` : cell);
}

/**
 * Reads one feature. Numbers: scaled by the schema's range to [−1, 1]. A value outside the range is taken as its nearest end, with a
 * warning; one further outside than the range is wide is an error, since that is a wrong unit or a slip, not a patient.
 */
function reader(feature: Feature, column: Column, missing: (cell: string) => boolean): Reader {
  const width = featureWidth(feature);
  const of = (read: Reader["read"]): Reader => ({ column, width, read });
  switch (feature.kind) {
    case "number": {
      const { min, max, unit } = feature;
      return of((cell, x, at) => {
        if (missing(cell)) {
          x[at] = 0;
          return feature.missing === "middle" ? undefined : "missing";
        }
        const value = toNumber(cell);
        if (value === undefined) return { severity: "error", why: `${shown(cell)} is not a number` };
        const scaled = (2 * (value - min)) / (max - min) - 1;
        x[at] = Math.min(1, Math.max(-1, scaled));
        if (scaled >= -1 && scaled <= 1) return undefined;
        const range = `${cell} is outside ${min} to ${max}${unit === "" ? "" : ` ${unit}`}`;
        return Math.abs(scaled) > 3
          ? { severity: "error", why: `${range} by more than the width of that range: is the unit right?` }
          : { severity: "warning", why: `${range}; taken as ${scaled < 0 ? min : max}` };
      });
    }
    case "binary":
      return of((cell, x, at) => {
        if (missing(cell)) {
          x[at] = 0;
          return feature.missing === "zero" ? undefined : "missing";
        }
        const value = toNumber(cell);
        if (value !== 0 && value !== 1) return { severity: "error", why: `${shown(cell)} is neither 0 nor 1` };
        x[at] = value;
        return undefined;
      });
    case "category": {
      const { categories } = feature;
      return of((cell, x, at) => {
        x.fill(0, at, at + width);
        if (missing(cell)) return feature.missing === "reference" ? undefined : "missing";
        const value = toNumber(cell);
        // Files write the code 2 as "2" and "2.0": a numeric category is compared as a number.
        const found = categories.findIndex((c) => (typeof c === "number" ? c === value : c === cell));
        if (found < 0) {
          return { severity: "error", why: `${shown(cell)} is not a known category (${categories.join(", ")})` };
        }
        if (found > 0) x[at + found - 1] = 1;
        return undefined;
      });
    }
  }
}

function column(table: Table, name: string): Column {
  const index = table.columns.indexOf(name);
  if (index >= 0) return { index, name };
  const has = table.columns.slice(0, 20).join(", ");
  throw new PoflError(
    "DATA_NO_COLUMN",
    `${table.file}: column "${name}" is missing (the file has: ${has}); rename a column or add it`,
    { file: table.file, column: name },
  );
}

/**
 * Turns a table into samples by the task's schema, in the order of its features, and hands every problem to `report`. A row with an
 * error or with a missing value under the rule "drop" is left out.
 * @throws PoflError DATA_NO_COLUMN; whatever `report` throws
 */
export function convertTable(table: Table, task: TaskSpec, report: (problem: Problem) => void): Dataset {
  const { schema } = task;
  const isMissing = (cell: string) => cell === "" || schema.missingTokens.includes(cell);
  const readers = schema.features.map((f) => reader(f, column(table, f.name), isMissing));
  const label = column(table, schema.label.name);
  const width = readers.reduce((n, r) => n + r.width, 0);
  const x = new Float32Array(table.records.length * width);
  const y = new Float32Array(table.records.length);
  const lines = new Uint32Array(table.records.length);
  const rows = new Uint32Array(table.records.length);
  let n = 0;
  table.records.forEach(({ line, cells }, row) => {
    let usable = true;
    const say = (at: Column, verdict: Exclude<Verdict, undefined>) => {
      const place = { file: table.file, line, column: at.index + 1, name: at.name };
      const where = `${table.file}: line ${line}, column ${at.index + 1} (${at.name})`;
      if (verdict === "missing" || verdict.severity === "error") usable = false;
      if (verdict === "missing") {
        report({
          ...place,
          severity: "dropped",
          code: "DATA_MISSING",
          message: `${where}: missing; the row is left out`,
        });
      } else {
        const code = verdict.severity === "error" ? "DATA_BAD_CELL" : "DATA_OUT_OF_RANGE";
        report({ ...place, severity: verdict.severity, code, message: `${where}: ${verdict.why}` });
      }
    };
    let at = n * width;
    for (const r of readers) {
      const verdict = r.read(cells[r.column.index]!, x, at);
      if (verdict !== undefined) say(r.column, verdict);
      at += r.width;
    }
    const cell = cells[label.index]!;
    const value = toNumber(cell);
    if (isMissing(cell)) say(label, "missing");
    else if (value === undefined) say(label, { severity: "error", why: `${shown(cell)} is not a number` });
    else y[n] = value > schema.label.positiveAbove ? 1 : 0;
    if (!usable) return;
    lines[n] = line;
    rows[n] = row;
    n++;
  });
  const samples = {
    n,
    width,
    x: x.slice(0, n * width),
    y: y.slice(0, n),
    lines: lines.slice(0, n),
  };
  return { file: table.file, rows: rows.slice(0, n), samples };
}

/**
 * Loads a hospital's file for a task: a table, or images as NPY (see images.ts).
 * @throws PoflError DATA_UNREADABLE, DATA_BAD_CSV, DATA_RAGGED, DATA_NO_COLUMN, DATA_BAD_CELL (the first), DATA_NO_ROWS, DATA_BAD_NPY
 */
export function loadDataset(path: string, task: TaskSpec): Dataset {
  if (task.schema.image) return readImages(path, task);
  const data = convertTable(readTable(path, task.schema.columns), task, (problem) => {
    if (problem.severity !== "error") return;
    const { file, line, column: field } = problem;
    throw new PoflError(problem.code, problem.message, { file, line, column: field });
  });
  if (data.samples.n === 0) {
    const why = "every row has a missing value; see `pofl data check`";
    throw new PoflError("DATA_NO_ROWS", `${data.file}: no rows can be used: ${why}`, { file: data.file });
  }
  return data;
}
