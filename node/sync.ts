import "../p2p/polyfill.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerType } from "@chainsafe/ssz";
import type { Engine } from "../consensus/engine/engine.ts";
import type { EngineLog } from "../consensus/engine/types.ts";
import type { Network, Peer } from "../p2p/types.ts";
import { CertifiedBlock } from "../types/block.ts";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";
import { decode, U32, U53 } from "../types/primitives.ts";
import { trustHint } from "./snapshots/headers.ts";
import { Sources } from "./sources.ts";
import type { VrfAhead } from "./vrf/ahead.ts";

/** Catching up: certified blocks in order, from whoever says that it is ahead. Each is verified before it is applied. */

export const BLOCKS_PROTOCOL = "blocks/1";
/** Blocks per request: large enough to keep the pipe full, small enough to change the source often. */
const BATCH = 64;
/** Requests to one peer before the best source is looked for again. */
const BATCHES = 16;
/** Blocks that are read before their turn, so that their proofs are verified meanwhile. */
const AHEAD = 32;
/** Blocks that are stored with one flush of the disk, in number and bytes: a crash loses them together, and the node answers nobody while it checks them. */
const MAX_GROUP = 16;
const MAX_GROUP_BYTES = 256 * 1024;
/** For each frame, and for all that a source sends at less than the least rate. */
const TIMEOUT_MS = 10_000;
/** Before what a source claims that has failed counts again: doubled with each failure up to the second. */
const REST_MS = 500;
const MAX_REST_MS = 60_000;
/** Bytes a millisecond that a source must give, so that one that drips does not hold up a node for days. */
const LEAST_RATE = 64;
const MAX_BATCH_BYTES = 64 * 1024 * 1024;

export const BlocksRequest = new ContainerType({ from: U53, count: U32 }, { typeName: "BlocksRequest" });

/** Blocks that a fresh node rather replays than take a snapshot: a few seconds of work. */
const WORTH_A_SNAPSHOT = 512;
/** For more peers to say where they are, before sources of a snapshot are chosen. */
const GATHER_MS = 1_000;

const FORGED = ["INVALID_BLOCK", "BAD_COMMIT", "NOT_TRUSTED"];

export type SyncDeps = {
  readonly network: Network;
  readonly engine: () => Engine;
  readonly certified: (height: number) => Promise<CertifiedBlock | undefined>;
  readonly log: EngineLog;
  /**
   * Takes a snapshot of at least height `from`; false if no peer gives one. Left out: all blocks are replayed.
   * Rejects when the node must not go on.
   */
  readonly join?: (claims: () => Claims, from: number, signal: AbortSignal) => Promise<boolean>;
  /** Before blocks of a peer are taken: throws if its chain is not the trusted one, FORGED_HOME if this node's own is not. */
  readonly lead?: (peer: Peer, signal: AbortSignal) => Promise<void>;
  /** Verifies proofs of blocks that have been read before they are applied. */
  readonly ahead?: Pick<VrfAhead, "begin" | "rest">;
  /** A peer is far ahead of this node. */
  readonly far?: (height: number) => void;
  readonly fatal?: (error: unknown) => void;
  /** Milliseconds from any moment on. */
  readonly now?: () => number;
};

/** Heads that peers claim; a claim is only a reason to ask, never believed. */
export type Claims = ReadonlyMap<Peer, number>;

/** A block that has come, and when its proof has been verified. */
type Read = { readonly block: CertifiedBlock; readonly bytes: number; readonly ready: Promise<void> | undefined };

export class Sync {
  readonly #deps: SyncDeps;
  readonly #claims = new Map<Peer, number>();
  readonly #sources = new Sources();
  /** When those that failed may claim again: else two that serve nothing would keep the node busy for ever. */
  readonly #rests = new Map<Peer, number>();
  readonly #now: () => number;
  /** What was said of each peer last: a peer that goes on so is not worth another line. */
  readonly #said = new Map<Peer, string>();
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  /** Whether a snapshot has been asked for. */
  #tried = false;

  constructor(deps: SyncDeps) {
    this.#deps = deps;
    this.#now = deps.now ?? (() => performance.now());
  }

  async start(): Promise<void> {
    const { network, certified } = this.#deps;
    await network.serve(BLOCKS_PROTOCOL, async function* (_peer, request) {
      const { from, count } = decode(BlocksRequest, request);
      for (let height = from; height < from + Math.min(count, BATCH); height++) {
        const block = await certified(height);
        if (!block) return;
        yield CertifiedBlock.serialize(block);
      }
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  get catchingUp(): boolean {
    return this.#running !== undefined;
  }

  gone(peer: Peer): void {
    this.#claims.delete(peer);
    this.#sources.gone(peer);
    this.#said.delete(peer);
    this.#rests.delete(peer);
  }

  /** A peer says that its head is `height`. One ahead is sent by the peer itself. */
  claim(peer: Peer, height: number): void {
    if (this.#now() < (this.#rests.get(peer) ?? 0)) return;
    this.#claims.set(peer, height);
    if (this.#running || this.#abort.signal.aborted) return;
    if (height <= this.#deps.engine().head.height + 1) return;
    this.#deps.far?.(height);
    this.#running = this.#join()
      .then((goOn) => (goOn ? this.#catchUp() : undefined))
      .then(() => this.#deps.ahead?.rest())
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** A fresh node that is far behind takes a snapshot, if it can. False when the node must not go on. */
  async #join(): Promise<boolean> {
    const { join, engine, log, fatal } = this.#deps;
    const { signal } = this.#abort;
    if (!join || this.#tried || engine().head.height > 0) return true;
    try {
      // Whoever speaks first may be young itself, or lie.
      await sleep(GATHER_MS, undefined, { signal });
      if (![...this.#claims.values()].some((height) => height >= WORTH_A_SNAPSHOT)) return true;
      this.#tried = true;
      if (await join(() => this.#claims, WORTH_A_SNAPSHOT, signal))
        log.info({ height: engine().head.height }, "took a snapshot");
      else log.info({}, "no peer gives a snapshot: all blocks are replayed");
    } catch (error) {
      if (signal.aborted) return false;
      fatal?.(error);
      return false;
    }
    return !signal.aborted;
  }

  async #catchUp(): Promise<void> {
    const { log, engine, network } = this.#deps;
    while (!this.#abort.signal.aborted) {
      const next = engine().head.height + 1;
      const able = [...this.#claims].filter(([, head]) => head >= next).map(([peer]) => peer);
      const [source] = this.#sources.order(able);
      if (source === undefined) return;
      try {
        await this.#deps.lead?.(source, this.#abort.signal);
        const got = await this.#pull(source, next);
        if (got > 0) {
          this.#sources.served(source);
          this.#said.delete(source);
          this.#rests.delete(source);
        }
        // It claimed blocks that it does not serve: another one may.
        else this.#failed(source);
      } catch (error) {
        this.#failed(source);
        if (this.#abort.signal.aborted) return;
        if (isPoflError(error, "FORGED_HOME")) {
          this.#deps.fatal?.(error);
          return;
        }
        const forged = FORGED.some((code) => isPoflError(error, code));
        if (forged || isPoflError(error, "BAD_ENCODING")) network.report(source, "reject");
        const why = `${forged ? "refused a forged block" : "catching up failed"}: ${errorText(error)}${trustHint(error)}`;
        if (this.#said.get(source) !== why) log.warn({ peer: source, height: next }, why);
        this.#said.set(source, why);
      }
    }
  }

  #failed(source: Peer): void {
    this.#claims.delete(source);
    const failures = this.#sources.failed(source);
    this.#rests.set(source, this.#now() + Math.min(MAX_REST_MS, REST_MS * 2 ** (failures - 1)));
  }

  /** Takes blocks as long as the source has some, a while at most, so that another may be asked. Reads on while blocks are applied. */
  async #pull(source: Peer, from: number): Promise<number> {
    const { engine, log, ahead } = this.#deps;
    const over = new AbortController();
    const queue: Read[] = [];
    let seed = engine().head.state.seed;
    let moved = Promise.withResolvers<void>();
    /** Wakes whoever waits for a block to come, or for room. */
    const move = () => {
      moved.resolve();
      moved = Promise.withResolvers();
    };
    let reading = true;
    const read = async () => {
      const signal = AbortSignal.any([this.#abort.signal, over.signal]);
      for await (const { block, bytes } of this.#blocks(source, from, signal)) {
        const { header } = block.block;
        queue.push({ block, bytes, ready: ahead?.begin(header, seed, engine().head.state) });
        seed = header.seed;
        move();
        while (queue.length > AHEAD && !over.signal.aborted) await moved.promise;
        if (over.signal.aborted) return;
      }
    };
    let failure: { readonly error: unknown } | undefined;
    const reader = read()
      .catch((error) => {
        failure = { error };
      })
      .finally(() => {
        reading = false;
        move();
      });
    let applied = 0;
    try {
      while (!this.#abort.signal.aborted) {
        const group = takeGroup(queue);
        if (group.length === 0 && !reading) break;
        if (group.length === 0) {
          await moved.promise;
          continue;
        }
        move();
        await Promise.all(group.map(({ ready }) => ready));
        const blocks = group.map(({ block }) => block);
        // It may take fewer at once.
        for (let taken = -1; taken !== 0; ) {
          taken = await engine().applyCertified(blocks);
          applied += taken;
        }
      }
    } finally {
      over.abort();
      move();
      await reader;
      if (applied > 0) log.info({ height: engine().head.height, peer: source }, "caught up");
    }
    // What came before the line broke was good, and is kept.
    if (failure) throw failure.error;
    return applied;
  }

  async *#blocks(source: Peer, from: number, signal: AbortSignal): AsyncGenerator<Omit<Read, "ready">> {
    const options = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BATCH_BYTES, signal };
    /** How long the source has been waited for beyond what its bytes may take. */
    let late = 0;
    let asked = this.#now();
    for (let batch = 0; batch < BATCHES; batch++) {
      let got = 0;
      const request = BlocksRequest.serialize({ from: from + batch * BATCH, count: BATCH });
      for await (const frame of this.#deps.network.request(source, BLOCKS_PROTOCOL, request, options)) {
        late = Math.max(0, late + this.#now() - asked - frame.length / LEAST_RATE);
        yield { block: decode(CertifiedBlock, frame), bytes: frame.length };
        if (late > TIMEOUT_MS) throw new PoflError("TIMEOUT", `${source} gives its blocks too slowly`);
        asked = this.#now();
        got++;
      }
      if (got < BATCH) return;
    }
  }
}

/** The first of the queue, at least one: what has come so far, within the limits. */
function takeGroup(queue: Read[]): Read[] {
  let bytes = 0;
  let count = 0;
  for (const read of queue) {
    bytes += read.bytes;
    if (count === MAX_GROUP || (count > 0 && bytes > MAX_GROUP_BYTES)) break;
    count++;
  }
  return queue.splice(0, count);
}
