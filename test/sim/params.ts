import { powerCap } from "../../vm/validators.ts";
import { Chance } from "./clock.ts";

/** What one seed simulates. Features are drawn on or off per seed ("swarm testing"): a run with few kinds of fault reaches deeper. */

/** What faulty validators do; a seed has a random subset. */
export const HABITS = [
  "yes-man",
  "equivocating-proposer",
  "flooder",
  "withholder",
  "stale-proposer",
  "twins",
  "mutator",
  "forger",
  "silent",
  "lying-attester",
] as const;
/** Drawn apart from the others, which came before it: their seeds stay what they were. */
export const PARROT = "parrot";
export type Habit = (typeof HABITS)[number] | typeof PARROT;

/** What the adversary does to the network and to correct machines. */
export const TRICKS = [
  "hold-one",
  "lock-each",
  "isolate-decider",
  "crash-on-lock",
  "crash-at-effect",
  "crash-on-decide",
] as const;
export type Trick = (typeof TRICKS)[number];

export type Params = {
  readonly seed: number;
  /** Validators of genesis; stakes in tokens, by index. */
  readonly stakes: readonly number[];
  /** Indices of the faulty ones: less than a third of the power. */
  readonly faulty: readonly number[];
  readonly habits: readonly Habit[];
  readonly tricks: readonly Trick[];
  readonly heights: number;
  /** Before the faults stop. */
  readonly loss: number;
  readonly duplication: number;
  readonly delayMs: number;
  /** After the faults stop: a slow network shows timeouts that do not grow. */
  readonly healedDelayMs: number;
  /** Partitions, one-way cuts and clogged links begin about this often; 0 = never. */
  readonly partitionEveryMs: number;
  readonly crashEveryMs: number;
  /** Clocks are off by up to this much, and run up to `driftPermille` fast or slow. */
  readonly skewMs: number;
  readonly driftPermille: number;
  /** When the faults stop, ms after the start. */
  readonly faultsMs: number;
  /** Whether faulty validators go on after that. */
  readonly faultyForEver: boolean;
  /** Bonds, unbonds and transfers, about this often; 0 = never. */
  readonly txEveryMs: number;
  readonly memberChanges: boolean;
  readonly learning: boolean;
  /** Between a decision and its synced batch. */
  readonly storeMs: number;
};

/** As in the preset. */
export const MAX_POWER_PERMILLE = 330;

export type Wanted = { readonly n?: number; readonly heights?: number };

export function paramsOf(seed: number, wanted: Wanted = {}): Params {
  const c = new Chance(seed);
  const n = wanted.n ?? c.pick([4, 4, 4, 4, 1, 5, 6, 7, 7, 10]);
  const unequal = c.happens(0.3);
  const stakes = Array.from({ length: n }, () => (unequal ? c.whole(1000, 4000) : 1000));
  // Habits before victims, so that seeds with one n differ in both.
  const faulty = c.happens(0.8) ? chooseFaulty(stakes, c) : [];
  const calm = c.happens(0.15);
  // Delays beyond every first timeout, for ever.
  const slow = c.happens(0.05);
  const density = c.pick([0.25, 0.5, 0.8]);
  const habits: Habit[] = faulty.length === 0 ? [] : c.some(HABITS, density / 1.5);
  if (faulty.length > 0 && habits.length === 0) habits.push(c.pick(HABITS));
  if (faulty.length > 0 && new Chance(seed * 5 + 3).happens(0.15)) habits.push(PARROT);
  return {
    seed,
    stakes,
    faulty,
    habits,
    tricks: calm ? [] : c.some(TRICKS, density),
    heights: wanted.heights ?? 4,
    loss: calm || c.happens(0.3) ? 0 : c.between(0, 0.3),
    duplication: c.happens(0.5) ? 0 : c.between(0, 0.5),
    delayMs: slow ? 500 : c.pick([2, 8, 20, 50, 90]),
    healedDelayMs: slow ? 1000 : c.pick([3, 10, 30, 150]),
    partitionEveryMs: calm || c.happens(0.4) ? 0 : c.pick([250, 600, 1500]),
    crashEveryMs: calm || c.happens(0.4) ? 0 : c.pick([200, 500, 1500]),
    skewMs: c.pick([0, 0, 200, 5000]),
    driftPermille: c.pick([0, 0, 20, 200]),
    faultsMs: c.pick([1000, 2000, 4000]),
    faultyForEver: c.happens(0.5),
    txEveryMs: c.happens(0.4) ? c.pick([50, 200]) : 0,
    memberChanges: c.happens(0.3),
    learning: n >= 4 && c.happens(0.08),
    storeMs: c.pick([0, 0, 5, 40]),
  };
}

/** Random validators of less than a third of all power together. */
function chooseFaulty(stakes: readonly number[], c: Chance): number[] {
  // Powers as the chain counts them: none above the cap of the share.
  const units = stakes.map((s) => BigInt(s) * 1_000_000n);
  const cap = powerCap(units, MAX_POWER_PERMILLE);
  const powers = units.map((s) => (s < cap ? s : cap));
  const total = powers.reduce((a, b) => a + b, 0n);
  const chosen: number[] = [];
  let power = 0n;
  for (const index of c.shuffled(stakes.map((_, i) => i))) {
    const mine = powers[index] as bigint;
    if (3n * (power + mine) >= total) continue;
    chosen.push(index);
    power += mine;
    if (c.happens(0.2)) break;
  }
  return chosen.sort((a, b) => a - b);
}
