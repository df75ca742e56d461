import { Ledger } from "../../bench/attacks/ledger.ts";
import { faults } from "../../consensus/committee.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Judgement } from "../../learning/judge.ts";
import type { JudgeRequest, TrainRequest, TrainResult } from "../../learning/session.ts";
import { HARMFUL, HELPFUL, type Metrics, NEUTRAL, type RoundResult } from "../../types/round.ts";

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
  const ledger = new Ledger(task, seed);
  for (let round = 1; round <= rounds; round++) {
    const { parameters: model, exponent, medianNorm } = ledger;
    const trained: TrainResult[] = [];
    for (const h of hospitals) trained.push(await h.train({ task, model, exponent, height: round }));
    const updates = trained.map(({ blob }, miner) => ({ miner, blob }));
    const judged: (Judgement | undefined)[] = [];
    for (const h of hospitals) judged.push(await h.judge?.({ task, model, exponent, medianNorm, updates }));
    const count = (miner: number, vote: number) =>
      judged.filter((j, member) => member !== miner && j?.votes[miner] === vote).length;
    const { result, status } = ledger.next(
      trained.map(({ blob, samples }, miner) => ({
        blob,
        samples,
        votes: { harmful: count(miner, HARMFUL), neutral: count(miner, NEUTRAL), helpful: count(miner, HELPFUL) },
      })),
    );
    const metrics = judged.flatMap((j) => (j?.metrics ? [j.metrics] : []));
    if (!visit({ round, metrics, result, status, model })) return model;
  }
  return ledger.parameters;
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
