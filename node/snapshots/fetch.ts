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

/** Peers that give pieces at the same time, and pieces that each has under way. */
const SOURCES = 4;
const PER_SOURCE = 2;

export type FetchDeps = Asking & {
  readonly network: Pick<Network, "request" | "report">;
  readonly genesisHash: Hash;
  readonly log: Log;
};

/** Undefined when the peers ended before the state did. Each that lies is reported and asked no more. */
export async function fetchState(deps: FetchDeps, anchor: Anchor, peers: readonly Peer[]): Promise<State | undefined> {
  const { height } = anchor;
  const stateRoot = (anchor.header as Header).stateRoot;
  const left = [...peers];
  let builder: StateBuilder | undefined;
  while (!builder) {
    const peer = left[0];
    if (peer === undefined) return undefined;
    await from(deps, peer, left, async () => {
      const bytes = await ask(deps, peer, encodeQuestion({ kind: "top", height }));
      if (!bytes) throw new PoflError("NOT_HELD", "it has not got that state any more");
      builder = new StateBuilder(stateRoot, decode(StateTop, bytes));
    });
  }
  const whole = builder;
  const wanted = whole.missing();
  const busy = new Map<Peer, number>();
  const running = new Set<Promise<void>>();
  const begin = (peer: Peer, piece: PieceName) => {
    busy.set(peer, (busy.get(peer) ?? 0) + 1);
    const work = one(peer, piece).finally(() => {
      busy.set(peer, (busy.get(peer) ?? 1) - 1);
      running.delete(work);
    });
    running.add(work);
  };
  const one = async (peer: Peer, piece: PieceName) => {
    const done = await from(deps, peer, left, async () => {
      const bytes = await ask(deps, peer, encodeQuestion({ kind: "piece", height, piece }));
      if (!bytes) throw new PoflError("NOT_HELD", "it has not got that state any more");
      whole.add(piece, decode(StatePiece, bytes));
    });
    if (!done) wanted.unshift(piece);
  };
  while (wanted.length > 0 || running.size > 0) {
    if (deps.signal.aborted) break;
    for (const peer of left.slice(0, SOURCES)) {
      for (let free = PER_SOURCE - (busy.get(peer) ?? 0); free > 0; free--) {
        const piece = wanted.shift();
        if (piece) begin(peer, piece);
      }
    }
    if (running.size === 0) return undefined;
    await Promise.race(running);
  }
  await Promise.all(running);
  return deps.signal.aborted ? undefined : whole.finish();
}

/** The block itself with a certificate; undefined if no peer has it. */
export async function fetchBlock(
  deps: FetchDeps,
  anchor: Anchor,
  peers: readonly Peer[],
): Promise<CertifiedBlock | undefined> {
  const left = [...peers];
  let found: CertifiedBlock | undefined;
  for (let peer = left[0]; peer !== undefined && !found; peer = left[0]) {
    const source = peer;
    await from(deps, source, left, async () => {
      const bytes = await ask(
        deps,
        source,
        BlocksRequest.serialize({ from: anchor.height, count: 1 }),
        BLOCKS_PROTOCOL,
      );
      if (!bytes) throw new PoflError("NOT_HELD", "it has not got that block");
      found = checkedBlock(deps.genesisHash, anchor, decode(CertifiedBlock, bytes));
    });
  }
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

/** Asks a peer; one that fails is asked no more, one that lies is reported. Whether it went well. */
async function from(deps: FetchDeps, peer: Peer, left: Peer[], work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const at = left.indexOf(peer);
    if (deps.signal.aborted) {
      left.length = 0;
      return false;
    }
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
