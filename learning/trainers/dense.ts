import { inputShape, modelTensors } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Random } from "../random.ts";
import type { Samples } from "../samples.ts";
import { addPenalties, optimiser } from "./optimiser.ts";
import { batches, type Trainer } from "./trainer.ts";

type Activation = "linear" | "relu" | "tanh" | "sigmoid";
type Dense = {
  readonly inputs: number;
  readonly units: number;
  readonly kernel: number;
  readonly bias: number;
  readonly activation: Activation;
  /** Activations of one row, and the loss's derivative by the pre-activations. */
  readonly out: Float64Array;
  readonly delta: Float64Array;
};

/**
 * Logistic regression and multi-layer perceptrons in typed arrays: parameters are float32, sums within a step float64. Rows go
 * through one at a time, so the gradient of each example is there before it is added to its batch. The loss is the mean binary
 * cross-entropy of the batch.
 */
export class DenseTrainer implements Trainer {
  readonly backend = "typed arrays";
  readonly #task: TaskSpec;
  readonly #layers: readonly Dense[];
  readonly #weights: readonly { offset: number; size: number }[];
  readonly #size: number;

  constructor(task: TaskSpec) {
    this.#task = task;
    const tensors = modelTensors(task);
    let inputs = inputShape(task)[0]!;
    this.#layers = task.model.layers.map((layer, i) => {
      if (layer.type !== "dense") throw new TypeError(`layer ${i} is not dense`);
      const of = {
        inputs,
        units: layer.units,
        kernel: tensors[2 * i]!.offset,
        bias: tensors[2 * i + 1]!.offset,
        // The last sigmoid is part of the loss: the network proper ends in a logit.
        activation: i === task.model.layers.length - 1 ? ("linear" as const) : layer.activation,
        out: new Float64Array(layer.units),
        delta: new Float64Array(layer.units),
      };
      inputs = layer.units;
      return of;
    });
    this.#weights = tensors.filter((t) => t.name.endsWith(".kernel"));
    this.#size = tensors.at(-1)!.offset + tensors.at(-1)!.size;
  }

  async train(start: Float32Array, samples: Samples, random: Random, work = 1): Promise<Float32Array> {
    const { training } = this.#task;
    const parameters = start.slice();
    const gradient = new Float64Array(this.#size);
    const step = optimiser(training, this.#size);
    for (const batch of batches(training, samples.n, random, work)) {
      gradient.fill(0);
      for (const row of batch) this.#addGradient(parameters, samples, row, 1 / batch.length, gradient);
      addPenalties(training, gradient, parameters, start, this.#weights);
      step(parameters, gradient);
    }
    return parameters;
  }

  async logits(parameters: Float32Array, samples: Samples): Promise<Float32Array> {
    return Float32Array.from({ length: samples.n }, (_, row) => this.#forward(parameters, samples, row));
  }

  close(): void {}

  #forward(parameters: Float32Array, samples: Samples, row: number): number {
    let input: Float32Array | Float64Array = samples.x;
    let from = row * samples.width;
    for (const { inputs, units, kernel, bias, activation, out } of this.#layers) {
      for (let j = 0; j < units; j++) out[j] = parameters[bias + j]!;
      for (let i = 0; i < inputs; i++) {
        const value = input[from + i]!;
        if (value === 0) continue;
        const at = kernel + i * units;
        for (let j = 0; j < units; j++) out[j] = out[j]! + value * parameters[at + j]!;
      }
      activate(out, activation);
      input = out;
      from = 0;
    }
    return input[0]!;
  }

  /** Adds weight · ∂(cross-entropy of the row)/∂parameters to `gradient`. */
  #addGradient(parameters: Float32Array, samples: Samples, row: number, weight: number, gradient: Float64Array): void {
    const logit = this.#forward(parameters, samples, row);
    const last = this.#layers.length - 1;
    this.#layers[last]!.delta[0] = weight * (1 / (1 + Math.exp(-logit)) - samples.y[row]!);
    for (let l = last; l >= 0; l--) {
      const { inputs, units, kernel, bias, delta } = this.#layers[l]!;
      const below = this.#layers[l - 1];
      const input = below ? below.out : samples.x;
      const from = below ? 0 : row * samples.width;
      for (let j = 0; j < units; j++) gradient[bias + j] = gradient[bias + j]! + delta[j]!;
      for (let i = 0; i < inputs; i++) {
        const value = input[from + i]!;
        const at = kernel + i * units;
        if (value !== 0) {
          for (let j = 0; j < units; j++) gradient[at + j] = gradient[at + j]! + value * delta[j]!;
        }
        if (below) {
          let sum = 0;
          for (let j = 0; j < units; j++) sum += parameters[at + j]! * delta[j]!;
          below.delta[i] = sum * slope(below.out[i]!, below.activation);
        }
      }
    }
  }
}

function activate(values: Float64Array, activation: Activation): void {
  if (activation === "linear") return;
  for (let j = 0; j < values.length; j++) {
    const z = values[j]!;
    values[j] = activation === "relu" ? Math.max(0, z) : activation === "tanh" ? Math.tanh(z) : 1 / (1 + Math.exp(-z));
  }
}

/** Derivative of an activation, from its value. */
function slope(value: number, activation: Activation): number {
  switch (activation) {
    case "linear":
      return 1;
    case "relu":
      return value > 0 ? 1 : 0;
    case "tanh":
      return 1 - value * value;
    case "sigmoid":
      return value * (1 - value);
  }
}
