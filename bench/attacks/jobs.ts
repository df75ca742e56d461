import type { AGGREGATION_RULES } from "../../genesis/aggregation.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { type Attack, applyTrigger } from "../../learning/attacks/index.ts";
import { Random } from "../../learning/random.ts";
import { pick } from "../../learning/samples.ts";
import { createTrainer } from "../../learning/trainers/create.ts";
import { type Played, play } from "./simulate.ts";
import { type Site, type World, type WorldName, world } from "./worlds.ts";

/** One cell of the grid, one seed. Plain data, so that any thread can run it; the same job gives the same row on any. */
export type Job = {
  readonly world: WorldName;
  readonly rule: (typeof AGGREGATION_RULES)[number];
  /** Undefined: nobody attacks. */
  readonly attack?: Play | undefined;
  /** Attackers in per cent of the hospitals, rounded; or, negative, their number. */
  readonly share: number;
  readonly seed: number;
  /** Over fields of the task's `aggregation`. */
  readonly aggregation?: object;
};

/** "absent": the attackers don't take part at all; "sybil": one hospital's data under all of their names. */
export type Play = Attack | "sybil" | "absent";

export type Row = {
  readonly accuracy: number;
  readonly auroc: number;
  /** Of the trainers' pool, per site; and which of them attack. */
  readonly pay: readonly number[];
  readonly attackers: readonly number[];
  /** Mean over attackers of the share of rounds in which their update entered. */
  readonly attackersEntered: number;
  /** Of the trainers' pool, all attackers together. */
  readonly attackersPay: number;
  /** Of the trainers' pool, paid in all. */
  readonly paid: number;
  /** Least over the honest, and over the honest minority: rounds entered; and all that they earn over an equal share of all that is paid. */
  readonly entered: number;
  readonly earned: number;
  readonly minorityEntered: number;
  readonly minorityEarned: number;
  /** Share of ill test patients that the model calls healthy once they carry the trigger, less those whom it does anyway. */
  readonly backdoor: number | undefined;
};

/** Shares of a block's pot in the default economy; the proposer's tenth follows rank and is left out. */
const COMMITTEE = 0.3;
const TRAINERS = 0.6;

const worlds = new Map<string, World | undefined>();
const worldOf = (name: WorldName): World => {
  if (!worlds.has(name)) worlds.set(name, world(name));
  const found = worlds.get(name);
  if (!found) throw new Error(`${name}: the heart data is not here`);
  return found;
};

export function specFor(of: World, rule: Job["rule"], aggregation: object = {}): TaskSpec {
  return parseTask(JSON.stringify({ ...of.task, aggregation: { ...of.task.aggregation, rule, ...aggregation } }));
}

/** Who attacks: drawn among those that are no minority. */
export function attackersOf(sites: readonly Site[], share: number, seed: number): number[] {
  const count = share < 0 ? -share : Math.round((share * sites.length) / 100);
  const able = Uint32Array.from(sites.flatMap((s, i) => (s.minority ? [] : [i])));
  return [...new Random("attackers", seed).shuffle(able).subarray(0, count)].sort((a, b) => a - b);
}

export async function runJob(job: Job): Promise<Row> {
  const of = worldOf(job.world);
  const spec = specFor(of, job.rule, job.aggregation);
  const own = of.sites(job.seed);
  const attackers = job.attack === undefined ? [] : attackersOf(own, job.share, job.seed);
  const base = { world: of, spec, seed: job.seed };
  if (job.attack === "absent") {
    const sites = own.filter((_, i) => !attackers.includes(i));
    return summary(await play({ ...base, sites }), sites, [], undefined);
  }
  const sites = job.attack === "sybil" ? sybils(own, attackers) : own;
  const attack = job.attack === "sybil" ? undefined : job.attack;
  const played = await play({ ...base, attack, attackers, sites });
  return summary(played, sites, attackers, await backdoorSuccess(job, of, spec, played));
}

/** The attackers' names share the rows of the first of them, each drawing its own part for validation. */
function sybils(sites: readonly Site[], attackers: readonly number[]): Site[] {
  const [first] = attackers;
  const rows = sites[first ?? 0]?.rows;
  return sites.map((site, i) => (rows && attackers.includes(i) ? { ...site, rows } : site));
}

function summary(
  { accuracy, auroc, entered, pay }: Played,
  sites: readonly Site[],
  attackers: readonly number[],
  backdoor: number | undefined,
): Row {
  const all = pay.map((p) => COMMITTEE / pay.length + TRAINERS * p);
  const equal = sum(all) / all.length;
  const honest = sites.flatMap((_, i) => (attackers.includes(i) ? [] : [i]));
  const minority = honest.filter((i) => sites[i]?.minority);
  const least = (of: readonly number[], values: readonly number[]) => Math.min(...of.map((i) => values[i] as number));
  const ratio = all.map((v) => v / equal);
  return {
    accuracy,
    auroc,
    pay,
    attackers,
    attackersEntered: attackers.length === 0 ? 0 : sum(attackers.map((i) => entered[i] as number)) / attackers.length,
    attackersPay: sum(attackers.map((i) => pay[i] as number)),
    paid: sum(pay),
    entered: least(honest, entered),
    earned: least(honest, ratio),
    minorityEntered: minority.length > 0 ? least(minority, entered) : 1,
    minorityEarned: minority.length > 0 ? least(minority, ratio) : 1,
    backdoor,
  };
}

async function backdoorSuccess(job: Job, of: World, spec: TaskSpec, played: Played): Promise<number | undefined> {
  if (job.attack !== undefined && !job.attack.startsWith("backdoor")) return undefined;
  const ill = pick(
    of.test,
    Array.from({ length: of.test.n }, (_, i) => i).filter((i) => of.test.y[i] === 1),
  );
  const trainer = await createTrainer(spec);
  const missed = async (rows: typeof ill) => {
    const logits = await trainer.logits(played.model, rows);
    return logits.filter((z) => z <= 0).length / rows.n;
  };
  const found = (await missed(applyTrigger(ill, spec))) - (await missed(ill));
  trainer.close();
  return found;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
