import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkJson } from "../genesis/json.ts";
import { type TaskSpec, taskSchema } from "../genesis/task.ts";
import { Random } from "./random.ts";

/**
 * The embedded cohort: invented patients with infection on admission, and whether they died within 30 days. Nobody's data, so it can
 * travel with the program. Hospitals differ in size, case mix and prevalence, and each sees only part of what drives the risk: young
 * trauma patients in one, the old and cold in another. Arithmetic is + − × ÷ and rounding only, so that a seed gives the same bytes on
 * every engine.
 */

export type CohortFile = { readonly name: string; readonly csv: string };
export type CohortOptions = { readonly hospitals: number; readonly seed: number };

type Profile = {
  readonly name: string;
  readonly rows: number;
  /** Mean and standard deviation, years. */
  readonly age: readonly [number, number];
  /** Mean severity; standard deviation 1. */
  readonly severity: number;
  /** Shift of the mean temperature, °C, and of the mean systolic pressure, mm Hg. */
  readonly temperature: number;
  readonly pressure: number;
  /** Weights of the sources of infection, in the order of SOURCES. */
  readonly sources: readonly number[];
  /** Share of diabetics, and of missing lactate values. */
  readonly diabetes: number;
  readonly noLactate: number;
  /** Added to everybody's risk: what the columns don't show. */
  readonly risk: number;
};

/** The seed of the cohort that `devnet` uses, on which the task's target was chosen. */
export const COHORT_SEED = 1;

const SOURCES = ["lung", "urine", "abdomen", "skin"] as const;

const PROFILES: readonly Profile[] = [
  {
    name: "university",
    rows: 640,
    age: [58, 12],
    severity: 0.2,
    temperature: 0.6,
    pressure: -10,
    sources: [4, 2, 3, 1],
    diabetes: 0.22,
    noLactate: 0.03,
    risk: 0,
  },
  {
    name: "trauma",
    rows: 520,
    age: [38, 11],
    severity: 0.1,
    temperature: 0.9,
    pressure: -14,
    sources: [1, 1, 3, 5],
    diabetes: 0.08,
    noLactate: 0.05,
    risk: -0.2,
  },
  {
    name: "geriatric",
    rows: 600,
    age: [81, 6],
    severity: -0.1,
    temperature: -0.9,
    pressure: 12,
    sources: [5, 5, 1, 1],
    diabetes: 0.34,
    noLactate: 0.12,
    risk: 0.1,
  },
  {
    name: "district",
    rows: 480,
    age: [66, 12],
    severity: -0.5,
    temperature: 0,
    pressure: 6,
    sources: [4, 4, 1, 2],
    diabetes: 0.28,
    noLactate: 0.18,
    risk: -0.1,
  },
];

/** Profiles beyond the fourth are the first four again, shifted a little. */
function profile(index: number, seed: number): Profile {
  const base = PROFILES[index % PROFILES.length]!;
  const turn = Math.floor(index / PROFILES.length);
  if (turn === 0) return base;
  const r = new Random("cohort-profile", seed, index);
  return {
    ...base,
    name: `${base.name}-${turn + 1}`,
    rows: 440 + r.below(240),
    age: [base.age[0] + 4 * r.normal(), base.age[1]],
    severity: base.severity + 0.15 * r.normal(),
    temperature: base.temperature + 0.2 * r.normal(),
    pressure: base.pressure + 4 * r.normal(),
    risk: base.risk + 0.1 * r.normal(),
  };
}

const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value));

function patient(p: Profile, r: Random): { cells: string[]; died: boolean } {
  const severity = p.severity + r.normal();
  const age = clamp(Math.round(p.age[0] + p.age[1] * r.normal()), 18, 100);
  const sex = r.uniform() < 0.54 ? 1 : 0;
  const diabetes = r.uniform() < p.diabetes ? 1 : 0;
  const source = draw(p.sources, r);
  const temperature = clamp(37.8 + p.temperature + 0.9 * r.normal(), 33, 42);
  const pressure = clamp(118 + p.pressure - 9 * severity + 17 * r.normal(), 60, 220);
  const heart = clamp(92 + 9 * severity + 7 * (temperature - 37.8) + 14 * r.normal(), 35, 190);
  const breath = clamp(21 + 3 * severity + (source === 0 ? 3 : 0) + 4 * r.normal(), 8, 50);
  const oxygen = clamp(95 - 1.6 * severity - (source === 0 ? 2 : 0) + 2.2 * r.normal(), 70, 100);
  const coma = clamp(Math.round(14.4 - 1.1 * severity + 1.3 * r.normal()), 3, 15);
  const lactate = clamp(2 + 0.8 * severity + Math.abs(0.9 * r.normal()), 0.3, 20);
  const creatinine = clamp(95 + 22 * severity + 0.5 * (age - 60) + Math.abs(35 * r.normal()), 30, 900);
  const white = clamp(13 + 1.5 * severity + 4 * r.normal(), 0.5, 60);
  const platelets = clamp(230 - 22 * severity + 70 * r.normal(), 10, 800);
  // Fever and chill, high and low pressure both count: the risk is a valley, of which most hospitals see one slope.
  const chill = (temperature - 37.7) / 1.2;
  const tension = (pressure - 125) / 32;
  const years = (age - 62) / 18;
  const risk =
    -1.75 +
    p.risk +
    0.75 * years +
    0.9 * chill * chill +
    0.75 * tension * tension +
    0.55 * (lactate - 2.4) +
    0.3 * (14 - coma) +
    0.12 * (94 - oxygen) +
    0.006 * (creatinine - 115) +
    0.35 * diabetes * (source === 1 ? 0 : 1) +
    (source === 2 ? 0.5 : source === 1 ? -0.4 : 0) +
    // A fast heart is a bad sign in the old and a good one in the young.
    0.45 * years * ((heart - 95) / 18);
  const lost = (share: number, text: string) => (r.uniform() < share ? "" : text);
  const cells = [
    String(age),
    String(sex),
    heart.toFixed(0),
    pressure.toFixed(0),
    breath.toFixed(0),
    temperature.toFixed(1),
    lost(0.01, oxygen.toFixed(0)),
    String(coma),
    lost(p.noLactate, lactate.toFixed(1)),
    lost(0.02, creatinine.toFixed(0)),
    white.toFixed(1),
    lost(0.01, platelets.toFixed(0)),
    String(diabetes),
    SOURCES[source]!,
  ];
  return { cells, died: risk + 0.7 * r.normal() > 0 };
}

/** An index, with probability in proportion to its weight. */
function draw(weights: readonly number[], r: Random): number {
  let rest = r.uniform() * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < weights.length; i++) {
    rest -= weights[i]!;
    if (rest < 0) return i;
  }
  return weights.length - 1;
}

const number = (name: string, unit: string, min: number, max: number, missing: "drop" | "middle" = "drop") => ({
  name,
  kind: "number" as const,
  unit,
  min,
  max,
  missing,
});

/** The task that is trained on the cohort. The target's value is measured; docs/learning.md has the table. */
export function cohortTask(): TaskSpec {
  return checkJson("task", taskSchema, {
    name: "sepsis-mortality",
    description:
      "Death within 30 days of admission with an infection, from what is known in the first hour. Invented patients.",
    schema: {
      features: [
        number("age", "years", 18, 100),
        { name: "male", kind: "binary" },
        number("heart_rate", "beats/min", 35, 190),
        number("systolic_pressure", "mm Hg", 60, 220),
        number("respiratory_rate", "breaths/min", 8, 50),
        number("temperature", "°C", 33, 42),
        number("oxygen_saturation", "%", 70, 100),
        number("coma_scale", "points", 3, 15),
        number("lactate", "mmol/l", 0, 10, "middle"),
        number("creatinine", "µmol/l", 30, 400),
        number("white_cells", "10⁹/l", 0, 40),
        number("platelets", "10⁹/l", 0, 600),
        { name: "diabetes", kind: "binary" },
        { name: "source", kind: "category", categories: [...SOURCES] },
      ],
      label: { name: "died" },
    },
    model: {
      layers: [
        { type: "dense", units: 16, activation: "tanh" },
        { type: "dense", units: 1, activation: "sigmoid" },
      ],
    },
    // Honest updates have norms around 4 at first and 2 to 3 later. Clipped to 3 they are alike, so that the bound can be close: a reversed
    // update four times as long never passes, an honest one always does.
    aggregation: { normBoundPermille: 2500, firstNormBound: 6 },
    training: { epochs: 6, batch: 8, optimiser: "adam", learningRate: 0.02, l2: 0.001, clipNorm: 3 },
    rounds: { minimum: 1, maximum: 20, target: { metric: "auroc", value: 0.88 } },
    // Upper bounds for a node that stopped answering; otherwise a phase takes milliseconds.
    windows: { pledgeMs: 5000, revealMs: 3000, attestMs: 2000 },
    split: { test: 0.25, validation: 0.2, seed: 1 },
  });
}

/** The files of a cohort, in the order of the hospitals; the same options give the same bytes. */
export function generateCohort({ hospitals, seed }: CohortOptions): CohortFile[] {
  const header = [...cohortTask().schema.features.map((f) => f.name), "died"].join(",");
  return Array.from({ length: hospitals }, (_, i) => {
    const p = profile(i, seed);
    const r = new Random("cohort", seed, i);
    const lines = Array.from({ length: p.rows }, () => {
      const { cells, died } = patient(p, r);
      return [...cells, died ? "1" : "0"].join(",");
    });
    return { name: `${p.name}.csv`, csv: `${header}\n${lines.join("\n")}\n` };
  });
}

/** Writes the files of a cohort into `folder`, made if need be; returns their paths. */
export function writeCohort(folder: string, options: CohortOptions): string[] {
  mkdirSync(folder, { recursive: true });
  return generateCohort(options).map(({ name, csv }) => {
    const path = join(folder, name);
    writeFileSync(path, csv);
    return path;
  });
}
