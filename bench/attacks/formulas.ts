import {
  agreements,
  beyondChance,
  moved,
  NO_STANDING,
  type PastUpdate,
  type Standing,
} from "../../consensus/round/credit.ts";
import { lanesOf } from "../../consensus/round/model.ts";
import { gram } from "../../kernels/gram.ts";
import type { Attack } from "../../learning/attacks/index.ts";
import { mean } from "./grid.ts";
import { attackersOf, specFor } from "./jobs.ts";
import { play, type Seen } from "./simulate.ts";
import { type WorldName, world } from "./worlds.ts";

/** What other formulas would pay for the very same rounds: why each part of the chain's is there. */

export const FORMULAS = [
  "⟨u, mean⟩",
  "leave-one-out",
  "agreement, no record taken out",
  "record out, mean of all others",
  "the chain's",
] as const;
export type Formula = (typeof FORMULAS)[number];

/** One round, as far as formulas look at it: distinct updates only. */
type Measured = {
  readonly sites: readonly number[];
  readonly inner: (i: number, j: number) => bigint;
  readonly past: readonly PastUpdate[];
  readonly d: number;
};

const DISTINCT = ["accepted", "accepted-clipped", "harmful", "suspect"];

export class Recorder {
  readonly rounds: Measured[] = [];
  #past: { lanes: Int16Array; coefficient: bigint }[] = [];

  see({ blobs, outcome }: Seen): void {
    const sites = outcome.status.flatMap((s, i) => (DISTINCT.includes(s) ? [i] : []));
    const lanes = sites.map((i) => lanesOf(blobs[i] as Uint8Array));
    const all = [...lanes, ...this.#past.map((p) => p.lanes)];
    const g = gram(all);
    this.rounds.push({
      sites,
      inner: (i, j) => g[i * all.length + j] as bigint,
      past: this.#past.map(({ coefficient }, i) => ({ at: lanes.length + i, coefficient })),
      d: lanes[0]?.length ?? 0,
    });
    this.#past = sites.map((site, i) => {
      const u = outcome.result.updates[site];
      return { lanes: lanes[i] as Int16Array, coefficient: u ? u.weight * BigInt(u.scale) : 0n };
    });
  }
}

/** Shares of a round's pool, by position among the distinct. */
function shares(formula: Formula, { sites, inner, past, d }: Measured, standings: Standing[]): number[] {
  const at = sites.map((_, i) => i);
  const norm = (i: number) => Math.sqrt(Number(inner(i, i)));
  const cosine = (i: number, j: number) => Number(inner(i, j)) / (norm(i) * norm(j) || 1);
  const positive = (values: readonly number[], total: (v: number) => number) => {
    const sum = values.reduce((s, v) => s + total(v), 0);
    return values.map((v) => (sum > 0 ? Math.max(0, v) / sum : 0));
  };
  switch (formula) {
    case "⟨u, mean⟩":
      return positive(
        at.map((i) => mean(at.map((j) => Number(inner(i, j))))),
        (v) => Math.max(0, v),
      );
    case "leave-one-out":
      return positive(
        at.map((i) => mean(at.filter((j) => j !== i).map((j) => cosine(i, j)))),
        Math.abs,
      );
    default: {
      const known = formula === "agreement, no record taken out" ? [] : past;
      const found = agreements(at, known, { inner }, d, formula === "record out, mean of all others" ? 0 : undefined);
      const total = found.reduce((s, f) => s + Math.abs(Number(f.agreement)), 0);
      return at.map((i) => {
        const round = found[i] as (typeof found)[number];
        const site = sites[i] as number;
        const standing = moved(standings[site] ?? NO_STANDING, round);
        standings[site] = standing;
        const beyond = Number(beyondChance(standing));
        if (round.agreement <= 0n || beyond === 0 || total === 0) return 0;
        return ((Number(round.agreement) / total) * beyond) / Number(standing.credit);
      });
    }
  }
}

/** What each site is paid by a formula over all rounds, of the trainers' pool. */
export function paidBy(formula: Formula, rounds: readonly Measured[], sites: number): number[] {
  const standings: Standing[] = [];
  const paid: number[] = Array.from({ length: sites }, () => 0);
  for (const round of rounds) {
    shares(formula, round, standings).forEach((share, i) => {
      const site = round.sites[i] as number;
      paid[site] = (paid[site] as number) + share / rounds.length;
    });
  }
  return paid;
}

export type FormulaRow = {
  readonly world: WorldName;
  readonly attack: string;
  readonly formula: Formula;
  /** Of the trainers' pool: all attackers, and all honest ones. */
  readonly attackers: number;
  readonly honest: number;
};

const PLAYED: readonly (Attack | undefined)[] = [
  undefined,
  "free-rider-noise",
  "free-rider-replay",
  "copycat-noise",
  "averaging-copier",
  "noise-ring",
  "doubling",
];

/** One attacker, two for a ring. Votes are left out of all formulas alike. */
export async function formulaStudy(seeds: number): Promise<FormulaRow[]> {
  const rows: FormulaRow[] = [];
  for (const name of ["natural-8", "cohort"] as const) {
    const of = world(name);
    if (!of) continue;
    const spec = specFor(of, "multi-krum");
    for (const attack of PLAYED) {
      const got = FORMULAS.map(() => ({ attackers: 0, honest: 0 }));
      for (let seed = 1; seed <= seeds; seed++) {
        const attackers = attack ? attackersOf(of.sites(seed), attack === "noise-ring" ? -2 : -1, seed) : [];
        const recorder = new Recorder();
        await play({ world: of, spec, seed, attack, attackers, visit: (seen) => recorder.see(seen) });
        FORMULAS.forEach((formula, f) => {
          paidBy(formula, recorder.rounds, of.sites(seed).length).forEach((share, i) => {
            const who = attackers.includes(i) ? "attackers" : "honest";
            (got[f] as (typeof got)[number])[who] += share / seeds;
          });
        });
      }
      FORMULAS.forEach((formula, f) => {
        rows.push({ world: name, attack: attack ?? "none", formula, ...(got[f] as (typeof got)[number]) });
      });
    }
  }
  return rows;
}
