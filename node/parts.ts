import type { Logger } from "pino";
import type { Engine } from "../consensus/engine/engine.ts";
import type { Network } from "../p2p/types.ts";
import type { Config } from "./config.ts";
import type { Custody } from "./custodian/custody.ts";
import type { Events } from "./events.ts";
import type { Home } from "./home.ts";
import type { Mempool } from "./mempool.ts";
import type { Sidecars } from "./records/sidecars.ts";
import type { BlobStore } from "./store/blobs.ts";
import type { Store } from "./store/store.ts";
import type { Sync } from "./sync.ts";
import type { TxGate } from "./txgate.ts";

/** Everything that a running node consists of. */
export type NodeParts = {
  readonly home: Home;
  readonly config: Config;
  readonly log: Logger;
  readonly events: Events;
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly mempool: Mempool;
  readonly sidecars: Sidecars;
  readonly gate: TxGate;
  readonly network: Network;
  readonly engine: Engine;
  readonly sync: Sync;
  /** In the node of a custodian. */
  readonly custody: Custody | undefined;
  /** Messages refused since the start, by reason. */
  readonly rejected: Readonly<Record<string, number>>;
};
