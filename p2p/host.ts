import "./polyfill.ts";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { type GossipSub, type GossipsubOpts, gossipsub } from "@libp2p/gossipsub";
import { type Identify, identify } from "@libp2p/identify";
import type { ConnectionGater, Libp2p } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { type Ping, ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { errorText, PoflError } from "../types/errors.ts";
import type { Limits } from "./limits.ts";
import { quietMuxer } from "./muxer.ts";
import { streamMeter } from "./streammeter.ts";
import type { NetworkOptions, Peer, Traffic } from "./types.ts";

export type Host = Libp2p<{ identify: Identify; ping: Ping; gossip: GossipSub }>;

/**
 * The libp2p host, not started. `denied` is asked for every peer before a stream can be opened; `meter` counts gossip.
 * @throws PoflError BAD_LISTEN, BAD_KEY
 */
export async function createHost(
  options: NetworkOptions,
  limits: Limits,
  gossip: Partial<GossipsubOpts>,
  denied: (peer: Peer) => boolean,
  meter: Traffic = { in: 0, out: 0 },
): Promise<Host> {
  for (const address of [...options.listen, ...(options.announce ?? [])]) {
    try {
      multiaddr(address);
    } catch (cause) {
      const text = `"${address}" is not an address to listen on; write e.g. /ip4/0.0.0.0/tcp/26656 (${errorText(cause)})`;
      throw new PoflError("BAD_LISTEN", text, { address }, { cause });
    }
  }
  if (options.keySeed.length !== 32) {
    throw new PoflError("BAD_KEY", `the network key has ${options.keySeed.length} bytes, an Ed25519 seed has 32`);
  }
  const gater: ConnectionGater = {
    denyDialPeer: (peer) => denied(peer.toString()),
    denyInboundEncryptedConnection: (peer) => denied(peer.toString()),
    denyOutboundEncryptedConnection: (peer) => denied(peer.toString()),
  };
  // Nagle's algorithm would hold a vote back until the last packet is acknowledged.
  const socket = { noDelay: true, keepAlive: true };
  return createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed("Ed25519", options.keySeed),
    addresses: { listen: [...options.listen], ...(options.announce ? { announce: [...options.announce] } : {}) },
    transports: [tcp({ dialOpts: socket, listenOpts: socket, maxConnections: limits.maxConnections })],
    connectionEncrypters: [noise()],
    streamMuxers: [
      quietMuxer(
        yamux({
          maxInboundStreams: limits.maxStreams,
          maxOutboundStreams: limits.maxStreams,
          streamOptions: {
            maxStreamWindowSize: limits.streamWindowBytes,
            maxReadBufferLength: limits.readBufferBytes,
            // Unlimited by default. Twice our own bound, so that ours acts first and says why.
            maxWriteBufferLength: 2 * limits.maxQueuedBytes,
          },
        }),
      ),
    ],
    connectionGater: gater,
    connectionManager: {
      maxConnections: limits.maxConnections,
      inboundConnectionThreshold: limits.inboundPerSecond,
      maxIncomingPendingConnections: limits.maxPendingInbound,
      maxParallelDials: limits.maxParallelDials,
      dialTimeout: limits.dialTimeoutMs,
      addressDialTimeout: limits.dialTimeoutMs,
    },
    // Its pings abort a connection when a busy event loop answers late; our heartbeat knows its own delays.
    connectionMonitor: { enabled: false },
    metrics: () => streamMeter((protocol) => protocol.startsWith("/meshsub/"), meter),
    services: { identify: identify(), ping: ping(), gossip: gossipsub(gossip) },
  });
}

/** Starts the host. @throws PoflError PORT_TAKEN, BAD_LISTEN */
export async function startHost(host: Host, listen: readonly string[]): Promise<void> {
  try {
    await host.start();
  } catch (cause) {
    const text = errorText(cause);
    const taken = text.match(/EADDRINUSE\D*?(?:([0-9a-f.:]+):)?(\d+)/);
    if (taken) {
      const port = Number(taken[2]);
      const message = `port ${port} is taken by another process; stop it or choose another port in p2p.listen (${listen.join(", ")})`;
      throw new PoflError("PORT_TAKEN", message, { port }, { cause });
    }
    throw new PoflError("BAD_LISTEN", `could not listen on ${listen.join(", ")}: ${text}`, {}, { cause });
  }
}
