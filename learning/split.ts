import { readFileSync } from "node:fs";
import { basename, dirname, join as joinPath } from "node:path";
import { z } from "zod";
import { parseJson } from "../genesis/json.ts";
import type { TaskSpec } from "../genesis/task.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { Random } from "./random.ts";
import { type Dataset, pick, type Samples } from "./samples.ts";

/** `train` is trained on, `validation` serves votes and metrics, `test` is only looked at in reports. They share no row. */
export type Split = { readonly train: Samples; readonly validation: Samples; readonly test: Samples };

/** Share of the training rows that becomes validation rows when a file of row numbers names none. */
export const VALIDATION_SHARE = 0.3;

const rowNumbers = z.array(z.int().min(0));
const splitFileSchema = z.object({
  centers: z.record(
    z.string(),
    z.object({ train_rows: rowNumbers, validation_rows: rowNumbers.optional(), test_rows: rowNumbers }),
  ),
});
type SplitFile = z.output<typeof splitFileSchema>;

/** How a hospital is called in reports: `processed.cleveland.data` is cleveland, `north.csv` is north. */
export function hospitalName(file: string): string {
  const stem = basename(file).replace(/\.[^.]*$/, "");
  return stem.slice(stem.lastIndexOf(".") + 1);
}

/**
 * Divides a hospital's rows as the task says. A share is drawn per label (stratified) by the task's seed and the file's base name,
 * so that it is the same on every run; a file of row numbers `{"centers": {KEY: {"train_rows", "test_rows"}}}` is looked up by
 * hospital name or base name, and counts data rows from 0.
 * @param splitFile path of that file; left out: beside the data
 * @throws PoflError DATA_NO_SPLIT (no such file, no such key), BAD_JSON, BAD_SPLIT
 */
export function splitDataset(data: Dataset, path: string, task: TaskSpec, splitFile?: string): Split {
  const { samples } = data;
  const all = Uint32Array.from({ length: samples.n }, (_, i) => i);
  if (typeof task.split !== "string") {
    const { test, validation, seed } = task.split;
    const random = new Random("split", seed, basename(path));
    const [tested, kept] = draw(samples, all, test, random);
    // A share of all rows, taken from those that are left.
    const [validated, trained] = draw(samples, kept, test < 1 ? validation / (1 - test) : 0, random);
    return {
      train: pick(samples, trained),
      validation: pick(samples, validated),
      test: pick(samples, tested),
    };
  }
  const numbers = centre(readSplitFile(splitFile ?? joinPath(dirname(path), task.split)), path, task.split);
  const index = new Map(Array.from(data.rows, (row, i) => [row, i]));
  // A row that the schema drops is in nobody's part.
  const rows = (list: readonly number[]) => Uint32Array.from(list.flatMap((row) => index.get(row) ?? []));
  const trainable = rows(numbers.train_rows);
  const test = pick(samples, rows(numbers.test_rows));
  if (numbers.validation_rows) {
    return { train: pick(samples, trainable), validation: pick(samples, rows(numbers.validation_rows)), test };
  }
  const [validated, trained] = draw(
    samples,
    trainable,
    VALIDATION_SHARE,
    new Random("split", task.split, basename(path)),
  );
  return { train: pick(samples, trained), validation: pick(samples, validated), test };
}

/** Draws `share` of `indices`, of each label on its own; returns (drawn, rest), both ascending. */
function draw(samples: Samples, indices: Uint32Array, share: number, random: Random): [Uint32Array, Uint32Array] {
  const drawn: number[] = [];
  const rest: number[] = [];
  for (const label of [0, 1]) {
    const of = random.shuffle(indices.filter((i) => samples.y[i] === label));
    const cut = Math.round(of.length * share);
    drawn.push(...of.subarray(0, cut));
    rest.push(...of.subarray(cut));
  }
  return [Uint32Array.from(drawn).sort(), Uint32Array.from(rest).sort()];
}

function readSplitFile(path: string): SplitFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const why = "the task's split names a file of row numbers, which must lie beside the data";
    throw new PoflError(
      "DATA_NO_SPLIT",
      `${path}: can't be read: ${errorText(cause)}; ${why}`,
      { file: path },
      { cause },
    );
  }
  return parseJson("split", splitFileSchema, text);
}

function centre(split: SplitFile, path: string, name: string): SplitFile["centers"][string] {
  const keys = [hospitalName(path), basename(path), basename(path).replace(/\.[^.]*$/, "")];
  const key = keys.find((k) => Object.hasOwn(split.centers, k));
  if (key !== undefined) return split.centers[key]!;
  const known = Object.keys(split.centers).join(", ");
  throw new PoflError("DATA_NO_SPLIT", `${name}: names no rows for ${basename(path)} (it has: ${known})`, {
    file: path,
  });
}
