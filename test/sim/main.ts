import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { orExit } from "../flags.ts";
import { simFlags } from "./flags.ts";
import { PLANTS, type Plant } from "./plants.ts";
import { add, type Batch, emptySum, histogramText, type Job, type Sum, type Task, type Violation } from "./report.ts";

const { jobs, ...flags } = orExit(() => simFlags(process.argv.slice(2)));

/**
 * Of a worker's memory: frames and states live for an event or two, and should die before they are copied, hence the 64 MiB; and as there is
 * a worker for each core, no threads beside them that collect.
 */
const MEMORY = ["--max-semi-space-size=64", "--single-threaded-gc"];
/** Seeds that a worker takes at a time. */
const BATCH = 20;
/** A planted bug that this many seeds don't show has survived. */
const PLANTED_SEEDS = 3000;

/** The gate of a change: seeds by number of validators, of four heights each. */
const GATE: readonly (Job & { readonly name: string; readonly seeds: number })[] = [
  { name: "4 validators", keyed: true, n: 4, seeds: 5000 },
  { name: "7 validators", keyed: true, n: 7, seeds: 1000 },
  { name: "1 to 10 validators", keyed: true, seeds: 300 },
  { name: "real signatures", keyed: false, seeds: 200 },
];

type Result = { readonly sum: Sum; readonly violations: Violation[] };

/** Starts the processes that run seeds with real signatures or keyed ones, and one planted bug or none. */
function crew({ keyed, plant }: Pick<Job, "keyed" | "plant">, howMany: number): Promise<ChildProcess[]> {
  const program = JSON.stringify({ keyed, plant });
  const one = async () => {
    const child = fork(join(import.meta.dirname, "worker.js"), [program], { stdio: "inherit", execArgv: MEMORY });
    await message(child);
    return child;
  };
  return Promise.all(Array.from({ length: howMany }, one));
}

/** Runs seeds in worker processes until they are done, or one shows a violation. */
async function campaign(workers: readonly ChildProcess[], job: Job, from: number, seeds: number): Promise<Result> {
  const sum = emptySum();
  const violations: Violation[] = [];
  let next = from;
  const one = async (child: ChildProcess) => {
    while (next < from + seeds && violations.length === 0) {
      const task: Task = { job, from: next, howMany: Math.min(BATCH, from + seeds - next) };
      next += task.howMany;
      child.send(task);
      const batch = (await message(child)) as Batch;
      add(sum, batch.sum);
      violations.push(...batch.violations);
    }
  };
  await Promise.all(workers.map(one));
  return { sum, violations: violations.sort((a, b) => a.seed - b.seed) };
}

/** Gives work to processes that are ended after it. */
async function withCrew<T>(
  program: Pick<Job, "keyed" | "plant">,
  howMany: number,
  work: (workers: readonly ChildProcess[]) => Promise<T>,
): Promise<T> {
  const workers = await crew(program, howMany);
  try {
    return await work(workers);
  } finally {
    for (const worker of workers) worker.kill();
  }
}

function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const exited = (code: number | null) => reject(new Error(`a worker ended with ${code}`));
    child.once("exit", exited);
    child.once("message", (m) => {
      child.off("exit", exited);
      resolve(m);
    });
  });
}

function show(name: string, job: Job, { sum, violations }: Result, seconds: number): void {
  const rate = Math.round(sum.events / seconds);
  console.log(
    `${name}: ${sum.seeds} seeds, ${sum.heights} heights, ${sum.events} events, ${seconds.toFixed(1)} s ` +
      `(${rate} events/s, ${(sum.cpuMs / 1000).toFixed(0)} s of CPU), ${violations.length} violations`,
  );
  console.log(`  decisions by round: ${histogramText(sum.rounds)}`);
  console.log(`  rounds after the faults stopped: ${histogramText(sum.healed)}`);
  for (const { seed, what, trace, repeats } of violations) {
    console.log(`\nseed ${seed}: ${what}`);
    const options = [
      `--seeds 1 --from ${seed}`,
      ...(job.n !== undefined ? [`--n ${job.n}`] : []),
      ...(job.heights !== undefined ? [`--heights ${job.heights}`] : []),
      ...(job.keyed ? [] : ["--real"]),
    ];
    console.log(trace.join("\n"));
    if (!repeats) console.log("the second run of this seed took another course: something is not deterministic");
    console.log(`again: npm run test:sim -- ${options.join(" ")}`);
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  const result = await work();
  return [result, (performance.now() - started) / 1000];
}

async function seedsMode(seeds: number): Promise<boolean> {
  const job: Job = {
    keyed: !flags.real,
    ...(flags.n !== undefined && { n: flags.n }),
    ...(flags.heights !== undefined && { heights: flags.heights }),
  };
  const howMany = Math.min(jobs, Math.ceil(seeds / BATCH));
  return withCrew(job, howMany, (workers) => shown("seeds", workers, job, seeds));
}

async function shown(name: string, workers: readonly ChildProcess[], job: Job, seeds: number): Promise<boolean> {
  const [result, seconds] = await timed(() => campaign(workers, job, flags.from, seeds));
  show(name, job, result, seconds);
  if (result.violations.length > 0) return false;
  if (result.sum.seeds < seeds) console.log(`  only ${result.sum.seeds} of ${seeds} seeds ran`);
  return result.sum.seeds === seeds;
}

/** The same processes run all parts with one kind of signatures: the code is compiled once. */
async function gate(): Promise<boolean> {
  let good = true;
  for (const keyed of [true, false]) {
    await withCrew({ keyed }, jobs, async (workers) => {
      for (const { name, seeds, ...job } of GATE.filter((part) => part.keyed === keyed)) {
        good = (await shown(name, workers, job, seeds)) && good;
      }
    });
  }
  return good;
}

/** One bug after the other on each worker; a table of the seeds that each took. */
async function planted(): Promise<boolean> {
  const queue = PLANTS.filter((p) => flags.names.length === 0 || flags.names.includes(p.name));
  const total = queue.length;
  let found = 0;
  const work = async () => {
    for (let plant = queue.shift(); plant; plant = queue.shift()) if (await seek(plant)) found++;
  };
  await Promise.all(Array.from({ length: jobs }, work));
  console.log(`${found} of ${total} planted bugs found`);
  return total > 0 && found === total;
}

async function seek(plant: Plant): Promise<boolean> {
  const job: Job = { keyed: true, plant: plant.name, n: plant.n ?? 4 };
  const [{ violations }, seconds] = await timed(() =>
    withCrew(job, 1, (workers) => campaign(workers, job, 1, PLANTED_SEEDS)),
  );
  const first = violations[0];
  const verdict = first ? `seed ${first.seed}: ${first.what}` : `NOT FOUND in ${PLANTED_SEEDS} seeds`;
  console.log(`${plant.name} (n = ${job.n}, ${seconds.toFixed(1)} s): ${verdict}`);
  return first !== undefined;
}

const good = flags.planted ? await planted() : flags.seeds !== undefined ? await seedsMode(flags.seeds) : await gate();
process.exitCode = good ? 0 : 1;
