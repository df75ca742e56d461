import { setMaxListeners } from "node:events";
import { verifyCommit } from "../../consensus/block/commit.ts";
import type { Anchor } from "../../consensus/light/chain.ts";
import type { Log, Network, Peer } from "../../p2p/types.ts";
import { blockId, bodyRoots, CertifiedBlock, type Header } from "../../types/block.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Hash } from "../../types/primitives.ts";
import { type PieceName, StateBuilder, StatePiece, StateTop } from "../../vm/snapshot.ts";
import type { State } from "../../vm/state.ts";
import { BLOCKS_PROTOCOL, BlocksRequest } from "../sync.ts";
import { type Asking, ask, isLie } from "./headers.ts";
import { encodeQuestion } from "./wire.ts";

/** The state and the block of a height whose header is believed, from several peers at once. */

/** Peers that are asked at the same time, and questions that each has under way. */
const SOURCES = 4;
const PER_SOURCE = 2;
/** A source is slow that takes longer for an answer, some hundred KiB mostly: it is asked no more while there are others. */
const LATE_MS = 3_000;
/** Questions under way with those that slow sources still answer, so that a slow line of this node's own is not filled. */
const MAX_ASKED = 2 * SOURCES * PER_SOURCE;
/** Sources that have one question under way, each but the last of them late. */
const COPIES = 3;

export type FetchDeps = Asking & {
  readonly network: Pick<Network, "request" | "report">;
  readonly genesisHash: Hash;
  readonly log: Log;
};

/** Those that have not failed, and those of them that have been slow. */
type Sources = { readonly left: Peer[]; readonly slow: Set<Peer> };

/** Undefined when the peers ended before the state did. Each that lies is reported and asked no more. */
export async function fetchState(deps: FetchDeps, anchor: Anchor, peers: readonly Peer[]): Promise<State | undefined> {
  const { height } = anchor;
  const stateRoot = (anchor.header as Header).stateRoot;
  const sources = { left: [...peers], slow: new Set<Peer>() };
  let builder: StateBuilder | undefined;
  const top = async (asking: Asking, peer: Peer) => {
    const bytes = await ask(asking, peer, encodeQuestion({ kind: "top", height }));
    if (!bytes) throw new PoflError("NOT_HELD", "it has not got that state any more");
    builder ??= new StateBuilder(stateRoot, decode(StateTop, bytes));
  };
  if (!(await gather(deps, sources, ["top"], top)) || !builder) return undefined;
  const whole = builder;
  const piece = async (asking: Asking, peer: Peer, name: PieceName) => {
    const bytes = await ask(asking, peer, encodeQuestion({ kind: "piece", height, piece: name }));
    if (!bytes) throw new PoflError("NOT_HELD", "it has not got that state any more");
    whole.add(name, decode(StatePiece, bytes));
  };
  return (await gather(deps, sources, whole.missing(), piece)) ? whole.finish() : undefined;
}

/** The block itself with a certificate; undefined if no peer has it. */
export async function fetchBlock(
  deps: FetchDeps,
  anchor: Anchor,
  peers: readonly Peer[],
): Promise<CertifiedBlock | undefined> {
  const request = BlocksRequest.serialize({ from: anchor.height, count: 1 });
  let found: CertifiedBlock | undefined;
  await gather(deps, { left: [...peers], slow: new Set() }, [anchor], async (asking, peer) => {
    const bytes = await ask(asking, peer, request, BLOCKS_PROTOCOL);
    if (!bytes) throw new PoflError("NOT_HELD", "it has not got that block");
    found ??= checkedBlock(deps.genesisHash, anchor, decode(CertifiedBlock, bytes));
  });
  return found;
}

/** A block whose header is believed: that body and certificate are its own. @throws PoflError INVALID_BLOCK, BAD_COMMIT */
export function checkedBlock(genesisHash: Hash, anchor: Anchor, certified: CertifiedBlock): CertifiedBlock {
  const { block, commit } = certified;
  const roots = Object.entries(bodyRoots(block)) as [keyof Header, Hash][];
  const whole = roots.every(([name, root]) => bytesEqual(root, block.header[name] as Hash));
  if (!bytesEqual(blockId(block.header), anchor.id) || !whole) {
    throw new PoflError("INVALID_BLOCK", `block ${anchor.height} is not the one that its header names`);
  }
  verifyCommit(genesisHash, anchor.validators, anchor.height, anchor.id, commit);
  return certified;
}

/**
 * Gets every item from some source, as soon as any gives it: what is late is asked of others, once nothing else is left to ask.
 * False when the sources ended, or the signal came, before.
 */
async function gather<T>(
  deps: FetchDeps,
  { left, slow }: Sources,
  items: readonly T[],
  get: (asking: Asking, peer: Peer, item: T) => Promise<void>,
): Promise<boolean> {
  const over = new AbortController();
  const asking = { ...deps, signal: AbortSignal.any([deps.signal, over.signal]) };
  // As many listeners as questions under way; the default of 10 would print warnings.
  setMaxListeners(0, asking.signal);
  const fresh = [...items];
  const missing = new Set(items);
  const asked = new Set<{ readonly peer: Peer; readonly item: T; late: boolean }>();
  let wake = () => {};
  const put = async (peer: Peer, item: T) => {
    const question = { peer, item, late: false };
    asked.add(question);
    const timer = setTimeout(() => {
      question.late = true;
      slow.add(peer);
      wake();
    }, LATE_MS);
    const came = await from(asking, peer, left, () => get(asking, peer, item));
    clearTimeout(timer);
    asked.delete(question);
    if (came) missing.delete(item);
    else if (missing.has(item) && ![...asked].some((q) => q.item === item)) fresh.unshift(item);
    wake();
  };
  const isLate = (item: T, peer: Peer) => {
    const copies = [...asked].filter((q) => q.item === item);
    return copies.length < COPIES && copies.every((q) => q.late && q.peer !== peer);
  };
  while (missing.size > 0 && !deps.signal.aborted) {
    const quick = left.filter((peer) => !slow.has(peer));
    for (const peer of (quick.length > 0 ? quick : left).slice(0, SOURCES)) {
      while (asked.size < MAX_ASKED && [...asked].filter((q) => q.peer === peer).length < PER_SOURCE) {
        const item = fresh.shift() ?? (slow.has(peer) ? undefined : [...missing].find((late) => isLate(late, peer)));
        if (item === undefined) break;
        void put(peer, item);
      }
    }
    if (asked.size === 0) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  over.abort();
  return missing.size === 0;
}

/** Asks a peer; one that fails is asked no more, one that lies is reported. Whether it went well. */
async function from(deps: FetchDeps, peer: Peer, left: Peer[], work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (deps.signal.aborted) return false;
    const at = left.indexOf(peer);
    // Of several questions that one peer has under way the first that fails says it.
    if (at >= 0) {
      left.splice(at, 1);
      if (isLie(error)) deps.network.report(peer, "reject");
      deps.log.warn(
        { peer },
        `${isLie(error) ? "refused a forged snapshot" : "a source of the snapshot fails"}: ${errorText(error)}`,
      );
    }
    return false;
  }
}
