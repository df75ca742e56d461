import type { Head } from "../../consensus/block/context.ts";
import type { Anchor, Checkpoint } from "../../consensus/light/chain.ts";
import type { Follower } from "../../consensus/light/follower.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Peer } from "../../p2p/types.ts";
import { blockId } from "../../types/block.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Height, toHex } from "../../types/primitives.ts";
import type { Snapshot } from "../store/restore.ts";
import { type FetchDeps, fetchBlock, fetchState } from "./fetch.ts";
import { ask, beginning, follow, headersOf, isLie, notHeld } from "./headers.ts";
import { SNAPSHOT_EVERY } from "./serve.ts";
import { encodeQuestion, Offers } from "./wire.ts";

/**
 * A fresh node takes a state instead of replaying the chain: headers and certificates first, from whoever has them, then the state of a height
 * that several peers offer. Nothing is written before all is verified, so that a crash on the way leaves an empty home.
 */

/** Rounds of asking for offers: states that are offered go out of date while others fail. */
const ATTEMPTS = 3;
/** Peers that are asked whether they know the same chain. */
const WITNESSES = 8;
/** Heights that each is asked about, until it knows one. */
const MARKS_ASKED = 8;
const PROGRESS_HEADERS = 5_000;

export type JoinDeps = FetchDeps & {
  readonly genesis: Genesis;
  /** Undefined: genesis alone is trusted. */
  readonly checkpoint: Checkpoint | undefined;
};

export type Joined = { readonly snapshot: Snapshot; readonly head: Head };

type Offer = { readonly peer: Peer; readonly heights: readonly Height[] };

export class Join {
  readonly #deps: JoinDeps;
  #follower: Follower | undefined;
  /** Verified headers at which there may be states. */
  readonly #marks = new Map<Height, Anchor>();

  constructor(deps: JoinDeps) {
    this.#deps = deps;
  }

  /**
   * Undefined if no peer gives a state that is worth it: the chain is replayed then.
   * @param peers that say that they are far ahead
   * @param from the least height that is worth it
   * @throws PoflError CONFLICTING_CHAINS when certificates vouch for two chains
   */
  async run(peers: () => readonly Peer[], from: Height): Promise<Joined | undefined> {
    const { checkpoint, signal, log } = this.#deps;
    const least = Math.max(from, checkpoint?.height ?? 0);
    for (let attempt = 0; attempt < ATTEMPTS && !signal.aborted; attempt++) {
      const offers = (await Promise.all(peers().map((peer) => this.#offers(peer, least)))).filter(
        (o) => o !== undefined,
      );
      const heights = [...new Set(offers.flatMap((o) => o.heights))].sort((a, b) => b - a);
      if (heights.length === 0) return undefined;
      await this.#verify(peers(), heights);
      for (const height of heights) {
        const anchor = this.#marks.get(height);
        if (!anchor || signal.aborted) continue;
        const sources = offers.filter((o) => o.heights.includes(height)).map((o) => o.peer);
        await this.#witnesses(anchor, peers());
        const joined = await this.#take(anchor, sources, peers());
        if (joined) return joined;
      }
      log.info({ attempt }, "no peer gave a whole snapshot");
    }
    return undefined;
  }

  async #offers(peer: Peer, least: Height): Promise<Offer | undefined> {
    const heights = await this.#from(peer, "offers", async () => {
      const bytes = await ask(this.#deps, peer, encodeQuestion({ kind: "offers" }));
      return bytes ? Array.from(decode(Offers, bytes)).filter((h) => h >= least) : [];
    });
    return heights && { peer, heights };
  }

  /** Headers up to the highest offer, or as far as somebody has them: an offer may be a lie. */
  async #verify(peers: readonly Peer[], heights: readonly Height[]): Promise<void> {
    const to = heights[0] as Height;
    for (const peer of peers) {
      await this.#from(peer, "headers", async () => {
        this.#follower ??= await beginning(this.#deps, this.#deps, this.#deps.genesis, peer);
        const mark = (anchor: Anchor) => {
          const { height } = anchor;
          if (heights.includes(height) || height % SNAPSHOT_EVERY === 0) this.#marks.set(height, anchor);
          if (height % PROGRESS_HEADERS === 0) this.#deps.log.info({ height, of: to }, "headers verified");
        };
        if (this.#follower.anchor.header) mark(this.#follower.anchor);
        await follow(this.#deps, peer, this.#follower, to, mark);
      });
      if (this.#deps.signal.aborted || this.#follower?.anchor.height === to) return;
    }
  }

  /**
   * Whoever trusts genesis alone can't tell a chain from one forged with keys that were sold long ago; but two that are both certified
   * can be told from one. So others are asked too, and none is chosen.
   */
  async #witnesses(anchor: Anchor, peers: readonly Peer[]): Promise<void> {
    if (this.#deps.checkpoint) return;
    // One that is behind knows an earlier height.
    const marks = [...this.#marks.values()].filter((m) => m.height <= anchor.height);
    const asked = marks.sort((a, b) => b.height - a.height).slice(0, MARKS_ASKED);
    for (const peer of peers.slice(0, WITNESSES)) {
      await this.#from(peer, "its word on a header", async () => {
        for (const mark of asked) if (await this.#agrees(peer, mark)) return;
      });
    }
  }

  /** False if the peer has no such header. @throws PoflError CONFLICTING_CHAINS; what its headers are refused for */
  async #agrees(peer: Peer, mark: Anchor): Promise<boolean> {
    const { genesis } = this.#deps;
    for await (const { header } of headersOf(this.#deps, peer, mark.height, mark.height)) {
      if (bytesEqual(blockId(header), mark.id)) return true;
      const other = await beginning(this.#deps, this.#deps, genesis, peer);
      await follow(this.#deps, peer, other, mark.height);
      if (other.anchor.height < mark.height) throw notHeld(`the headers up to ${mark.height}`);
      if (!bytesEqual(other.anchor.id, mark.id)) throw conflict(mark, other.anchor);
      return true;
    }
    return false;
  }

  async #take(anchor: Anchor, sources: readonly Peer[], peers: readonly Peer[]): Promise<Joined | undefined> {
    const { height, id, validators } = anchor;
    const state = await fetchState(this.#deps, anchor, sources);
    const certified = state && (await fetchBlock(this.#deps, anchor, [...new Set([...sources, ...peers])]));
    if (!certified) return undefined;
    const { commit, block } = certified;
    const sets = (this.#follower?.sets ?? []).filter((s) => s.height <= height);
    return {
      snapshot: { certified, state, sets },
      head: { height, id, header: block.header, state, validators, commit },
    };
  }

  /** Asks a peer; what is forged is reported. @throws PoflError CONFLICTING_CHAINS */
  async #from<T>(peer: Peer, what: string, work: () => Promise<T>): Promise<T | undefined> {
    const { network, log, signal } = this.#deps;
    try {
      return await work();
    } catch (error) {
      if (isPoflError(error, "CONFLICTING_CHAINS")) throw error;
      if (isPoflError(error, "FORKED")) throw conflict(this.#follower?.anchor, undefined, error.message);
      if (signal.aborted) return undefined;
      if (isLie(error)) network.report(peer, "reject");
      log.warn({ peer }, `${isLie(error) ? "refused" : "could not get"} ${what}: ${errorText(error)}`);
      return undefined;
    }
  }
}

function conflict(one: Anchor | undefined, two: Anchor | undefined, why?: string): PoflError {
  const both =
    why ?? `height ${one?.height} is ${toHex(one?.id ?? new Uint8Array())} and ${toHex(two?.id ?? new Uint8Array())}`;
  return new PoflError(
    "CONFLICTING_CHAINS",
    `peers have two chains of this genesis, both certified by its validators: ${both}. One of them is forged with their keys. Ask a hospital that ` +
      'you trust for height and hash of a recent block, and set sync.trusted = "HEIGHT:0xHASH"',
  );
}
