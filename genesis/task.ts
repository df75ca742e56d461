import { z } from "zod";
import { PoflError } from "../types/errors.ts";
import { MAX_TASK_BYTES, MAX_VALIDATORS } from "../types/limits.ts";
import { aggregationProblems, aggregationSchema } from "./aggregation.ts";
import { amountSchema, canonicalJson, parseJson, textSchema, wholeSchema } from "./json.ts";
import { layOut, MAX_PARAMETERS, storedCount } from "./model.ts";

/** The task file: what is learned, from which columns, how, and for how much. Units and reasons beside each field. */

const name = textSchema(1, 128);

const feature = z.discriminatedUnion("kind", [
  z.strictObject({
    name,
    kind: z.literal("number"),
    unit: textSchema(0, 32),
    /** Clinical range: values are scaled by it to [−1, 1]; no statistic of any hospital leaks. */
    min: z.number(),
    max: z.number(),
    /** "drop" leaves the row out; "middle" takes the middle of the range and is right only for rare gaps. */
    missing: z.enum(["drop", "middle"]).default("drop"),
  }),
  z.strictObject({
    name,
    kind: z.literal("binary"),
    missing: z.enum(["drop", "zero"]).default("drop"),
  }),
  z.strictObject({
    name,
    kind: z.literal("category"),
    /** One-hot without the first category, which is the reference. Text or numbers as they stand in the file. */
    categories: z
      .array(z.union([textSchema(1, 128), z.number()]))
      .min(2)
      .max(64),
    missing: z.enum(["drop", "reference"]).default("drop"),
  }),
]);

const label = z.strictObject({
  name,
  /** Values above it count as positive (0 for a 0/1 label, and for UCI's num > 0). */
  positiveAbove: z.number().default(0),
});

const schema = z.strictObject({
  /** Column names for files without a header line, in order; left out = the file has a header. */
  columns: z.array(name).max(1024).optional(),
  /** Cells that mean "missing", besides an empty one. */
  missingTokens: z.array(textSchema(1, 32)).max(8).default(["?", "NA", "NaN"]),
  features: z.array(feature).max(1024),
  label,
  image: z
    .strictObject({ width: wholeSchema(1, 4096), height: wholeSchema(1, 4096), channels: wholeSchema(1, 4) })
    .optional(),
});

const layer = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("dense"),
    units: wholeSchema(1, 65_536),
    activation: z.enum(["linear", "relu", "tanh", "sigmoid"]),
  }),
  z.strictObject({
    type: z.literal("conv2d"),
    filters: wholeSchema(1, 1024),
    kernel: wholeSchema(1, 15),
    activation: z.enum(["linear", "relu", "tanh"]),
  }),
  z.strictObject({ type: z.literal("maxpool2d"), size: wholeSchema(2, 8) }),
  z.strictObject({ type: z.literal("flatten") }),
]);

const model = z.strictObject({
  /** The last layer is dense, one unit, sigmoid: the probability of the positive class. */
  layers: z.array(layer).min(1).max(32),
  /** Fixed-point fraction bits of the global model. */
  scaleBits: wholeSchema(8, 24).default(20),
});

const training = z.strictObject({
  /** Local work per round: exactly one of the two. */
  steps: wholeSchema(1, 100_000).optional(),
  epochs: wholeSchema(1, 1000).optional(),
  batch: wholeSchema(1, 65_536),
  optimiser: z.enum(["sgd", "adam"]).default("sgd"),
  learningRate: z.number().positive().max(100),
  /** FedProx μ; 0 = none. */
  proximal: z.number().min(0).max(100).default(0),
  /** L2 penalty on weights (not biases). */
  l2: z.number().min(0).max(100).default(0),
  /** Euclidean bound on the update before quantisation, model units as a real number; left out = none but the chain's. */
  clipNorm: z.number().positive().optional(),
});

export const RELEASE_PERMILLE = 500;

const rounds = z
  .strictObject({
    /** Fewest updates for a block with learning. */
    minimumUpdates: wholeSchema(1, MAX_VALIDATORS).default(1),
    minimum: wholeSchema(0, 1_000_000).default(0),
    maximum: wholeSchema(1, 1_000_000),
    target: z
      .strictObject({
        metric: z.enum(["accuracy", "auroc", "loss"]),
        value: z.number().min(0).max(100),
        /** Part of the escrow left when the target is reached that goes to those who trained, so that stalling doesn't pay. */
        releasePermille: wholeSchema(0, 1000).default(RELEASE_PERMILLE),
      })
      .refine((t) => t.metric === "loss" || t.value <= 1, {
        path: ["value"],
        message: "must be a share of 1, like 0.8",
      })
      .optional(),
  })
  .refine((r) => r.minimum <= r.maximum, { path: ["minimum"], message: "must not be above maximum" });

/** Upper bounds of the phases, in ms; a phase ends at once when everyone expected has answered. */
const windows = z.strictObject({
  pledgeMs: wholeSchema(50, 86_400_000).default(10_000),
  revealMs: wholeSchema(50, 86_400_000).default(5_000),
  attestMs: wholeSchema(50, 86_400_000).default(5_000),
});

const split = z.union([
  /** Shares of the rows of each file; the seed and the file's name fix which. */
  z
    .strictObject({
      test: z.number().min(0).max(0.9),
      validation: z.number().min(0).max(0.9),
      seed: wholeSchema(0, 2 ** 32 - 1),
    })
    .refine((s) => s.test + s.validation < 1, { path: ["validation"], message: "leaves no rows to train on" }),
  /** The name of a JSON of row numbers per file, beside the data. A name only: the task comes from strangers. */
  z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/, "must be the plain name of a file"),
]);

export const taskSchema = z
  .strictObject({
    name,
    description: textSchema(0, 4000).optional(),
    schema,
    model,
    training,
    aggregation: aggregationSchema.prefault({}),
    rounds,
    windows: windows.prefault({}),
    /** Paid from the escrow for each learning round, smallest unit. */
    bounty: amountSchema.default("0"),
    split,
  })
  .superRefine((task, ctx) => {
    const fail = (path: (string | number)[], message: string) => ctx.addIssue({ code: "custom", path, message });
    if ((task.training.steps === undefined) === (task.training.epochs === undefined)) {
      fail(["training"], "needs exactly one of steps and epochs");
    }
    for (const { field, message } of aggregationProblems(task.aggregation, task.model.scaleBits)) {
      fail(["aggregation", field], message);
    }
    const { features, image, columns, label, missingTokens } = task.schema;
    if (features.length > 0 === (image !== undefined)) fail(["schema"], "needs either features or image");
    if (columns && new Set(columns).size < columns.length) fail(["schema", "columns"], "names a column twice");
    if (columns && !columns.includes(label.name)) fail(["schema", "label", "name"], "is not among schema.columns");
    const names = new Set([label.name]);
    for (const [i, f] of features.entries()) {
      const at = ["schema", "features", i];
      if (names.has(f.name)) fail([...at, "name"], "is used twice");
      names.add(f.name);
      if (columns && !columns.includes(f.name)) fail([...at, "name"], "is not among schema.columns");
      if (f.kind === "number" && !(f.min < f.max)) fail([...at, "min"], "must be below max");
      if (f.kind === "category") {
        // In the file 1 and "1" are the same text, and a missing token is never a category.
        const seen = f.categories.map(String);
        if (new Set(seen).size < seen.length) fail([...at, "categories"], "has the same category twice");
        if (seen.some((c) => missingTokens.includes(c))) fail([...at, "categories"], "contains a missing token");
      }
    }
    const { layers } = task.model;
    const last = layers.at(-1);
    if (last?.type !== "dense" || last.units !== 1 || last.activation !== "sigmoid") {
      fail(["model", "layers"], "must end with a dense layer of one unit with sigmoid activation");
    }
    if (!image && layers.some((l) => l.type !== "dense")) fail(["model", "layers"], "tables take dense layers only");
    const found = layOut(task);
    if ("layer" in found) fail(["model", "layers", found.layer], found.message);
    else if (storedCount(task) > MAX_PARAMETERS) {
      fail(["aggregation", "optimiser"], `needs ${storedCount(task)} stored numbers, at most ${MAX_PARAMETERS}`);
    }
  });

export type TaskSpec = z.output<typeof taskSchema>;
export type Feature = z.output<typeof feature>;
export type Layer = z.output<typeof layer>;
/** What fixes the shape of a model. */
export type ModelShape = {
  readonly schema: Pick<z.output<typeof schema>, "features" | "image">;
  readonly model: Pick<z.output<typeof model>, "layers">;
};

/**
 * Parses a task file; every field that it leaves out gets its default.
 * @throws PoflError BAD_JSON, BAD_TASK
 */
export function parseTask(text: string): TaskSpec {
  return parseJson("task", taskSchema, text);
}

/** The bytes that go on the chain: canonical JSON with every default written out. */
export function encodeTask(task: TaskSpec): Uint8Array {
  const bytes = new TextEncoder().encode(canonicalJson(task));
  if (bytes.length > MAX_TASK_BYTES) {
    throw new PoflError("BAD_TASK", `task: $: ${bytes.length} bytes, at most ${MAX_TASK_BYTES} are allowed`);
  }
  return bytes;
}

/**
 * The task in bytes from the chain; refused unless canonical, so that one task has one encoding.
 * @throws PoflError BAD_JSON, BAD_TASK
 */
export function decodeTask(bytes: Uint8Array): TaskSpec {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PoflError("BAD_TASK", "task: $: not UTF-8", {}, { cause });
  }
  const task = parseTask(text);
  if (canonicalJson(task) !== text) throw new PoflError("BAD_TASK", "task: $: not in canonical form");
  return task;
}
