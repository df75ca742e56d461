import { type Command, InvalidArgumentError } from "commander";
import { ATTACKS, parseAttack } from "../../learning/attacks/index.ts";
import { isNodeAttack, NODE_ATTACKS } from "../../node/attacks.ts";
import { PoflError } from "../../types/errors.ts";
import { contextOf } from "../context.ts";
import { printReport, toleranceText } from "../devnet/display.ts";
import type { DevnetReport } from "../devnet/report.ts";
import { type DevnetOptions, runDevnet, spread } from "../devnet/run.ts";
import { examples } from "../examples.ts";
import type { Output } from "../output.ts";
import { whole } from "../parse.ts";

const KINDS = [...ATTACKS, ...NODE_ATTACKS, "crash"].join(", ");
const METRICS = ["accuracy", "auroc", "loss"] as const;

function target(text: string): NonNullable<DevnetOptions["target"]> {
  const [metric, value] = text.split("=");
  const known = METRICS.find((m) => m === metric);
  if (!known || value === undefined || !/^\d+(\.\d+)?$/.test(value)) {
    throw new InvalidArgumentError(`Must be METRIC=VALUE with one of ${METRICS.join(", ")}, e.g. auroc=0.88.`);
  }
  return { metric: known, value: Number(value) };
}

function attack(text: string): NonNullable<DevnetOptions["attack"]> {
  const [kind = "", count] = text.split(":");
  const known = kind === "crash" || isNodeAttack(kind) ? kind : parseAttack(kind);
  if (!known) throw new InvalidArgumentError(`Must be KIND:COUNT; this version knows ${KINDS}.`);
  if (!/^[1-9]\d?$/.test(count ?? "")) throw new InvalidArgumentError("Must be KIND:COUNT, e.g. sign-flip:2.");
  return { kind: known, count: Number(count) };
}

type Flags = Omit<DevnetOptions, "timeoutMs" | "seed"> & { seed?: number; seeds?: number; timeout: number };

export function addDevnet(program: Command): void {
  const command = program
    .command("devnet")
    .description("run a network of real node processes on this machine until its task is over, and report")
    .option("--nodes <N>", "how many (default: one per file of --data, else 4)", whole(1))
    .option("--data <DIR>", "each *.csv, *.tsv and *.data in it is one hospital (default: an invented cohort)")
    .option("--task <FILE>", "the task file that says how to read them")
    .option("--rounds <R>", "at most this many learning rounds (default: the task's)", whole(1))
    .option("--target <METRIC=VALUE>", "end when the committee attests it (default: the task's)", target)
    .option(
      "--attack <KIND:COUNT>",
      `the last COUNT nodes misbehave: ${KINDS}; KIND+lies: and vote to each other's advantage`,
      attack,
    )
    .option("--seed <S>", "fixes the chance in training (default: another one each time)", whole())
    .option("--seeds <N>", "run with the seeds 1 to N, and print mean and spread", whole(1))
    .option("--dashboard", "let the network run on after the end, for a browser, until Ctrl-C")
    .option("--keep", "keep the folder with homes and logs")
    .option("--timeout <SECONDS>", "give up after this long", whole(1), 300)
    .action(async ({ seeds, timeout, ...flags }: Flags, self: Command) => {
      const { out } = contextOf(self);
      const options = { ...flags, timeoutMs: 1000 * timeout };
      if (seeds !== undefined) {
        await severalSeeds(options, seeds, out);
        return;
      }
      const print = (report: DevnetReport) => out.result(report, () => printReport(out, report));
      fail(await runDevnet(options, out, print));
    });
  examples(
    command,
    ["pofl devnet", "four invented hospitals train to the task's target: what `npm start` does"],
    ["pofl devnet --nodes 7 --attack sign-flip:2", "two of seven send their updates reversed and four times as long"],
    [
      "pofl devnet --data heart --task examples/heart-disease/task.json --rounds 15 --seeds 5",
      "real hospitals, five fixed seeds, mean and spread",
    ],
  );
}

async function severalSeeds(options: DevnetOptions, seeds: number, out: Output): Promise<void> {
  const reports: DevnetReport[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    out.note(`Seed ${seed}`);
    reports.push(await runDevnet({ ...options, seed }, { ...out, live: false }));
  }
  const scores = reports.map((r) => {
    if (!r.test) throw new PoflError("NO_TEST_ROWS", "the task's split leaves no test rows to compare");
    return r.test;
  });
  const over = (pick: (t: (typeof scores)[number]) => number) => spread(scores.map(pick));
  const hospitals = Object.keys(scores[0]?.federated.perHospital ?? {});
  const widest = reports.map((r) => r.task).reduce((a, b) => (b.fKrum > a.fKrum ? b : a));
  const summary = {
    seeds,
    ok: reports.every((r) => r.ok),
    rounds: reports.map((r) => r.task.rounds),
    fKrum: widest.fKrum,
    distinct: widest.distinct,
    prevalence: scores[0]?.prevalence,
    federated: over((t) => t.federated.accuracy),
    pooled: over((t) => t.pooled.accuracy),
    perHospital: Object.fromEntries(
      hospitals.map((h) => [
        h,
        {
          n: scores[0]?.federated.perHospital[h]?.n,
          federated: over((t) => t.federated.perHospital[h]?.accuracy ?? 0),
          pooled: over((t) => t.pooled.perHospital[h]?.accuracy ?? 0),
          local: over((t) => t.localOnly[h]?.perHospital[h]?.accuracy ?? 0),
        },
      ]),
    ),
    reports,
  };
  const text = ({ mean, sd }: { mean: number; sd: number }) => `${mean.toFixed(3)} ± ${sd.toFixed(3)}`;
  out.result(summary, () => {
    out.line();
    out.line(
      `Accuracy on test rows over ${seeds} seeds, mean ± standard deviation; ${widest.rule}, ${toleranceText(widest)};` +
        ` prevalence ${(summary.prevalence ?? 0).toFixed(3)}`,
    );
    out.table(
      ["hospital", "test rows", "federated", "pooled", "its own rows alone"],
      [
        ["all", "", text(summary.federated), text(summary.pooled), ""],
        ...Object.entries(summary.perHospital).map(([name, s]) => [
          name,
          String(s.n),
          text(s.federated),
          text(s.pooled),
          text(s.local),
        ]),
      ],
    );
  });
  for (const report of reports) fail(report);
}

/** The exit code and the line on stderr of a run that is not ok, after its report. */
function fail({ code, reason }: DevnetReport): void {
  if (code !== null) throw new PoflError(code, reason ?? code);
}
