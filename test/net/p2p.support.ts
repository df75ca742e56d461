import "../../p2p/polyfill.ts";
import { multiaddr } from "@multiformats/multiaddr";
import { createMeters } from "../../p2p/counters.ts";
import { createDirect } from "../../p2p/direct.ts";
import { createHost, type Host } from "../../p2p/host.ts";
import { DEFAULT_LIMITS } from "../../p2p/limits.ts";
import { createNetwork } from "../../p2p/network.ts";
import { DIRECT, wireName } from "../../p2p/protocols.ts";
import { createRequests } from "../../p2p/requests.ts";
import type { Log, Network, NetworkHandlers, NetworkOptions, Peer, RequestHandler } from "../../p2p/types.ts";

/** Real hosts on free loopback ports. */

export const GENESIS = new Uint8Array(32).fill(7);

export type Line = { level: string; fields: Record<string, unknown>; message: string };

export function logTo(lines: Line[]): Log {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message });
    if (process.env.P2P_LOG) console.log(level, message, JSON.stringify(fields));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export type Node = {
  net: Network;
  lines: Line[];
  frames: { peer: Peer; frame: Uint8Array }[];
  up: Set<Peer>;
  stop(): Promise<void>;
};

/** A started node; `seed` fixes its identity. */
export async function node(
  seed: number,
  bootnodes: string[] = [],
  options: Partial<NetworkOptions> = {},
  handlers: Partial<NetworkHandlers> = {},
): Promise<Node> {
  const lines: Line[] = [];
  const frames: Node["frames"] = [];
  const up = new Set<Peer>();
  const net = await createNetwork(
    {
      listen: ["/ip4/127.0.0.1/tcp/0"],
      bootnodes,
      keySeed: new Uint8Array(32).fill(seed),
      genesisHash: GENESIS,
      ...options,
    },
    {
      log: logTo(lines),
      handlers: {
        onPeer: (peer) => up.add(peer),
        onGone: (peer) => up.delete(peer),
        onFrame: (peer, frame) => frames.push({ peer, frame }),
        ...handlers,
      },
    },
  );
  await net.start();
  return { net, lines, frames, up, stop: () => net.stop() };
}

/**
 * A peer of our chain that answers requests as it likes; all else is the project's own.
 */
export async function rogue(
  seed: number,
  target: string,
  serve: Record<string, RequestHandler>,
): Promise<{ host: Host; peerId: Peer; stop(): Promise<void> }> {
  const options = {
    listen: ["/ip4/127.0.0.1/tcp/0"],
    bootnodes: [],
    keySeed: new Uint8Array(32).fill(seed),
    genesisHash: GENESIS,
  };
  const wire = (name: string) => wireName(GENESIS, name);
  const log = logTo([]);
  const host = await createHost(options, DEFAULT_LIMITS, {}, () => false);
  const meters = createMeters();
  const handlers = { onPeer: () => {}, onGone: () => {}, onFrame: () => {} };
  const direct = createDirect({ host, protocol: wire(DIRECT), limits: DEFAULT_LIMITS, log, meters, handlers });
  const requests = createRequests({ host, wire, limits: DEFAULT_LIMITS, log });
  await direct.start();
  for (const [name, handler] of Object.entries(serve)) await requests.serve(name, handler, meters.requests);
  await host.start();
  await host.dial(multiaddr(target));
  return {
    host,
    peerId: host.peerId.toString(),
    async stop() {
      requests.stop();
      await direct.stop();
      await host.stop();
    },
  };
}

/** Waits for a condition that real sockets bring about. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Runs `body` with nodes that are stopped whatever happens. */
export async function withNodes(make: Promise<Node>[], body: (nodes: Node[]) => Promise<void>): Promise<void> {
  const made = await Promise.allSettled(make);
  const nodes = made.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
  try {
    for (const r of made) if (r.status === "rejected") throw r.reason;
    await body(nodes);
  } finally {
    await Promise.all(nodes.map((n) => n.stop()));
  }
}

export const bytesOf = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  let x = seed | 1;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
};
