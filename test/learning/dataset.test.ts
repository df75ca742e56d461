import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { checkData } from "../../learning/check.ts";
import { parseRecords, parseTable } from "../../learning/csv.ts";
import { convertTable, loadDataset, type Problem } from "../../learning/dataset.ts";
import { parseNpy } from "../../learning/images.ts";
import { hospitalName, splitDataset } from "../../learning/split.ts";
import { isPoflError } from "../../types/errors.ts";
import { withFiles } from "./support.ts";

function task(schema: object, split: unknown = { test: 0.25, validation: 0.25, seed: 3 }): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: "t",
      schema,
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
      training: { steps: 1, batch: 1, learningRate: 0.1 },
      rounds: { maximum: 1 },
      split,
    }),
  );
}
const age = { name: "age", kind: "number", unit: "years", min: 0, max: 100 };
const simple = task({
  features: [
    age,
    { name: "sex", kind: "binary", missing: "zero" },
    { name: "pain", kind: "category", categories: ["none", "mild", "severe"] },
  ],
  label: { name: "died" },
});
const header = "age,sex,pain,died\n";
const code = (expected: string, part: string) => (error: unknown) =>
  isPoflError(error, expected) && error.message.includes(part);

test("records: what was written is read back, whatever is in the cells and however lines end", () => {
  const cell = fc.string({ unit: fc.constantFrom("a", "7", ",", '"', "\n", " ", "é", ";") });
  const table = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(table, fc.constantFrom("\n", "\r\n"), fc.boolean(), (rows, end, bom) => {
      const text = rows.map((r) => r.map((c) => `"${c.replaceAll('"', '""')}"`).join(",")).join(end);
      const records = parseRecords(`${bom ? "\ufeff" : ""}${text}${end}`, "f.csv");
      assert.equal(
        records.map((r) => r.cells),
        rows,
      );
    }),
  );
});

test("records: lines are counted through quotes, blank lines and CRLF; spaces are trimmed", () => {
  const records = parseRecords('a, b \r\n\r\n"x\ny",1\r\n  \n z ,"2 "', "f.csv");
  assert.equal(records, [
    { line: 1, cells: ["a", "b"] },
    { line: 3, cells: ["x\ny", "1"] },
    { line: 6, cells: ["z", "2 "] },
  ]);
  assert.equal(parseRecords("a\t b,c\t\n", "f.tsv", "\t")[0]!.cells, ["a", "b,c", ""]);
});

test("tables: errors name file, line and remedy", () => {
  const table: [string, string, string, string][] = [
    ["an open quote", 'a,b\n1,"2\n', "DATA_BAD_CSV", "line 2"],
    ["text after a quote", 'a,b\n"1"x,2\n', "DATA_BAD_CSV", "line 2"],
    ["a ragged line", "a,b\n1,2\n\n1,2,3\n", "DATA_RAGGED", "line 4: 3 cells"],
    ["the same name twice", "a,a\n1,2\n", "DATA_BAD_CSV", '"a"'],
    ["a header only", "a,b\n", "DATA_NO_ROWS", "header line but no rows"],
    ["nothing", "", "DATA_NO_ROWS", "f.csv"],
  ];
  for (const [id, text, expected, part] of table)
    assert.throws(() => parseTable(text, "f.csv"), code(expected, part), id);
});

test("a row becomes ranges to [-1, 1], zeros and ones, one-hot without reference", () => {
  const text = `${header}50,1,mild,0\n\n0,,none,1\n100,0.0,severe,2\n`;
  const { samples, rows } = convertTable(parseTable(text, "f.csv"), simple, () => assert.unreachable());
  assert.equal([...samples.x], [0, 1, 1, 0, -1, 0, 0, 0, 1, 0, 0, 1]);
  assert.equal([...samples.y], [0, 1, 1]);
  assert.equal([...samples.lines], [2, 4, 5]);
  assert.equal([...rows], [0, 1, 2]);
});

test("missing values: dropped, or filled where the schema says so; a missing label drops the row", () => {
  const t = task({
    features: [
      { ...age, missing: "middle" },
      { name: "pain", kind: "category", categories: [1, 2, 3], missing: "reference" },
      { name: "sex", kind: "binary" },
    ],
    label: { name: "died", positiveAbove: 1 },
    missingTokens: ["-9"],
  });
  const problems: Problem[] = [];
  const text = "sex,age,pain,died\n1,-9,2.0,2\n-9,20,1,1\n1,20,-9,1\n0,20,3,\n";
  const { samples } = convertTable(parseTable(text, "f.csv"), t, (p) => problems.push(p));
  assert.equal([...samples.lines], [2, 4]);
  assert.equal([...samples.x], [0, 1, 0, 1, Math.fround(-0.6), 0, 0, 1]);
  assert.equal([...samples.y], [1, 0]);
  assert.equal(
    problems.map((p) => [p.severity, p.line, p.column, p.name]),
    [
      ["dropped", 3, 1, "sex"],
      ["dropped", 5, 4, "died"],
    ],
  );
});

test("a bad cell stops the loading and is named by file, line and column", async () => {
  const table: [string, string, string][] = [
    ["a non-number", "fifty,1,none,0", 'north.csv: line 3, column 1 (age): "fifty" is not a number'],
    ["a number with text", "50y,1,none,0", "line 3, column 1 (age)"],
    ["infinity", "Infinity,1,none,0", "line 3, column 1 (age)"],
    ["a wrong unit", "4000,1,none,0", "line 3, column 1 (age): 4000 is outside 0 to 100 years by more than"],
    [
      "an unknown category",
      "50,1,awful,0",
      'line 3, column 3 (pain): "awful" is not a known category (none, mild, severe)',
    ],
    ["not binary", "50,2,none,0", "line 3, column 2 (sex)"],
    ["a label in words", "50,1,none,yes", "line 3, column 4 (died)"],
  ];
  for (const [id, row, part] of table) {
    await withFiles({ "north.csv": `${header}50,1,none,0\n${row}\n` }, (folder) => {
      assert.throws(() => loadDataset(join(folder, "north.csv"), simple), code("DATA_BAD_CELL", part), id);
      const report = checkData(join(folder, "north.csv"), simple);
      assert.is(report.ok, false, id);
      assert.is(report.errors, 1, id);
      assert.ok(report.problems[0]!.message.includes(part), id);
    });
  }
});

test("files that can't be used: no column, no file, not text, nothing but missing values", async () => {
  const files = {
    "column.csv": "age,sex,died\n1,0,1\n",
    "bytes.csv": new Uint8Array([0xff, 0xfe, 0]),
    "missing.csv": `${header}?,1,none,0\n`,
  };
  await withFiles(files, (folder) => {
    const load = (name: string) => () => loadDataset(join(folder, name), simple);
    assert.throws(load("column.csv"), code("DATA_NO_COLUMN", '"pain" is missing (the file has: age, sex, died)'));
    assert.throws(load("none.csv"), code("DATA_UNREADABLE", "none.csv"));
    assert.throws(load("bytes.csv"), code("DATA_UNREADABLE", "UTF-8"));
    assert.throws(load("missing.csv"), code("DATA_NO_ROWS", "missing value"));
    assert.is(checkData(join(folder, "column.csv"), simple).failure?.code, "DATA_NO_COLUMN");
  });
});

test("a value a little outside its range is a warning and counts as the nearest end", async () => {
  await withFiles({ "a.csv": `${header}104,1,none,0\n-3,1,none,1\n?,0,mild,1\n` }, (folder) => {
    assert.equal([...loadDataset(join(folder, "a.csv"), simple).samples.x.filter((_, i) => i % 4 === 0)], [1, -1]);
    const report = checkData(join(folder, "a.csv"), simple);
    assert.is(report.ok, true);
    assert.equal([report.rows, report.used, report.dropped, report.positives, report.warnings], [3, 2, 1, 1, 2]);
    assert.equal(report.columns[0], { name: "age", missing: 1, outOfRange: 2, bad: 0 });
  });
});

test("the split: a partition, stratified, fixed by seed and file name", async () => {
  const rows = Array.from({ length: 200 }, (_, i) => `${i % 100},1,none,${i % 5 === 0 ? 1 : 0}`).join("\n");
  await withFiles({ "a.csv": header + rows, "b.csv": header + rows }, (folder) => {
    const [a, b] = ["a.csv", "b.csv"].map((f) => join(folder, f)) as [string, string];
    const data = loadDataset(a, simple);
    const split = splitDataset(data, a, simple);
    const lines = [split.train, split.validation, split.test].map((s) => [...s.lines]);
    assert.equal(
      lines.flat().sort((x, y) => x - y),
      [...data.samples.lines],
    );
    assert.equal([split.test.n, split.validation.n, split.train.n], [50, 50, 100]);
    for (const part of [split.test, split.validation, split.train]) {
      assert.is(
        part.y.reduce((x, y) => x + y, 0),
        part.n / 5,
      );
    }
    assert.equal([...splitDataset(data, a, simple).test.lines], lines[2]);
    assert.not.equal([...splitDataset(loadDataset(b, simple), b, simple).test.lines], lines[2]);
  });
});

test("row numbers from a file: looked up by hospital, validation drawn from the training rows", async () => {
  const t = task({ features: [age], label: { name: "died" } }, "rows.json");
  const csv = `age,died\n${Array.from({ length: 40 }, (_, i) => `${i === 7 ? "?" : i},${i % 2}`).join("\n")}`;
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const split = JSON.stringify({
    note: "…",
    centers: { north: { train_rows: numbers(0, 20), test_rows: numbers(20, 30) } },
  });
  assert.is(hospitalName("/x/processed.cleveland.data"), "cleveland");
  await withFiles({ "processed.north.csv": csv, "south.csv": csv, "rows.json": split }, (folder) => {
    const path = join(folder, "processed.north.csv");
    const parts = splitDataset(loadDataset(path, t), path, t);
    // Row 7 is dropped by the schema; 30 % of 10 and of 9.
    assert.equal([parts.train.n, parts.validation.n, parts.test.n], [13, 6, 10]);
    assert.equal([...parts.test.lines], numbers(22, 32));
    const south = join(folder, "south.csv");
    assert.throws(() => splitDataset(loadDataset(south, t), south, t), code("DATA_NO_SPLIT", "it has: north"));
    assert.throws(
      () => splitDataset(loadDataset(path, t), path, t, join(folder, "no.json")),
      code("DATA_NO_SPLIT", "no.json"),
    );
  });
});

function npy(descr: string, shape: string, data: Uint8Array): Uint8Array {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`.padEnd(117, " ");
  return new Uint8Array([...Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1"), ...Buffer.from(`${text}\n`), ...data]);
}

test("images: NPY with labels beside it, bytes scaled to [-1, 1]; broken ones are refused", async () => {
  const t = parseTask(
    JSON.stringify({
      name: "t",
      schema: { features: [], label: { name: "y" }, image: { width: 2, height: 1, channels: 1 } },
      model: { layers: [{ type: "flatten" }, { type: "dense", units: 1, activation: "sigmoid" }] },
      training: { steps: 1, batch: 1, learningRate: 0.1 },
      rounds: { maximum: 1 },
      split: { test: 0.25, validation: 0.25, seed: 3 },
    }),
  );
  const files = {
    "x.npy": npy("|u1", "3, 1, 2", Uint8Array.of(0, 255, 255, 0, 51, 102)),
    "x.labels.npy": npy("|u1", "3,", Uint8Array.of(0, 1, 1)),
    "wide.npy": npy("|u1", "1, 2, 2", new Uint8Array(4)),
    "wide.labels.npy": npy("|u1", "1,", new Uint8Array(1)),
  };
  await withFiles(files, (folder) => {
    const { samples } = loadDataset(join(folder, "x.npy"), t);
    assert.equal([...samples.x], [-1, 1, 1, -1, -0.6, -0.2].map(Math.fround));
    assert.equal([...samples.y], [0, 1, 1]);
    assert.throws(() => loadDataset(join(folder, "wide.npy"), t), code("DATA_BAD_NPY", "2 × 2 × 1"));
  });
  const floats = parseNpy(npy("<f4", "2,", new Uint8Array(Float32Array.of(1.5, -2).buffer)), "f.npy");
  assert.equal([...floats.values], [1.5, -2]);
  assert.throws(() => parseNpy(npy("<f8", "1,", new Uint8Array(8)), "f.npy"), code("DATA_BAD_NPY", "<f8"));
  assert.throws(() => parseNpy(npy("|u1", "5,", new Uint8Array(4)), "f.npy"), code("DATA_BAD_NPY", "4 bytes"));
  assert.throws(() => parseNpy(Uint8Array.of(1, 2, 3), "f.npy"), code("DATA_BAD_NPY", "NumPy"));
});

test.run();
