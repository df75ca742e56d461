import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import { extname, join } from "node:path";
import { createRpcClient, type RpcClient } from "../../node/rpc/client.ts";
import { PoflError } from "../../types/errors.ts";
import { defaultPorts, type Ports, type TestnetNode } from "../testnet.ts";

/** The node processes of a devnet: started, watched, and ended on every path. */

/** The command line itself, compiled or not; never `argv[1]`, which under a test is the test. */
const MAIN = join(import.meta.dirname, "..", `main${extname(import.meta.filename)}`);
/** A node that does not stop by itself in this time is killed. */
const STOP_MS = 10_000;

export type DevNode = TestnetNode & {
  readonly honest: boolean;
  readonly log: string;
  readonly rpc: RpcClient;
  process: ChildProcess | undefined;
  /** Set when it was ended on purpose. */
  stopped: boolean;
};

/** The default ports of every node, moved up together until all of them are free. */
export async function freePorts(nodes: number): Promise<(index: number) => Ports> {
  for (let shift = 0; shift < 20_000; shift += 10 * nodes) {
    const ports = (i: number): Ports => {
      const base = defaultPorts(i);
      return { p2p: base.p2p + shift, rpc: base.rpc + shift, metrics: base.metrics + shift };
    };
    const all = Array.from({ length: nodes }, (_, i) => Object.values(ports(i))).flat();
    if (all.every((port) => port < 65_536) && (await Promise.all(all.map(isFree))).every((free) => free)) return ports;
  }
  throw new PoflError("PORT_TAKEN", "there are no free ports for so many nodes above 26656");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

export class Processes {
  readonly nodes: readonly DevNode[];
  /** Called when a node ends that nobody stopped. */
  onCrash: (node: DevNode, why: string) => void = () => {};
  readonly #onExit = () => this.#killAll();

  constructor(nodes: readonly TestnetNode[], out: string) {
    this.nodes = nodes.map((n, i) => ({
      ...n,
      honest: n.attack === undefined,
      log: join(out, `node${i}.log`),
      rpc: createRpcClient(`http://127.0.0.1:${n.ports.rpc}`, { timeoutMs: 5000 }),
      process: undefined,
      stopped: false,
    }));
    process.on("exit", this.#onExit);
  }

  start(node: DevNode): void {
    const child = spawn(process.execPath, [...process.execArgv, MAIN, "start", "--home", node.home], {
      // The channel carries nothing: it closes with this process, and then the node stops by itself.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // A terminal's Ctrl-C goes to the whole group: the nodes are ended by this process, in order.
      detached: true,
      env: { ...process.env, NO_COLOR: "1" },
    });
    const log = createWriteStream(node.log, { flags: "a" });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    let lastLine = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      lastLine = chunk.toString().trim().split("\n").at(-1) ?? lastLine;
    });
    child.once("exit", (code, signal) => {
      log.end();
      node.process = undefined;
      if (!node.stopped) this.onCrash(node, lastLine || `it ended with ${signal ?? `code ${code}`}`);
    });
    node.process = child;
  }

  /** Ends one node. */
  async stop(node: DevNode, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = node.process;
    node.stopped = true;
    if (!child) return;
    const exited = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.nodes.map((n) => this.stop(n)));
    process.off("exit", this.#onExit);
  }

  /** When this process itself dies, no node outlives it. */
  #killAll(): void {
    for (const { process: child } of this.nodes) child?.kill("SIGKILL");
  }
}
