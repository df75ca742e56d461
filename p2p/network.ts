import "./polyfill.ts";
import { peerIdFromString } from "@libp2p/peer-id";
import { PoflError } from "../types/errors.ts";
import { createBlobs } from "./blobs.ts";
import { blobServer } from "./blobserve.ts";
import { createMeters } from "./counters.ts";
import { createDirect } from "./direct.ts";
import { createDiscovery } from "./discovery.ts";
import { createGossip, gossipOptions } from "./gossip.ts";
import { createHost, startHost } from "./host.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { BLOB, DIRECT, genesisTag, PEERS, wireName } from "./protocols.ts";
import { createRequests } from "./requests.ts";
import { Scores } from "./scores.ts";
import type { BlobSource, Network, NetworkHandlers, NetworkModules, NetworkOptions, Peer, Verdict } from "./types.ts";

const PRUNE_MS = 60_000;

/**
 * Builds the network of one node; no port is open before `start`.
 * @throws PoflError BAD_LISTEN, BAD_BOOTNODE, BAD_KEY
 */
export async function createNetwork(options: NetworkOptions, modules: NetworkModules): Promise<Network> {
  const { log } = modules;
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const wire = (name: string) => wireName(options.genesisHash, name);
  const scores = new Scores(limits);
  const allowed = options.allowlist ? new Set(options.allowlist) : undefined;
  const denied = (peer: Peer) => (allowed !== undefined && !allowed.has(peer)) || scores.banned(peer, Date.now());
  const meters = createMeters();
  const handlers: NetworkHandlers = { onPeer: () => {}, onGone: () => {}, onFrame: () => {}, ...modules.handlers };
  let source: BlobSource | undefined;
  let state: "new" | "running" | "stopped" = "new";
  let stopping: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  function report(peer: Peer, verdict: Verdict): void {
    const standing = scores.report(peer, verdict, Date.now());
    if (standing === "good") return;
    log.warn(
      { peer, score: scores.score(peer, Date.now()) },
      `peer ${standing === "banned" ? "banned" : "disconnected"} for bad messages`,
    );
    for (const connection of host.getConnections(peerIdFromString(peer))) connection.abort(new Error(standing));
  }

  const host = await createHost(
    options,
    limits,
    gossipOptions(wire, limits, (peer) => scores.score(peer, Date.now())),
    denied,
    meters.gossip,
  );
  const requests = createRequests({ host, wire, limits, log });
  const gossip = createGossip({ host, wire, log, report });
  const direct = createDirect({
    host,
    protocol: wire(DIRECT),
    limits,
    log,
    meters,
    handlers: {
      onPeer(peer) {
        discovery.onPeer(peer);
        handlers.onPeer(peer);
      },
      onGone(peer) {
        discovery.onGone(peer);
        handlers.onGone(peer);
      },
      onFrame: (peer, frame) => handlers.onFrame(peer, frame),
    },
  });
  const discovery = createDiscovery({
    host,
    limits,
    log,
    bootnodes: options.bootnodes,
    chain: genesisTag(options.genesisHash),
    direct,
    denied,
    ask: (peer) =>
      requests.request(peer, PEERS, new Uint8Array(), { timeoutMs: 5000, maxBytes: 256 * 1024 }, meters.requests),
  });
  const blobs = createBlobs({
    limits,
    log,
    report,
    peers: () => direct.list(),
    ask: (peer, request, asking) => requests.request(peer, BLOB, request, asking, meters.blobs),
    chance: Math.random,
  });

  async function shutDown(): Promise<void> {
    state = "stopped";
    clearInterval(timer);
    requests.stop();
    await discovery.stop();
    await direct.stop();
    gossip.stop();
    await host.stop();
  }

  return {
    peerId: host.peerId.toString(),
    async start() {
      if (state !== "new") throw new PoflError("ALREADY_STARTED", "a network starts once; create another");
      state = "running";
      try {
        await direct.start();
        await requests.serve(PEERS, discovery.handler, meters.requests);
        await requests.serve(
          BLOB,
          blobServer(() => source, limits),
          meters.blobs,
        );
        await startHost(host, options.listen);
        gossip.start();
        discovery.start();
        timer = setInterval(() => {
          scores.prune(Date.now());
          requests.prune(Date.now());
        }, PRUNE_MS);
      } catch (error) {
        await shutDown();
        throw error;
      }
    },
    stop() {
      stopping ??= shutDown();
      return stopping;
    },
    addresses: () => host.getMultiaddrs().map((address) => address.toString()),
    peers: () =>
      direct.info().map((info) => ({
        ...info,
        score: scores.score(info.peer, Date.now()),
        listens: discovery.listens(info.peer),
      })),
    setHandlers(given) {
      Object.assign(handlers, given);
    },
    send: (peer, frame) => direct.send(peer, frame),
    broadcast: (frame, except) => direct.broadcast(frame, except),
    publish: (topic, bytes) => gossip.publish(topic, bytes),
    onGossip: (topic, handler) => gossip.on(topic, handler),
    request: (peer, protocol, bytes, asking) => requests.request(peer, protocol, bytes, asking, meters.requests),
    serve: (protocol, handler) => requests.serve(protocol, handler, meters.requests),
    fetchBlob: (root, size, fetching) => blobs.fetch(root, size, fetching),
    serveBlobs(given) {
      source = given;
    },
    report,
    counters: () => ({
      direct: { ...meters.direct },
      gossip: { ...meters.gossip },
      blobs: { ...meters.blobs },
      requests: { ...meters.requests },
    }),
  };
}
