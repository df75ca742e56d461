import { createHash } from "node:crypto";
import { computeRound, type RecordedBlob, type RoundOutcome } from "../../consensus/round/compute.ts";
import { NO_STANDING, type Standing } from "../../consensus/round/credit.ts";
import type { Votes } from "../../consensus/round/select.ts";
import { initialExponent, initialModel, parametersOf } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Hash } from "../../types/primitives.ts";
import { isDistinct, type RoundResult, UPDATE_STATUS, type UpdateStatus } from "../../types/round.ts";

/** The trainers' pool of a round: large enough that a ten-thousandth of it is not lost by rounding. */
export const POOL = 1_000_000_000n;

export type Sent = { readonly blob: Uint8Array; readonly samples: number; readonly votes: Votes };
/** A round as the chain would have it, the updates in the order in which they were given. */
export type Round = {
  readonly result: RoundResult;
  readonly status: readonly UpdateStatus[];
};

export const hashOf = (text: string): Hash => new Uint8Array(createHash("sha256").update(text).digest());

/** What a chain keeps of a task between rounds, and the chain's own sum to go on from there; everyone is a member of the committee. */
export class Ledger {
  readonly spec: TaskSpec;
  readonly #seed: string;
  /** As stored, with the server optimiser's moments. */
  model: Int32Array;
  exponent: number;
  medianNorm = 0n;
  past: RecordedBlob[] = [];
  round = 0;
  readonly #standings: Standing[] = [];

  constructor(spec: TaskSpec, seed: string) {
    this.spec = spec;
    this.#seed = seed;
    this.model = initialModel(spec, hashOf(seed));
    this.exponent = initialExponent(spec);
  }

  /** What hospitals train from. */
  get parameters(): Int32Array {
    return parametersOf(this.spec, this.model);
  }

  /**
   * @param mix replaces the model of the round, for rules that the chain doesn't have
   * @throws Error when the round would carry no learning
   */
  next(sent: readonly Sent[], mix?: (round: Round, model: Int32Array) => Int32Array): Round {
    this.round++;
    const outcome: RoundOutcome = computeRound({
      spec: this.spec,
      seed: hashOf(`${this.#seed}/${this.round}`),
      model: this.model,
      exponent: this.exponent,
      medianNorm: this.medianNorm,
      committeeSize: sent.length,
      updates: sent.map(({ blob, samples, votes }, miner) => ({
        miner,
        institution: hashOf(`institution ${miner}`),
        commitment: hashOf(`commitment ${this.round}/${miner}`),
        harmful: votes.harmful,
        neutral: votes.neutral,
        helpful: votes.helpful,
        samples,
        standing: this.#standings[miner] ?? NO_STANDING,
        blob,
      })),
      past: this.past,
      notHeld: [],
      pool: POOL,
    });
    if (outcome.failure !== undefined) throw new Error(`round ${this.round}: ${outcome.why}`);
    const { result } = outcome;
    const round = { result, status: result.updates.map((u) => UPDATE_STATUS[u.status] as UpdateStatus) };
    this.model = mix ? mix(round, this.model) : outcome.model;
    this.exponent = result.nextExponent;
    this.medianNorm = result.medianNorm;
    this.past = result.updates.flatMap((u, i) =>
      isDistinct(u) ? [{ blob: (sent[i] as Sent).blob, coefficient: u.weight * BigInt(u.scale) }] : [],
    );
    result.updates.forEach((u, i) => {
      this.#standings[i] = { credit: BigInt.asIntN(64, u.credit), variance: u.variance };
    });
    return round;
  }
}
