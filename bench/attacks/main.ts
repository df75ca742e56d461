import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { formulaStudy } from "./formulas.ts";
import { ALL_RULES, type Cell, cells, DEFAULT_RULE, GRID_WORLDS, jobsOf, type Played, SMALL_WORLDS } from "./grid.ts";
import { runAll } from "./pool.ts";
import { writeReport } from "./report.ts";
import { entryStudy, shapleyStudy } from "./studies.ts";
import { heartFolder } from "./worlds.ts";

/**
 * npm run bench:attacks [-- --seeds N] [--rules a,b] [--worlds a,b] [--raw FILE] [--quick]
 * Attack × data × share × rule × seeds through real training and the chain's own sum; regenerates docs/robustness.md and .json when
 * all worlds are played. --raw FILE keeps the rows of every cell and doesn't play again what is in it, so that a long run can be had in
 * parts. --quick plays the default rule with one seed and only prints.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    rules: { type: "string" },
    worlds: { type: "string" },
    raw: { type: "string" },
    quick: { type: "boolean", default: false },
  },
});
const seeds = values.quick ? 1 : Number(values.seeds);
if (!Number.isSafeInteger(seeds) || seeds < 1) throw new Error(`--seeds ${values.seeds}: a whole number, 1 or more`);

/** The names that a flag lists, all if it isn't given. @throws Error naming the first that is unknown */
function listed<T extends string>(flag: "rules" | "worlds", known: readonly T[]): T[] {
  const given = values[flag]?.split(",") ?? known;
  return given.map((name) => {
    const found = known.find((k) => k === name);
    if (found === undefined) throw new Error(`--${flag} ${name}: one of ${known.join(", ")}`);
    return found;
  });
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const rules: readonly Cell["rule"][] = values.quick ? [DEFAULT_RULE] : listed("rules", ALL_RULES);
const everywhere = [...GRID_WORLDS, ...SMALL_WORLDS];
const here = heartFolder() ? everywhere : everywhere.filter((w) => w === "cohort");
if (here.length < everywhere.length)
  say("The heart data is not here (set POFL_DATA): only the embedded cohort is played.");
const worlds = listed("worlds", here);

const name = (cell: Cell) =>
  JSON.stringify([cell.world, cell.rule, cell.attack, cell.share, cell.unbounded === true, seeds]);
const known = new Map<string, Played>();
if (values.raw !== undefined && existsSync(values.raw)) {
  for (const cell of JSON.parse(readFileSync(values.raw, "utf8")) as Played[]) known.set(name(cell), cell);
}
const plan = cells(rules, worlds);
const missing = plan.filter((cell) => !known.has(name(cell)));
const jobs = missing.flatMap((cell) => jobsOf(cell, seeds));
const began = Date.now();
let told = 0;
const rows = await runAll(jobs, (done) => {
  const percent = Math.floor((100 * done) / jobs.length);
  if (percent < told + 5) return;
  told = percent;
  process.stderr.write(`${percent} % of ${jobs.length} runs, ${Math.round((Date.now() - began) / 1000)} s\n`);
});
missing.forEach((cell, i) => {
  known.set(name(cell), { ...cell, rows: rows.slice(i * seeds, (i + 1) * seeds) });
});
if (values.raw !== undefined) writeFileSync(values.raw, JSON.stringify([...known.values()]));
say(`${jobs.length} runs in ${Math.round((Date.now() - began) / 1000)} s`);

const grid = plan.map((cell) => known.get(name(cell)) as Played);
if (!values.quick && worlds.length === everywhere.length) {
  const figures = {
    seeds,
    grid,
    entries: await entryStudy(seeds),
    shapley: await shapleyStudy(2 * seeds),
    formulas: await formulaStudy(seeds),
  };
  for (const line of writeReport(figures, "docs/robustness.md", "docs/robustness.json")) say(line);
} else {
  for (const { rows, ...cell } of grid) {
    const mean = (of: (row: (typeof rows)[number]) => number) => rows.reduce((s, r) => s + of(r), 0) / rows.length;
    const what = `${cell.world}, ${cell.rule}, ${cell.attack} ${cell.share} %${cell.unbounded ? ", unbounded" : ""}`;
    say(
      `${what}: accuracy ${mean((r) => r.accuracy).toFixed(3)}, attackers paid ${mean((r) => 100 * r.attackersPay).toFixed(2)} %`,
    );
  }
}
