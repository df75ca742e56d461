import type { TaskSpec } from "../../genesis/task.ts";

/** Adam's constants (Kingma and Ba 2015), epsilon as in TensorFlow.js. */
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;

/** Changes `parameters` in place by one step along `gradient`. */
export type Step = (parameters: Float32Array, gradient: Float64Array) => void;

/** SGD without momentum, or Adam with bias correction; state lives as long as the returned function. */
export function optimiser(training: TaskSpec["training"], size: number): Step {
  const rate = training.learningRate;
  if (training.optimiser === "sgd") {
    return (p, g) => {
      for (let i = 0; i < size; i++) p[i] = p[i]! - rate * g[i]!;
    };
  }
  const { beta1, beta2, epsilon } = ADAM;
  const m = new Float64Array(size);
  const v = new Float64Array(size);
  let power1 = 1;
  let power2 = 1;
  return (p, g) => {
    power1 *= beta1;
    power2 *= beta2;
    for (let i = 0; i < size; i++) {
      const gi = g[i]!;
      const mi = beta1 * m[i]! + (1 - beta1) * gi;
      const vi = beta2 * v[i]! + (1 - beta2) * gi * gi;
      m[i] = mi;
      v[i] = vi;
      p[i] = p[i]! - (rate * (mi / (1 - power1))) / (Math.sqrt(vi / (1 - power2)) + epsilon);
    }
  };
}

/**
 * Adds what pulls on the parameters besides the data: l2 · w on weights (the penalty l2/2 · ‖w‖²), and FedProx's proximal term
 * μ · (p − start) on all (μ/2 · ‖p − start‖²; Li et al. 2020).
 */
export function addPenalties(
  training: TaskSpec["training"],
  gradient: Float64Array,
  parameters: Float32Array,
  start: Float32Array,
  weights: readonly { offset: number; size: number }[],
): void {
  const { l2, proximal } = training;
  if (l2 > 0) {
    for (const { offset, size } of weights) {
      for (let i = offset; i < offset + size; i++) gradient[i] = gradient[i]! + l2 * parameters[i]!;
    }
  }
  if (proximal > 0) {
    for (let i = 0; i < gradient.length; i++) gradient[i] = gradient[i]! + proximal * (parameters[i]! - start[i]!);
  }
}
