import { createHash } from "node:crypto";
import { blobRoot } from "../crypto/blob.ts";
import { PoflError } from "../types/errors.ts";
import type { Hash } from "../types/primitives.ts";
import type { Feature, TaskSpec } from "./task.ts";

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

/** Shape of one input row. */
export function inputShape(task: TaskSpec): readonly number[] {
  const { image, features } = task.schema;
  return image ? [image.height, image.width, image.channels] : [features.reduce((n, f) => n + featureWidth(f), 0)];
}

/**
 * Every parameter tensor of the model. Dense kernels are [in, out]; convolutions [kernel, kernel, in, filters], stride 1, no padding.
 * @throws PoflError BAD_TASK when layers don't fit together
 */
export function modelTensors(task: TaskSpec): readonly Tensor[] {
  const tensors: Tensor[] = [];
  let offset = 0;
  const add = (name: string, shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    tensors.push({ name, shape, offset, size });
    offset += size;
  };
  let shape = inputShape(task);
  task.model.layers.forEach((layer, i) => {
    const refuse = (why: string): never => {
      throw new PoflError("BAD_TASK", `task: $.model.layers[${i}]: ${why}`);
    };
    switch (layer.type) {
      case "dense": {
        if (shape.length !== 1) refuse("a dense layer needs a flat input; put a flatten layer before it");
        add(`layers.${i}.kernel`, [shape[0] as number, layer.units]);
        add(`layers.${i}.bias`, [layer.units]);
        shape = [layer.units];
        break;
      }
      case "conv2d": {
        const [h, w, c] = shape as [number, number, number];
        if (shape.length !== 3 || h < layer.kernel || w < layer.kernel) refuse("the kernel is larger than its input");
        add(`layers.${i}.kernel`, [layer.kernel, layer.kernel, c, layer.filters]);
        add(`layers.${i}.bias`, [layer.filters]);
        shape = [h - layer.kernel + 1, w - layer.kernel + 1, layer.filters];
        break;
      }
      case "maxpool2d": {
        const [h, w, c] = shape as [number, number, number];
        if (shape.length !== 3 || h < layer.size || w < layer.size) refuse("the pool is larger than its input");
        shape = [Math.floor(h / layer.size), Math.floor(w / layer.size), c];
        break;
      }
      case "flatten":
        shape = [shape.reduce((a, b) => a * b, 1)];
        break;
    }
  });
  return tensors;
}

export function parameterCount(task: TaskSpec): number {
  const last = modelTensors(task).at(-1);
  return last ? last.offset + last.size : 0;
}

/** Largest integer whose square is at most n. */
export function isqrt(n: bigint): bigint {
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}

/**
 * The model before round 1, fixed point with `scaleBits`: zero for a single layer (logistic regression is convex), else
 * Glorot-uniform kernels (Glorot and Bengio 2010) drawn from SHA-256 of the task's id, and zero biases.
 */
export function initialModel(task: TaskSpec, id: Uint8Array): Int32Array {
  const model = new Int32Array(parameterCount(task));
  const kernels = modelTensors(task).filter((t) => t.name.endsWith(".kernel"));
  if (kernels.length === 1) return model;
  for (const t of kernels) {
    const fanOut = BigInt(t.shape.at(-1) as number);
    const receptive = t.shape.slice(0, -2).reduce((a, b) => a * b, 1);
    const fanIn = BigInt(t.size) / fanOut;
    // limit = sqrt(6 / (fanIn + fanOut)), as an integer of 2^-scaleBits.
    const limit = Number(isqrt((6n << BigInt(2 * task.model.scaleBits)) / (fanIn + fanOut * BigInt(receptive))));
    const span = 2 * limit + 1;
    for (let i = 0; i < t.size; i += 8) {
      const words = createHash("sha256")
        .update("pofl/init/1")
        .update(id)
        .update(`/${t.name}/${i / 8}`)
        .digest();
      for (let j = 0; j < 8 && i + j < t.size; j++) {
        // Multiply-shift maps 32 random bits to [0, span) without modulo; exact as a bigint.
        const word = BigInt(words.readUInt32LE(4 * j));
        model[t.offset + i + j] = Number((word * BigInt(span)) >> 32n) - limit;
      }
    }
  }
  return model;
}

/**
 * Exponent of a task's first lanes: a lane stands for 2^-12, so that updates up to 0.5 per parameter fit; from then on it follows
 * the median norm.
 */
export function initialExponent(task: TaskSpec): number {
  return Math.max(0, task.model.scaleBits - 12);
}

/** A global model as bytes: its parameters as int32, little-endian on every machine, hence the DataView. */
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
