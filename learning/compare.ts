import { initialModel, parameterCount, parametersOf } from "../genesis/model.ts";
import type { TaskSpec } from "../genesis/task.ts";
import { PoflError } from "../types/errors.ts";
import { loadDataset } from "./dataset.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import { dequantiseModel } from "./quantise.ts";
import { Random } from "./random.ts";
import { join, type Samples } from "./samples.ts";
import { hospitalName, type Split, splitDataset } from "./split.ts";
import { createTrainer } from "./trainers/create.ts";
import type { Trainer } from "./trainers/trainer.ts";

/** What federation is worth: the same rows, trained on alone, together on one pile (which no hospital would allow), and judged alike. */

export type Scores = {
  /** On the rows of all hospitals together. */
  readonly pooled: Evaluation;
  readonly perHospital: Readonly<Record<string, Evaluation>>;
};
export type Comparison = {
  /** By the hospital whose rows alone were trained on. */
  readonly localOnly: Readonly<Record<string, Scores>>;
  readonly pooled: Scores;
};
export type CompareOptions = {
  readonly files: readonly string[];
  readonly task: TaskSpec;
  /** Rounds of local work; the pooled model gets as many steps as all hospitals together. */
  readonly rounds: number;
  readonly seed: string;
  readonly splitFile?: string | undefined;
  /** Task id, from which the initial model is drawn; left out: zeros. */
  readonly id?: Uint8Array | undefined;
};

/** Trains every hospital on its own and one model on all training rows, and evaluates them on the test rows. @throws PoflError as loadDataset */
export async function compareTraining(options: CompareOptions): Promise<Comparison> {
  const { task, rounds, seed } = options;
  const hospitals = load(options.files, task, options.splitFile);
  const trainer = await createTrainer(task);
  const first = parametersOf(task, initialModel(task, options.id ?? new Uint8Array(32)));
  const start = dequantiseModel(first, task.model.scaleBits);
  const tests = hospitals.map(({ name, split }) => ({ name, rows: split.test }));
  const train = async (rows: Samples, name: string, work: number): Promise<Scores> => {
    let parameters: Float32Array = start;
    for (let round = 1; round <= rounds; round++) {
      parameters = await trainer.train(parameters, rows, new Random("compare", seed, name, round), work);
    }
    return score(trainer, parameters, tests);
  };
  try {
    const localOnly: Record<string, Scores> = {};
    for (const { name, split } of hospitals) localOnly[name] = await train(split.train, name, 1);
    const all = join(hospitals.map((h) => h.split.train));
    return { localOnly, pooled: await train(all, "", hospitals.length) };
  } finally {
    trainer.close();
  }
}

export type EvaluateOptions = {
  readonly splitFile?: string | undefined;
  /** "test" (default): the test rows of the task's split; "all": every row that can be used. */
  readonly rows?: "test" | "all";
};

/**
 * Evaluates the chain's model on hospitals' files.
 * @throws PoflError BAD_MODEL when it has not as many parameters as the task's model, and as loadDataset
 */
export async function evaluateModel(
  model: Int32Array,
  task: TaskSpec,
  files: readonly string[],
  { splitFile, rows = "test" }: EvaluateOptions = {},
): Promise<Scores> {
  const wanted = parameterCount(task);
  if (model.length !== wanted) {
    throw new PoflError(
      "BAD_MODEL",
      `the model has ${model.length} parameters, the task's has ${wanted}: is it another task's?`,
    );
  }
  const sets =
    rows === "all"
      ? files.map((file) => ({ name: hospitalName(file), rows: loadDataset(file, task).samples }))
      : load(files, task, splitFile).map(({ name, split }) => ({ name, rows: split.test }));
  const trainer = await createTrainer(task);
  try {
    return await score(trainer, dequantiseModel(model, task.model.scaleBits), sets);
  } finally {
    trainer.close();
  }
}

function load(files: readonly string[], task: TaskSpec, splitFile?: string): { name: string; split: Split }[] {
  return files.map((file) => {
    const split = splitDataset(loadDataset(file, task), file, task, splitFile);
    return { name: hospitalName(file), split };
  });
}

async function score(
  trainer: Trainer,
  parameters: Float32Array,
  sets: readonly { name: string; rows: Samples }[],
): Promise<Scores> {
  const perHospital: Record<string, Evaluation> = {};
  const logits: number[] = [];
  const labels: number[] = [];
  for (const { name, rows } of sets) {
    const z = await trainer.logits(parameters, rows);
    perHospital[name] = evaluate(z, rows.y);
    for (let i = 0; i < rows.n; i++) {
      logits.push(z[i]!);
      labels.push(rows.y[i]!);
    }
  }
  return { pooled: evaluate(logits, labels), perHospital };
}
