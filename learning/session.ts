import type { TaskSpec } from "../genesis/task.ts";
import { type Attack, attackSamples } from "./attacks/index.ts";
import { AttackerMemory } from "./attacks/memory.ts";
import { loadDataset } from "./dataset.ts";
import { type Judgement, type JudgeRequest, judge } from "./judge.ts";
import { clipFactor, dequantiseModel, norm, quantise } from "./quantise.ts";
import { Random } from "./random.ts";
import type { Dataset } from "./samples.ts";
import { type Split, splitDataset } from "./split.ts";
import { createTrainer } from "./trainers/create.ts";
import type { Trainer } from "./trainers/trainer.ts";

export type { JudgeRequest };

export type SessionOptions = {
  /** The hospital's file. */
  readonly file: string;
  /** The file of row numbers that a task may name; left out: beside the data. */
  readonly splitFile?: string | undefined;
  /** Fixes batches, rounding, and what judging makes of the rows; one per miner, and its secret. */
  readonly seed: string;
  readonly attack?: Attack | undefined;
  /** Of an attacker: the miners that attack with it, and how many take part in a round. */
  readonly accomplices?: readonly number[] | undefined;
  readonly participants?: number | undefined;
};
export type TrainRequest = {
  readonly task: TaskSpec;
  /** The global model, fixed point. */
  readonly model: Int32Array;
  /** A lane q stands for q · 2^exponent model units. */
  readonly exponent: number;
  readonly height: number;
};
export type TrainResult = {
  /** int16 lanes, little-endian. */
  readonly blob: Uint8Array;
  /** Rows trained on. */
  readonly samples: number;
};
export type DataSummary = {
  readonly file: string;
  readonly train: number;
  readonly validation: number;
  readonly test: number;
};

type Ready = {
  readonly id: string;
  readonly split: Split;
  readonly trainer: Trainer;
  readonly attacker: AttackerMemory | undefined;
};

/** One hospital's data and trainer: everything that the worker does, callable without one. Keeps the last task's data in memory. */
export class LearningSession {
  readonly #options: SessionOptions;
  readonly #log: (line: string) => void;
  #ready: Ready | undefined;

  constructor(options: SessionOptions, log: (line: string) => void = () => {}) {
    this.#options = options;
    this.#log = log;
  }

  /** Reads and splits the data for a task. @throws PoflError as loadDataset, splitDataset and createTrainer do */
  async load(task: TaskSpec): Promise<DataSummary> {
    const { split } = await this.#prepare(task);
    return {
      file: this.#options.file,
      train: split.train.n,
      validation: split.validation.n,
      test: split.test.n,
    };
  }

  /** Trains from `model` and returns the update. The same request gives the same bytes. @throws PoflError TRAINING_DIVERGED, as load */
  async train({ task, model, exponent, height }: TrainRequest): Promise<TrainResult> {
    const { split, trainer, attacker } = await this.#prepare(task);
    const { seed, attack } = this.#options;
    const start = dequantiseModel(model, task.model.scaleBits);
    const rows = attackSamples(attack, split.train, task, new Random("poison", seed));
    const end = await trainer.train(start, rows, new Random("batches", seed, height));
    const delta = end.map((p, i) => p - start[i]!);
    const factor = clipFactor(norm(delta), task.training.clipNorm);
    const clipped = factor === 1 ? delta : delta.map((v) => v * factor);
    const sent = attacker?.send(clipped, start, height) ?? clipped;
    const blob = quantise(sent, task.model.scaleBits, exponent, new Random("rounding", seed, height));
    return { blob, samples: split.train.n };
  }

  /** See judge.ts. @throws PoflError as load */
  async judge(request: JudgeRequest): Promise<Judgement> {
    const { split, trainer, attacker } = await this.#prepare(request.task);
    attacker?.see(request.model, request.exponent, request.updates);
    const judged = await judge(trainer, split.validation, this.#options.seed, request);
    return attacker ? { ...judged, votes: attacker.votes(judged.votes, request.updates) } : judged;
  }

  close(): void {
    this.#ready?.trainer.close();
    this.#ready = undefined;
  }

  async #prepare(task: TaskSpec): Promise<Ready> {
    const id = JSON.stringify(task);
    if (this.#ready?.id === id) return this.#ready;
    const { file, splitFile, attack, seed, accomplices = [], participants = 1 } = this.#options;
    const data: Dataset = loadDataset(file, task);
    const split = splitDataset(data, file, task, splitFile);
    const trainer = await createTrainer(task, this.#log);
    this.#ready?.trainer.close();
    const attacker = attack && new AttackerMemory({ attack, seed, accomplices, participants }, task);
    this.#ready = { id, split, trainer, attacker };
    this.#log(
      `${data.file}: ${split.train.n} training, ${split.validation.n} validation, ${split.test.n} test rows; ${trainer.backend}`,
    );
    return this.#ready;
  }
}
