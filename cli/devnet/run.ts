import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RELEASE_PERMILLE, type TaskSpec } from "../../genesis/task.ts";
import type { Attack } from "../../learning/attacks/index.ts";
import type { NodeAttack } from "../../node/attacks.ts";
import { isPoflError } from "../../types/errors.ts";
import { fromHex } from "../../types/primitives.ts";
import { usage } from "../failure.ts";
import type { Output } from "../output.ts";
import { hospitalFiles, makeTestnet, type Testnet } from "../testnet.ts";
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
  readonly attack?: { readonly kind: Attack | NodeAttack | "crash"; readonly count: number } | undefined;
  /** Fixes the training's chance; left out: each run differs. */
  readonly seed?: number | undefined;
  readonly keep?: boolean | undefined;
  /** After the end the nodes go on, for a browser to look at, until the person says stop. */
  readonly dashboard?: boolean | undefined;
  readonly timeoutMs: number;
};

/** For the other nodes to reach the height at which the first one saw the end. */
const SETTLE_MS = 30_000;
/** The same when something went wrong before, and a node may be gone. */
const SETTLE_AFTER_FAILURE_MS = 3_000;

/**
 * Runs a devnet and ends it on every path.
 * @throws PoflError INTERRUPTED, and what making the homes throws; what happens to the nodes is in the report
 */
export async function runDevnet(
  options: DevnetOptions,
  out: Output,
  onReport: (report: DevnetReport) => void = () => {},
): Promise<DevnetReport> {
  const began = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "pofl-devnet-"));
  const abort = new AbortController();
  const onSignal = () => abort.abort();
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  let net: Processes | undefined;
  let keep = options.keep === true;
  const remove = () => {
    // A node that was just killed may still be writing.
    if (!keep) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  };
  const removeAtExit = () => {
    // Nothing can be awaited here, but a log that is being opened, or a node that was starting, may make its file or folder once more.
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let tries = 0, gone = 0; !keep && gone < 4 && tries < 80; tries++) {
      try {
        remove();
      } catch {}
      Atomics.wait(pause, 0, 0, 25);
      gone = existsSync(folder) ? 0 : gone + 1;
    }
  };
  try {
    const made = await prepare(options, folder);
    net = new Processes(made.nodes, made.out);
    // Whoever reads may go away (`pofl devnet | head`): this process ends at once then, after its nodes.
    process.on("exit", removeAtExit);
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
    const crashed = crashes.map((n) => n.address);
    const report = await conclude(net, made, seen, crashed, began, String(options.seed ?? ""));
    // Logs are what somebody needs now.
    if (seen.failure) keep = true;
    onReport(report);
    if (options.dashboard && !abort.signal.aborted) {
      out.note(`Explorer: http://127.0.0.1:${net.nodes[0]?.ports.rpc}/ (Ctrl-C ends the network)`);
      await new Promise<void>((resolve) => abort.signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    return report;
  } catch (error) {
    if (net && !isPoflError(error, "INTERRUPTED")) keep = true;
    throw error;
  } finally {
    await net?.stopAll();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    process.off("exit", removeAtExit);
    if (keep) out.note(`Kept: ${folder}`);
    remove();
  }
}

async function prepare(options: DevnetOptions, folder: string): Promise<Testnet> {
  const attack = options.attack;
  const nodes = options.nodes ?? (options.data === undefined ? 4 : hospitalFiles(options.data).length);
  if (attack && attack.count >= nodes) {
    throw usage(`--attack ${attack.kind}:${attack.count}: at least one of ${nodes} nodes must be honest`);
  }
  return makeTestnet({
    out: join(folder, "net"),
    nodes: options.nodes,
    data: options.data,
    task: options.task,
    seed: undefined,
    adjust: (task) => adjusted(task, options),
    ports: await freePorts(nodes),
    attack: (i, n) => (attack && attack.kind !== "crash" && i >= n - attack.count ? attack.kind : undefined),
    trainingSeed: options.seed,
    log: { level: "info", format: "pretty" },
  });
}

function adjusted(task: TaskSpec, { rounds, target }: DevnetOptions): TaskSpec {
  const changed = {
    ...task.rounds,
    ...(rounds !== undefined && { maximum: rounds, minimum: Math.min(task.rounds.minimum, rounds) }),
    ...(target && { target: { releasePermille: RELEASE_PERMILLE, ...task.rounds.target, ...target } }),
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
  const heads = await headsAt(net, height, seen.failure ? SETTLE_AFTER_FAILURE_MS : SETTLE_MS);
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
  const widest = rounds.toSorted((a, b) => b.fKrum - a.fKrum || b.distinct - a.distinct)[0];
  const target = spec?.rounds.target;
  const reached = task?.status === "reached";
  let test: DevnetReport["test"] = null;
  if (spec && task && source) {
    const files = net.nodes.map((n) => n.data).filter((file) => file !== "");
    const model = await downloadModel(source.rpc, task.modelRoot, spec);
    test = await testScores(spec, files, model, rounds.length, seed, fromHex(task.id, 32));
  }
  const { code, reason } = verdict(seen, agree, target && !reached ? target : undefined);
  return {
    ok: code === null,
    reason,
    code,
    chainId: made.genesis.chainId,
    height,
    headHash: good[0]?.headHash ?? null,
    nodes,
    task: {
      name: spec?.name ?? "",
      rule: spec?.aggregation.rule ?? "",
      metric: target?.metric ?? null,
      target: target?.value ?? null,
      reached,
      rounds: task?.round ?? 0,
      fKrum: widest?.fKrum ?? 0,
      distinct: widest?.distinct ?? 0,
    },
    rounds: rounds.map(roundLine),
    test,
    miners: minerLines(net.nodes, seen).map((m) => ({ ...m, honest: m.honest && !crashed.includes(m.address) })),
    finality: await finalityOf(net, seen),
    bytes: await bytesOf(net),
    seconds: (performance.now() - began) / 1000,
  };
}

function verdict(
  { failure }: Followed,
  agree: boolean,
  missed: TaskSpec["rounds"]["target"],
): Pick<DevnetReport, "code" | "reason"> {
  if (failure) return { code: failure.code as DevnetReport["code"], reason: failure.message };
  if (!agree) return { code: "HEADS_DIFFER", reason: "the honest nodes do not have the same head" };
  if (missed) return { code: "TARGET_MISSED", reason: `the target was not met: ${missed.metric} ${missed.value}` };
  return { code: null, reason: null };
}

/** Mean and sample standard deviation. */
export function spread(values: readonly number[]): { mean: number; sd: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const sd = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / Math.max(1, values.length - 1));
  return { mean, sd };
}
