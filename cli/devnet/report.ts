import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { blobRoot } from "../../crypto/blob.ts";
import { modelFromBytes, parametersOf } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import { type Comparison, compareTraining, evaluateModel, type Scores } from "../../learning/compare.ts";
import type { Evaluation } from "../../learning/evaluate.ts";
import type { RpcClient } from "../../node/rpc/client.ts";
import type { RoundJson } from "../../node/rpc/types.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, fromHex } from "../../types/primitives.ts";
import type { Followed } from "./follow.ts";
import type { DevNode, Processes } from "./processes.ts";

/** The document that `devnet --json` ends with (INTERFACES), and what it is made of. */

export type ScoreJson = {
  accuracy: number;
  auroc: number | null;
  perHospital: Record<string, { n: number; accuracy: number; auroc: number | null }>;
};
export type DevnetReport = {
  ok: boolean;
  reason: string | null;
  /** Stable name of the reason. */
  code: "NODE_CRASHED" | "TIMED_OUT" | "HEADS_DIFFER" | "TARGET_MISSED" | null;
  chainId: string;
  height: number;
  headHash: string | null;
  nodes: { moniker: string; address: string; height: number; headHash: string | null; honest: boolean }[];
  task: {
    name: string;
    rule: string;
    metric: string | null;
    target: number | null;
    reached: boolean;
    rounds: number;
    /** The largest tolerance of a round, and the distinct updates that it was chosen from. */
    fKrum: number;
    distinct: number;
  };
  rounds: {
    height: number;
    accepted: number;
    rejected: number;
    loss: number | null;
    accuracy: number | null;
    auroc: number | null;
  }[];
  test: { prevalence: number; federated: ScoreJson; localOnly: Record<string, ScoreJson>; pooled: ScoreJson } | null;
  miners: {
    moniker: string;
    address: string;
    honest: boolean;
    accepted: number;
    rejected: Record<string, number>;
    reward: string;
    /** Of `reward`: paid for updates. */
    trainingPay: string;
    reputation: number;
    /** What is left of its stake, and whether it is jailed: evidence burns and jails. */
    stake: string;
    jailed: boolean;
    blocksProposed: number;
  }[];
  finality: { p50Ms: number | null; p95Ms: number | null; roundsPerSecond: number };
  bytes: { gossip: number; blobs: number; direct: number; disk: number };
  seconds: number;
};

const ACCEPTED = new Set(["accepted", "accepted-clipped"]);

function scoreOf({ pooled, perHospital }: Scores): ScoreJson {
  const of = (e: Evaluation) => ({ n: e.n, accuracy: e.accuracy, auroc: e.auroc?.value ?? null });
  return {
    accuracy: pooled.accuracy,
    auroc: pooled.auroc?.value ?? null,
    perHospital: Object.fromEntries(Object.entries(perHospital).map(([name, e]) => [name, of(e)])),
  };
}

/**
 * The parameters of a task's model with this root, from a node, chunk by chunk; checked against its root.
 * @throws PoflError BAD_MODEL
 */
export async function downloadModel(rpc: RpcClient, root: string, task: TaskSpec): Promise<Int32Array> {
  const parts: Uint8Array[] = [];
  for (let index = 0, chunks = 1; index < chunks; index++) {
    const chunk = await rpc.call("model_chunk", { root, index });
    chunks = chunk.chunks;
    parts.push(fromHex(chunk.bytes));
  }
  const bytes = new Uint8Array(Buffer.concat(parts));
  if (!bytesEqual(blobRoot(bytes), fromHex(root, 32))) {
    throw new PoflError("BAD_MODEL", `${rpc.url} served bytes that are not the model ${root}`);
  }
  return parametersOf(task, modelFromBytes(bytes));
}

/** Alone, together, and on one pile, on the same test rows. Attackers' hospitals count: their rows are as good as anybody's. */
export async function testScores(
  task: TaskSpec,
  files: readonly string[],
  model: Int32Array,
  rounds: number,
  seed: string,
  id: Uint8Array,
): Promise<NonNullable<DevnetReport["test"]> | null> {
  const federated = await evaluateModel(model, task, files);
  if (federated.pooled.n === 0) return null;
  const compared: Comparison = await compareTraining({ files, task, rounds: Math.max(1, rounds), seed, id });
  return {
    prevalence: federated.pooled.positives / federated.pooled.n,
    federated: scoreOf(federated),
    localOnly: Object.fromEntries(Object.entries(compared.localOnly).map(([name, s]) => [name, scoreOf(s)])),
    pooled: scoreOf(compared.pooled),
  };
}

export function roundLine({ height, updates, metrics }: RoundJson): DevnetReport["rounds"][number] {
  const accepted = updates.filter((u) => ACCEPTED.has(u.status)).length;
  return {
    height,
    accepted,
    rejected: updates.length - accepted,
    loss: metrics?.loss ?? null,
    accuracy: metrics?.accuracy ?? null,
    auroc: metrics?.auroc ?? null,
  };
}

export function minerLines(nodes: readonly DevNode[], { rounds, miners }: Followed): DevnetReport["miners"] {
  return nodes.map(({ moniker, address, honest }) => {
    const known = miners.find((m) => m.address === address);
    const own = [...rounds.values()].flatMap((r) => r.updates.filter((u) => u.miner === address));
    const rejected: Record<string, number> = {};
    for (const { status } of own) if (!ACCEPTED.has(status)) rejected[status] = (rejected[status] ?? 0) + 1;
    return {
      moniker,
      address,
      honest,
      accepted: own.filter((u) => ACCEPTED.has(u.status)).length,
      rejected,
      reward: known?.earned ?? "0",
      trainingPay: own.reduce((sum, u) => sum + BigInt(u.pay), 0n).toString(),
      reputation: known?.reputation ?? 0,
      stake: known?.stake ?? "0",
      jailed: known?.jailed ?? false,
      blocksProposed: known?.blocksProposed ?? 0,
    };
  });
}

/** Latencies over all nodes that answer. */
export async function finalityOf(net: Processes, { rounds }: Followed): Promise<DevnetReport["finality"]> {
  const timings = await Promise.all(
    net.nodes.map(({ rpc, process: alive }) =>
      alive ? rpc.call("node_timings", { count: 1000 }).catch(() => []) : [],
    ),
  );
  const learning = timings.map((list) => list.filter((t) => rounds.has(t.height)));
  const latencies = learning.flatMap((list) => list.flatMap((t) => t.finalityMs ?? [])).sort((a, b) => a - b);
  const at = (p: number) => latencies[Math.min(latencies.length - 1, Math.ceil(p * latencies.length) - 1)] ?? null;
  const longest = learning.sort((a, b) => b.length - a.length)[0] ?? [];
  const first = longest[0];
  const last = longest.at(-1);
  const ms = first && last ? last.startedAt + (last.phases.stored ?? 0) - first.startedAt : 0;
  return { p50Ms: at(0.5), p95Ms: at(0.95), roundsPerSecond: ms > 0 ? (1000 * longest.length) / ms : 0 };
}

export async function bytesOf(net: Processes): Promise<DevnetReport["bytes"]> {
  const counters = await Promise.all(
    net.nodes.map(({ rpc, process: alive }) => (alive ? rpc.call("net_counters").catch(() => undefined) : undefined)),
  );
  const sum = (pick: "gossip" | "blobs" | "direct") => counters.reduce((n, c) => n + (c?.[pick].out ?? 0), 0);
  const disk = net.nodes.reduce((n, { home }) => n + folderBytes(join(home, "data")), 0);
  return { gossip: sum("gossip"), blobs: sum("blobs"), direct: sum("direct"), disk };
}

function folderBytes(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    // LevelDB deletes files while this looks.
    if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}
