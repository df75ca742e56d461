import { FORMULAS, type Formula, paidBy, Recorder } from "./formulas.ts";
import { MODEL_ATTACKS } from "./grid.ts";
import { attackersOf, specFor } from "./jobs.ts";
import { rankCorrelation, shapley } from "./shapley.ts";
import { play } from "./simulate.ts";
import { ENTRIES, type Entry, enter } from "./suspects.ts";
import { type WorldName, world } from "./worlds.ts";

/** Two studies beside the grid: how suspects enter, and pay against Shapley values. */

export type EntryRow = {
  readonly world: WorldName;
  readonly attack: string;
  readonly entry: Entry;
  readonly accuracy: number;
  readonly auroc: number;
};

/** Every way to enter × no attacker and the attacks on the model, 8 hospitals with one attacker and 10 with a fifth. */
export async function entryStudy(seeds: number): Promise<EntryRow[]> {
  const rows: EntryRow[] = [];
  for (const [name, share] of [
    ["natural-8", -1],
    ["natural", 20],
    ["dirichlet-0.5", 20],
  ] as const) {
    const of = world(name);
    if (!of) continue;
    const spec = specFor(of, "multi-krum");
    for (const attack of [undefined, ...MODEL_ATTACKS]) {
      for (const entry of ENTRIES) {
        let [accuracy, auroc] = [0, 0];
        for (let seed = 1; seed <= seeds; seed++) {
          const attackers = attack ? attackersOf(of.sites(seed), share, seed) : [];
          let turn = 0;
          const mix: NonNullable<Parameters<typeof play>[0]["mix"]> = (round, model, blobs) =>
            enter(entry, round, model, blobs, turn++);
          const played = await play({ world: of, spec, seed, attack, attackers, mix });
          accuracy += played.accuracy / seeds;
          auroc += played.auroc / seeds;
        }
        rows.push({ world: name, attack: attack ?? "none", entry, accuracy, auroc });
      }
    }
  }
  return rows;
}

export type ShapleyRow = {
  readonly world: WorldName;
  readonly seed: number;
  readonly sites: readonly string[];
  /** Sum over the rounds, nats; and of the trainers' pool. */
  readonly values: readonly number[];
  readonly pay: readonly number[];
  /** Rank correlation of what each formula pays with the values; undefined where it pays nobody. */
  readonly correlations: readonly { readonly formula: Formula; readonly rank: number | undefined }[];
};

export async function shapleyStudy(seeds: number): Promise<ShapleyRow[]> {
  const rows: ShapleyRow[] = [];
  for (const name of ["natural-8", "natural-4"] as const) {
    const of = world(name);
    if (!of) continue;
    const spec = specFor(of, "multi-krum");
    for (let seed = 1; seed <= seeds; seed++) {
      const sites = of.sites(seed);
      const values = sites.map(() => 0);
      const recorder = new Recorder();
      const visit: NonNullable<Parameters<typeof play>[0]["visit"]> = async (seen) => {
        recorder.see(seen);
        const found = await shapley(seen, spec.model.scaleBits);
        found.forEach((v, i) => {
          values[i] = (values[i] as number) + v;
        });
      };
      const { pay } = await play({ world: of, spec, seed, visit });
      const correlations = FORMULAS.map((formula) => ({
        formula,
        rank: rankCorrelation(values, paidBy(formula, recorder.rounds, sites.length)),
      }));
      rows.push({ world: name, seed, sites: sites.map((s) => s.name), values, pay, correlations });
    }
  }
  return rows;
}
