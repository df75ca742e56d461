import type * as tfjs from "@tensorflow/tfjs-core";
import { inputShape, modelTensors, type Tensor } from "../../genesis/model.ts";
import type { Layer, TaskSpec } from "../../genesis/task.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import type { Random } from "../random.ts";
import { pick, type Samples } from "../samples.ts";
import { ADAM } from "./optimiser.ts";
import { batches, type Trainer } from "./trainer.ts";

type Tf = typeof tfjs;
type Backend = { readonly tf: Tf; readonly name: string };
type Log = (line: string) => void;

/** TensorFlow.js keeps one backend per process or worker. */
let loading: Promise<Backend> | undefined;

/**
 * Loads TensorFlow.js once: the native backend when `@tensorflow/tfjs-node` is installed and multiplies two matrices rightly, else
 * WebAssembly. The pure-JavaScript backend is never used: it would be slower by orders of magnitude, in silence.
 * @throws PoflError NO_BACKEND
 */
export function loadTensorflow(log: Log): Promise<Backend> {
  loading ??= load(log).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(log: Log): Promise<Backend> {
  const tf = await import("@tensorflow/tfjs-core");
  // For its side effect: in Node, tfjs-core comes without gradients, and this package registers them in the registry that both share.
  await import("@tensorflow/tfjs-layers");
  // As variables: neither the compiler nor a bundler may demand an optional package.
  const native: string = "@tensorflow/tfjs-node";
  const candidates = [
    { name: "native", id: "tensorflow", module: native },
    { name: "wasm", id: "wasm", module: "@tensorflow/tfjs-backend-wasm" },
  ];
  const failures: string[] = [];
  for (const { name, id, module } of candidates) {
    try {
      await import(module);
      if (!(await tf.setBackend(id))) throw new Error(`backend "${id}" does not start`);
      probe(tf);
      log(`TensorFlow.js ${tf.version_core} runs on the ${name} backend`);
      return { tf, name };
    } catch (error) {
      failures.push(`${name}: ${errorText(error).split("\n")[0]}`);
    }
  }
  throw new PoflError(
    "NO_BACKEND",
    `no TensorFlow.js backend works (${failures.join("; ")}); run \`npm ci\` again, or choose a model of dense layers only`,
  );
}

function probe(tf: Tf): void {
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6], [2, 1])).dataSync());
  if (product[0] !== 17 || product[1] !== 39) throw new Error(`the probe product is ${product.join(", ")}`);
}

/** @throws PoflError NO_BACKEND */
export async function createTensorflowTrainer(task: TaskSpec, log: Log = () => {}): Promise<Trainer> {
  return new TensorflowTrainer(task, await loadTensorflow(log));
}

/** Any declared model, by automatic differentiation. Every tensor is disposed before a call returns. */
class TensorflowTrainer implements Trainer {
  readonly backend: string;
  readonly #tf: Tf;
  readonly #task: TaskSpec;
  readonly #tensors: readonly Tensor[];
  readonly #shape: readonly number[];

  constructor(task: TaskSpec, { tf, name }: Backend) {
    this.backend = `TensorFlow.js (${name})`;
    this.#tf = tf;
    this.#task = task;
    this.#tensors = modelTensors(task);
    this.#shape = inputShape(task);
  }

  async train(start: Float32Array, samples: Samples, random: Random, work = 1): Promise<Float32Array> {
    const tf = this.#tf;
    const { training } = this.#task;
    const anchors = this.#split(start);
    const variables = anchors.map((a) => tf.variable(a));
    const optimiser =
      training.optimiser === "sgd"
        ? tf.train.sgd(training.learningRate)
        : tf.train.adam(training.learningRate, ADAM.beta1, ADAM.beta2, ADAM.epsilon);
    try {
      for (const batch of batches(training, samples.n, random, work)) {
        tf.tidy(() => {
          const rows = pick(samples, batch);
          const { grads } = tf.variableGrads(() => this.#loss(variables, anchors, rows), variables);
          optimiser.applyGradients(Object.entries(grads).map(([name, tensor]) => ({ name, tensor })));
        });
      }
      const parameters = new Float32Array(start.length);
      this.#tensors.forEach((t, i) => {
        parameters.set(variables[i]!.dataSync(), t.offset);
      });
      return parameters;
    } finally {
      optimiser.dispose();
      tf.dispose([...variables, ...anchors]);
    }
  }

  async logits(parameters: Float32Array, samples: Samples): Promise<Float32Array> {
    const out = new Float32Array(samples.n);
    // In pieces: the patches of a convolution are kernel² times as large as its input.
    for (let from = 0; from < samples.n; from += 256) {
      const to = Math.min(samples.n, from + 256);
      const rows = pick(
        samples,
        Array.from({ length: to - from }, (_, i) => from + i),
      );
      out.set(
        this.#tf.tidy(() => this.#forward(this.#split(parameters), rows).dataSync() as Float32Array),
        from,
      );
    }
    return out;
  }

  close(): void {}

  #split(parameters: Float32Array): tfjs.Tensor[] {
    return this.#tensors.map((t) =>
      this.#tf.tensor(parameters.slice(t.offset, t.offset + t.size), [...t.shape], "float32"),
    );
  }

  #loss(variables: readonly tfjs.Tensor[], anchors: readonly tfjs.Tensor[], rows: Samples): tfjs.Scalar {
    const tf = this.#tf;
    const { l2, proximal } = this.#task.training;
    const logits = this.#forward(variables, rows);
    // −log of the probability of the label, from the logit: softplus(z) − z·y.
    let loss = tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, tf.tensor1d(rows.y))));
    this.#tensors.forEach((t, i) => {
      const value = variables[i]!;
      if (l2 > 0 && t.name.endsWith(".kernel")) loss = tf.add(loss, tf.mul(l2 / 2, tf.sum(tf.square(value))));
      if (proximal > 0) {
        loss = tf.add(loss, tf.mul(proximal / 2, tf.sum(tf.square(tf.sub(value, anchors[i]!)))));
      }
    });
    return loss as tfjs.Scalar;
  }

  #forward(parameters: readonly tfjs.Tensor[], rows: Samples): tfjs.Tensor {
    const tf = this.#tf;
    const { layers } = this.#task.model;
    let h: tfjs.Tensor = tf.tensor(rows.x, [rows.n, ...this.#shape], "float32");
    let next = 0;
    layers.forEach((layer, i) => {
      switch (layer.type) {
        case "flatten":
          h = tf.reshape(h, [rows.n, -1]);
          break;
        case "maxpool2d":
          h = tf.maxPool(h as tfjs.Tensor4D, layer.size, layer.size, "valid");
          break;
        case "conv2d":
          h = tf.add(convolve(tf, h as tfjs.Tensor4D, parameters[next++]!, layer.kernel), parameters[next++]!);
          h = activate(tf, h, layer);
          break;
        case "dense":
          h = tf.add(tf.matMul(h as tfjs.Tensor2D, parameters[next++] as tfjs.Tensor2D), parameters[next++]!);
          if (i < layers.length - 1) h = activate(tf, h, layer);
          break;
      }
    });
    return tf.reshape(h, [rows.n]);
  }
}

/**
 * Convolution, stride 1, no padding, as patches times a matrix: the WebAssembly backend has no kernel for the gradient of conv2d by
 * its filter, but has all that this needs.
 */
function convolve(tf: Tf, x: tfjs.Tensor4D, kernel: tfjs.Tensor, size: number): tfjs.Tensor {
  const [n, height, width, channels] = x.shape;
  const [h, w] = [height - size + 1, width - size + 1];
  const shifted: tfjs.Tensor4D[] = [];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) shifted.push(tf.slice(x, [0, i, j, 0], [n, h, w, channels]));
  }
  const depth = size * size * channels;
  const patches = tf.reshape(tf.concat(shifted, 3), [n * h * w, depth]) as tfjs.Tensor2D;
  const filters = kernel.shape[3]!;
  return tf.reshape(tf.matMul(patches, tf.reshape(kernel, [depth, filters]) as tfjs.Tensor2D), [n, h, w, filters]);
}

function activate(tf: Tf, x: tfjs.Tensor, layer: Extract<Layer, { activation: string }>): tfjs.Tensor {
  switch (layer.activation) {
    case "linear":
      return x;
    case "relu":
      return tf.relu(x);
    case "tanh":
      return tf.tanh(x);
    case "sigmoid":
      return tf.sigmoid(x);
  }
}
