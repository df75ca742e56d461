import { chunkCount, verifyChunk } from "../crypto/blob.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from "../types/limits.ts";
import { type Hash, toHex } from "../types/primitives.ts";
import { decodeChunk, encodeRequest } from "./blobwire.ts";
import { Deadline } from "./deadline.ts";
import { blobAnswerBytes, type Limits } from "./limits.ts";
import type { FetchOptions, Log, Peer, RequestOptions, Verdict } from "./types.ts";

/** Pulls blobs: ranges of chunks from several sources, each chunk verified before it is kept. */

export type BlobDeps = {
  readonly limits: Limits;
  readonly log: Log;
  /** Peers to ask when the caller names none. */
  readonly peers: () => readonly Peer[];
  readonly ask: (peer: Peer, request: Uint8Array, options: RequestOptions) => AsyncIterable<Uint8Array>;
  readonly report: (peer: Peer, verdict: Verdict) => void;
};

export type Blobs = { fetch(root: Hash, size: number, options: FetchOptions): Promise<Uint8Array> };

export function createBlobs(deps: BlobDeps): Blobs {
  const { limits } = deps;
  const budget = new Budget(limits.fetchBytes);

  return {
    async fetch(root, size, options) {
      const name = `blob ${toHex(root)} (${size} bytes)`;
      if (!Number.isSafeInteger(size) || size < 0 || size > MAX_BLOB_BYTES) {
        throw new PoflError("BLOB_SIZE", `${name}: at most ${MAX_BLOB_BYTES} bytes are allowed`);
      }
      const deadline = new Deadline([options.signal]);
      deadline.within(options.timeoutMs);
      let work: Fetch | undefined;
      try {
        await budget.take(size, deadline.signal);
        work = new Fetch(deps, root, size, options, deadline.signal, name);
        return await work.run();
      } catch (error) {
        if (!isPoflError(error, "TIMEOUT")) throw error;
        const came = work ? work.progress : "it still waited for its turn";
        throw new PoflError("BLOB_TIMEOUT", `${name}: ${came} after ${options.timeoutMs} ms`, {}, { cause: error });
      } finally {
        if (work) budget.give(size);
        deadline.done();
      }
    },
  };
}

/** Bytes under way; waiters are served in order. */
class Budget {
  #free: number;
  readonly #waiting: { bytes: number; go: () => void }[] = [];

  constructor(bytes: number) {
    this.#free = bytes;
  }

  take(bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const entry = {
        bytes,
        go: () => {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave);
      this.#waiting.push(entry);
      this.#serve();
    });
  }

  give(bytes: number): void {
    this.#free += bytes;
    this.#serve();
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.go();
    }
  }
}

class Fetch {
  readonly #deps: BlobDeps;
  readonly #root: Hash;
  readonly #name: string;
  readonly #options: FetchOptions;
  readonly #signal: AbortSignal;
  readonly #bytes: Uint8Array;
  /** Chunks that nobody is fetching, ascending. */
  #missing: number[];
  #left: number;
  readonly #busy = new Map<Peer, Promise<void>>();
  readonly #liars = new Set<Peer>();
  /** Sources that failed or had nothing in this round of attempts. */
  readonly #resting = new Set<Peer>();

  constructor(deps: BlobDeps, root: Hash, size: number, options: FetchOptions, signal: AbortSignal, name: string) {
    this.#deps = deps;
    this.#name = name;
    this.#root = root;
    this.#options = options;
    this.#signal = signal;
    this.#bytes = new Uint8Array(size);
    this.#left = chunkCount(size);
    this.#missing = Array.from({ length: this.#left }, (_, i) => i);
  }

  get progress(): string {
    const total = chunkCount(this.#bytes.length);
    return `${total - this.#left} of ${total} chunks had come`;
  }

  async run(): Promise<Uint8Array> {
    while (this.#left > 0) {
      if (this.#signal.aborted) throw this.#signal.reason;
      this.#assign();
      if (this.#busy.size > 0) {
        await Promise.race(this.#busy.values());
        continue;
      }
      const candidates = this.#candidates();
      if (candidates.length > 0 && candidates.every((p) => this.#liars.has(p))) {
        throw new PoflError("BLOB_UNAVAILABLE", `${this.#name}: every source lied`);
      }
      await pause(this.#deps.limits.blobRetryMs, this.#signal);
      this.#resting.clear();
    }
    return this.#bytes;
  }

  #candidates(): readonly Peer[] {
    return this.#options.peers ?? this.#deps.peers();
  }

  /** Gives work to sources that are free. */
  #assign(): void {
    const { sourcesPerBlob, chunksPerRequest } = this.#deps.limits;
    for (const peer of this.#candidates()) {
      if (this.#missing.length === 0 || this.#busy.size >= sourcesPerBlob) return;
      if (this.#busy.has(peer) || this.#liars.has(peer) || this.#resting.has(peer)) continue;
      const from = this.#missing[0] as number;
      let count = 1;
      // Small enough that each source gets a share, in one piece, for a request is a range.
      const share = Math.ceil(this.#missing.length / (sourcesPerBlob - this.#busy.size));
      while (count < Math.min(share, chunksPerRequest) && this.#missing[count] === from + count) count += 1;
      this.#missing = this.#missing.slice(count);
      const work = this.#pull(peer, from, count).finally(() => this.#busy.delete(peer));
      this.#busy.set(peer, work);
    }
  }

  /** Never rejects: what did not come goes back to the missing ones. */
  async #pull(peer: Peer, from: number, count: number): Promise<void> {
    const { limits, log, report, ask } = this.#deps;
    const size = this.#bytes.length;
    let next = from;
    try {
      const request = encodeRequest({ root: this.#root, size, from, count });
      const options = { timeoutMs: limits.chunkMs, maxBytes: blobAnswerBytes(count), signal: this.#signal };
      for await (const frame of ask(peer, request, options)) {
        const chunk = decodeChunk(frame);
        if (chunk.index !== next || !verifyChunk(this.#root, size, next, chunk.bytes, chunk.proof)) {
          throw new PoflError("BAD_CHUNK", `${this.#name}: chunk ${next} from ${peer} does not belong to it`);
        }
        this.#bytes.set(chunk.bytes, next * BLOB_CHUNK_BYTES);
        this.#left -= 1;
        next += 1;
        // All is here: whether the other end closes in time is not worth waiting for.
        if (next === from + count) break;
      }
      // Nothing, or less than asked for: it does not hold the blob (any more). That is no offence.
      if (next < from + count) this.#resting.add(peer);
    } catch (error) {
      if (
        isPoflError(error, "BAD_CHUNK") ||
        isPoflError(error, "BAD_ENCODING") ||
        isPoflError(error, "RESPONSE_SIZE")
      ) {
        log.warn({ peer, code: error.code }, error.message);
        this.#liars.add(peer);
        report(peer, "reject");
      } else {
        if (!this.#signal.aborted) log.debug({ peer }, `${this.#name}: ${(error as Error).message}`);
        this.#resting.add(peer);
      }
    }
    const back = Array.from({ length: from + count - next }, (_, i) => next + i);
    this.#missing = [...this.#missing, ...back].sort((a, b) => a - b);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
