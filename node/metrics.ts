import { createServer } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Applied } from "../consensus/engine/types.ts";
import { PHASES } from "../consensus/engine/types.ts";
import { listenError, parseListen } from "./listen.ts";
import type { NodeContext } from "./rpc/context.ts";

/** Prometheus metrics: work is done when they are read, except for what happens once per block. */

export type MetricsServer = { readonly url: string; close(): Promise<void> };

export function createRegistry(context: NodeContext): { registry: Registry; close(): void } {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("pofl_height", "Height of the last final block", () => context.head().height);
  gauge("pofl_round", "Round of the height in progress", () => context.progress().round);
  gauge("pofl_peers", "Connected peers", () => context.network.peers().length);
  gauge("pofl_catching_up", "1 while blocks are fetched from peers", () => Number(context.catchingUp()));
  gauge("pofl_mempool_transactions", "Transactions that wait", () => context.mempool.count);
  gauge("pofl_mempool_bytes", "Bytes of transactions that wait", () => context.mempool.bytes);
  gauge("pofl_resident_memory_bytes", "Resident memory of the process", () => process.memoryUsage.rss());

  const lag = monitorEventLoopDelay({ resolution: 10 });
  lag.enable();
  gauge("pofl_event_loop_lag_seconds", "Longest delay of the event loop since the last reading", () => {
    const { max } = lag;
    lag.reset();
    return Number.isFinite(max) ? max / 1e9 : 0;
  });

  new Counter({
    name: "pofl_network_bytes_total",
    help: "Bytes by channel and direction",
    labelNames: ["channel", "direction"] as const,
    registers,
    collect() {
      this.reset();
      const { direct, gossip, blobs, requests } = context.network.counters();
      for (const [channel, traffic] of Object.entries({ direct, gossip, blobs, requests })) {
        this.inc({ channel, direction: "in" }, traffic.in);
        this.inc({ channel, direction: "out" }, traffic.out);
      }
    },
  });
  new Counter({
    name: "pofl_rejected_messages_total",
    help: "Refused messages by reason",
    labelNames: ["reason"] as const,
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(context.rejected())) this.inc({ reason }, count);
    },
  });
  const phases = new Histogram({
    name: "pofl_phase_seconds",
    help: "Time from the start of a height to the end of a phase",
    labelNames: ["phase"] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const blocks = new Counter({
    name: "pofl_blocks_total",
    help: "Blocks stored since the start",
    labelNames: ["learning"] as const,
    registers,
  });
  const onBlock = ({ timings, certified }: Applied) => {
    blocks.inc({ learning: String(certified.block.learning.length > 0) });
    for (const phase of PHASES) {
      const ms = timings?.[phase];
      if (ms !== undefined) phases.observe({ phase }, ms / 1000);
    }
  };
  context.events.on("block", onBlock);
  return {
    registry,
    close: () => {
      context.events.off("block", onBlock);
      lag.disable();
    },
  };
}

/**
 * Serves `GET /metrics` on a port of its own.
 * @throws PoflError PORT_TAKEN, PORT_DENIED, BAD_LISTEN
 */
export async function startMetrics(context: NodeContext, listen: string): Promise<MetricsServer> {
  const address = parseListen(listen);
  const { registry, close } = createRegistry(context);
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      response.writeHead(404).end("GET /metrics\n");
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = 16;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address.port, address.host, () => resolve());
    });
  } catch (error) {
    close();
    throw listenError(error, address, "the metrics", "metrics.listen");
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound ? bound.port : address.port;
  return {
    url: `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${port}/metrics`,
    close: async () => {
      close();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
