import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { EngineRounds } from "../../consensus/engine/types.ts";
import { computeRound, type RoundInput, type RoundOutcome } from "../../consensus/round/compute.ts";
import { errorText } from "../../types/errors.ts";

/** Rounds are computed beside the main thread, so that a large one delays no vote of this node. */

/** Below so many lanes the way to a thread and back costs as much as the round, a millisecond. */
const INLINE_LANES = 1 << 15;

export type RoundPoolOptions = {
  /** At most so many, started when they are needed. */
  readonly threads: number;
  /** Rounds of fewer lanes are computed on the calling thread. */
  readonly inlineLanes?: number;
  /** What a thread runs. */
  readonly entry?: URL;
  /** Told of every thread that died. */
  readonly log?: (line: string) => void;
};

type Job = {
  readonly input: RoundInput;
  readonly resolve: (outcome: RoundOutcome) => void;
  readonly reject: (error: unknown) => void;
};

/** Every round has the same outcome, bit for bit, however many threads there are and even if they die. */
export class RoundPool implements EngineRounds {
  readonly #threads: number;
  readonly #inlineLanes: number;
  readonly #entry: URL;
  readonly #log: (line: string) => void;
  readonly #workers = new Map<Worker, Job | undefined>();
  readonly #waiting: Job[] = [];
  #closed = false;

  constructor({ threads, inlineLanes, entry, log }: RoundPoolOptions) {
    this.#threads = threads;
    this.#inlineLanes = inlineLanes ?? INLINE_LANES;
    // The sibling with this file's own extension: compiled in dist/, source under a loader.
    this.#entry = entry ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    this.#log = log ?? (() => {});
  }

  /** Rejects after `close`, else only with what `computeRound` throws. */
  async compute(input: RoundInput): Promise<RoundOutcome> {
    if (this.#closed) throw closed();
    const lanes = input.model.length * (input.updates.length + input.past.length);
    if (lanes < this.#inlineLanes) return computeRound(input);
    return new Promise<RoundOutcome>((resolve, reject) => {
      this.#waiting.push({ input, resolve, reject });
      this.#dispatch();
    });
  }

  /** Ends the threads; rounds that wait are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    const jobs = [...this.#workers.values(), ...this.#waiting.splice(0)];
    const workers = [...this.#workers.keys()];
    this.#workers.clear();
    for (const job of jobs) job?.reject(closed());
    await Promise.all(workers.map((w) => w.terminate()));
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#free();
      if (!worker) return;
      const job = this.#waiting.shift() as Job;
      this.#workers.set(worker, job);
      const { message, transfer } = owned(job.input);
      worker.postMessage(message, transfer);
    }
  }

  /** A thread without work, a new one if there may be more. */
  #free(): Worker | undefined {
    for (const [worker, job] of this.#workers) if (!job) return worker;
    return this.#workers.size < this.#threads ? this.#start() : undefined;
  }

  #start(): Worker {
    const worker = new Worker(this.#entry);
    let why = "it ended";
    worker.on("message", (outcome: RoundOutcome) => {
      this.#workers.get(worker)?.resolve(outcome);
      if (this.#workers.has(worker)) this.#workers.set(worker, undefined);
      this.#dispatch();
    });
    worker.on("error", (error) => {
      why = errorText(error);
    });
    worker.on("exit", () => this.#died(worker, why));
    this.#workers.set(worker, undefined);
    return worker;
  }

  /** Its round is computed here, slowly but surely: a thread that dies is our fault and no reason to refuse a block. */
  #died(worker: Worker, why: string): void {
    if (!this.#workers.has(worker)) return;
    const job = this.#workers.get(worker);
    this.#workers.delete(worker);
    this.#log(`a round thread died (${why})${job ? "; its round is computed on the main thread" : ""}`);
    try {
      job?.resolve(computeRound(job.input));
    } catch (error) {
      job?.reject(error);
    }
    this.#dispatch();
  }
}

function closed(): Error {
  return new Error("the node is closing");
}

/**
 * A copy of exactly the bytes that a round names, its large parts to be moved: updates are shared with the store, and a view into a
 * network buffer would be cloned with all of it.
 */
function owned(input: RoundInput): { message: RoundInput; transfer: ArrayBuffer[] } {
  const model = input.model.slice();
  const copy = <T extends { readonly blob: Uint8Array }>(from: T): T => ({ ...from, blob: new Uint8Array(from.blob) });
  const named = <T extends { readonly institution: Uint8Array; readonly commitment: Uint8Array }>(from: T): T => ({
    ...from,
    institution: new Uint8Array(from.institution),
    commitment: new Uint8Array(from.commitment),
  });
  const updates = input.updates.map((u) => named(copy(u)));
  const past = input.past.map(copy);
  const transfer = [model, ...updates.map((u) => u.blob), ...past.map((p) => p.blob)].map(
    (a) => a.buffer as ArrayBuffer,
  );
  const seed = new Uint8Array(input.seed);
  return { message: { ...input, seed, model, updates, past, notHeld: input.notHeld.map(named) }, transfer };
}
