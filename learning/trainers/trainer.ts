import type { TaskSpec } from "../../genesis/task.ts";
import type { Random } from "../random.ts";
import type { Samples } from "../samples.ts";

/**
 * Learns and applies one task's model. Parameters are one flat float32 vector in the order of `modelTensors`; `train` returns a new
 * one. Neither method is called again before the last call ended.
 */
export interface Trainer {
  /** What computes, as it stands in logs: "typed arrays", "TensorFlow.js (wasm)". */
  readonly backend: string;
  /**
   * The task's local work of one round from `start`: `steps` mini-batches or `epochs` passes, rows in an order drawn from `random`.
   * The optimiser starts afresh. `work` multiplies the steps (epochs stay: they already scale with the rows).
   */
  train(start: Float32Array, samples: Samples, random: Random, work?: number): Promise<Float32Array>;
  /** Logit of the positive class for each row. */
  logits(parameters: Float32Array, samples: Samples): Promise<Float32Array>;
  close(): void;
}

/**
 * The mini-batches of one round as row indices: each pass over the rows is shuffled anew and its last batch may be short, as a
 * data loader does it.
 */
export function* batches(
  training: TaskSpec["training"],
  n: number,
  random: Random,
  work = 1,
): Generator<Uint32Array, void, undefined> {
  if (n === 0) return;
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const perPass = Math.ceil(n / training.batch);
  const total = training.steps !== undefined ? training.steps * work : (training.epochs ?? 0) * perPass;
  for (let step = 0; step < total; step++) {
    const at = (step % perPass) * training.batch;
    if (at === 0) random.shuffle(order);
    yield order.subarray(at, at + training.batch);
  }
}
