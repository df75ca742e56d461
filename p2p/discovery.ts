import { setMaxListeners } from "node:events";
import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import type { IdentifyResult } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { errorText, PoflError } from "../types/errors.ts";
import { bytesUpTo, decode } from "../types/primitives.ts";
import type { Host } from "./host.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type Entry, PeerBook } from "./peerbook.ts";
import { chainOf } from "./protocols.ts";
import type { Log, Peer, RequestHandler } from "./types.ts";

/** Finds everyone from one bootnode: peers tell each other whom they are connected to, and each dials whom it lacks. */

const { maxSharedPeers, maxAddressesPerPeer } = DEFAULT_LIMITS;
const Shared = new ContainerType({
  peer: bytesUpTo(64),
  addresses: new ListCompositeType(bytesUpTo(128), maxAddressesPerPeer),
});
const SharedList = new ListCompositeType(Shared, maxSharedPeers);

export type Discovery = {
  start(): void;
  stop(): Promise<void>;
  /** Call when a direct stream opens. */
  onPeer(peer: Peer): void;
  onGone(peer: Peer): void;
  /** Addresses that the peer confirmed. */
  listens(peer: Peer): readonly string[];
  readonly handler: RequestHandler;
};

/** A multiaddr without its peer id, and that id. */
export function splitAddress(address: string): { peer: Peer | undefined; address: string } {
  const parts = address.split("/p2p/");
  if (parts[1]) peerIdFromString(parts[1]);
  return { peer: parts[1], address: multiaddr(parts[0] as string).toString() };
}

const isLoopback = (address: string): boolean => /^\/(ip4\/127\.|ip6\/::1\/|dns4?\/localhost\/)/.test(address);

export function createDiscovery(deps: {
  host: Host;
  limits: Limits;
  log: Log;
  bootnodes: readonly string[];
  /** 16 digits. */
  chain: string;
  direct: { has(peer: Peer): boolean; list(): Peer[] };
  ask: (peer: Peer) => AsyncIterable<Uint8Array>;
  denied: (peer: Peer) => boolean;
}): Discovery {
  const { host, limits, log, chain, direct } = deps;
  const self = host.peerId.toString();
  const book = new PeerBook(self, limits);
  const dialling = new Set<Entry>();
  const timers = new Set<NodeJS.Timeout>();
  const running = new Set<Promise<unknown>>();
  const stopping = new AbortController();
  // As many listeners as dials; the default of 10 would print warnings.
  setMaxListeners(0, stopping.signal);
  let nextExchangeAt = 0;

  for (const bootnode of deps.bootnodes) {
    try {
      const { peer, address } = splitAddress(bootnode);
      book.addBootnode(peer, address);
    } catch (cause) {
      const text = `"${bootnode}" is not the address of a bootnode; write e.g. /ip4/10.0.0.1/tcp/26656/p2p/12D3Koo…: ${errorText(cause)}`;
      throw new PoflError("BAD_BOOTNODE", text, { bootnode }, { cause });
    }
  }

  const connected = (peer: Peer) => peer === self || host.getConnections(peerIdFromString(peer)).length > 0;
  const track = (work: Promise<unknown>) => {
    running.add(work);
    void work.finally(() => running.delete(work));
  };

  async function dial(entry: Entry): Promise<void> {
    dialling.add(entry);
    try {
      const suffix = entry.peer ? `/p2p/${entry.peer}` : "";
      const targets: Multiaddr[] = entry.addresses.map((a) => multiaddr(a + suffix));
      const connection = await host.dial(targets, { signal: stopping.signal });
      book.reached(entry, connection.remotePeer.toString(), Date.now());
    } catch (error) {
      log.debug({ peer: entry.peer, addresses: entry.addresses, error: errorText(error) }, "dial failed");
      book.failed(entry, Date.now(), Math.random());
    } finally {
      dialling.delete(entry);
    }
  }

  /** Asks a peer whom it knows. */
  async function exchange(peer: Peer): Promise<void> {
    try {
      for await (const frame of deps.ask(peer)) {
        const list = decode(SharedList, frame) as ValueOf<typeof SharedList>;
        const before = book.size;
        for (const entry of list) hear(entry);
        // Where there was news there is more: the mesh is still growing.
        if (book.size > before) nextExchangeAt = Math.min(nextExchangeAt, Date.now() + limits.exchangeMs / 10);
        return;
      }
    } catch (error) {
      log.debug({ peer, error: errorText(error) }, "no peers learnt");
    }
  }

  function hear(entry: ValueOf<typeof Shared>): void {
    try {
      const peer = Buffer.from(entry.peer).toString();
      peerIdFromString(peer);
      if (deps.denied(peer)) return;
      const addresses = entry.addresses.map((a) => multiaddr(Buffer.from(a).toString()).toString());
      book.hear(peer, addresses, Date.now());
    } catch {
      // An entry that does not parse is of no use, nor worth a quarrel.
    }
  }

  function onIdentify(event: CustomEvent<IdentifyResult>): void {
    const { peerId, protocols, signedPeerRecord, listenAddrs, connection } = event.detail;
    const peer = peerId.toString();
    const theirs = chainOf(protocols);
    if (theirs !== chain) {
      const what = theirs
        ? `it is on the chain ${theirs}, this node on ${chain}`
        : "it speaks no protocol of this chain";
      log.warn(
        { peer, address: connection.remoteAddr.toString(), code: "FOREIGN_CHAIN" },
        `peer refused: ${what}; compare the genesis files`,
      );
      book.postpone(peer, Date.now() + limits.foreignMs);
      connection.abort(new PoflError("FOREIGN_CHAIN", what));
      return;
    }
    const addresses = (signedPeerRecord?.addresses ?? listenAddrs).map((a) => splitAddress(a.toString()).address);
    book.confirm(peer, addresses, Date.now());
  }

  function tick(): void {
    const now = Date.now();
    for (const entry of book.due(now, connected)) {
      if (dialling.size >= limits.maxParallelDials) break;
      if (!dialling.has(entry) && !(entry.peer && deps.denied(entry.peer))) track(dial(entry));
    }
    if (now >= nextExchangeAt) {
      nextExchangeAt = now + limits.exchangeMs * (0.75 + Math.random() / 2);
      const peers = direct.list();
      const peer = peers[Math.floor(Math.random() * peers.length)];
      if (peer) track(exchange(peer));
    }
  }

  return {
    start() {
      host.addEventListener("peer:identify", onIdentify);
      timers.add(setInterval(tick, Math.min(250, limits.redialMinMs)));
      tick();
    },
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      host.removeEventListener("peer:identify", onIdentify);
      stopping.abort();
      await Promise.allSettled(running);
    },
    onPeer(peer) {
      track(exchange(peer));
      // Others may just now be arriving there.
      const timer = setTimeout(() => {
        timers.delete(timer);
        if (direct.has(peer)) track(exchange(peer));
      }, 1000);
      timers.add(timer);
    },
    onGone(peer) {
      const entry = book.get(peer);
      if (entry && entry.nextDialAt <= Date.now()) book.failed(entry, Date.now(), Math.random());
    },
    listens: (peer) => book.get(peer)?.addresses ?? [],
    handler: async function* serve(asker) {
      const from = host.getConnections(peerIdFromString(asker))[0]?.remoteAddr.toString() ?? "";
      const list = direct
        .list()
        .filter((peer) => peer !== asker)
        .flatMap((peer) => {
          // An address on the loopback means something only to those who are there too.
          const addresses = (book.get(peer)?.addresses ?? []).filter((a) => !isLoopback(a) || isLoopback(from));
          return addresses.length > 0
            ? [{ peer: Buffer.from(peer), addresses: addresses.map((a) => Buffer.from(a)) }]
            : [];
        });
      // More than fit: a random part, so that repeated questions find all.
      if (list.length > maxSharedPeers) list.sort(() => Math.random() - 0.5);
      yield SharedList.serialize(list.slice(0, maxSharedPeers));
    },
  };
}
