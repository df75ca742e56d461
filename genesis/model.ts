import { blobRoot } from "../crypto/blob.ts";
import { taggedHash, u64Bytes } from "../crypto/hash.ts";
import { PoflError } from "../types/errors.ts";
import { MAX_BLOB_BYTES } from "../types/limits.ts";
import type { Hash } from "../types/primitives.ts";
import { MOMENTS, serverOptimiser } from "./aggregation.ts";
import { problem } from "./json.ts";
import { packSquare } from "./moments.ts";
import type { Feature, ModelShape, TaskSpec } from "./task.ts";

/** The shape of a task's model, and the parameters it starts from. Integers only: every node must agree. */

/** One parameter tensor within the flat vector, row-major, in the order of the layers: kernel, then bias. */
export type Tensor = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
};

/** Input columns that a feature becomes: one, or one per category but the reference. */
export function featureWidth(feature: Feature): number {
  return feature.kind === "category" ? feature.categories.length - 1 : 1;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Shape of one input row. */
export function inputShape(task: ModelShape): readonly number[] {
  const { image, features } = task.schema;
  return image ? [image.height, image.width, image.channels] : [features.reduce((n, f) => n + featureWidth(f), 0)];
}

/** Bytes of a model, int32 per parameter, are a blob. */
export const MAX_PARAMETERS = MAX_BLOB_BYTES / 4;

/** What is wrong with a layer, and its index. */
export type LayerProblem = { readonly layer: number; readonly message: string };

/**
 * Every parameter tensor of the model, or the first layer that doesn't fit. Dense kernels are [in, out]; convolutions
 * [kernel, kernel, in, filters], stride 1, no padding; pools drop what is left over at the edges.
 */
export function layOut(task: ModelShape): readonly Tensor[] | LayerProblem {
  const tensors: Tensor[] = [];
  let offset = 0;
  let shape = inputShape(task);
  for (const [layer, spec] of task.model.layers.entries()) {
    const refuse = (message: string): LayerProblem => ({ layer, message });
    const add = (name: string, of: readonly number[]) => {
      const size = product(of);
      tensors.push({ name: `layers.${layer}.${name}`, shape: of, offset, size });
      offset += size;
    };
    const [height = 0, width = 0, channels = 0] = shape;
    switch (spec.type) {
      case "dense":
        if (shape.length !== 1) return refuse("a dense layer needs a flat input; put a flatten layer before it");
        add("kernel", [height, spec.units]);
        add("bias", [spec.units]);
        shape = [spec.units];
        break;
      case "conv2d":
        if (shape.length !== 3) return refuse("a convolution needs an image as its input");
        if (Math.min(height, width) < spec.kernel) return refuse(`its input is only ${height} by ${width}`);
        add("kernel", [spec.kernel, spec.kernel, channels, spec.filters]);
        add("bias", [spec.filters]);
        shape = [height - spec.kernel + 1, width - spec.kernel + 1, spec.filters];
        break;
      case "maxpool2d":
        if (shape.length !== 3) return refuse("a pool needs an image as its input");
        if (Math.min(height, width) < spec.size) return refuse(`its input is only ${height} by ${width}`);
        shape = [Math.floor(height / spec.size), Math.floor(width / spec.size), channels];
        break;
      case "flatten":
        shape = [product(shape)];
        break;
    }
    if (offset > MAX_PARAMETERS) return refuse(`the model has more than ${MAX_PARAMETERS} parameters`);
  }
  return tensors;
}

/**
 * The tensors of a task that was parsed, which has a model that fits.
 * @throws PoflError BAD_TASK when layers don't fit together
 */
export function modelTensors(task: ModelShape): readonly Tensor[] {
  const found = layOut(task);
  if ("layer" in found) throw problem("task", ["model", "layers", found.layer], found.message);
  return found;
}

export function parameterCount(task: ModelShape): number {
  const last = modelTensors(task).at(-1);
  return last ? last.offset + last.size : 0;
}

/** Numbers in a stored model: the parameters, then as many again for each moment of the task's server optimiser. */
export function storedCount(task: ModelShape & Pick<TaskSpec, "aggregation">): number {
  return parameterCount(task) * (1 + momentsOf(task));
}

function momentsOf({ aggregation }: Pick<TaskSpec, "aggregation">): number {
  return MOMENTS[aggregation.optimiser ?? "fedavg"];
}

/** The parameters of a stored model: all that a trainer, a judge or a user of the model sees. */
export function parametersOf(task: Pick<TaskSpec, "aggregation">, stored: Int32Array): Int32Array {
  return stored.subarray(0, stored.length / (1 + momentsOf(task)));
}

/** Largest integer whose square is at most n ≥ 0. Newton's iteration from above falls until it has arrived. */
export function isqrt(n: bigint): bigint {
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}

/** What is stored before round 1: the first parameters, first moments of zero, second ones of τ². */
export function initialModel(task: TaskSpec, id: Uint8Array): Int32Array {
  const parameters = initialParameters(task, id);
  const stored = new Int32Array(storedCount(task));
  stored.set(parameters);
  const optimiser = serverOptimiser(task.aggregation, task.model.scaleBits);
  if (optimiser.name === "fedadam") stored.fill(packSquare(optimiser.tau ** 2), 2 * parameters.length);
  return stored;
}

/**
 * The parameters before round 1, fixed point with `scaleBits`: zero for a single layer (logistic regression is convex), else
 * Glorot-uniform kernels (Glorot and Bengio 2010) drawn from hashes of the task's id, and zero biases.
 */
function initialParameters(task: TaskSpec, id: Uint8Array): Int32Array {
  const model = new Int32Array(parameterCount(task));
  const kernels = modelTensors(task).filter((t) => t.name.endsWith(".kernel"));
  if (kernels.length === 1) return model;
  for (const t of kernels) {
    const fanOut = BigInt(t.shape.at(-1) as number);
    const receptive = product(t.shape.slice(0, -2));
    const fanIn = BigInt(t.size) / fanOut;
    // limit = sqrt(6 / (fanIn + fanOut)), as an integer of 2^-scaleBits.
    const limit = Number(isqrt((6n << BigInt(2 * task.model.scaleBits)) / (fanIn + fanOut * BigInt(receptive))));
    const span = 2 * limit + 1;
    for (let i = 0; i < t.size; i += 8) {
      const words = new DataView(taggedHash("pofl/model/1", id, u64Bytes(t.offset + i)).buffer);
      for (let j = 0; j < 8 && i + j < t.size; j++) {
        // Multiply-shift maps 32 random bits to [0, span) without modulo; exact as a bigint.
        const word = BigInt(words.getUint32(4 * j, true));
        model[t.offset + i + j] = Number((word * BigInt(span)) >> 32n) - limit;
      }
    }
  }
  return model;
}

/** Largest magnitude of a lane: 12 significant bits, sign included. */
export const MAX_LANE = 2047;

/**
 * Exponent of a task's first lanes: a lane stands for 2^-12, so that updates up to 0.5 per parameter fit; from then on it follows
 * the median norm.
 */
export function initialExponent(task: TaskSpec): number {
  return Math.max(0, task.model.scaleBits - 12);
}

/** A stored model as bytes: int32, little-endian on every machine, hence the DataView. */
export function modelBytes(model: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * model.length);
  const view = new DataView(bytes.buffer);
  for (let k = 0; k < model.length; k++) view.setInt32(4 * k, model[k] as number, true);
  return bytes;
}

/** @throws PoflError BAD_MODEL when the number of bytes is no multiple of four */
export function modelFromBytes(bytes: Uint8Array): Int32Array {
  if (bytes.length % 4 !== 0) {
    throw new PoflError("BAD_MODEL", `a model of ${bytes.length} bytes: parameters take four each`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const model = new Int32Array(bytes.length / 4);
  for (let k = 0; k < model.length; k++) model[k] = view.getInt32(4 * k, true);
  return model;
}

/** The name of a model: the root of its bytes as a blob, so that it is served like any other. */
export function modelRoot(model: Int32Array): Hash {
  return blobRoot(modelBytes(model));
}
