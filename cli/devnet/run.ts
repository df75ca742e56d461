import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Attack } from "../../learning/attacks.ts";
import { PoflError } from "../../types/errors.ts";
import { fromHex } from "../../types/primitives.ts";
import type { Output } from "../output.ts";
import { makeTestnet, type Testnet } from "../testnet.ts";
import { Progress } from "./display.ts";
import { type Followed, follow, headsAt } from "./follow.ts";
import { freePorts, Processes } from "./processes.ts";
import { bytesOf, type DevnetReport, downloadModel, finalityOf, minerLines, roundLine, testScores } from "./report.ts";

/** A whole local network, from homes to report. */

export type DevnetOptions = {
  readonly nodes?: number | undefined;
  readonly data?: string | undefined;
  readonly task?: string | undefined;
  readonly rounds?: number | undefined;
  readonly target?: { readonly metric: "accuracy" | "auroc" | "loss"; readonly value: number } | undefined;
  /** The last `count` nodes misbehave. */
  readonly attack?: { readonly kind: Attack | "crash"; readonly count: number } | undefined;
  /** Fixes the training's chance; left out: each run differs. */
  readonly seed?: number | undefined;
  readonly keep?: boolean | undefined;
  readonly timeoutMs: number;
};

/** For the other nodes to reach the height at which the first one saw the end. */
const SETTLE_MS = 30_000;

/**
 * Runs a devnet and ends it on every path.
 * @throws PoflError TIMED_OUT, NODE_CRASHED, INTERRUPTED, and what making the homes throws
 */
export async function runDevnet(options: DevnetOptions, out: Output): Promise<DevnetReport> {
  const began = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "pofl-devnet-"));
  const abort = new AbortController();
  const onSignal = () => abort.abort();
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  let net: Processes | undefined;
  let keep = options.keep === true;
  try {
    const made = await prepare(options, folder);
    net = new Processes(made.nodes, made.out);
    const crashes = options.attack?.kind === "crash" ? net.nodes.slice(-options.attack.count) : [];
    out.note(`Chain ${made.genesis.chainId}, ${net.nodes.length} nodes in ${made.out}`);
    out.note(`Follow it: pofl status --rpc http://127.0.0.1:${net.nodes[0]?.ports.rpc}`);
    for (const node of net.nodes) net.start(node);
    const progress = new Progress(out, net.nodes);
    const seen = await follow(net, {
      timeoutMs: options.timeoutMs,
      crash: crashes,
      crashAfter: 2,
      onProgress: (now) => progress.show(now),
      signal: abort.signal,
    }).finally(() => progress.end());
    return await conclude(
      net,
      made,
      seen,
      crashes.map((n) => n.address),
      began,
      String(options.seed ?? ""),
    );
  } catch (error) {
    // Logs are what somebody needs now.
    if (!(error instanceof PoflError && error.code === "INTERRUPTED")) keep = true;
    throw error;
  } finally {
    await net?.stopAll();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    if (keep) out.note(`Kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

async function prepare(options: DevnetOptions, folder: string): Promise<Testnet> {
  const attack = options.attack;
  const probe = options.nodes ?? 4;
  if (attack && attack.count >= probe && options.data === undefined) {
    throw new PoflError(
      "USAGE",
      `--attack ${attack.kind}:${attack.count}: at least one of ${probe} nodes must be honest`,
    );
  }
  return makeTestnet({
    out: join(folder, "net"),
    nodes: options.nodes,
    data: options.data,
    task: options.task,
    seed: undefined,
    adjust: (task) => adjusted(task, options),
    ports: await freePorts(Math.max(probe, 8)),
    attack: (i, n) => (attack && attack.kind !== "crash" && i >= n - attack.count ? attack.kind : undefined),
    trainingSeed: options.seed,
    log: { level: "info", format: "pretty" },
  });
}

function adjusted(task: TaskSpec, { rounds, target }: DevnetOptions): TaskSpec {
  const changed = {
    ...task.rounds,
    ...(rounds !== undefined && { maximum: rounds, minimum: Math.min(task.rounds.minimum, rounds) }),
    ...(target && { target }),
  };
  return { ...task, rounds: changed };
}

async function conclude(
  net: Processes,
  made: Testnet,
  seen: Followed,
  crashed: readonly string[],
  began: number,
  seed: string,
): Promise<DevnetReport> {
  const height = seen.status?.height ?? 0;
  const heads = await headsAt(net, height, SETTLE_MS);
  const honest = (i: number) => net.nodes[i]?.honest === true && !crashed.includes(net.nodes[i]?.address ?? "");
  const nodes = net.nodes.map((n, i) => ({
    moniker: n.moniker,
    address: n.address,
    height: heads[i] ? height : 0,
    headHash: heads[i] ?? null,
    honest: honest(i),
  }));
  const good = nodes.filter((n) => n.honest);
  const agree = good.every((n) => n.headHash !== null && n.headHash === good[0]?.headHash);

  const source = net.nodes.find((n, i) => honest(i) && n.process);
  const task = seen.task;
  const spec = made.task;
  const rounds = [...seen.rounds.values()].sort((a, b) => a.height - b.height);
  const target = spec?.rounds.target;
  const reached = task?.status === "reached";
  let test: DevnetReport["test"] = null;
  if (spec && task && source) {
    const files = net.nodes.map((n) => n.data).filter((file) => file !== "");
    const model = await downloadModel(source.rpc, task.modelRoot);
    test = await testScores(spec, files, model, rounds.length, seed, fromHex(task.id, 32));
  }
  const reason = !agree
    ? "the honest nodes do not have the same head"
    : target && !reached
      ? `the target was not met: ${target.metric} ${target.value}`
      : null;
  return {
    ok: reason === null,
    reason,
    chainId: made.genesis.chainId,
    height,
    headHash: good[0]?.headHash ?? null,
    nodes,
    task: {
      name: spec?.name ?? "",
      metric: target?.metric ?? null,
      target: target?.value ?? null,
      reached,
      rounds: task?.round ?? 0,
      fKrum: Math.max(0, ...rounds.map((r) => r.fKrum)),
    },
    rounds: rounds.map(roundLine),
    test,
    miners: minerLines(net.nodes, seen).map((m) => ({ ...m, honest: m.honest && !crashed.includes(m.address) })),
    finality: await finalityOf(net, seen),
    bytes: await bytesOf(net),
    seconds: (performance.now() - began) / 1000,
  };
}

/** Mean and sample standard deviation. */
export function spread(values: readonly number[]): { mean: number; sd: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const sd = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / Math.max(1, values.length - 1));
  return { mean, sd };
}
