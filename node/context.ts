import { addressOf } from "../crypto/domain.ts";
import type { NodeParts } from "./parts.ts";
import type { NodeContext } from "./rpc/context.ts";
import { VERSION } from "./version.ts";

/** What RPC and metrics see of a running node. */
export function nodeContext(parts: NodeParts): NodeContext {
  const { home, config, store, blobs, mempool, sidecars, network, engine, sync, gate, events, custody, rejected } =
    parts;
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
    problem: () => stalled(parts),
    rejected: () => rejected,
    records: sidecars,
    submit: (tx, sidecar) => gate.submit(tx, sidecar),
    custody,
    events,
  };
}

/** Beyond the windows of the task and a few rounds of votes, a height that is not decided needs somebody's attention. */
const STALLED_MS = 30_000;

/** A node whose disk fails stops; one that still answers may yet be on a chain that has halted. */
function stalled({ engine, sync, home }: NodeParts): string | undefined {
  const { windows } = engine.run.ctx.spec ?? {};
  const patience =
    STALLED_MS +
    home.genesis.consensus.idleIntervalMs +
    (windows ? windows.pledgeMs + windows.revealMs + windows.attestMs : 0);
  const waited = Date.now() - engine.timings().startedAt;
  if (sync.catchingUp || waited <= patience) return undefined;
  return `height ${engine.run.ctx.height} is not decided after ${Math.round(waited / 1000)} s: are more than two thirds of the stake online and connected?`;
}
