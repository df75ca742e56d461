import type { Head } from "../../consensus/block/context.ts";
import type { Anchor, Checkpoint } from "../../consensus/light/chain.ts";
import { Follower } from "../../consensus/light/follower.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Peer } from "../../p2p/types.ts";
import { blockId } from "../../types/block.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Hash, type Height, toHex } from "../../types/primitives.ts";
import type { Snapshot } from "../store/restore.ts";
import type { Claims } from "../sync.ts";
import { type FetchDeps, fetchBlock, fetchState } from "./fetch.ts";
import { ask, beginning, follow, headersOf, isLie, notHeld, trustHint } from "./headers.ts";
import { SNAPSHOT_EVERY } from "./serve.ts";
import { encodeQuestion, Offers } from "./wire.ts";

/**
 * A fresh node takes a state instead of replaying the chain: headers and certificates first, from whoever has them, then the state of a height
 * that several peers offer. Nothing is written before all is verified, so that a crash on the way leaves an empty home.
 */

/** Rounds of asking for offers: states that are offered go out of date while others fail. */
const ATTEMPTS = 3;
/** For a peer to show where its chain leaves the one that others gave. */
const COMPARE_MS = 60_000;
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
  /** Peers whose word could not be had: they are not waited for again. */
  readonly #mute = new Set<Peer>();
  /** Verified headers at which there may be states. */
  readonly #marks = new Map<Height, Anchor>();

  constructor(deps: JoinDeps) {
    this.#deps = deps;
  }

  /**
   * Undefined if no peer gives a state that is worth it: the chain is replayed then.
   * @param claims of all peers: those that are far ahead give the snapshot, all of them say whether they know the same chain
   * @param from the least height that is worth it
   * @throws PoflError CONFLICTING_CHAINS when certificates vouch for two chains
   */
  async run(claims: () => Claims, from: Height): Promise<Joined | undefined> {
    const { checkpoint, signal, log } = this.#deps;
    const least = Math.max(from, checkpoint?.height ?? 0);
    const peers = () => [...claims()].filter(([, height]) => height >= from).map(([peer]) => peer);
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
        // Both at once: a state is kept for a minute or so only.
        const [joined] = await Promise.all([this.#take(anchor, sources, peers()), this.#witnesses(height, claims())]);
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
        if (!this.#follower) this.#follower = await beginning(this.#deps, this.#deps, this.#deps.genesis, peer);
        // What others gave may be another chain than this peer's: then it is not to blame if its headers don't follow.
        else if (!(await this.#agrees(this.#follower, peer, this.#follower.anchor.height))) return;
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
   * can be told from one. So all peers are asked, also those that are behind, and none is chosen.
   */
  async #witnesses(to: Height, claims: Claims): Promise<void> {
    const follower = this.#follower;
    if (!follower) return;
    const ask = async (peer: Peer, claim: Height) => {
      const agrees = () => this.#agrees(follower, peer, Math.min(claim, to));
      if ((await this.#from(peer, "its word on a header", agrees)) === undefined) this.#mute.add(peer);
    };
    const asked = [...claims].filter(([peer]) => !this.#mute.has(peer));
    await Promise.all(asked.map(([peer, claim]) => ask(peer, claim)));
  }

  /**
   * Whether a peer has the verified header of this height; false if it has none.
   * @throws PoflError CONFLICTING_CHAINS when it has another one, certified too; what its headers are refused for
   */
  async #agrees(follower: Follower, peer: Peer, height: Height): Promise<boolean> {
    const id = follower.id(height);
    if (!id || height === follower.first.height) return true;
    const theirs = await this.#idOf(peer, height);
    if (theirs && !bytesEqual(theirs, id)) await this.#compare(follower, peer, height);
    return theirs !== undefined;
  }

  async #idOf(peer: Peer, height: Height, signal = this.#deps.signal): Promise<Hash | undefined> {
    for await (const { header } of headersOf({ ...this.#deps, signal }, peer, height, height)) return blockId(header);
    return undefined;
  }

  /**
   * Where the chains part, found by halving, so that neither a long chain nor a peer without its beginning is in the way; the first header
   * there must be certified by the validators of the last one that both have.
   * @throws PoflError CONFLICTING_CHAINS, or what the peer's headers are refused for
   */
  async #compare(follower: Follower, peer: Peer, height: Height): Promise<never> {
    const { genesisHash, checkpoint } = this.#deps;
    const signal = AbortSignal.any([this.#deps.signal, AbortSignal.timeout(COMPARE_MS)]);
    let low = follower.first.height;
    let high = height;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const theirs = await this.#idOf(peer, middle, signal);
      if (!theirs) throw notHeld(`the header of height ${middle}, to compare chains`);
      if (bytesEqual(theirs, follower.id(middle) as Hash)) low = middle;
      else high = middle;
    }
    const marks = [...this.#marks.values()].filter((mark) => mark.height <= low);
    const from = marks.reduce((best, mark) => (mark.height > best.height ? mark : best), follower.first);
    const other = new Follower({ genesisHash, checkpoint }, from);
    await follow({ ...this.#deps, signal }, peer, other, high);
    if (other.anchor.height < high) throw notHeld(`the header of height ${high}`);
    const [one, two] = [follower.id(high) as Hash, other.anchor.id];
    if (bytesEqual(one, two)) throw new PoflError("BAD_HEADER", `height ${high}: the peer gives two headers`);
    throw conflict(`height ${high} is ${toHex(one)} and ${toHex(two)}`);
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
      if (isPoflError(error, "FORKED")) throw conflict(error.message);
      if (signal.aborted) return undefined;
      if (isLie(error)) network.report(peer, "reject");
      log.warn(
        { peer },
        `${isLie(error) ? "refused" : "could not get"} ${what}: ${errorText(error)}${this.#deps.checkpoint ? trustHint(error) : ""}`,
      );
      return undefined;
    }
  }
}

function conflict(both: string): PoflError {
  return new PoflError(
    "CONFLICTING_CHAINS",
    `peers have two chains of this genesis, both certified by its validators: ${both}. One of them is forged with their keys. Ask a hospital that ` +
      'you trust for height and hash of a recent block, and set sync.trusted = "HEIGHT:0xHASH"',
  );
}
