import { install } from "./install.ts";
import { PLANTS } from "./plants.ts";
import { type Batch, count, emptySum, type Job, type Violation } from "./report.ts";

/** A process that runs seeds for `main.ts`: it is told from where and how many, and answers with sums and violations. */

const TRACE_LINES = 150;

const job = JSON.parse(process.argv[2] as string) as Job;
const plant = PLANTS.find((p) => p.name === job.plant);
install({ keyed: job.keyed, edits: plant?.edits ?? [] });
const { runSeed } = await import("./run.js");
const wanted = { ...(job.n !== undefined && { n: job.n }), ...(job.heights !== undefined && { heights: job.heights }) };

/** Refused messages and transactions are errors by the thousand, and where they were thrown is not read unless a seed fails. */
const STACK = Error.stackTraceLimit;

async function run(from: number, howMany: number): Promise<Batch> {
  const sum = emptySum();
  const violations: Violation[] = [];
  const before = process.cpuUsage();
  for (let seed = from; seed < from + howMany && violations.length === 0; seed++) {
    Error.stackTraceLimit = 0;
    const outcome = await runSeed(seed, wanted);
    sum.seeds++;
    sum.events += outcome.events;
    sum.frames += outcome.frames;
    sum.heights += outcome.heights;
    for (const round of outcome.rounds) count(sum.rounds, round);
    if (outcome.healedRounds !== undefined) count(sum.healed, outcome.healedRounds);
    if (outcome.violation === undefined) continue;
    // Planted bugs are looked for, not looked at.
    Error.stackTraceLimit = STACK;
    const again = plant ? undefined : await runSeed(seed, { ...wanted, trace: true });
    violations.push({
      seed,
      what: again?.violation ?? outcome.violation,
      trace: again?.trace?.slice(-TRACE_LINES) ?? [],
      // Word for word, with the stack of an error at its end.
      repeats: again?.violation?.startsWith(outcome.violation) ?? false,
    });
  }
  const { user, system } = process.cpuUsage(before);
  sum.cpuMs += (user + system) / 1000;
  return { sum, violations };
}

process.on("message", ({ from, howMany }: { from: number; howMany: number }) => {
  run(from, howMany).then(
    (batch) => process.send?.(batch),
    (error) => {
      // A simulation that breaks is no result.
      console.error(`seeds ${from} to ${from + howMany - 1} of ${process.argv[2]}: ${(error as Error).stack}`);
      process.exit(2);
    },
  );
});
process.send?.("ready");
