import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot } from "../../crypto/blob.ts";
import {
  initialModel,
  inputShape,
  isqrt,
  modelBytes,
  modelFromBytes,
  modelRoot,
  modelTensors,
  parameterCount,
} from "../../genesis/model.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { toHex } from "../../types/primitives.ts";
import { task, taskFile } from "./support.ts";

const withLayers = (units: number[], scaleBits = 20): TaskSpec =>
  parseTask(
    JSON.stringify({
      ...taskFile(),
      model: {
        layers: [
          ...units.map((u) => ({ type: "dense", units: u, activation: "relu" })),
          { type: "dense", units: 1, activation: "sigmoid" },
        ],
        scaleBits,
      },
    }),
  );

const imageTask = (): TaskSpec =>
  parseTask(
    JSON.stringify({
      ...taskFile(),
      schema: { features: [], label: { name: "y" }, image: { width: 28, height: 20, channels: 2 } },
      model: {
        layers: [
          { type: "conv2d", filters: 8, kernel: 3, activation: "relu" },
          { type: "maxpool2d", size: 3 },
          { type: "conv2d", filters: 4, kernel: 2, activation: "relu" },
          { type: "flatten" },
          { type: "dense", units: 1, activation: "sigmoid" },
        ],
      },
    }),
  );

const id = (n: number): Uint8Array => new Uint8Array(32).fill(n);

test("isqrt is the floor of the root, at squares and beside them", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 1n << 200n }), (n) => {
      for (const x of [n, n * n, n * n - 1n, n * n + 1n].filter((v) => v >= 0n)) {
        const root = isqrt(x);
        assert.ok(root * root <= x && (root + 1n) * (root + 1n) > x, `${x}`);
      }
    }),
  );
  for (let n = 0n; n < 300n; n++) assert.is(Number(isqrt(n)), Math.floor(Math.sqrt(Number(n))));
});

test("tensors of a table: one column per number, one per category but the reference", () => {
  assert.equal(inputShape(task()), [1 + 1 + 3]);
  assert.equal(
    modelTensors(withLayers([7])).map(({ name, shape, offset }) => ({ name, shape, offset })),
    [
      { name: "layers.0.kernel", shape: [5, 7], offset: 0 },
      { name: "layers.0.bias", shape: [7], offset: 35 },
      { name: "layers.1.kernel", shape: [7, 1], offset: 42 },
      { name: "layers.1.bias", shape: [1], offset: 49 },
    ],
  );
  assert.is(parameterCount(withLayers([7])), 50);
});

test("tensors of an image: height before width, pools drop the rest", () => {
  // 20×28×2 → 18×26×8 → 6×8×8 → 5×7×4 → 140.
  assert.equal(inputShape(imageTask()), [20, 28, 2]);
  assert.equal(
    modelTensors(imageTask()).map(({ shape }) => shape),
    [[3, 3, 2, 8], [8], [2, 2, 8, 4], [4], [140, 1], [1]],
  );
});

test("tensors lie side by side and cover the vector", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 5 }), (units) => {
      let end = 0;
      for (const { offset, size, shape } of modelTensors(withLayers(units))) {
        assert.is(offset, end);
        assert.is(
          size,
          shape.reduce((x, y) => x * y, 1),
        );
        end += size;
      }
      assert.is(parameterCount(withLayers(units)), end);
    }),
    { numRuns: 50 },
  );
});

test("the first model: zero for one layer; else Glorot bounds, zero biases, spread over the range, fixed by the id", () => {
  assert.equal(initialModel(task(), id(1)), new Int32Array(6));
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 8, max: 24 }),
      (units, bits) => {
        const spec = withLayers(units, bits);
        const model = initialModel(spec, id(1));
        assert.is(model.length, parameterCount(spec));
        for (const { name, shape, offset, size } of modelTensors(spec)) {
          const values = model.subarray(offset, offset + size);
          if (name.endsWith(".bias")) assert.ok(values.every((v) => v === 0));
          else {
            const limit = Math.sqrt(6 / ((shape[0] as number) + (shape[1] as number))) * 2 ** bits;
            assert.ok(values.every((v) => Math.abs(v) <= limit));
          }
        }
      },
    ),
    { numRuns: 40 },
  );
  const wide = withLayers([200]);
  const values = initialModel(wide, id(1)).subarray(0, 1000);
  const limit = Math.sqrt(6 / 205) * 2 ** 20;
  const mean = values.reduce((x, y) => x + y, 0) / values.length / limit;
  const square = values.reduce((x, y) => x + y * y, 0) / values.length / limit ** 2;
  // Uniform on [−1, 1]: mean 0 ± 0.018, mean square 1/3 ± 0.0094 (one standard error at 1,000).
  assert.ok(Math.abs(mean) < 0.08, `${mean}`);
  assert.ok(Math.abs(square - 1 / 3) < 0.04, `${square}`);
  assert.is(new Set(values).size, 1000, "no block of words is used twice");
  assert.equal(initialModel(wide, id(1)), initialModel(wide, id(1)));
  assert.not.equal(initialModel(wide, id(2)), initialModel(wide, id(1)));
});

test("fan-in and fan-out of a convolution count its receptive field", () => {
  const spec = imageTask();
  const [kernel] = modelTensors(spec);
  const values = initialModel(spec, id(3)).subarray(0, kernel?.size);
  const limit = Math.sqrt(6 / (9 * 2 + 9 * 8)) * 2 ** 20;
  const most = values.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
  assert.ok(most <= limit && most > 0.9 * limit, `${most} of ${limit}`);
});

test("the first model of a fixed task and id is pinned: a change of it is another chain", () => {
  assert.is(
    toHex(modelRoot(initialModel(withLayers([7]), id(1)))),
    "0x551a9c1e5a5464535dd89e031ae086925f0b974560339dfc41708972dd99db1f",
  );
});

test("model bytes: little-endian, inverse, named by their blob root", () => {
  assert.equal(modelBytes(Int32Array.of(1, -2)), Uint8Array.of(1, 0, 0, 0, 254, 255, 255, 255));
  fc.assert(
    fc.property(fc.int32Array(), (model) => {
      const encoded = modelBytes(model);
      assert.equal(modelFromBytes(encoded), model);
      // A view into a larger buffer, as one gets from a file.
      assert.equal(modelFromBytes(new Uint8Array([9, ...encoded]).subarray(1)), model);
      assert.equal(modelRoot(model), blobRoot(encoded));
    }),
  );
  assert.throws(() => modelFromBytes(new Uint8Array(5)));
});

test.run();
