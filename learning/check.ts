import { basename } from "node:path";
import type { TaskSpec } from "../genesis/task.ts";
import { isPoflError } from "../types/errors.ts";
import { readTable } from "./csv.ts";
import { convertTable, type Problem } from "./dataset.ts";
import { readImages } from "./images.ts";
import { type Dataset, prevalence } from "./samples.ts";

/** How a file fits a task. For the hospital's own eyes: messages quote cells. */
export type DataReport = {
  readonly file: string;
  /** True when training can start with this file. */
  readonly ok: boolean;
  /** Data rows in the file, rows that can be used, rows left out for a missing value or an error. */
  readonly rows: number;
  readonly used: number;
  readonly dropped: number;
  readonly positives: number;
  readonly errors: number;
  readonly warnings: number;
  /** Cells missing or out of range, by column. */
  readonly columns: readonly {
    readonly name: string;
    readonly missing: number;
    readonly outOfRange: number;
    readonly bad: number;
  }[];
  /** In the order of the file, at most MAX_PROBLEMS. */
  readonly problems: readonly Problem[];
  /** Set when the file could not be read as a table at all. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
};

/** A file in the wrong unit has a problem in every row: the counts stay exact, the list stays readable. */
export const MAX_PROBLEMS = 1000;

/** Checks a hospital's file against a task's schema: every problem with its line and column. Never throws for what is in the file. */
export function checkData(path: string, task: TaskSpec): DataReport {
  const problems: Problem[] = [];
  const file = basename(path);
  let data: Dataset;
  let rows: number;
  try {
    if (task.schema.image) {
      data = readImages(path, task);
      rows = data.samples.n;
    } else {
      const table = readTable(path, task.schema.columns);
      rows = table.records.length;
      data = convertTable(table, task, (problem) => problems.push(problem));
    }
  } catch (error) {
    if (!isPoflError(error)) throw error;
    const failure = { code: error.code, message: error.message };
    const none = { rows: 0, used: 0, dropped: 0, positives: 0, errors: 1, warnings: 0 };
    return { file, ok: false, ...none, columns: [], problems: [], failure };
  }
  const count = (pick: (p: Problem) => boolean) => problems.filter(pick).length;
  const errors = count((p) => p.severity === "error");
  const used = data.samples.n;
  const names = task.schema.image ? [] : [...task.schema.features.map((f) => f.name), task.schema.label.name];
  return {
    file,
    ok: errors === 0 && used > 0,
    rows,
    used,
    dropped: rows - used,
    positives: Math.round(prevalence(data.samples) * used),
    errors,
    warnings: count((p) => p.severity === "warning"),
    columns: names.map((name) => ({
      name,
      missing: count((p) => p.name === name && p.code === "DATA_MISSING"),
      outOfRange: count((p) => p.name === name && p.code === "DATA_OUT_OF_RANGE"),
      bad: count((p) => p.name === name && p.code === "DATA_BAD_CELL"),
    })),
    problems: problems.slice(0, MAX_PROBLEMS),
    failure: undefined,
  };
}
