import { createHash } from "node:crypto";
import { faults } from "../../consensus/committee.ts";
import { computeRound, type RecordedBlob } from "../../consensus/round/compute.ts";
import { NO_STANDING } from "../../consensus/round/credit.ts";
import { initialExponent, initialModel, parametersOf } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Judgement } from "../../learning/judge.ts";
import type { JudgeRequest, TrainRequest, TrainResult } from "../../learning/session.ts";
import { HARMFUL, HELPFUL, type Metrics, NEUTRAL, type RoundResult, UPDATE_STATUS } from "../../types/round.ts";

/** What a hospital does in a round; LearningSession does it from a file. */
export type Hospital = {
  train(request: TrainRequest): Promise<TrainResult>;
  judge?(request: JudgeRequest): Promise<Judgement>;
};
export type RoundReport = {
  readonly round: number;
  /** Of the model that the round started from. */
  readonly metrics: readonly Metrics[];
  readonly result: RoundResult;
  readonly status: readonly string[];
  readonly model: Int32Array;
};

const hash = (text: string): Uint8Array => new Uint8Array(createHash("sha256").update(text).digest());

/**
 * The chain's learning without the chain: hospitals train and judge, the chain's own selection makes the next model. Everyone is on the
 * committee, as in a small network.
 */
export async function federate(
  task: TaskSpec,
  hospitals: readonly Hospital[],
  rounds: number,
  seed: string,
  visit: (report: RoundReport) => boolean = () => true,
): Promise<Int32Array> {
  let stored = initialModel(task, hash(seed));
  let exponent = initialExponent(task);
  let medianNorm = 0n;
  let past: RecordedBlob[] = [];
  const standings = hospitals.map(() => NO_STANDING);
  for (let round = 1; round <= rounds; round++) {
    const model = parametersOf(task, stored);
    const trained: TrainResult[] = [];
    for (const h of hospitals) trained.push(await h.train({ task, model, exponent, height: round }));
    const updates = trained.map(({ blob }, miner) => ({ miner, blob }));
    const judged: (Judgement | undefined)[] = [];
    for (const h of hospitals) judged.push(await h.judge?.({ task, model, exponent, medianNorm, updates }));
    const count = (miner: number, vote: number) =>
      judged.filter((j, member) => member !== miner && j?.votes[miner] === vote).length;
    const outcome = computeRound({
      spec: task,
      seed: hash(`${seed}/${round}`),
      model: stored,
      exponent,
      medianNorm,
      committeeSize: hospitals.length,
      updates: trained.map(({ blob, samples }, miner) => ({
        miner,
        institution: hash(`institution ${miner}`),
        commitment: hash(`commitment ${round}/${miner}`),
        harmful: count(miner, HARMFUL),
        neutral: count(miner, NEUTRAL),
        helpful: count(miner, HELPFUL),
        samples,
        blob,
        standing: standings[miner]!,
      })),
      past,
      notHeld: [],
      pool: 1_000_000n,
    });
    if (outcome.failure !== undefined) throw new Error(`round ${round}: ${outcome.why}`);
    const metrics = judged.flatMap((j) => (j?.metrics ? [j.metrics] : []));
    const status = outcome.result.updates.map((u) => UPDATE_STATUS[u.status]!);
    const go = visit({ round, metrics, result: outcome.result, status, model });
    if (!go) return model;
    stored = outcome.model;
    past = outcome.result.updates.flatMap((u, i) =>
      ["accepted", "accepted-clipped", "harmful"].includes(status[i]!)
        ? [{ blob: trained[u.miner]!.blob, coefficient: u.weight * BigInt(u.scale) }]
        : [],
    );
    for (const u of outcome.result.updates) {
      standings[u.miner] = { credit: BigInt.asIntN(64, u.credit), variance: u.variance };
    }
    exponent = outcome.result.nextExponent;
    medianNorm = outcome.result.medianNorm;
  }
  return parametersOf(task, stored);
}

/** Verdicts need this many votes of others: 2 f_c + 1. */
export const quorum = (hospitals: number): number => 2 * faults(hospitals) + 1;

/** Lower median. */
export function lowerMedian(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1] ?? 0;
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
/** Sample standard deviation. */
export const deviation = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, v) => sum + (v - mean(values)) ** 2, 0) / (values.length - 1));
