import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseTask } from "../../genesis/task.ts";
import { evaluateModel } from "../../learning/compare.ts";
import { LearningSession } from "../../learning/session.ts";
import { federate, type RoundReport } from "./federation.ts";
import { dataFile, testWith, withFiles } from "./support.ts";

const task = parseTask(
  JSON.stringify({
    name: "pneumonia",
    schema: { features: [], label: { name: "pneumonia" }, image: { width: 28, height: 28, channels: 1 } },
    model: {
      layers: [
        { type: "conv2d", filters: 4, kernel: 3, activation: "relu" },
        { type: "maxpool2d", size: 4 },
        { type: "flatten" },
        { type: "dense", units: 1, activation: "sigmoid" },
      ],
    },
    training: { epochs: 2, batch: 16, optimiser: "adam", learningRate: 0.01 },
    rounds: { maximum: 4 },
    split: { test: 0.25, validation: 0.25, seed: 1 },
  }),
);

/** NPY 1.0 of bytes. */
function npy(shape: number[], data: Uint8Array): Uint8Array {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`.padEnd(117, " ");
  return new Uint8Array([...Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1"), ...Buffer.from(`${text}\n`), ...data]);
}

const [imageFile, labelFile] = ["images", "labels"].map((part) => dataFile("pneumoniamnist", `val_${part}.u8.gz`));

testWith([imageFile!, labelFile!], "chest x-rays: two hospitals train a small CNN through the whole path", async () => {
  const images = gunzipSync(readFileSync(imageFile!));
  const labels = gunzipSync(readFileSync(labelFile!));
  assert.is(images.length, labels.length * 784);
  // Every other image to each hospital: the file is sorted by nothing that matters.
  const share = (part: number) => Array.from(labels.keys()).filter((i) => i % 2 === part);
  const files: Record<string, Uint8Array> = {};
  for (const [part, name] of ["north", "south"].entries()) {
    const rows = share(part);
    const pixels = Buffer.concat(rows.map((i) => images.subarray(784 * i, 784 * (i + 1))));
    files[`${name}.npy`] = npy([rows.length, 28, 28], pixels);
    files[`${name}.labels.npy`] = npy(
      [rows.length],
      Uint8Array.from(rows, (i) => labels[i]!),
    );
  }
  await withFiles(files, async (folder) => {
    const paths = ["north.npy", "south.npy"].map((f) => join(folder, f));
    const reports: RoundReport[] = [];
    const sessions = paths.map((file, i) => new LearningSession({ file, seed: `x-ray/${i}` }));
    const model = await federate(task, sessions, 3, "x-ray", (r) => reports.push(r) > 0);
    const { pooled } = await evaluateModel(model, task, paths);
    const floor = Math.max(pooled.positives, pooled.n - pooled.positives) / pooled.n;
    console.log(
      `x-rays: ${pooled.n} test images, accuracy ${pooled.accuracy.toFixed(3)} (floor ${floor.toFixed(3)}), AUROC ${pooled.auroc!.value.toFixed(3)}`,
    );
    assert.ok(reports.every((r) => r.metrics.length === 2));
    assert.ok(pooled.auroc!.value > 0.9 && pooled.accuracy > floor, `${pooled.auroc!.value}, ${pooled.accuracy}`);
    for (const s of sessions) s.close();
  });
});

test("the example's task is valid without the data", () => assert.is(task.schema.image?.width, 28));

test.run();
