import type { TaskSpec } from "../../genesis/task.ts";
import { coalition } from "../../learning/attacks/coalition.ts";
import { type Attack, attackSamples, attackVotes, type PastRound } from "../../learning/attacks/index.ts";
import { evaluate } from "../../learning/evaluate.ts";
import { type JudgeRequest, judge } from "../../learning/judge.ts";
import { clipFactor, dequantise, dequantiseModel, norm, quantise } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import { pick, type Samples } from "../../learning/samples.ts";
import { createTrainer } from "../../learning/trainers/create.ts";
import type { Trainer } from "../../learning/trainers/trainer.ts";
import { HARMFUL, HELPFUL, NEUTRAL, type UpdateVote } from "../../types/round.ts";
import { Ledger, POOL, type Round } from "./ledger.ts";
import type { Site, World } from "./worlds.ts";

/** A network of hospitals under attack: real training, real quantisation, real votes, and the chain's own selection, sum and pay. */

export type Play = {
  readonly world: World;
  readonly spec: TaskSpec;
  readonly seed: number;
  /** Undefined: everybody is honest. */
  readonly attack?: Attack | undefined;
  /** Sites that attack, by index. */
  readonly attackers?: readonly number[];
  /** Data sites, where they are not the world's (one hospital under many names). */
  readonly sites?: readonly Site[];
  readonly rounds?: number;
  readonly mix?: (round: Round, model: Int32Array, blobs: readonly Uint8Array[]) => Int32Array;
  /** Sees each round, before the model moves. */
  readonly visit?: (seen: Seen) => Promise<void> | void;
};
export type Seen = {
  readonly round: number;
  readonly model: Int32Array;
  readonly blobs: readonly Uint8Array[];
  readonly exponent: number;
  readonly outcome: Round;
  readonly trainer: Trainer;
  /** Every site's private validation rows. */
  readonly validation: readonly Samples[];
};

export type Played = {
  readonly accuracy: number;
  readonly auroc: number;
  /** Per site: share of the rounds in which its update entered, and of the trainers' pool that it was paid. */
  readonly entered: readonly number[];
  readonly pay: readonly number[];
  /** Model after the last round. */
  readonly model: Float32Array;
  /** Statuses of each site's updates, counted. */
  readonly statuses: readonly Readonly<Record<string, number>>[];
};

/** Part of a site's rows that it keeps for votes and metrics. */
const VALIDATION = 0.3;

export async function play({ world, spec, seed, attack, attackers = [], ...more }: Play): Promise<Played> {
  const sites = (more.sites ?? world.sites(seed)).map((site, i) => {
    const order = new Random("validation", seed, i).shuffle(Uint32Array.from({ length: site.rows.n }, (_, k) => k));
    const kept = Math.round(VALIDATION * site.rows.n);
    const train = pick(site.rows, order.subarray(kept));
    const poisoned =
      attack && attackers.includes(i) ? attackSamples(attack, train, spec, new Random("poison", seed, i)) : train;
    return { train: poisoned, validation: pick(site.rows, order.subarray(0, kept)) };
  });
  const trainer = await createTrainer(spec);
  const { scaleBits } = spec.model;
  const ledger = new Ledger(spec, `${world.name}/${seed}`);
  const entered = sites.map(() => 0);
  const pay = sites.map(() => 0);
  const statuses = sites.map((): Record<string, number> => ({}));
  const rounds = more.rounds ?? world.rounds;
  let past: PastRound | undefined;
  let first: readonly Float32Array[] = [];
  for (let round = 1; round <= rounds; round++) {
    const { parameters: model, exponent, medianNorm } = ledger;
    const start = dequantiseModel(model, scaleBits);
    const deltas: Float32Array[] = [];
    for (const [i, { train }] of sites.entries()) {
      const end = await trainer.train(start, train, new Random("batches", seed, i, round));
      const delta = end.map((p, k) => p - (start[k] as number));
      const factor = clipFactor(norm(delta), spec.training.clipNorm);
      deltas.push(factor === 1 ? delta : delta.map((v) => v * factor));
    }
    const f = Math.max(0, Math.floor((sites.length - 3) / 2));
    const sent = attack ? coalition(attack, { deltas, attackers, past, first, f, seed: `${seed}`, round }) : deltas;
    if (round === 1) first = sent;
    const blobs = sent.map((d, i) => quantise(d, scaleBits, exponent, new Random("rounding", seed, i, round)));
    const updates = blobs.map((blob, miner) => ({ miner, blob }));
    const request = { task: spec, model, exponent, medianNorm, updates };
    const votes = await votesOf(trainer, sites, `${seed}`, request, attack, attackers);
    const { mix } = more;
    const outcome = ledger.next(
      blobs.map((blob, i) => ({
        blob,
        samples: sites[i]?.train.n ?? 0,
        votes: votes[i] as (typeof votes)[number],
      })),
      mix && ((r, m) => mix(r, m, blobs)),
    );
    outcome.result.updates.forEach((u, i) => {
      const status = outcome.status[i] as string;
      if (u.weight > 0n) entered[i] = (entered[i] as number) + 1 / rounds;
      pay[i] = (pay[i] as number) + Number(u.pay) / Number(POOL) / rounds;
      const counts = statuses[i] as Record<string, number>;
      counts[status] = (counts[status] ?? 0) + 1;
    });
    await more.visit?.({
      round,
      model,
      blobs,
      exponent,
      outcome,
      trainer,
      validation: sites.map((s) => s.validation),
    });
    const next = dequantiseModel(ledger.parameters, scaleBits);
    past = {
      updates: blobs.map((blob, miner) => ({ miner, delta: dequantise(blob, scaleBits, exponent) })),
      step: next.map((v, k) => v - (start[k] as number)),
    };
  }
  const model = dequantiseModel(ledger.parameters, scaleBits);
  const { accuracy, auroc } = evaluate(await trainer.logits(model, world.test), world.test.y);
  trainer.close();
  return { accuracy, auroc: auroc?.value ?? 0.5, entered, pay, model, statuses };
}

/** Everyone with rows enough votes on everyone else. */
async function votesOf(
  trainer: Trainer,
  sites: readonly { readonly validation: Samples }[],
  seed: string,
  request: JudgeRequest,
  attack: Attack | undefined,
  attackers: readonly number[],
): Promise<{ harmful: number; neutral: number; helpful: number }[]> {
  const counts = request.updates.map(() => ({ harmful: 0, neutral: 0, helpful: 0 }));
  for (const [member, { validation }] of sites.entries()) {
    if (validation.n < request.task.aggregation.minimumRows) continue;
    const judged = await judge(trainer, validation, `${seed}/${member}`, request);
    const lies = attack !== undefined && attackers.includes(member);
    const said: UpdateVote[] = lies ? attackVotes(attack, judged.votes, attackers) : judged.votes;
    said.forEach((vote, i) => {
      const count = counts[i];
      if (!count || i === member) return;
      if (vote === HARMFUL) count.harmful++;
      if (vote === NEUTRAL) count.neutral++;
      if (vote === HELPFUL) count.helpful++;
    });
  }
  return counts;
}
