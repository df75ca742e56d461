import { parseArgs } from "node:util";
import { ALL_RULES, cells, DEFAULT_RULE, GRID_WORLDS, jobsOf, type Played, SMALL_WORLDS } from "./grid.ts";
import { runAll } from "./pool.ts";
import { writeReport } from "./report.ts";
import { entryStudy, shapleyStudy } from "./studies.ts";
import { heartFolder } from "./worlds.ts";

/**
 * npm run bench:attacks [-- --seeds N] [--rules a,b] [--quick]
 * Attack × data × share × rule × seeds through real training and the chain's own sum; regenerates docs/robustness.md and .json.
 * --quick plays the default rule with one seed and writes nothing.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    rules: { type: "string" },
    quick: { type: "boolean", default: false },
  },
});
const seeds = values.quick ? 1 : Number(values.seeds);
if (!Number.isSafeInteger(seeds) || seeds < 1) throw new Error(`--seeds ${values.seeds}: a whole number, 1 or more`);
const known = ALL_RULES as readonly string[];
const rules = values.quick ? [DEFAULT_RULE] : (values.rules?.split(",") ?? [...known]);
for (const rule of rules) if (!known.includes(rule)) throw new Error(`--rules ${rule}: one of ${known.join(", ")}`);

if (!heartFolder()) {
  process.stdout.write(
    "The heart data is not here (set POFL_DATA): only the embedded cohort is played, and nothing is written.\n",
  );
}
const worlds = heartFolder() ? [...GRID_WORLDS, ...SMALL_WORLDS] : GRID_WORLDS.filter((w) => w === "cohort");
const plan = cells(rules as (typeof ALL_RULES)[number][], worlds);
const jobs = plan.flatMap((cell) => jobsOf(cell, seeds));
const began = Date.now();
let told = 0;
const rows = await runAll(jobs, (done) => {
  const percent = Math.floor((100 * done) / jobs.length);
  if (percent < told + 5) return;
  told = percent;
  process.stderr.write(`${percent} % of ${jobs.length} runs, ${Math.round((Date.now() - began) / 1000)} s\n`);
});
const grid = plan.map((cell, i): Played => ({ ...cell, rows: rows.slice(i * seeds, (i + 1) * seeds) }));
if (values.quick || !heartFolder()) {
  for (const c of grid) {
    const r = c.rows[0];
    if (r)
      process.stdout.write(
        `${c.world} ${c.attack} ${c.share} %: accuracy ${r.accuracy.toFixed(3)}, attackers paid ${(100 * r.attackersPay).toFixed(2)} %\n`,
      );
  }
} else {
  const figures = { seeds, grid, entries: await entryStudy(seeds), shapley: await shapleyStudy(2 * seeds) };
  for (const line of writeReport(figures, "docs/robustness.md", "docs/robustness.json"))
    process.stdout.write(`${line}\n`);
}
process.stdout.write(`${jobs.length} runs in ${Math.round((Date.now() - began) / 1000)} s\n`);
