import { readFileSync, writeFileSync } from "node:fs";
import { FORMULAS, type FormulaRow } from "./formulas.ts";
import {
  DEFAULT_RULE,
  drops,
  error,
  GRID_WORLDS,
  mean,
  PLAYS,
  type Played,
  Results,
  SHARES,
  SMALL_WORLDS,
} from "./grid.ts";
import type { Row } from "./jobs.ts";
import type { EntryRow, ShapleyRow } from "./studies.ts";
import { ENTRIES } from "./suspects.ts";
import type { WorldName } from "./worlds.ts";

/** Writes the figures into docs/robustness.md, between the marks of each table, and into a machine-readable file beside it. */

export type Figures = {
  readonly seeds: number;
  readonly grid: readonly Played[];
  readonly entries: readonly EntryRow[];
  readonly shapley: readonly ShapleyRow[];
  readonly formulas: readonly FormulaRow[];
};

/** Points of accuracy that may be lost with a fifth of at least ten hospitals attacking (PROTOCOL section 14). */
const BARS: readonly { readonly attacks: readonly Played["attack"][]; readonly points: number }[] = [
  { attacks: ["label-flip", "sign-flip", "gaussian", "model-replacement"], points: 2 },
  { attacks: ["alie", "alie-optimised", "ipm", "mimic"], points: 5 },
];
const FREE_RIDERS: readonly Played["attack"][] = [
  "free-rider",
  "free-rider-noise",
  "free-rider-replay",
  "copycat",
  "copycat-noise",
  "copycat-heavy-noise",
  "averaging-copier",
  "noise-ring",
  "own-replay",
];
const PAY_BAR = 1;
const ENTERED_BAR = 0.2;
const EARNED_BAR = 0.25;

const points = (v: number | undefined) => (v === undefined ? "–" : v.toFixed(1).replace("-0.0", "0.0"));
const percent = (v: number) => (100 * v).toFixed(0);
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((r) => `| ${r.join(" | ")} |`).join("\n");

export function writeReport(figures: Figures, markdown: string, json: string): string[] {
  const results = new Results(figures.grid);
  const rules = [...new Set(figures.grid.map((c) => c.rule))];
  const worlds = GRID_WORLDS.filter((w) => results.find(w, DEFAULT_RULE, "none"));
  const bars = verdicts(results, worlds, rules);
  const sections: Record<string, string> = {
    bars: bars.map((b) => `- ${b}`).join("\n"),
    default: defaultTable(results, worlds),
    rules: worlds.map((w) => ruleTable(results, w, rules)).join("\n\n"),
    pay: payTable(results, [...SMALL_WORLDS.filter((w) => results.find(w, DEFAULT_RULE, "none")), ...worlds]),
    honest: honestTable(results, [...SMALL_WORLDS.filter((w) => results.find(w, DEFAULT_RULE, "none")), ...worlds]),
    backdoor: backdoorTable(results, worlds),
    entries: entryTables(figures.entries),
    shapley: shapleyTable(figures.shapley),
    formulas: formulaTables(figures.formulas),
  };
  let text = readFileSync(markdown, "utf8");
  for (const [name, body] of Object.entries(sections)) {
    const mark = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`);
    if (!mark.test(text)) throw new Error(`${markdown} has no place for "${name}"`);
    text = text.replace(mark, (_, open, close) => `${open}${body}\n${close}`);
  }
  writeFileSync(markdown, text);
  writeFileSync(json, lines(machineReadable(figures, results)));
  return bars;
}

function verdicts(results: Results, worlds: readonly WorldName[], rules: readonly string[]): string[] {
  const lines: string[] = [];
  for (const { attacks, points: bar } of BARS) {
    for (const world of worlds) {
      const lost = attacks.map((a) => ({ a, drop: results.drop(world, DEFAULT_RULE, a) ?? Number.NaN }));
      const over = lost.filter(({ drop }) => drop > bar);
      const absent = results.drop(world, DEFAULT_RULE, "absent") ?? Number.NaN;
      if (over.length === 0) {
        lines.push(
          `${world}: at most ${bar} points under ${attacks.join(", ")}: **met** (worst ${points(Math.max(...lost.map((l) => l.drop)))})`,
        );
        continue;
      }
      const what = over.map(({ a, drop }) => {
        const best = rules
          .map((rule) => ({ rule, drop: results.drop(world, rule, a) ?? Number.NaN }))
          .reduce((x, y) => (y.drop < x.drop ? y : x));
        return `${a} ${points(drop)} (least of all rules: ${best.rule} ${points(best.drop)})`;
      });
      lines.push(
        `${world}: at most ${bar} points: **not met** under ${what.join(", ")}; ${points(absent)} are lost if the attackers only stay away`,
      );
    }
  }
  for (const world of [...SMALL_WORLDS, ...worlds]) {
    const paid = FREE_RIDERS.flatMap((a) => {
      const cell = results.find(
        world,
        DEFAULT_RULE,
        a,
        SMALL_WORLDS.includes(world) ? (a === "noise-ring" ? -2 : -1) : 20,
      );
      return cell ? [{ a, pay: results.pay(cell).attacking }] : [];
    });
    if (paid.length === 0) continue;
    const over = paid.filter((p) => p.pay > PAY_BAR);
    const worst = paid.reduce((x, y) => (y.pay > x.pay ? y : x));
    lines.push(
      over.length === 0
        ? `${world}: free-riders and copies at most ${PAY_BAR} % of the pool: **met** (worst ${worst.a} ${worst.pay.toFixed(2)})`
        : `${world}: free-riders and copies at most ${PAY_BAR} % of the pool: **not met** by ${over.map((o) => `${o.a} ${o.pay.toFixed(2)}`).join(", ")}`,
    );
  }
  for (const world of [...SMALL_WORLDS, ...worlds]) {
    const played = (["none", ...PLAYS] as const).flatMap((a) => {
      const cell = a === "absent" ? undefined : results.find(world, DEFAULT_RULE, a, shareOf(world, a));
      return cell
        ? [{ a, entered: mean(cell.rows.map((r) => r.entered)), earned: mean(cell.rows.map((r) => r.earned)) }]
        : [];
    });
    if (played.length === 0) continue;
    const least = (key: "entered" | "earned") => played.reduce((x, y) => (y[key] < x[key] ? y : x));
    const [entered, earned] = [least("entered"), least("earned")];
    const met = entered.entered >= ENTERED_BAR && earned.earned >= EARNED_BAR ? "**met**" : "**not met**";
    lines.push(
      `${world}: every honest hospital enters in a fifth of the rounds and earns a quarter of an equal share, with and without attackers: ${met} (least ${percent(entered.entered)} % under ${entered.a}, ${earned.earned.toFixed(2)} under ${earned.a})`,
    );
  }
  return lines;
}

function defaultTable(results: Results, worlds: readonly WorldName[]): string {
  const head = ["attack", ...worlds.flatMap((w) => SHARES.map((s) => `${w} ${s} %`))];
  const rows = PLAYS.map((a) => [
    a,
    ...worlds.flatMap((w) => SHARES.map((s) => points(results.drop(w, DEFAULT_RULE, a, s)))),
  ]);
  const clean = worlds.map((w) => {
    const cell = results.find(w, DEFAULT_RULE, "none");
    return cell
      ? `${w} ${points(100 * mean(cell.rows.map((r) => r.accuracy)))} ± ${points(100 * error(cell.rows.map((r) => r.accuracy)))}`
      : w;
  });
  return `Accuracy with nobody attacking: ${clean.join(", ")}.\n\n${table(head, rows)}`;
}

function ruleTable(results: Results, world: WorldName, rules: readonly string[]): string {
  const cleanOf = (rule: string) => {
    const cell = results.find(world, rule, "none");
    return cell ? points(100 * mean(cell.rows.map((r) => r.accuracy))) : "–";
  };
  const rows = PLAYS.map((a) => [a, ...rules.map((rule) => points(results.drop(world, rule, a)))]);
  return `**${world}**\n\n${table(["20 % attack", ...rules], [["*accuracy, none*", ...rules.map(cleanOf)], ...rows])}`;
}

const shareOf = (world: WorldName, attack: Played["attack"]) =>
  SMALL_WORLDS.includes(world) ? (attack === "noise-ring" || attack === "sybil" ? -2 : -1) : 20;

function payTable(results: Results, worlds: readonly WorldName[]): string {
  const rows = PLAYS.filter((a) => a !== "absent").map((a) => [
    a,
    ...worlds.map((w) => {
      const cell = results.find(w, DEFAULT_RULE, a, shareOf(w, a));
      if (!cell) return "–";
      const { attacking, honest } = results.pay(cell);
      return `${attacking.toFixed(2)} (${honest.toFixed(2)})`;
    }),
  ]);
  const paid = worlds.map((w) => {
    const cell = results.find(w, DEFAULT_RULE, "none");
    return cell ? percent(mean(cell.rows.map((r) => r.paid))) : "–";
  });
  return table(["attack", ...worlds], [["*paid in all, none attacking*", ...paid], ...rows]);
}

function honestTable(results: Results, worlds: readonly WorldName[]): string {
  const least = (cell: Played | undefined, key: "entered" | "earned" | "minorityEntered" | "minorityEarned") =>
    cell ? mean(cell.rows.map((r) => r[key])) : Number.NaN;
  const rows = ["none" as const, ...PLAYS.filter((a) => a !== "absent")].map((a) => [
    a,
    ...worlds.map((w) => {
      const cell = results.find(w, DEFAULT_RULE, a, shareOf(w, a));
      if (!cell) return "–";
      return `${percent(least(cell, "entered"))} % / ${least(cell, "earned").toFixed(2)}`;
    }),
  ]);
  return table(["attack", ...worlds], rows);
}

function backdoorTable(results: Results, worlds: readonly WorldName[]): string {
  const success = (cell: Played | undefined) =>
    cell ? `${points(100 * mean(cell.rows.map((r) => r.backdoor ?? Number.NaN)))}` : "–";
  const rows = worlds.flatMap((w) =>
    (["backdoor", "backdoor-scaled"] as const).flatMap((a) =>
      (["fedavg", DEFAULT_RULE] as const).map((rule) => [
        `${w}, ${a}, ${rule}`,
        success(results.find(w, rule, "none")),
        success(results.find(w, rule, a)),
        success(results.find(w, rule, a, 20, true)),
      ]),
    ),
  );
  return table(["20 % attack", "nobody attacks", "with the norm bound", "without"], rows);
}

function entryTables(rows: readonly EntryRow[]): string {
  const worlds = [...new Set(rows.map((r) => r.world))];
  return worlds
    .map((w) => {
      const attacks = [...new Set(rows.filter((r) => r.world === w).map((r) => r.attack))];
      const cell = (attack: string, entry: string) => {
        const found = rows.find((r) => r.world === w && r.attack === attack && r.entry === entry);
        return found ? `${points(100 * found.accuracy)} / ${points(100 * found.auroc)}` : "–";
      };
      return `**${w}**\n\n${table(
        ["accuracy / AUROC", ...ENTRIES],
        attacks.map((a) => [a, ...ENTRIES.map((e) => cell(a, e))]),
      )}`;
    })
    .join("\n\n");
}

function shapleyTable(rows: readonly ShapleyRow[]): string {
  const worlds = [...new Set(rows.map((r) => r.world))];
  return worlds
    .map((w) => {
      const of = rows.filter((r) => r.world === w);
      const sites = of[0]?.sites ?? [];
      const ranks = FORMULAS.map((formula) => {
        const known = of.flatMap((r) => r.correlations.find((c) => c.formula === formula)?.rank ?? []);
        return `${formula} ${mean(known).toFixed(2)} ± ${error(known).toFixed(2)}`;
      });
      const value = (key: "values" | "pay", i: number) => mean(of.map((r) => r[key][i] as number));
      const line = sites.map((name, i) => [
        name,
        (1000 * value("values", i)).toFixed(0),
        (100 * value("pay", i)).toFixed(2),
      ]);
      return `**${w}**: rank correlation over ${of.length} seeds: ${ranks.join(", ")}\n\n${table(["hospital", "Shapley value, thousandths of a nat", "pay, % of the pool"], line)}`;
    })
    .join("\n\n");
}

function formulaTables(rows: readonly FormulaRow[]): string {
  const worlds = [...new Set(rows.map((r) => r.world))];
  return worlds
    .map((w) => {
      const attacks = [...new Set(rows.filter((r) => r.world === w).map((r) => r.attack))];
      const cell = (attack: string, formula: string) => {
        const r = rows.find((x) => x.world === w && x.attack === attack && x.formula === formula);
        return r ? `${points(100 * r.attackers)} / ${points(100 * r.honest)}` : "–";
      };
      return `**${w}**\n\n${table(
        ["attackers / honest, % of the pool", ...FORMULAS],
        attacks.map((a) => [a, ...FORMULAS.map((f) => cell(a, f))]),
      )}`;
    })
    .join("\n\n");
}

/** JSON with one line per row of each table, so that a change shows where it is. */
function lines(tables: Record<string, unknown>): string {
  const parts = Object.entries(tables).map(([name, value]) => {
    const body = Array.isArray(value)
      ? `[\n${value.map((row) => JSON.stringify(row)).join(",\n")}\n]`
      : JSON.stringify(value);
    return `${JSON.stringify(name)}: ${body}`;
  });
  return `{\n${parts.join(",\n")}\n}\n`;
}

/** Every cell with its means, and the seeds' own accuracies; enough to draw any table again. */
function machineReadable(figures: Figures, results: Results) {
  const keys = [
    "accuracy",
    "auroc",
    "attackersEntered",
    "attackersPay",
    "paid",
    "entered",
    "earned",
    "minorityEntered",
    "minorityEarned",
  ] as const;
  const round = (v: number) => Math.round(v * 1e4) / 1e4;
  return {
    seeds: figures.seeds,
    cells: figures.grid.map((c) => {
      const { rows, ...cell } = c;
      const clean = results.find(c.world, c.rule, "none");
      return {
        ...cell,
        ...Object.fromEntries(keys.map((k) => [k, round(mean(rows.map((r: Row) => r[k])))])),
        ...(clean && { drop: round(mean(drops(c, clean))), dropError: round(error(drops(c, clean))) }),
        ...(rows[0]?.backdoor !== undefined && { backdoor: round(mean(rows.map((r) => r.backdoor ?? 0))) }),
        accuracies: rows.map((r) => round(r.accuracy)),
      };
    }),
    entries: figures.entries.map((e) => ({ ...e, accuracy: round(e.accuracy), auroc: round(e.auroc) })),
    formulas: figures.formulas.map((f) => ({ ...f, attackers: round(f.attackers), honest: round(f.honest) })),
    shapley: figures.shapley.map((s) => ({ ...s, values: s.values.map(round), pay: s.pay.map(round) })),
  };
}
