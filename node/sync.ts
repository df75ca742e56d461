import { ContainerType } from "@chainsafe/ssz";
import type { Engine } from "../consensus/engine/engine.ts";
import type { EngineLog } from "../consensus/engine/types.ts";
import type { Network, Peer } from "../p2p/types.ts";
import { CertifiedBlock } from "../types/block.ts";
import { errorText, isPoflError } from "../types/errors.ts";
import { decode, U32, U53 } from "../types/primitives.ts";

/** Catching up: certified blocks in order, from whoever says that it is ahead. Each is verified before it is applied. */

export const BLOCKS_PROTOCOL = "blocks/1";
/** Blocks per request: large enough to keep the pipe full, small enough to change the source often. */
const BATCH = 64;
const TIMEOUT_MS = 10_000;
const MAX_BATCH_BYTES = 64 * 1024 * 1024;

export const BlocksRequest = new ContainerType({ from: U53, count: U32 }, { typeName: "BlocksRequest" });

export type SyncDeps = {
  readonly network: Network;
  readonly engine: () => Engine;
  readonly certified: (height: number) => Promise<CertifiedBlock | undefined>;
  readonly log: EngineLog;
};

export class Sync {
  readonly #deps: SyncDeps;
  /** Heads that peers claim; a claim is only a reason to ask, never believed. */
  readonly #claims = new Map<Peer, number>();
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(deps: SyncDeps) {
    this.#deps = deps;
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
  }

  /** A peer says that its head is `height`. One ahead is sent by the peer itself. */
  claim(peer: Peer, height: number): void {
    this.#claims.set(peer, height);
    if (this.#running || this.#abort.signal.aborted) return;
    if (height <= this.#deps.engine().head.height + 1) return;
    this.#running = this.#catchUp().finally(() => {
      this.#running = undefined;
    });
  }

  async #catchUp(): Promise<void> {
    const { log, engine, network } = this.#deps;
    while (!this.#abort.signal.aborted) {
      const next = engine().head.height + 1;
      const sources = [...this.#claims].filter(([, height]) => height >= next);
      const source = sources.sort((a, b) => b[1] - a[1])[0]?.[0];
      if (source === undefined) return;
      try {
        const got = await this.#pull(source, next);
        // It claimed blocks that it does not serve: another one may.
        if (got === 0) this.#claims.delete(source);
      } catch (error) {
        this.#claims.delete(source);
        if (this.#abort.signal.aborted) return;
        const forged = isPoflError(error, "INVALID_BLOCK") || isPoflError(error, "BAD_COMMIT");
        if (forged || isPoflError(error, "BAD_ENCODING")) network.report(source, "reject");
        log.warn(
          { peer: source, height: next },
          `${forged ? "refused a forged block" : "catching up failed"}: ${errorText(error)}`,
        );
      }
    }
  }

  async #pull(source: Peer, from: number): Promise<number> {
    const { network, engine, log } = this.#deps;
    const request = BlocksRequest.serialize({ from, count: BATCH });
    const options = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BATCH_BYTES, signal: this.#abort.signal };
    let applied = 0;
    for await (const frame of network.request(source, BLOCKS_PROTOCOL, request, options)) {
      if (await engine().applyCertified(decode(CertifiedBlock, frame))) applied++;
    }
    if (applied > 0) log.info({ height: engine().head.height, peer: source }, "caught up");
    return applied;
  }
}
