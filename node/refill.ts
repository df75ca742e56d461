import { verifyCommit } from "../consensus/block/commit.ts";
import type { Log, Network, Peer } from "../p2p/types.ts";
import { type Block, blockId, bodyRoots, CertifiedBlock } from "../types/block.ts";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";
import { bytesEqual, decode, type Hash } from "../types/primitives.ts";
import { Sources } from "./sources.ts";
import { type Hole, holesText } from "./store/holes.ts";
import type { Store } from "./store/store.ts";
import { BLOCKS_PROTOCOL, BlocksRequest } from "./sync.ts";

/**
 * Puts back blocks that the disk lost below the head. They come from peers, the highest first: the block above names the id and carries the
 * certificate of the one that is missing, so that the head, which is whole, vouches for all of them by hashes. Nothing is believed.
 */

/** Blocks per request: halved when they are too many for the line or for MAX_BATCH_BYTES, one more each time that all came. */
const BATCH = 64;
/** For each frame, and for a whole batch: one that drips must not hold it for longer. */
const TIMEOUT_MS = 10_000;
const BATCH_MS = 30_000;
const MAX_BATCH_BYTES = 64 * 1024 * 1024;
/** Before peers that had nothing are asked again: doubled each time up to the second. */
const RETRY_MS = 2_000;
const MAX_RETRY_MS = 60_000;

/** What the own disk did: the node can't go on. All else is the peer's. */
const STORE_ERRORS = /^(?:DISK_|READ_ONLY|STORE_|CORRUPT_|DATABASE_|BAD_COMMIT)/;

export type RefillDeps = {
  readonly store: Store;
  readonly network: Pick<Network, "peers" | "request" | "report">;
  readonly genesisHash: Hash;
  /** Whether something else is more urgent: catching up. */
  readonly busy: () => boolean;
  readonly timer: (ms: number, act: () => void) => () => void;
  readonly log: Log;
  /** A disk that does not do what it must: the node can't go on. */
  readonly fatal: (error: unknown) => void;
};

export class Refill {
  readonly #deps: RefillDeps;
  readonly #abort = new AbortController();
  readonly #sources = new Sources();
  #batch = BATCH;
  /** Ends the request under way. */
  #over: AbortController | undefined;
  #running: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;
  #retryMs = RETRY_MS;
  /** All links down to the first block have been looked at. */
  #walked = false;

  constructor(deps: RefillDeps) {
    this.#deps = deps;
  }

  /** Says what is missing, and begins to ask for it: at the start, and after a snapshot. */
  start(): void {
    this.#say(this.#deps.store.holes());
    this.#go();
  }

  gone(peer: Peer): void {
    this.#sources.gone(peer);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#over?.abort();
    this.#cancelRetry?.();
    await this.#running;
  }

  /** A peer has come: it may have what the others had not. */
  onPeer(): void {
    if (this.#cancelRetry) this.#go();
  }

  #go(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (this.#running || this.#abort.signal.aborted) return;
    this.#running = this.#run()
      .catch((error) => this.#deps.fatal(error))
      .finally(() => {
        this.#running = undefined;
        if (this.#abort.signal.aborted || this.#deps.store.holes().length === 0) return;
        this.#cancelRetry = this.#deps.timer(this.#retryMs, () => this.#go());
        this.#retryMs = Math.min(MAX_RETRY_MS, 2 * this.#retryMs);
      });
  }

  /** Until nothing is missing, or no peer has what is. */
  async #run(): Promise<void> {
    const { store, log } = this.#deps;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const hole = store.holes()[0];
      if (hole && !(await this.#fromAny(hole))) return;
      if (hole) this.#retryMs = RETRY_MS;
      if (store.holes().length > 0) continue;
      if (hole) log.info({}, "all blocks that were found missing are here");
      if (this.#walked) return;
      // Opening looked at the last blocks only.
      await store.walkOn(() => !signal.aborted);
      this.#walked = true;
      const deeper = store.holes();
      if (deeper.length === 0) return;
      this.#say(deeper);
    }
  }

  /** What was lost is a warning; that a home began with a snapshot is not. */
  #say(holes: readonly Hole[]): void {
    const { log } = this.#deps;
    const older = holes.filter((h) => h.why === "before the snapshot");
    const lost = holes.filter((h) => h.why !== "before the snapshot");
    if (lost.length > 0) {
      log.warn({ blocks: count(lost) }, `the database lost blocks, which are fetched from peers: ${holesText(lost)}`);
    }
    if (older.length > 0) log.info({ blocks: count(older) }, "blocks before the snapshot are fetched from peers");
  }

  /** Whether some peer gave at least the hole's highest block. */
  async #fromAny(hole: Hole): Promise<boolean> {
    const { network, busy } = this.#deps;
    if (busy()) return false;
    const peers = network.peers().map(({ peer }) => peer);
    for (const peer of this.#sources.order(peers)) {
      const gave = await this.#from(peer, hole);
      if (gave) this.#sources.served(peer);
      else this.#sources.failed(peer);
      if (gave || this.#abort.signal.aborted) return gave;
    }
    return false;
  }

  async #from(peer: Peer, hole: Hole): Promise<boolean> {
    const { network, log } = this.#deps;
    const most = Math.min(this.#batch, hole.to - hole.from + 1);
    // One that has pruned the lower ones may yet have the highest.
    for (const batch of most > 1 ? [most, 1] : [1]) {
      if (this.#abort.signal.aborted) return false;
      try {
        const blocks = await this.#pull(peer, hole.to, batch);
        if (blocks.length === 0) continue;
        await this.#put(blocks);
        return true;
      } catch (error) {
        if (this.#abort.signal.aborted) return false;
        if (error instanceof PoflError && STORE_ERRORS.test(error.code)) throw error;
        const forged = isPoflError(error, "BAD_ENCODING") || isPoflError(error, "INVALID_BLOCK");
        if (forged) network.report(peer, "reject");
        const fields = { peer, height: hole.to };
        if (forged) log.warn(fields, `refused what a peer gave in a lost block's place: ${errorText(error)}`);
        else log.debug(fields, `a peer gave no lost block: ${errorText(error)}`);
        return false;
      }
    }
    return false;
  }

  /** The block of height `top` and those before it, the highest first; none if the peer has not got it. @throws PoflError BAD_ENCODING; network errors */
  async #pull(peer: Peer, top: number, batch: number): Promise<Block[]> {
    const request = BlocksRequest.serialize({ from: top - batch + 1, count: batch });
    const over = new AbortController();
    this.#over = over;
    const cancel = this.#deps.timer(BATCH_MS, () => over.abort());
    const options = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BATCH_BYTES, signal: over.signal };
    const got: Block[] = [];
    try {
      for await (const frame of this.#deps.network.request(peer, BLOCKS_PROTOCOL, request, options)) {
        got.push(decode(CertifiedBlock, frame).block);
        if (got.length === batch) break;
      }
    } catch (error) {
      if (over.signal.aborted || isPoflError(error, "RESPONSE_SIZE")) this.#batch = Math.ceil(batch / 2);
      throw error;
    } finally {
      cancel();
    }
    if (got.length < batch) return [];
    if (batch === this.#batch) this.#batch = Math.min(BATCH, batch + 1);
    return got.reverse();
  }

  /** @throws PoflError INVALID_BLOCK when the first is not what the block above names; of the disk */
  async #put(blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) {
      // A hole may end within a batch.
      const top = this.#deps.store.holes()[0]?.to;
      if (block === blocks[0] && top !== block.header.height)
        throw invalid(block.header.height, `${top} was asked for`);
      if (this.#abort.signal.aborted || top !== block.header.height) return;
      await this.#putOne(block);
    }
  }

  /** @throws PoflError INVALID_BLOCK when it is not the one that the block above names; of the disk */
  async #putOne(block: Block): Promise<void> {
    const { store, genesisHash, log } = this.#deps;
    const { header } = block;
    const { height } = header;
    const above = await store.block(height + 1);
    const id = blockId(header);
    if (!above || !bytesEqual(above.header.parent, id)) throw invalid(height, "the block above names another");
    for (const [name, root] of Object.entries(bodyRoots(block)) as [keyof ReturnType<typeof bodyRoots>, Hash][]) {
      if (!bytesEqual(root, header[name])) throw invalid(height, `its ${name} is not the header's`);
    }
    // The certificate that the block above carries: its own hash vouches for that one.
    const commit = above.lastCommit;
    const set = await store.decidedBy(header).catch((error) => {
      if (!isPoflError(error, "CORRUPT_RECORD")) throw error;
      log.error({ height }, error.message);
      return undefined;
    });
    if (set) verifyCommit(genesisHash, set, height, id, commit);
    await store.fill({ block, commit });
    if (height >= store.base() && (await store.receipts(height)) === undefined) {
      log.warn(
        { height },
        "a lost block is back without its receipts: what came of its transactions can't be asked here any more",
      );
    }
  }
}

function count(holes: readonly Hole[]): number {
  return holes.reduce((n, { from, to }) => n + to - from + 1, 0);
}

function invalid(height: number, why: string): PoflError {
  return new PoflError("INVALID_BLOCK", `block ${height}: ${why}`);
}
