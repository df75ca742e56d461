import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { PHASES } from "../consensus/engine/types.ts";
import type { Timing } from "../node/rpc/types.ts";
import { TestNet } from "../test/net/testnet.ts";

/**
 * Finalised rounds per second of 4 processes on this machine: logistic regression on the four heart hospitals, 100 local steps.
 * Phases end when everyone expected has answered. Usage: npm run bench:round [-- ROUNDS]
 */

/** Rounds per second on 2 cores that the project aims at. */
const GOAL = 20;

const rounds = Number(process.argv[2] ?? 60);
const data = resolve(process.env.POFL_DATA ?? "../shared/data", "heart-disease");
if (!existsSync(data)) {
  console.log("skipped: no data (set POFL_DATA to the folder that holds heart-disease/)");
  process.exit(0);
}

const percentile = (sorted: readonly number[], p: number) =>
  sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;

const net = await TestNet.create(["--data", data, "--task", resolve("bench/round.task.json")]);
try {
  net.nodes.forEach((_, i) => net.start(i));
  // The first rounds pay for connecting and compiling.
  const warm = 5;
  await net.reach(warm + rounds, 300_000);
  const perNode = await Promise.all(net.nodes.map((_, i) => net.call<Timing[]>(i, "node_timings", { count: 1000 })));
  const counted = perNode.map((t) => t.filter((x) => x.height > warm && x.height <= warm + rounds));
  const first = counted[0] as Timing[];
  const from = (first[0] as Timing).startedAt;
  const last = first.at(-1) as Timing;
  const seconds = (last.startedAt + (last.phases.stored ?? 0) - from) / 1000;
  const durations = counted.flatMap((t) => t.map((x) => x.phases.stored ?? 0)).sort((a, b) => a - b);
  const rate = first.length / seconds;
  console.log(
    `${first.length} rounds in ${seconds.toFixed(2)} s: ${rate.toFixed(2)} rounds/s, ${(rate / GOAL).toFixed(2)} of the goal of ${GOAL}`,
  );
  console.log(
    `round: p50 ${percentile(durations, 0.5).toFixed(0)} ms, p95 ${percentile(durations, 0.95).toFixed(0)} ms`,
  );
  const finality = counted.flatMap((t) => t.flatMap((x) => x.finalityMs ?? [])).sort((a, b) => a - b);
  console.log(
    `finality: p50 ${percentile(finality, 0.5).toFixed(0)} ms, p95 ${percentile(finality, 0.95).toFixed(0)} ms`,
  );
  console.log("phase          share   median ms (from the end of the phase before it)");
  let before = new Map<Timing, number>();
  const all = counted.flat();
  const total = all.reduce((sum, t) => sum + (t.phases.stored ?? 0), 0);
  for (const phase of PHASES) {
    const now = new Map(all.map((t) => [t, Math.max(t.phases[phase] ?? before.get(t) ?? 0, before.get(t) ?? 0)]));
    const took = all.map((t) => (now.get(t) as number) - (before.get(t) ?? 0)).sort((a, b) => a - b);
    const share = took.reduce((a, b) => a + b, 0) / total;
    console.log(`${phase.padEnd(14)} ${(100 * share).toFixed(1).padStart(5)} %  ${percentile(took, 0.5).toFixed(1)}`);
    before = now;
  }
} finally {
  await net.close();
}
