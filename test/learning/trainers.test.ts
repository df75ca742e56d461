import { test } from "uvu";
import * as assert from "uvu/assert";
import { initialModel, parameterCount } from "../../genesis/model.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { dequantiseModel } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import type { Samples } from "../../learning/samples.ts";
import { createTrainer } from "../../learning/trainers/create.ts";
import { DenseTrainer } from "../../learning/trainers/dense.ts";
import { createTensorflowTrainer, loadTensorflow } from "../../learning/trainers/tensorflow.ts";

type Spec = { layers: object[]; training: object; features?: number; image?: object };

function task({ layers, training, features = 7, image }: Spec): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: "t",
      schema: {
        features: image ? [] : Array.from({ length: features }, (_, i) => ({ name: `f${i}`, kind: "binary" })),
        label: { name: "y" },
        ...(image ? { image } : {}),
      },
      model: { layers },
      training,
      rounds: { maximum: 5 },
      split: { test: 0.2, validation: 0.2, seed: 1 },
    }),
  );
}

function samples(n: number, width: number, seed: string): Samples {
  const random = new Random("samples", seed);
  const x = Float32Array.from({ length: n * width }, () => (random.below(5) === 0 ? 0 : random.normal()));
  const y = Float32Array.from({ length: n }, (_, i) => (x[i * width]! + 0.5 * random.normal() > 0 ? 1 : 0));
  return { n, width, x, y, lines: Uint32Array.from({ length: n }, (_, i) => i + 1) };
}

function largestGap(a: Float32Array, b: Float32Array): number {
  assert.is(a.length, b.length);
  return a.reduce((gap, v, i) => Math.max(gap, Math.abs(v - b[i]!)), 0);
}

const out = { type: "dense", units: 1, activation: "sigmoid" };
const mlp = [
  { type: "dense", units: 6, activation: "tanh" },
  { type: "dense", units: 5, activation: "relu" },
  { type: "dense", units: 4, activation: "sigmoid" },
  { type: "dense", units: 3, activation: "linear" },
  out,
];
const table: (Spec & { id: string })[] = [
  { id: "logistic, sgd, steps", layers: [out], training: { steps: 60, batch: 4, learningRate: 0.1 } },
  {
    id: "logistic, sgd, epochs with a short last batch",
    layers: [out],
    training: { epochs: 3, batch: 8, learningRate: 0.1 },
  },
  {
    id: "logistic, adam, l2",
    layers: [out],
    training: { steps: 40, batch: 16, optimiser: "adam", learningRate: 0.01, l2: 0.1 },
  },
  {
    id: "all activations, sgd, proximal",
    layers: mlp,
    training: { steps: 40, batch: 8, learningRate: 0.1, proximal: 0.5 },
  },
  {
    id: "all activations, adam, l2 and proximal",
    layers: mlp,
    training: { epochs: 3, batch: 8, optimiser: "adam", learningRate: 0.01, l2: 0.01, proximal: 0.1 },
  },
];

for (const { id, ...spec } of table) {
  test(`typed arrays equal TensorFlow.js on the same batches to 1e-5: ${id}`, async () => {
    const t = task(spec);
    const data = samples(53, 7, id);
    const start = Float32Array.from(
      { length: parameterCount(t) },
      (
        (r) => () =>
          0.5 * r.normal()
      )(new Random("start", id)),
    );
    const mine = new DenseTrainer(t);
    const theirs = await createTensorflowTrainer(t);
    const a = await mine.train(start, data, new Random("batches", id));
    const b = await theirs.train(start, data, new Random("batches", id));
    assert.ok(largestGap(a, start) > 1e-2, "training must move the parameters");
    assert.ok(largestGap(a, b) < 1e-5, `parameters differ by ${largestGap(a, b)}`);
    assert.ok(largestGap(await mine.logits(a, data), await theirs.logits(a, data)) < 1e-5);
  });
}

test("the backend is native or WebAssembly, and is named", async () => {
  const lines: string[] = [];
  const { tf, name } = await loadTensorflow((line) => lines.push(line));
  assert.ok(["tensorflow", "wasm"].includes(tf.getBackend()), tf.getBackend());
  const cnn = task({
    layers: [{ type: "flatten" }, out],
    training: { steps: 1, batch: 1, learningRate: 1 },
    image: { width: 2, height: 2, channels: 1 },
  });
  assert.is((await createTrainer(cnn)).backend, `TensorFlow.js (${name})`);
  assert.is(
    (await createTrainer(task({ layers: [out], training: { steps: 1, batch: 1, learningRate: 1 } }))).backend,
    "typed arrays",
  );
});

test("a small CNN learns bars from images, and leaves no tensor behind", async () => {
  const t = task({
    layers: [
      { type: "conv2d", filters: 4, kernel: 3, activation: "relu" },
      { type: "maxpool2d", size: 2 },
      { type: "flatten" },
      out,
    ],
    training: { epochs: 12, batch: 16, optimiser: "adam", learningRate: 0.02 },
    image: { width: 8, height: 8, channels: 1 },
  });
  const random = new Random("bars");
  const n = 160;
  const x = new Float32Array(n * 64);
  const y = new Float32Array(n);
  // A horizontal or a vertical bar of four pixels at any place: no single pixel tells them apart.
  for (let i = 0; i < n; i++) {
    y[i] = i % 2;
    const [at, from] = [random.below(8), random.below(5)];
    for (let k = 0; k < 4; k++) x[64 * i + (y[i] === 1 ? 8 * at + from + k : 8 * (from + k) + at)] = 1;
    for (let k = 0; k < 64; k++) x[64 * i + k] = x[64 * i + k]! + 0.1 * random.normal();
  }
  const data: Samples = { n, width: 64, x, y, lines: new Uint32Array(n) };
  const { tf } = await loadTensorflow(() => {});
  const trainer = await createTrainer(t);
  const start = dequantiseModel(initialModel(t, new Uint8Array(32)), t.model.scaleBits);
  const before = tf.memory().numTensors;
  const parameters = await trainer.train(start, data, new Random("cnn"));
  const logits = await trainer.logits(parameters, data);
  assert.is(tf.memory().numTensors, before);
  const right = logits.reduce((sum, z, i) => sum + (z > 0 === (y[i] === 1) ? 1 : 0), 0);
  assert.ok(right / n >= 0.95, `accuracy ${right / n}`);
});

test.run();
