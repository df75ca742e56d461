import { availableParallelism } from "node:os";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { beaconAlpha, vrfVerify } from "../../crypto/vrf.ts";
import type { Header } from "../../types/block.ts";
import { errorText } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import type { StateView } from "../../vm/view.ts";

/**
 * VRF proofs of blocks that will be judged soon, verified beside the main thread: more than half of what replaying a block costs. A proof, its
 * key and its input are known from headers alone; whether they are those of the block is decided where it is judged, which asks here
 * by all three. So a wrong guess costs time and nothing else.
 */

/** Beyond the main thread; more would wait for it. */
const MAX_THREADS = 3;
/** Outputs that nobody asked for: of blocks that were refused. */
const MAX_KEPT = 256;

export type VrfJob = { readonly key: Uint8Array; readonly alpha: Uint8Array; readonly proof: Uint8Array };
type Output = { readonly beta: Uint8Array | undefined };
type Task = { readonly job: VrfJob; readonly done: () => void };

export type VrfAheadOptions = {
  readonly threads?: number;
  /** What a thread runs. */
  readonly entry?: URL;
  readonly log?: (line: string) => void;
};

export class VrfAhead {
  readonly #threads: number;
  readonly #entry: URL;
  readonly #log: (line: string) => void;
  readonly #workers = new Map<Worker, Task[]>();
  readonly #outputs = new Map<string, Output>();

  constructor({ threads, entry, log }: VrfAheadOptions = {}) {
    this.#threads = threads ?? Math.max(1, Math.min(MAX_THREADS, availableParallelism() - 1));
    // The sibling with this file's own extension: compiled in dist/, source under a loader.
    this.#entry = entry ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    this.#log = log ?? (() => {});
  }

  /**
   * Begins with the proof of a header that follows one with `seed`, if its builder has a key in `state`. Resolves when `verify` knows the answer, or
   * nobody will: never rejects.
   */
  begin(header: Header, seed: Hash, state: StateView): Promise<void> {
    const key = state.miner(header.proposer)?.record.vrfKey;
    if (!key) return Promise.resolve();
    // Copies: a view into a network buffer would be cloned with all of it.
    const alpha = beaconAlpha(seed, header.height);
    const job = { key: new Uint8Array(key), alpha: new Uint8Array(alpha), proof: new Uint8Array(header.vrfProof) };
    return new Promise((done) => {
      const [worker, tasks] = this.#least();
      tasks.push({ job, done });
      worker.postMessage(job);
    });
  }

  /** As `vrfVerify`, at once where it has been done ahead. */
  readonly verify = (key: Uint8Array, alpha: Uint8Array, proof: Uint8Array): Uint8Array | undefined => {
    const name = nameOf({ key, alpha, proof });
    const known = this.#outputs.get(name);
    if (!known) return vrfVerify(key, alpha, proof);
    // Whoever asks remembers it.
    this.#outputs.delete(name);
    return known.beta;
  };

  /** Ends the threads until they are needed again; what waits is not done. */
  async rest(): Promise<void> {
    const workers = [...this.#workers];
    this.#workers.clear();
    for (const task of workers.flatMap(([, tasks]) => tasks)) task.done();
    this.#outputs.clear();
    await Promise.all(workers.map(([worker]) => worker.terminate()));
  }

  /** The thread that has least to do. It is given its jobs at once: it goes on with the next one while the main thread is busy with a block. */
  #least(): [Worker, Task[]] {
    let least: [Worker, Task[]] | undefined;
    for (const entry of this.#workers) if (!least || entry[1].length < least[1].length) least = entry;
    return least && (least[1].length === 0 || this.#workers.size >= this.#threads) ? least : this.#start();
  }

  #start(): [Worker, Task[]] {
    const worker = new Worker(this.#entry);
    let why = "it ended";
    worker.on("message", (beta: Uint8Array | undefined) => {
      // A thread answers in the order in which it was asked.
      const task = this.#workers.get(worker)?.shift();
      if (!task) return;
      this.#keep(task.job, beta);
      task.done();
    });
    worker.on("error", (error) => {
      why = errorText(error);
    });
    worker.on("exit", () => this.#died(worker, why));
    const tasks: Task[] = [];
    this.#workers.set(worker, tasks);
    return [worker, tasks];
  }

  #keep(job: VrfJob, beta: Uint8Array | undefined): void {
    if (this.#outputs.size >= MAX_KEPT) this.#outputs.delete(this.#outputs.keys().next().value as string);
    this.#outputs.set(nameOf(job), { beta });
  }

  /** Its proofs are verified where they are needed: no reason to refuse a block, and none to wait. */
  #died(worker: Worker, why: string): void {
    const tasks = this.#workers.get(worker);
    if (!tasks) return;
    this.#workers.delete(worker);
    this.#log(`a thread that verifies proofs died: ${why}`);
    for (const task of tasks) task.done();
  }
}

const nameOf = ({ key, alpha, proof }: VrfJob) => Buffer.concat([key, alpha, proof]).toString("latin1");
