import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

/** Real node processes on loopback, driven as a person would: by the command line and by plain HTTP. */

export const MAIN = resolve(import.meta.dirname, "../../cli/main.js");
const run = promisify(execFile);

export type CliResult = { code: number; stdout: string; stderr: string };

/** Runs `pofl …`; never throws for an exit code. */
export async function pofl(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  try {
    const { stdout, stderr } = await run(process.execPath, [MAIN, ...args], {
      env: { ...process.env, NO_COLOR: "1", ...env },
      maxBuffer: 64 * 1024 * 1024,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

/** JSON-RPC as curl would do it. */
export async function rpc<T>(url: string, method: string, params: unknown = {}): Promise<T> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    signal: AbortSignal.timeout(5000),
  });
  const answer = (await response.json()) as { result?: T; error?: { message: string } };
  if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
  return answer.result as T;
}

/**
 * Ports that nothing listens on, from below those that systems give to outgoing connections (32768 on Linux): a port that is free now and
 * bound a second later must not have become the near end of some other node's connection.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (!ports.includes(port) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((done) => server.close(done));
  }
}

export async function until(what: string, ms: number, done: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + ms;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`not within ${ms / 1000} s: ${what}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}

export type Status = {
  chainId: string;
  height: string | number;
  headHash: string;
  catchingUp: boolean;
  peers: number;
  validator: boolean;
};

type Node = { home: string; rpcUrl: string; p2p: number; process: ChildProcess | undefined; log: string };

/** A testnet in a folder of its own; `close` ends every process and removes it. */
export class TestNet {
  readonly dir: string;
  readonly nodes: Node[] = [];
  /** Further folders that go with it. */
  readonly extra: string[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** @param args further arguments of `pofl testnet` */
  static async create(args: readonly string[]): Promise<TestNet> {
    const net = new TestNet(mkdtempSync(join(tmpdir(), "pofl-net-")));
    const out = join(net.dir, "net");
    const made = await pofl(["testnet", "--out", out, ...args]);
    if (made.code !== 0) throw new Error(`testnet: ${made.stderr}`);
    const homes = readdirSync(out).filter((name) => /^node\d+$/.test(name));
    homes.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
    for (const name of homes) await net.adopt(join(out, name));
    return net;
  }

  /** Gives a home free ports. */
  async adopt(home: string): Promise<number> {
    const [p2p, rpcPort, metrics] = (await freePorts(3)) as [number, number, number];
    const file = join(home, "config", "config.toml");
    const text = readFileSync(file, "utf8")
      .replace(/listen = "\/ip4\/[^"]*"/, `listen = "/ip4/127.0.0.1/tcp/${p2p}"`)
      .replace(/(\[rpc\][^[]*?listen = )"[^"]*"/, `$1"127.0.0.1:${rpcPort}"`)
      .replace(/(\[metrics\][^[]*?listen = )"[^"]*"/, `$1"127.0.0.1:${metrics}"`);
    const first = this.nodes[0];
    const joined = first
      ? text.replace(/bootnodes = \[[^\]]*\]/, `bootnodes = ["/ip4/127.0.0.1/tcp/${first.p2p}"]`)
      : text.replace(/bootnodes = \[[^\]]*\]/, "bootnodes = []");
    writeFileSync(file, joined);
    const log = `${home}.log`;
    this.nodes.push({ home, rpcUrl: `http://127.0.0.1:${rpcPort}`, p2p, process: undefined, log });
    return this.nodes.length - 1;
  }

  start(i: number): void {
    const node = this.nodes[i] as Node;
    const child = spawn(process.execPath, ["--enable-source-maps", MAIN, "start", "--home", node.home], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    const log = createWriteStream(node.log, { flags: "a" });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once("exit", () => {
      log.end();
      if (node.process === child) node.process = undefined;
    });
    node.process = child;
  }

  /** Ends a node and waits for its end; returns its exit code. */
  async stop(i: number, signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.nodes[i]?.process;
    if (!child) return null;
    const exited = once(child, "exit");
    child.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }

  call<T>(i: number, method: string, params: unknown = {}): Promise<T> {
    return rpc<T>((this.nodes[i] as Node).rpcUrl, method, params);
  }

  async status(i: number): Promise<Status | undefined> {
    return this.call<Status>(i, "node_status").catch(() => undefined);
  }

  async height(i: number): Promise<number> {
    return Number((await this.status(i))?.height ?? -1);
  }

  async hashAt(i: number, height: number): Promise<string> {
    return (await this.call<{ hash: string }>(i, "chain_getHeader", { height })).hash;
  }

  /** Waits until all these nodes have reached a height. */
  async reach(height: number, ms: number, nodes: readonly number[] = this.nodes.map((_, i) => i)): Promise<void> {
    let heights: readonly number[] = [];
    const reached = async () => {
      heights = await Promise.all(nodes.map((i) => this.height(i)));
      return heights.every((h) => h >= height);
    };
    await until(`height ${height} on ${nodes.join(", ")}`, ms, reached).catch((cause) => {
      // The folder is gone when somebody reads this: what the slowest said last is all there is.
      const slowest = nodes[heights.indexOf(Math.min(...heights))] as number;
      const alive = this.nodes[slowest]?.process ? "running" : "not running";
      const tail = this.logs(slowest).trimEnd().split("\n").slice(-8).join("\n");
      throw new Error(
        `${cause.message}: at ${heights.join(", ")}; node ${slowest} is ${alive}, and said last:\n${tail}`,
      );
    });
  }

  logs(i: number): string {
    const { log } = this.nodes[i] as Node;
    return existsSync(log) ? readFileSync(log, "utf8") : "";
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((_, i) => this.stop(i, "SIGKILL")));
    for (const dir of [this.dir, ...this.extra]) rmSync(dir, { recursive: true, force: true });
  }
}
