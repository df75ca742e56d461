import { MemoryLevel } from "memory-level";
import { Snapshots } from "../../node/snapshots/serve.ts";
import { type Database, ENCODINGS } from "../../node/store/database.ts";
import { openStore, type Store } from "../../node/store/store.ts";
import { BLOCKS_PROTOCOL, BlocksRequest } from "../../node/sync.ts";
import type { Peer, RequestHandler } from "../../p2p/types.ts";
import { CertifiedBlock } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { decode } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import type { CertifiedChain } from "./chains.ts";

/** Nodes that serve chains, on a network of function calls. */

export const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

export const memory = (): Database => new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS) as unknown as Database;

export async function emptyStore(chain: CertifiedChain, db: Database = memory()): Promise<Store> {
  return openStore(db, {
    genesisHash: chain.hash,
    genesisState: () => State.genesis(chain.genesis),
    path: "test",
  });
}

export type Handlers = Map<string, RequestHandler>;

/** Everything that a node with this chain serves; states at `offers`, ascending. */
export async function serving(chain: CertifiedChain, offers: readonly number[]): Promise<Handlers> {
  const handlers: Handlers = new Map();
  const store = await emptyStore(chain);
  let snapshots: Snapshots | undefined;
  for (const { certified, receipts, head } of chain.blocks) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
    if (!offers.includes(head.height)) continue;
    // Which heights a node offers is a matter of when it started; here each is.
    if (snapshots) snapshots.onHead(head);
    else snapshots = new Snapshots(store, chain.genesis, head);
  }
  snapshots ??= new Snapshots(store, chain.genesis, chain.head);
  await snapshots.serve({ serve: async (name, handler) => void handlers.set(name, handler) });
  handlers.set(BLOCKS_PROTOCOL, async function* (_peer, request) {
    const { from, count } = decode(BlocksRequest, request);
    for (let h = from; h < from + count; h++) {
      const block = await store.certified(h);
      if (!block) return;
      yield CertifiedBlock.serialize(block);
    }
  });
  return handlers;
}

export class FakeNetwork {
  readonly peers = new Map<Peer, Handlers>();
  readonly reports: string[] = [];
  /** Questions asked, by peer. */
  readonly asked = new Map<Peer, string[]>();

  report(peer: Peer, verdict: string): void {
    this.reports.push(`${peer} ${verdict}`);
  }

  async *request(peer: Peer, protocol: string, bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    this.asked.set(peer, [...(this.asked.get(peer) ?? []), protocol]);
    const handler = this.peers.get(peer)?.get(protocol);
    if (!handler) throw new PoflError("NOT_CONNECTED", `${peer} is not there`);
    yield* handler("joiner", bytes);
  }
}

/** A copy of handlers of which one answers otherwise. */
export function lying(
  handlers: Handlers,
  protocol: string,
  forge: (frame: Uint8Array, request: Uint8Array) => Uint8Array,
): Handlers {
  const honest = handlers.get(protocol) as RequestHandler;
  return new Map(handlers).set(protocol, async function* (peer, request) {
    for await (const frame of honest(peer, request)) yield forge(frame, request);
  });
}
