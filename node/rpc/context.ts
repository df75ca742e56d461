import type { Head } from "../../consensus/block/context.ts";
import type { Applied, Timings } from "../../consensus/engine/types.ts";
import type { Sidecar } from "../../crypto/record.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Counters, PeerInfo } from "../../p2p/types.ts";
import type { Address, Hash } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import type { CustodyView } from "../custodian/view.ts";
import type { Mempool } from "../mempool.ts";
import type { BlobStore } from "../store/blobs.ts";
import type { Store } from "../store/store.ts";

/** All that the RPC server and the metrics read of a node, and the one thing they do to it: `submit`. */
export type NodeContext = {
  readonly version: string;
  readonly moniker: string;
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  /** The account of this node; undefined for one that only follows. */
  readonly address: Address | undefined;
  readonly store: Store;
  readonly blobs: Pick<BlobStore, "get" | "has">;
  readonly mempool: Pick<Mempool, "count" | "bytes" | "get" | "ids" | "nextNonce">;
  readonly network: {
    readonly peerId: string;
    peers(): readonly PeerInfo[];
    counters(): Counters;
  };
  /** The last final block and its state. */
  head(): Head;
  /** The height in progress. */
  progress(): { readonly round: number; readonly phase: string };
  catchingUp(): boolean;
  /** Why the node can't do its work (a failed disk); undefined when it can. */
  problem(): string | undefined;
  /** Messages refused since the start, by reason. */
  rejected(): Readonly<Record<string, number>>;
  /** This node's custodian; undefined = it is none. */
  readonly custody: CustodyView | undefined;
  readonly records: {
    /** What lies beside the chain under a record's label or a request's id, if it opens `cm`; undefined = not here. */
    read(id: Hash, cm: Hash, length: number): Promise<Sidecar | undefined>;
  };
  /**
   * Admits a transaction, with what travels beside it, and passes it on.
   * @throws PoflError TX_… or MEMPOOL_FULL; MISSING_SIDECAR when it needs one that is neither given nor here; BAD_SIDECAR
   */
  submit(tx: Tx, sidecar?: Sidecar): Hash;
  readonly events: NodeEvents;
};

export type NodeEvents = {
  /** Of recent heights, oldest first. */
  readonly timings: readonly Timings[];
  on(name: "block", listener: (applied: Applied) => void): unknown;
  on(name: "tx", listener: (id: Hash) => void): unknown;
  off(name: "block", listener: (applied: Applied) => void): unknown;
  off(name: "tx", listener: (id: Hash) => void): unknown;
};
