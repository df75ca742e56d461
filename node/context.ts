import { addressOf } from "../crypto/domain.ts";
import type { NodeParts } from "./node.ts";
import type { NodeContext } from "./rpc/context.ts";
import { VERSION } from "./version.ts";

/** What RPC and metrics see of a running node. */
export function nodeContext(parts: NodeParts): NodeContext {
  const { home, config, store, blobs, mempool, network, engine, sync, gate, events, rejected } = parts;
  return {
    version: VERSION,
    moniker: config.node.moniker,
    genesis: home.genesis,
    genesisHash: home.genesisHash,
    address: addressOf(home.keys.account.publicKey),
    store,
    blobs,
    mempool,
    network,
    head: () => engine.head,
    progress: () => ({ round: Math.max(0, engine.run.bft.round), phase: engine.run.phase() }),
    catchingUp: () => sync.catchingUp,
    // A node whose disk fails stops: while it answers, it works.
    problem: () => undefined,
    rejected: () => rejected,
    submit: (tx) => gate.submit(tx),
    events,
  };
}
