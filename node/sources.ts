import type { Peer } from "../p2p/types.ts";

/** Whom to ask for blocks first: the quickest of those that gave some. Who gave none rests. */

/** After a failure, doubled with each further one up to the second. */
const REST_MS = 2_000;
const MAX_REST_MS = 600_000;
/** What a peer that was never asked is taken to need for a block: one that is slower does not keep the others from being tried. */
const UNKNOWN_MS = 20;
/** Peers that are remembered. Those that left and come back begin anew beyond it. */
const MAX_KNOWN = 1024;

type Known = {
  /** Milliseconds a block, the last time. */
  readonly pace: number;
  /** 0: it gave some the last time. */
  readonly restMs: number;
  readonly until: number;
};

export class Sources {
  readonly #known = new Map<Peer, Known>();

  /** Those of `peers` that don't rest, the best first. `now` is in milliseconds, and never goes back. */
  order(peers: readonly Peer[], now: number): Peer[] {
    if (this.#known.size > MAX_KNOWN) {
      const here = new Set(peers);
      for (const peer of this.#known.keys()) if (!here.has(peer)) this.#known.delete(peer);
    }
    const pace = (peer: Peer) => this.#known.get(peer)?.pace ?? UNKNOWN_MS;
    // Not by a difference: of two that gave nothing it would be no number.
    return peers
      .filter((peer) => (this.#known.get(peer)?.until ?? 0) <= now)
      .sort((a, b) => (pace(a) === pace(b) ? 0 : pace(a) < pace(b) ? -1 : 1));
  }

  gave(peer: Peer, blocks: number, ms: number): void {
    this.#known.set(peer, { pace: ms / blocks, restMs: 0, until: 0 });
  }

  failed(peer: Peer, now: number): void {
    const before = this.#known.get(peer)?.restMs ?? 0;
    const restMs = Math.min(MAX_REST_MS, Math.max(REST_MS, 2 * before));
    this.#known.set(peer, { pace: Number.POSITIVE_INFINITY, restMs, until: now + restMs });
  }
}
