import type { TaskSpec } from "../../genesis/task.ts";
import type { Trainer } from "./trainer.ts";

/**
 * The trainer for a task: typed arrays for dense layers, which is faster than any framework at this size; TensorFlow.js, loaded only
 * then, for the rest.
 * @throws PoflError NO_BACKEND
 */
export async function createTrainer(task: TaskSpec, log: (line: string) => void = () => {}): Promise<Trainer> {
  if (task.model.layers.every((layer) => layer.type === "dense")) {
    const { DenseTrainer } = await import("./dense.ts");
    return new DenseTrainer(task);
  }
  const { createTensorflowTrainer } = await import("./tensorflow.ts");
  return createTensorflowTrainer(task, log);
}
