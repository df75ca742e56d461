import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeTask, encodeTask, parseTask, taskSchema } from "../../genesis/task.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { changed, task, taskFile } from "./support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function problem(value: unknown): { code: string; path: unknown; message: string } {
  try {
    parseTask(JSON.stringify(value));
  } catch (error) {
    assert.instance(error, PoflError, `${error}`);
    const { code, data, message } = error as PoflError;
    return { code, path: data.path, message };
  }
  return { code: "none", path: "none", message: "was accepted" };
}

const dense = (units: number, activation = "relu") => ({ type: "dense", units, activation });
const out = dense(1, "sigmoid");
const age = { name: "age", kind: "number", unit: "years", min: 18, max: 100 };
const sex = { name: "sex", kind: "category", categories: ["f", "m"] };

const BAD: [string, (string | number)[], unknown, string?][] = [
  ["unknown field", ["reward"], "1"],
  ["unknown feature field", ["schema", "features", 0, "scale"], 1],
  ["unknown kind", ["schema", "features", 0, "kind"], "date"],
  ["unknown rule", ["aggregation"], { rule: "krum" }, "$.aggregation.rule"],
  ["unknown optimiser", ["training", "optimiser"], "rmsprop"],
  ["unknown layer", ["model", "layers", 0, "type"], "lstm"],
  ["unknown activation", ["model", "layers", 0, "activation"], "softmax"],
  ["unknown split field", ["split", "shuffle"], true],
  ["split as a path", ["split"], "../secrets.json"],
  ["split as a hidden file", ["split"], ".ssh"],
  ["split as a number", ["split"], 3],
  ["split without a training row", ["split"], { test: 0.5, validation: 0.5, seed: 1 }, "$.split.validation"],
  ["missing rounds", ["rounds"], undefined],
  ["missing label name", ["schema", "label", "name"], undefined],
  ["f as text", ["aggregation"], { f: "all" }, "$.aggregation.f"],
  ["weights in a median", ["aggregation"], { rule: "median", weights: "samples" }, "$.aggregation.weights"],
  ["weights of mixtures", ["aggregation"], { rule: "nnm+trimmed-mean", weights: "samples" }, "$.aggregation.weights"],
  ["a tolerant mean", ["aggregation"], { rule: "fedavg", f: 1 }, "$.aggregation.f"],
  ["unknown server optimiser", ["aggregation"], { optimiser: "lamb" }, "$.aggregation.optimiser"],
  ["momentum of the mean", ["aggregation"], { optimiser: "fedavg", momentum: 0.9 }, "$.aggregation.momentum"],
  ["a rate without an optimiser", ["aggregation"], { serverRate: 0.5 }, "$.aggregation.serverRate"],
  ["tau of fedavgm", ["aggregation"], { optimiser: "fedavgm", tau: 0.1 }, "$.aggregation.tau"],
  ["tau below what fixed point resolves", ["aggregation"], { optimiser: "fedadam", tau: 6e-5 }, "$.aggregation.tau"],
  ["bounty as a number", ["bounty"], 5],
  ["steps and epochs", ["training", "epochs"], 1, "$.training"],
  ["neither steps nor epochs", ["training", "steps"], undefined, "$.training"],
  ["no features and no image", ["schema", "features"], [], "$.schema"],
  ["features and image", ["schema", "image"], { width: 8, height: 8, channels: 1 }, "$.schema"],
  ["a name twice", ["schema", "features", 1, "name"], "age"],
  ["the label among the features", ["schema", "features", 1, "name"], "disease"],
  ["min not below max", ["schema", "features", 0, "min"], 100],
  ["one category", ["schema", "features"], [{ ...sex, categories: ["f"] }], "$.schema.features[0].categories"],
  ['1 and "1"', ["schema", "features"], [{ ...sex, categories: [1, "1"] }], "$.schema.features[0].categories"],
  [
    "a missing token as category",
    ["schema", "features"],
    [{ ...sex, categories: ["f", "NA"] }],
    "$.schema.features[0].categories",
  ],
  ["a column twice", ["schema", "columns"], ["age", "sex", "pain", "disease", "age"]],
  ["a feature that is no column", ["schema", "columns"], ["sex", "pain", "disease"], "$.schema.features[0].name"],
  ["a label that is no column", ["schema", "columns"], ["age", "sex", "pain"], "$.schema.label.name"],
  ["a control character", ["name"], "heart\u0007"],
  ["no layers", ["model", "layers"], []],
  ["two outputs", ["model", "layers"], [dense(2, "sigmoid")]],
  ["linear output", ["model", "layers"], [dense(1, "linear")]],
  ["a convolution on a table", ["model", "layers"], [{ type: "flatten" }, out]],
  ["more parameters than a blob holds", ["model", "layers"], [dense(65_536), dense(65_536), out], "$.model.layers[1]"],
  ["minimum above maximum", ["rounds", "minimum"], 16],
  ["accuracy as a percentage", ["rounds", "target"], { metric: "accuracy", value: 80 }, "$.rounds.target.value"],
  ["null as learning rate", ["training", "learningRate"], null],
  ["no learning rate", ["training", "learningRate"], 0],
];

test("every bad task is refused at its place", () => {
  for (const [id, path, value, named] of BAD) {
    const place = named ?? path.reduce<string>((p, k) => (typeof k === "number" ? `${p}[${k}]` : `${p}.${k}`), "$");
    const found = problem(changed(taskFile(), path, value));
    assert.is(found.code, "BAD_TASK", `${id}: ${found.message}`);
    assert.is(found.path, place, `${id}: ${found.message}`);
  }
  assert.is(problem(taskFile()).code, "none", "and the unchanged one is good");
});

test("layers of images must fit into one another", () => {
  const image = (layers: unknown[]) => ({
    ...taskFile(),
    schema: { features: [], label: { name: "y" }, image: { width: 8, height: 8, channels: 1 } },
    model: { layers },
  });
  const conv = (kernel: number) => ({ type: "conv2d", filters: 4, kernel, activation: "relu" });
  const pool = { type: "maxpool2d", size: 2 };
  const flatten = { type: "flatten" };
  assert.is(problem(image([conv(3), pool, conv(3), flatten, dense(8), out])).code, "none");
  for (const [id, layers, at] of [
    ["dense on an image", [conv(3), out], 1],
    ["kernel larger than the image", [conv(9), flatten, out], 0],
    ["kernel larger than what is left", [conv(3), pool, pool, conv(3), flatten, out], 3],
    ["pool larger than what is left", [conv(8), pool, flatten, out], 1],
    ["convolution after flatten", [flatten, conv(3), out], 1],
    ["pool after flatten", [flatten, pool, out], 1],
  ] as const) {
    assert.is(problem(image([...layers])).path, `$.model.layers[${at}]`, id);
  }
});

test("every default is written out in the encoding, and the encoding is the only one", () => {
  const encoded = encodeTask(task());
  const text = new TextDecoder().decode(encoded);
  // A file that says everything is the file that says nothing: were a default left out, this would differ.
  assert.equal(encodeTask(parseTask(text)), encoded);
  for (const field of [
    "rule",
    "maxF",
    "weights",
    "pledgeMs",
    "scaleBits",
    "optimiser",
    "missingTokens",
    "bounty",
    "missing",
  ]) {
    assert.ok(text.includes(`"${field}":`), field);
  }
  assert.equal(decodeTask(encoded), task());
  for (const [id, other] of [
    ["white space", text.replace(",", ", ")],
    ["order", `{"name":"heart disease",${text.replace('"name":"heart disease",', "").slice(1)}`],
    ["a default left out", text.replace('"bounty":"0",', "")],
    ["a number written differently", text.replace("0.01", "1e-2")],
    ["a negative zero", text.replace('"proximal":0', '"proximal":-0')],
    ["an escaped letter", text.replace("heart", "\\u0068eart")],
    ["a byte order mark", `\ufeff${text}`],
    ["a line break after it", `${text}\n`],
  ] as const) {
    assert.not.equal(other, text, id);
    assert.throws(
      () => decodeTask(bytes(other)),
      (e: unknown) => isPoflError(e, "BAD_TASK") || isPoflError(e, "BAD_JSON"),
      id,
    );
  }
  assert.throws(
    () => decodeTask(Uint8Array.of(...encoded.slice(0, -2), 0xff, 0xfe)),
    (e: unknown) => isPoflError(e, "BAD_TASK"),
  );
});

test("a server optimiser's defaults are written out, and the plain step has no field", () => {
  const of = (aggregation: object) => parseTask(JSON.stringify({ ...taskFile(), aggregation }));
  const written = (aggregation: object) => {
    const { optimiser, serverRate, momentum, secondMomentum, tau } = JSON.parse(
      new TextDecoder().decode(encodeTask(of(aggregation))),
    ).aggregation;
    return [optimiser, serverRate, momentum, secondMomentum, tau];
  };
  const none = [undefined, undefined, undefined, undefined, undefined];
  assert.equal(written({}), none);
  assert.equal(written({ optimiser: "fedavg" }), none);
  assert.equal(written({ optimiser: "fedavgm" }), ["fedavgm", 1, 0.9, undefined, undefined]);
  assert.equal(written({ optimiser: "fedadam", tau: 0.1 }), ["fedadam", 0.1, 0.9, 0.99, 0.1]);
  const text = new TextDecoder().decode(encodeTask(of({})));
  assert.throws(
    () => decodeTask(bytes(text.replace('"rule":', '"optimiser":"fedavg","rule":'))),
    (e: unknown) => isPoflError(e, "BAD_TASK"),
    "one task, one encoding",
  );
});

test("a model may be too large with its moments", () => {
  const large = { ...taskFile(), model: { layers: [dense(8192), dense(4096), out] } };
  assert.is(problem(large).code, "none");
  assert.is(problem({ ...large, aggregation: { optimiser: "fedadam" } }).path, "$.aggregation.optimiser");
});

test("a task too large for its encoding is refused", () => {
  const features = Array.from({ length: 1000 }, (_, i) => ({ ...age, name: `feature with a long name ${i}` }));
  const large = parseTask(JSON.stringify({ ...taskFile(), schema: { features, label: { name: "y" } } }));
  assert.throws(
    () => encodeTask(large),
    (e: unknown) => isPoflError(e, "BAD_TASK"),
  );
});

test("decode and encode are inverse on tasks of every kind; any bytes decode or are refused by code", () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20, unit: "grapheme-ascii" }), {
    minLength: 2,
    maxLength: 6,
  });
  const tasks = fc
    .record({
      names,
      units: fc.array(fc.integer({ min: 1, max: 32 }), { maxLength: 3 }),
      epochs: fc.boolean(),
      rate: fc.double({ min: 1e-6, max: 1, noNaN: true }),
      f: fc.oneof(fc.constant("auto"), fc.integer({ min: 0, max: 62 })),
      bounty: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    })
    .map(({ names: [label, ...rest], units, epochs, rate, f, bounty }) => ({
      ...taskFile(),
      schema: { features: rest.map((name) => ({ ...age, name })), label: { name: label } },
      model: { layers: [...units.map((u) => dense(u)), out] },
      training: { [epochs ? "epochs" : "steps"]: 3, batch: 4, learningRate: rate },
      aggregation: { f },
      bounty: bounty.toString(),
    }));
  fc.assert(
    fc.property(tasks, (file) => {
      const parsed = parseTask(JSON.stringify(file));
      assert.equal(decodeTask(encodeTask(parsed)), parsed);
      assert.equal(taskSchema.parse(parsed), parsed, "parsing again changes nothing");
    }),
    { numRuns: 100 },
  );
  const good = encodeTask(task());
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      const mutated = good.slice();
      mutated[at] = value;
      try {
        assert.equal(encodeTask(decodeTask(mutated)), mutated);
      } catch (error) {
        assert.ok(isPoflError(error, "BAD_TASK") || isPoflError(error, "BAD_JSON"), `${error}`);
      }
    }),
    { numRuns: 300 },
  );
});

test.run();
