import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { TaskSpec } from "../genesis/task.ts";
import { PoflError } from "../types/errors.ts";
import type { Judgement } from "./judge.ts";
import type { DataSummary, JudgeRequest, SessionOptions, TrainRequest, TrainResult } from "./session.ts";
import type { WorkerCall, WorkerReply, WorkerRequest } from "./worker.ts";

export type LearningOptions = SessionOptions & {
  /** When given, the data are read for it at once, so that a node with unusable data does not start. */
  readonly task?: TaskSpec | undefined;
  readonly log?: ((line: string) => void) | undefined;
};

/** A hospital's learning, in a worker thread. Calls queue up; each is answered or rejected exactly once. */
export interface LearningService {
  /** Reads the data for a task. @throws PoflError as loadDataset and splitDataset do */
  load(task: TaskSpec): Promise<DataSummary>;
  /** @throws PoflError TRAINING_DIVERGED, LEARNING_CRASHED, LEARNING_CLOSED, as load */
  train(request: TrainRequest): Promise<TrainResult>;
  /** Votes in the order of the updates, and coarse metrics of the model. @throws PoflError LEARNING_CRASHED, LEARNING_CLOSED, as load */
  judge(request: JudgeRequest): Promise<Judgement>;
  /** Ends the thread; calls that wait are rejected with LEARNING_CLOSED. */
  close(): Promise<void>;
}

type Pending = {
  readonly call: WorkerCall;
  /** Threads that died while they worked on it. */
  crashes: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: PoflError) => void;
};

/**
 * Starts the worker thread.
 * @throws PoflError when `task` is given and the data don't fit it
 */
export async function createLearningService(options: LearningOptions): Promise<LearningService> {
  const service = new ThreadedLearning(options);
  try {
    if (options.task) await service.load(options.task);
    return service;
  } catch (error) {
    await service.close();
    throw error;
  }
}

class ThreadedLearning implements LearningService {
  readonly #options: SessionOptions;
  readonly #log: (line: string) => void;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #worker: Worker | undefined;
  #closed = false;

  constructor({ task, log, ...options }: LearningOptions) {
    this.#options = options;
    this.#log = log ?? (() => {});
  }

  load(task: TaskSpec): Promise<DataSummary> {
    return this.#call({ kind: "load", value: task });
  }

  train(request: TrainRequest): Promise<TrainResult> {
    return this.#call({ kind: "train", value: request });
  }

  judge(request: JudgeRequest): Promise<Judgement> {
    return this.#call({ kind: "judge", value: request });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    for (const { reject } of this.#pending.values()) reject(closed());
    this.#pending.clear();
  }

  #call<T>(call: WorkerCall): Promise<T> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise<T>((resolve, reject) => {
      const id = this.#next++;
      this.#pending.set(id, { call, crashes: 0, resolve, reject });
      this.#send(id, call);
    });
  }

  #send(id: number, call: WorkerCall): void {
    this.#worker ??= this.#start();
    const { message, transfer } = owned({ ...call, id });
    this.#worker.postMessage(message, transfer);
  }

  #start(): Worker {
    // The sibling with this file's own extension: compiled in dist/, source under a loader.
    const entry = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(entry, { workerData: this.#options });
    let why = "it ended";
    worker.on("message", (reply: WorkerReply) => this.#receive(reply));
    worker.on("error", (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    worker.on("exit", () => {
      if (this.#worker === worker) this.#crashed(why);
    });
    return worker;
  }

  #receive(reply: WorkerReply): void {
    if ("log" in reply) {
      this.#log(reply.log);
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    this.#pending.delete(reply.id);
    if (reply.ok) pending.resolve(reply.value as never);
    else pending.reject(new PoflError(reply.code, reply.message, reply.data));
  }

  /** The oldest call was being worked on: it is tried once more in a fresh thread, then given up. The others just wait. */
  #crashed(why: string): void {
    this.#worker = undefined;
    const oldest = this.#pending.entries().next().value;
    if (oldest !== undefined) {
      const [id, pending] = oldest;
      pending.crashes++;
      if (pending.crashes > 1) {
        this.#pending.delete(id);
        pending.reject(
          new PoflError("LEARNING_CRASHED", `the learning thread died twice on "${pending.call.kind}": ${why}`),
        );
      }
    }
    this.#log(`the learning thread died (${why})${this.#pending.size > 0 ? "; a new one takes over" : ""}`);
    for (const [id, { call }] of this.#pending) this.#send(id, call);
  }
}

function closed(): PoflError {
  return new PoflError("LEARNING_CLOSED", "the learning service is closed");
}

/** Copies of exactly the bytes that a call names, to be moved: a view into a large network buffer would be cloned with all of it. */
function owned(request: WorkerRequest): { message: WorkerRequest; transfer: ArrayBuffer[] } {
  if (request.kind === "load") return { message: request, transfer: [] };
  const model = request.value.model.slice();
  const transfer = [model.buffer];
  if (request.kind === "train") return { message: { ...request, value: { ...request.value, model } }, transfer };
  const updates = request.value.updates.map(({ miner, blob }) => ({ miner, blob: new Uint8Array(blob) }));
  transfer.push(...updates.map((u) => u.blob.buffer));
  return { message: { ...request, value: { ...request.value, model, updates } }, transfer };
}
