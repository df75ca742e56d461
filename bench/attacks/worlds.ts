import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join as joinPath } from "node:path";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { cohortTask, writeCohort } from "../../learning/cohort.ts";
import { loadDataset } from "../../learning/dataset.ts";
import { Random } from "../../learning/random.ts";
import { join, pick, type Samples } from "../../learning/samples.ts";
import { splitDataset } from "../../learning/split.ts";

/** Whose data trains: hospitals as they are, or their pooled rows dealt out anew. */

export type Site = {
  readonly name: string;
  readonly rows: Samples;
  /** A hospital unlike the others: attackers are never drawn from these, and their lot is reported. */
  readonly minority: boolean;
};
export type World = {
  readonly name: string;
  readonly task: TaskSpec;
  readonly rounds: number;
  readonly sites: (seed: number) => readonly Site[];
  readonly test: Samples;
};

const HOSPITALS = ["cleveland", "hungarian", "switzerland", "va"] as const;

/** Where the heart data is: `$POFL_DATA`, or beside the repository; undefined if it isn't. */
export function heartFolder(): string | undefined {
  const folder = joinPath(process.env.POFL_DATA ?? joinPath("..", "shared", "data"), "heart-disease");
  return existsSync(joinPath(folder, "processed.cleveland.data")) ? folder : undefined;
}

type Heart = { readonly task: TaskSpec; readonly parts: readonly Samples[]; readonly test: Samples };

function heart(folder: string, change: object): Heart {
  const task = parseTask(
    JSON.stringify({ ...JSON.parse(readFileSync("examples/heart-disease/task.json", "utf8")), ...change }),
  );
  const splits = HOSPITALS.map((name) => {
    const file = joinPath(folder, `processed.${name}.data`);
    return splitDataset(loadDataset(file, task), file, task);
  });
  return {
    task,
    parts: splits.map((s) => join([s.train, s.validation])),
    test: join(splits.map((s) => s.test)),
  };
}

/** Cleveland, Hungary, Switzerland and Long Beach in so many parts each. */
function natural({ parts }: Heart, counts: readonly number[]): Site[] {
  return parts.flatMap((rows, h) => {
    const count = counts[h] as number;
    return Array.from({ length: count }, (_, i) => ({
      name: count === 1 ? (HOSPITALS[h] as string) : `${HOSPITALS[h]}-${i + 1}`,
      rows: pick(
        rows,
        range(rows.n).filter((r) => r % count === i),
      ),
      minority: h >= 2,
    }));
  });
}

function iid({ parts }: Heart, n: number, seed: number): Site[] {
  const all = join(parts);
  const order = new Random("iid", seed).shuffle(Uint32Array.from(range(all.n)));
  return dealt(
    Array.from({ length: n }, (_, i) => [...order].filter((_, at) => at % n === i)),
    all,
  );
}

/** Rows that a hospital has at least. */
const FEWEST_ROWS = 8;

/** For each label, shares of the hospitals drawn from Dirichlet(alpha): the smaller, the more unlike (Hsu et al. 2019). */
function dirichlet({ parts }: Heart, n: number, alpha: number, seed: number): Site[] {
  const all = join(parts);
  const random = new Random("dirichlet", alpha * 1000, seed);
  for (;;) {
    const hands: number[][] = Array.from({ length: n }, () => []);
    for (const label of [0, 1]) {
      const rows = random.shuffle(Uint32Array.from(range(all.n).filter((i) => all.y[i] === label)));
      const shares = Array.from({ length: n }, () => gamma(alpha, random));
      const total = shares.reduce((a, b) => a + b, 0);
      let [sum, at] = [0, 0];
      shares.forEach((share, i) => {
        sum += share;
        for (const end = Math.round((sum / total) * rows.length); at < end; at++) hands[i]?.push(rows[at] as number);
      });
    }
    if (alpha < 0.2) fill(hands);
    if (hands.every((h) => h.length >= FEWEST_ROWS)) return dealt(hands, all);
  }
}

/** Where nearly everyone would be left with too few rows, the richest hand gives. */
function fill(hands: number[][]): void {
  for (const hand of hands) {
    while (hand.length < FEWEST_ROWS) {
      const richest = hands.reduce((a, b) => (b.length > a.length ? b : a));
      hand.push(richest.pop() as number);
    }
  }
}

/** Gamma(a, 1): Marsaglia and Tsang 2000, with Johnk's boost below 1. */
function gamma(a: number, random: Random): number {
  if (a < 1) return gamma(a + 1, random) * (random.uniform() || 2 ** -33) ** (1 / a);
  const d = a - 1 / 3;
  for (;;) {
    const x = random.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(random.uniform() || 2 ** -33) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

function dealt(hands: readonly (readonly number[])[], all: Samples): Site[] {
  return hands.map((rows, i) => ({ name: `h${i + 1}`, rows: pick(all, rows), minority: false }));
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** The embedded cohort, whose hospitals have rows enough to vote. */
function cohort(n: number): World {
  const task = cohortTask();
  const folder = mkdtempSync(joinPath(tmpdir(), "pofl-cohort-"));
  try {
    const splits = writeCohort(folder, { hospitals: n, seed: 1 }).map((file) => ({
      name: basename(file, ".csv"),
      split: splitDataset(loadDataset(file, task), file, task),
    }));
    const sites = splits.map(({ name, split }) => ({
      name,
      rows: join([split.train, split.validation]),
      minority: name.startsWith("geriatric"),
    }));
    return { name: "cohort", task, rounds: 12, sites: () => sites, test: join(splits.map((s) => s.split.test)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const WORLD_NAMES = [
  "natural",
  "iid",
  "dirichlet-0.5",
  "dirichlet-0.1",
  "natural-8",
  "natural-4",
  "cohort",
] as const;
export type WorldName = (typeof WORLD_NAMES)[number];

/** Made when asked for; undefined without the heart data. `change` goes over fields of the example's task. */
export function world(name: WorldName, change: object = {}): World | undefined {
  if (name === "cohort") return cohort(10);
  const folder = heartFolder();
  if (!folder) return undefined;
  const data = heart(folder, change);
  const { task, test } = data;
  const sites = (seed: number): Site[] => {
    switch (name) {
      case "natural":
        return natural(data, [4, 3, 1, 2]);
      case "natural-8":
        return natural(data, [3, 3, 1, 1]);
      case "natural-4":
        return natural(data, [1, 1, 1, 1]);
      case "iid":
        return iid(data, 10, seed);
      case "dirichlet-0.5":
        return dirichlet(data, 10, 0.5, seed);
      case "dirichlet-0.1":
        return dirichlet(data, 10, 0.1, seed);
    }
  };
  return { name, task, rounds: 15, sites, test };
}
