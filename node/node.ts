import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "pino";
import { Engine } from "../consensus/engine/engine.ts";
import type { Applied, EngineDeps, EngineLog, EngineNet } from "../consensus/engine/types.ts";
import { createNetwork } from "../p2p/network.ts";
import { errorText, isPoflError } from "../types/errors.ts";
import { toHex } from "../types/primitives.ts";
import { isDistinct } from "../types/round.ts";
import { misbehaving } from "./attacks.ts";
import type { Config } from "./config.ts";
import { nodeContext } from "./context.ts";
import type { Custody } from "./custodian/custody.ts";
import { openCustody } from "./custodian/open.ts";
import { Events } from "./events.ts";
import type { Home } from "./home.ts";
import { createLogger } from "./logger.ts";
import { createMempool } from "./mempool.ts";
import { startMetrics } from "./metrics.ts";
import type { NodeParts } from "./parts.ts";
import { Penalties } from "./penalty.ts";
import { RecordFiles } from "./records/files.ts";
import { Sidecars } from "./records/sidecars.ts";
import { Refill } from "./refill.ts";
import { Retention } from "./retention.ts";
import { RoundPool } from "./rounds/pool.ts";
import { startRpc } from "./rpc/server.ts";
import { parseCheckpoint } from "./snapshots/checkpoint.ts";
import { Joining } from "./snapshots/joining.ts";
import { Snapshots } from "./snapshots/serve.ts";
import { checkStored, TrustedPath } from "./snapshots/trusted.ts";
import { type Opened, openStored } from "./stored.ts";
import { Sync } from "./sync.ts";
import { openTrainer } from "./trainer.ts";
import { TxGate } from "./txgate.ts";
import { VrfAhead } from "./vrf/ahead.ts";

/** Wires one node: opens everything in order of dependency, closes in reverse, and undoes a start that fails half-way. */

/** For one blob from all peers together; the height in progress may be over before. */
const FETCH_TIMEOUT_MS = 20_000;

/** A height has one block to judge, rarely two. */
const ROUND_THREADS = 1;
/** Distinct reasons for refusals that are counted. */
const MAX_REASONS = 64;

export type NodeOptions = { readonly home: Home; readonly config: Config; readonly log?: Logger };

export type RunningNode = {
  /** Ends the node cleanly; may be called more than once. */
  stop(): Promise<void>;
  /** Resolves after `stop`, rejects after a failure that ended the node. */
  readonly closed: Promise<void>;
};

/**
 * Starts a node.
 * @throws PoflError HOME_LOCKED, FOREIGN_DATABASE, DATABASE_LOCKED, PORT_TAKEN, DISK_FULL, READ_ONLY, data errors, …
 */
export async function startNode({ home, config, log: given }: NodeOptions): Promise<RunningNode> {
  const log = given ?? createLogger({ ...config.log, moniker: config.node.moniker });
  const closing: { readonly name: string; readonly close: () => unknown }[] = [];
  const opened = <T>(name: string, part: T, close: (part: T) => unknown): T => {
    closing.push({ name, close: () => close(part) });
    return part;
  };
  let stopping: Promise<void> | undefined;
  const ended = Promise.withResolvers<void>();
  // A start that fails reports its own error; nobody may be listening to this one then.
  ended.promise.catch(() => {});

  const closeAll = async () => {
    for (const { name, close } of closing.reverse()) {
      try {
        await close();
      } catch (error) {
        log.error({ err: error }, `closing ${name} failed`);
      }
    }
  };
  const stop = (): Promise<void> => {
    stopping ??= closeAll().then(() => {
      log.info("stopped");
      ended.resolve();
    });
    return stopping;
  };
  const fatal = (error: unknown) => {
    log.fatal({ code: isPoflError(error) ? error.code : "INTERNAL" }, `the node must stop: ${errorText(error)}`);
    stopping ??= closeAll().then(() => ended.reject(error));
  };

  try {
    const parts = await open({ home, config, log }, opened, fatal);
    const { engine, network, store } = parts;
    log.info(
      {
        height: store.head().height,
        peer: network.peerId,
        genesis: toHex(home.genesisHash),
        address: parts.network.addresses()[0],
      },
      `${config.node.moniker} on ${home.genesis.chainId}`,
    );
    const context = nodeContext(parts);
    const rpc = await startRpc(context, { listen: config.rpc.listen }, log.child({ module: "rpc" }));
    opened("RPC", rpc, (r) => r.close());
    if (config.metrics.listen !== "") {
      opened("metrics", await startMetrics(context, config.metrics.listen), (m) => m.close());
    }
    engine.start();
    opened("consensus", engine, (e) => e.stop());
  } catch (error) {
    stopping ??= closeAll();
    await stopping;
    throw error;
  }
  return { stop, closed: ended.promise };
}

async function open(
  { home, config, log }: Required<NodeOptions>,
  opened: Opened,
  fatal: (error: unknown) => void,
): Promise<NodeParts> {
  const { genesis, genesisHash, paths } = home;
  const events = new Events();

  const { store, blobs, signer, wal, sessions, head } = await openStored({ home, config, log }, opened);
  const retention = new Retention(store, blobs, genesis.consensus.retentionHeights);
  let state = head.state;
  const penalties = new Penalties(home, log.child({ module: "chain" }) as EngineLog);
  penalties.onState(state);
  const checkpoint = parseCheckpoint(config.sync.trusted);
  if (checkpoint) await checkStored(store, checkpoint, paths.chain);
  const trusted = new TrustedPath(checkpoint);
  const snapshots = new Snapshots(store, genesis, head);

  const trainer = await openTrainer(home, config, log);
  if (trainer) opened("learning", trainer, (t) => t.close());

  const rounds = opened(
    "the round threads",
    new RoundPool({ threads: ROUND_THREADS, log: (line) => log.error({ module: "rounds" }, line) }),
    (r) => r.close(),
  );

  const ahead = opened("the proof threads", new VrfAhead({ log: (line) => log.error({ module: "sync" }, line) }), (a) =>
    a.rest(),
  );

  const network = opened(
    "the network",
    await createNetwork(
      {
        listen: [config.p2p.listen],
        bootnodes: [...new Set([...genesis.bootnodes, ...config.p2p.bootnodes])],
        keySeed: home.nodeKey,
        genesisHash,
        ...(genesis.allowlist && { allowlist: genesis.allowlist }),
        ...(config.p2p.external !== "" && { announce: [config.p2p.external] }),
      },
      { log: log.child({ module: "p2p" }) },
    ),
    (n) => n.stop(),
  );

  const timer = (ms: number, act: () => void) => {
    const handle = setTimeout(act, ms);
    return () => clearTimeout(handle);
  };
  const sidecars = opened(
    "the records",
    new Sidecars({
      files: await RecordFiles.open(join(paths.data, "records")),
      genesisHash,
      state: () => state,
      network,
      catchingUp: () => sync.catchingUp,
      timer,
      log: log.child({ module: "records" }),
      fatal,
    }),
    (s) => s.stop(),
  );
  const mempool = createMempool({
    state: () => state,
    genesis,
    genesisHash,
    dropped: (tx) => sidecars.withdraw(tx),
  });

  const rejected: Record<string, number> = {};
  const net: EngineNet = {
    send: (peer, frame) => void network.send(peer, frame),
    broadcast: (frame) => void network.broadcast(frame),
    peers: () => network.peers().length,
    fetchBlob: (root, size) => network.fetchBlob(root, size, { timeoutMs: FETCH_TIMEOUT_MS }),
    report: (peer, verdict, why) => {
      log.debug({ module: "consensus", peer, verdict }, why);
      // By the kind of message: reasons hold particulars, and a map of them would grow for ever.
      const kind = why.split(":", 1)[0] as string;
      if (kind in rejected || Object.keys(rejected).length < MAX_REASONS) rejected[kind] = (rejected[kind] ?? 0) + 1;
      network.report(peer, verdict);
    },
  };
  const { attack } = config.node;
  if (attack !== "")
    log.warn({ attack }, "this node is set to misbehave: [node] attack is for tests, and burns its stake");
  /** A block is stored. */
  const onFinal = async (applied: Applied) => {
    const { certified, head: next } = applied;
    state = next.state;
    // A crash before this is made good at the next start: the stored state says what must be gone.
    await sidecars.onBlock(applied);
    mempool.onBlock(certified.block.txs);
    snapshots.onHead(next);
    logBlock(log, applied);
    penalties.onBlock(applied);
    events.emit("block", applied);
    if (!config.node.archive) await retention.onBlock(certified.block, next);
  };
  const deps: EngineDeps = {
    genesis,
    genesisHash,
    keys: { consensus: home.keys.consensus, vrf: home.keys.vrf },
    newSignerWaits: true,
    clock: { now: () => Date.now(), timer },
    random: () => new Uint8Array(randomBytes(32)),
    net: attack === "" ? net : misbehaving(net, attack, home.keys.consensus.secret, genesisHash),
    blobs,
    records: sidecars,
    wal,
    signerLog: signer,
    trainer,
    rounds,
    pickTxs: () => mempool.pick(),
    commit: async (blocks) => {
      await store.appendAll(
        blocks.map(({ certified, receipts, head: { state, validators } }) => ({
          certified,
          receipts,
          changes: state.changes(),
          validators,
        })),
      );
      for (const applied of blocks) await onFinal(applied);
    },
    certified: (height) => store.certified(height),
    vrf: ahead.verify,
    allowed: (height, id) => trusted.allowed(height, id),
    behind: (peer, height) => sync.claim(peer, height),
    log: log.child({ module: "consensus" }) as EngineLog,
    fatal,
  };
  const engine = new Engine(head, deps);
  const syncLog = log.child({ module: "sync" });
  const joining = new Joining({
    genesis,
    genesisHash,
    checkpoint,
    trusted,
    network,
    engine,
    store,
    log: syncLog,
    adopted: (next) => {
      state = next.state;
      sidecars.onSnapshot();
      mempool.onBlock();
      snapshots.onHead(next);
      penalties.onState(state);
      refill.start();
    },
  });
  const sync = new Sync({
    network,
    engine: () => engine,
    certified: (height) => store.certified(height),
    log: syncLog as EngineLog,
    ...(config.sync.mode === "snapshot" && { join: joining.join }),
    ahead,
    lead: joining.lead,
    far: joining.far,
    fatal,
  });
  const refill = new Refill({
    store,
    network,
    genesisHash,
    busy: () => sync.catchingUp,
    timer,
    log: log.child({ module: "refill" }),
    fatal,
  });
  network.setHandlers({
    onPeer: (peer) => {
      engine.onPeer(peer);
      refill.onPeer();
    },
    onGone: (peer) => {
      sync.gone(peer);
      refill.gone(peer);
      engine.onGone(peer);
    },
    onFrame: (peer, frame) => engine.onFrame(peer, frame),
  });
  const gate = new TxGate({
    network,
    mempool,
    sidecars,
    genesisHash,
    admitted: (id) => {
      events.emit("tx", id);
      engine.onTransaction();
    },
  });
  network.serveBlobs((root) => blobs.get(root));
  await sidecars.start();
  await sync.start();
  await snapshots.serve(network);
  opened("sync", sync, (s) => s.stop());
  opened("refilling", refill, (r) => r.stop());
  let custody: Custody | undefined;
  if (home.custodian && sessions) {
    const given = { home, keys: home.custodian, state: () => state, network, mempool, gate, sync, events, sessions };
    const custodyLog = log.child({ module: "custodian" });
    ({ custody } = opened("the custodian", await openCustody({ ...given, log: custodyLog }), (c) => c.stop()));
  }
  await network.start();
  refill.start();
  return { home, config, log, events, store, blobs, mempool, sidecars, gate, network, engine, sync, custody, rejected };
}

function logBlock(log: Logger, { head, certified, timings }: Applied): void {
  const { header, learning, txs } = certified.block;
  const result = learning[0]?.result;
  const accepted = result?.updates.filter((u) => u.weight > 0n).length;
  log.info(
    {
      module: "chain",
      height: head.height,
      hash: toHex(head.id).slice(0, 12),
      round: certified.commit.round,
      ...(accepted !== undefined && {
        updates: accepted,
        f: `${result?.fKrum} of ${result?.updates.filter(isDistinct).length}`,
        loss: header.metrics.loss / 1000,
        auroc: header.metrics.auroc / 1000,
      }),
      ...(txs.length > 0 && { txs: txs.length }),
      ...(timings?.stored !== undefined && { ms: timings.stored }),
    },
    "final",
  );
}
