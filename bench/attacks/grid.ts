import { AGGREGATION_RULES } from "../../genesis/aggregation.ts";
import { ATTACKS, type Attack } from "../../learning/attacks/index.ts";
import type { Job, Play, Row } from "./jobs.ts";
import type { WorldName } from "./worlds.ts";

/** Which cells are played, and what they say together. */

export const DEFAULT_RULE: Job["rule"] = "multi-krum";
export const SHARES = [10, 20, 30] as const;
export const PLAYS: readonly Play[] = ["absent", ...ATTACKS, "sybil"];
/** The heart data dealt out in ways of its own, ten hospitals each; and the cohort, whose hospitals have rows enough to vote. */
export const GRID_WORLDS: readonly WorldName[] = ["natural", "iid", "dirichlet-0.5", "dirichlet-0.1", "cohort"];
/** Small networks, for pay: one attacker, or two where it takes two. */
export const SMALL_WORLDS: readonly WorldName[] = ["natural-8", "natural-4"];
const TAKES_TWO: readonly Play[] = ["noise-ring", "sybil"];
/** No bound on norms, for the backdoor with and without. */
export const UNBOUNDED = { normBoundPermille: 100_000, firstNormBound: 1_000_000 };

/** Attacks on the model: the others are about pay. */
export const MODEL_ATTACKS: readonly Attack[] = ATTACKS.slice(0, ATTACKS.indexOf("backdoor"));

/** A run of the cohort takes a second, twenty times one of the heart hospitals: there, a fifth of all, and the rest for what the bars name. */
function sharesOf(world: WorldName, rule: Job["rule"], attack: Play): readonly number[] {
  if (world !== "cohort") return SHARES;
  const onModel = attack === "absent" || (MODEL_ATTACKS as readonly Play[]).includes(attack);
  if (rule === DEFAULT_RULE) return onModel ? SHARES : [20];
  return onModel || (rule === "fedavg" && attack.startsWith("backdoor")) ? [20] : [];
}

/** One cell; its seeds are its rows. */
export type Cell = Omit<Job, "seed" | "aggregation" | "attack"> & {
  readonly attack: Play | "none";
  readonly unbounded?: true;
};
export type Played = Cell & { readonly rows: readonly Row[] };

export function cells(rules: readonly Job["rule"][], worlds: readonly WorldName[]): Cell[] {
  const found: Cell[] = [];
  for (const world of worlds) {
    const small = SMALL_WORLDS.includes(world);
    for (const rule of small ? [DEFAULT_RULE] : rules) {
      found.push({ world, rule, attack: "none", share: 0 });
      for (const attack of PLAYS) {
        const shares = small ? [TAKES_TWO.includes(attack) ? -2 : -1] : sharesOf(world, rule, attack);
        for (const share of shares) found.push({ world, rule, attack, share });
      }
    }
    if (!small) {
      for (const attack of ["backdoor", "backdoor-scaled"] as const) {
        for (const rule of ["fedavg", DEFAULT_RULE] as const) {
          if (rules.includes(rule)) found.push({ world, rule, attack, share: 20, unbounded: true });
        }
      }
    }
  }
  return found;
}

export function jobsOf(cell: Cell, seeds: number): Job[] {
  const { attack, unbounded, ...rest } = cell;
  return Array.from({ length: seeds }, (_, i) => ({
    ...rest,
    attack: attack === "none" ? undefined : attack,
    seed: i + 1,
    ...(unbounded && { aggregation: UNBOUNDED }),
  }));
}

export const ALL_RULES: readonly Job["rule"][] = AGGREGATION_RULES;

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Standard error of the mean. */
export function error(values: readonly number[]): number {
  const m = mean(values);
  return Math.sqrt(values.reduce((s, v) => s + (v - m) ** 2, 0) / (values.length - 1) / values.length);
}

/** Points of accuracy lost, seed by seed, against the same rule with nobody attacking. */
export function drops(cell: Played, clean: Played): number[] {
  return cell.rows.map((r, i) => 100 * ((clean.rows[i] as Row).accuracy - r.accuracy));
}

export class Results {
  readonly cells: readonly Played[];
  constructor(all: readonly Played[]) {
    this.cells = all;
  }
  find(world: WorldName, rule: string, attack: Cell["attack"], share = 20, unbounded = false): Played | undefined {
    return this.cells.find(
      (c) =>
        c.world === world &&
        c.rule === rule &&
        c.attack === attack &&
        (attack === "none" || c.share === share) &&
        (c.unbounded === true) === unbounded,
    );
  }
  /** Mean points lost, undefined where it was not played. */
  drop(world: WorldName, rule: string, attack: Cell["attack"], share = 20): number | undefined {
    const [cell, clean] = [this.find(world, rule, attack, share), this.find(world, rule, "none")];
    return cell && clean ? mean(drops(cell, clean)) : undefined;
  }
  /** What the attackers were paid, and what the same sites are paid when they are honest; per cent of the pool, together. */
  pay(cell: Played): { attacking: number; honest: number } {
    const clean = this.find(cell.world, cell.rule, "none");
    const of = (rows: readonly Row[]) =>
      mean(cell.rows.map((r, i) => 100 * r.attackers.reduce((s, a) => s + (rows[i]?.pay[a] ?? 0), 0)));
    return { attacking: of(cell.rows), honest: clean ? of(clean.rows) : Number.NaN };
  }
}
