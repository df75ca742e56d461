import { install } from "./install.ts";
import { PLANTS } from "./plants.ts";
import { type Batch, count, emptySum, type Job, type Task, type Violation } from "./report.ts";

/** A process that runs seeds for `main.ts`: it is told from where and how many, and answers with sums and violations. */

const TRACE_LINES = 150;

const program = JSON.parse(process.argv[2] as string) as Pick<Job, "keyed" | "plant">;
const plant = PLANTS.find((p) => p.name === program.plant);
install({ keyed: program.keyed, edits: plant?.edits ?? [] });
const { runSeed } = await import("./run.js");

/** Refused messages and transactions are errors by the thousand, and where they were thrown is not read unless a seed fails. */
const STACK = Error.stackTraceLimit;

async function run({ job: { n, heights }, from, howMany }: Task): Promise<Batch> {
  const wanted = { ...(n !== undefined && { n }), ...(heights !== undefined && { heights }) };
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

process.on("message", (task: Task) => {
  run(task).then(
    (batch) => process.send?.(batch),
    (error) => {
      // A simulation that breaks is no result.
      const { job, from, howMany } = task;
      console.error(`seeds ${from} to ${from + howMany - 1} of ${JSON.stringify(job)}: ${(error as Error).stack}`);
      process.exit(2);
    },
  );
});
process.send?.("ready");
