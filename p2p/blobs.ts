import { chunkCount, verifyChunk } from "../crypto/blob.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from "../types/limits.ts";
import { type Hash, toHex } from "../types/primitives.ts";
import { decodeChunk, encodeRequest } from "./blobwire.ts";
import { Deadline } from "./deadline.ts";
import { blobAnswerBytes, type Limits } from "./limits.ts";
import type { FetchOptions, Log, Peer, RequestOptions, Verdict } from "./types.ts";

/**
 * Pulls blobs: ranges of chunks from several sources, each chunk verified before it is kept. A source that falls behind goes on with its
 * range, but the range is open to others then, and the first good chunk counts: one that is slow, or wants to be, holds nobody up.
 */

export type BlobDeps = {
  readonly limits: Limits;
  readonly log: Log;
  /** Peers to ask when the caller names none. */
  readonly peers: () => readonly Peer[];
  readonly ask: (peer: Peer, request: Uint8Array, options: RequestOptions) => AsyncIterable<Uint8Array>;
  readonly report: (peer: Peer, verdict: Verdict) => void;
  /** In [0, 1): who is asked first is drawn, so that no source is always the first. */
  readonly chance: () => number;
};

export type Blobs = { fetch(root: Hash, size: number, options: FetchOptions): Promise<Uint8Array> };

export function createBlobs(deps: BlobDeps): Blobs {
  const { limits } = deps;
  const budget = new Budget(limits.fetchBytes);
  const parts = new Parts(limits.partBytes);

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
        work = new Fetch(deps, root, parts.take(root, size), options, deadline.signal, name);
        return await work.run();
      } catch (error) {
        if (!isPoflError(error, "TIMEOUT")) throw error;
        const came = work ? progress(work.part) : "it still waited for its turn";
        throw new PoflError("BLOB_TIMEOUT", `${name}: ${came} after ${options.timeoutMs} ms`, {}, { cause: error });
      } finally {
        deadline.done();
        if (work) {
          budget.give(size);
          parts.keep(root, work.part);
        }
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

/** What has come of a blob. */
type Part = {
  readonly bytes: Uint8Array;
  /** One per chunk: 1 when it is here. */
  readonly here: Uint8Array;
  left: number;
};

function progress({ here, left }: Part): string {
  return `${here.length - left} of ${here.length} chunks had come`;
}

/** Chunks of fetches that failed, for the next one of that blob; of the latest ones, `maxBytes` together. */
class Parts {
  readonly #maxBytes: number;
  readonly #parts = new Map<string, Part>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  take(root: Hash, size: number): Part {
    const left = chunkCount(size);
    return this.#remove(nameOf(root, size)) ?? { bytes: new Uint8Array(size), here: new Uint8Array(left), left };
  }

  keep(root: Hash, part: Part): void {
    if (part.left === 0 || part.left === part.here.length) return;
    const name = nameOf(root, part.bytes.length);
    this.#remove(name);
    this.#parts.set(name, part);
    this.#bytes += part.bytes.length;
    for (const oldest of this.#parts.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(name: string): Part | undefined {
    const part = this.#parts.get(name);
    this.#bytes -= part?.bytes.length ?? 0;
    this.#parts.delete(name);
    return part;
  }
}

const nameOf = (root: Hash, size: number): string => `${toHex(root)}/${size}`;

/** A range under way, up to but without `end`. */
type Pull = { readonly from: number; readonly end: number; readonly stop: AbortController; late: boolean };

class Fetch {
  readonly part: Part;
  readonly #deps: BlobDeps;
  readonly #root: Hash;
  readonly #name: string;
  readonly #options: FetchOptions;
  readonly #signal: AbortSignal;
  readonly #pulls = new Map<Peer, Pull>();
  readonly #liars = new Set<Peer>();
  /** Sources that failed, were slow or had nothing in this round of attempts. */
  readonly #resting = new Set<Peer>();
  /** Sources that brought a range in time. */
  readonly #quick = new Set<Peer>();
  readonly #drawn = new Map<Peer, number>();
  #wake = () => {};

  constructor(deps: BlobDeps, root: Hash, part: Part, options: FetchOptions, signal: AbortSignal, name: string) {
    this.#deps = deps;
    this.#name = name;
    this.#root = root;
    this.#options = options;
    this.#signal = signal;
    this.part = part;
  }

  async run(): Promise<Uint8Array> {
    const wake = () => this.#wake();
    this.#signal.addEventListener("abort", wake);
    try {
      while (this.part.left > 0) {
        if (this.#signal.aborted) throw this.#signal.reason;
        this.#assign();
        const candidates = this.#candidates();
        if (candidates.length > 0 && candidates.every((p) => this.#liars.has(p))) {
          throw new PoflError("BLOB_UNAVAILABLE", `${this.#name}: every source lied`);
        }
        await this.#news();
      }
      return this.part.bytes;
    } finally {
      this.#signal.removeEventListener("abort", wake);
      for (const pull of this.#pulls.values()) pull.stop.abort();
    }
  }

  /** Waits for something to change. While nobody keeps pace, those that rest are soon asked again. */
  async #news(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#timely().length > 0) return;
      timer = setTimeout(() => {
        this.#resting.clear();
        resolve();
      }, this.#deps.limits.blobRetryMs);
    });
    clearTimeout(timer);
  }

  #timely(): Pull[] {
    return [...this.#pulls.values()].filter((pull) => !pull.late);
  }

  #candidates(): readonly Peer[] {
    if (this.#options.peers) return this.#options.peers;
    const peers = [...this.#deps.peers()];
    for (const peer of peers) if (!this.#drawn.has(peer)) this.#drawn.set(peer, this.#deps.chance());
    const place = (peer: Peer) => (this.#drawn.get(peer) as number) - (this.#quick.has(peer) ? 1 : 0);
    return peers.sort((a, b) => place(a) - place(b));
  }

  /** Gives work to sources that are free. */
  #assign(): void {
    const { sourcesPerBlob, pullsPerBlob, chunksPerRequest } = this.#deps.limits;
    for (const peer of this.#candidates()) {
      if (this.#pulls.has(peer) || this.#liars.has(peer) || this.#resting.has(peer)) continue;
      const free = sourcesPerBlob - this.#timely().length;
      const open = this.#open();
      const from = open[0];
      if (from === undefined || free <= 0 || this.#pulls.size >= pullsPerBlob) return;
      let count = 1;
      // Small enough that each source gets a share, in one piece, for a request is a range. What is late goes to one that is known to be quick.
      const late = [...this.#pulls.values()].some((pull) => pull.late);
      const share = late && this.#quick.has(peer) ? open.length : Math.ceil(open.length / free);
      while (count < Math.min(share, chunksPerRequest) && open[count] === from + count) count += 1;
      void this.#pull(peer, from, count);
    }
  }

  /** Chunks that are neither here nor expected from a source that keeps pace, ascending. */
  #open(): number[] {
    const { here } = this.part;
    const taken = here.slice();
    for (const { from, end } of this.#timely()) taken.fill(1, from, end);
    return Array.from(taken.keys()).filter((i) => taken[i] === 0);
  }

  /** Never rejects: what did not come is open again. */
  async #pull(peer: Peer, from: number, count: number): Promise<void> {
    const { limits, log, report, ask } = this.#deps;
    const { bytes, here } = this.part;
    const size = bytes.length;
    const end = from + count;
    const pull: Pull = { from, end, stop: new AbortController(), late: false };
    this.#pulls.set(peer, pull);
    let next = from;
    const began = performance.now();
    const late = () => {
      pull.late = true;
      timer = setTimeout(() => pull.stop.abort(), limits.chunkMs);
      this.#wake();
    };
    const patience = () => began + limits.lateMs + limits.paceMs * (next - from) - performance.now();
    let timer = setTimeout(late, patience());
    try {
      const request = encodeRequest({ root: this.#root, size, from, count });
      const { signal } = pull.stop;
      const options = { timeoutMs: limits.chunkMs, maxBytes: blobAnswerBytes(count), signal };
      for await (const frame of ask(peer, request, options)) {
        const chunk = decodeChunk(frame);
        if (chunk.index !== next || !verifyChunk(this.#root, size, next, chunk.bytes, chunk.proof)) {
          throw new PoflError("BAD_CHUNK", `${this.#name}: chunk ${next} from ${peer} does not belong to it`);
        }
        if (!here[next]) this.#keep(next, chunk.bytes);
        next += 1;
        // All is here: whether the other end closes in time is not worth waiting for.
        if (next === end) break;
        if (pull.late) continue;
        clearTimeout(timer);
        timer = setTimeout(late, Math.max(0, patience()));
      }
      // Nothing, or less than asked for: it does not hold the blob (any more). That is no offence.
      if (next < end || pull.late) this.#rest(peer);
      else this.#quick.add(peer);
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
        const stopped = pull.stop.signal.aborted;
        if (!stopped) log.debug({ peer }, `${this.#name}: ${(error as Error).message}`);
        if (!stopped || pull.late) this.#rest(peer);
      }
    }
    clearTimeout(timer);
    this.#pulls.delete(peer);
    this.#wake();
  }

  #rest(peer: Peer): void {
    this.#resting.add(peer);
    this.#quick.delete(peer);
  }

  #keep(index: number, bytes: Uint8Array): void {
    this.part.bytes.set(bytes, index * BLOB_CHUNK_BYTES);
    this.part.here[index] = 1;
    this.part.left -= 1;
    // Of those that were to bring the same chunks one was faster.
    for (const { from, end, stop } of this.#pulls.values()) {
      if (from <= index && index < end && !this.part.here.subarray(from, end).includes(0)) stop.abort();
    }
    if (this.part.left === 0) this.#wake();
  }
}
