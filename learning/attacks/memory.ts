import type { TaskSpec } from "../../genesis/task.ts";
import type { UpdateVote } from "../../types/round.ts";
import type { JudgedUpdate } from "../judge.ts";
import { dequantise, dequantiseModel } from "../quantise.ts";
import { Random } from "../random.ts";
import { type Attack, attackDelta, attackVotes } from "./index.ts";
import type { PastRound } from "./view.ts";

export type AttackerOptions = {
  readonly attack: Attack;
  readonly seed: string;
  /** The other miners of this attack, whose votes and counts it knows but whose updates it does not see. */
  readonly accomplices: readonly number[];
  /** Updates to expect before any was seen. */
  readonly participants: number;
};

/** What a live attacker has seen go by in one task: the updates that it was asked to judge, and how the model moved. */
export class AttackerMemory {
  readonly #options: AttackerOptions;
  readonly #task: TaskSpec;
  #seen: { readonly model: Float32Array; readonly updates: readonly JudgedUpdate[]; exponent: number } | undefined;
  #past: PastRound | undefined;
  #participants: number;
  #first: { readonly height: number; readonly delta: Float32Array } | undefined;

  constructor(options: AttackerOptions, task: TaskSpec) {
    this.#options = options;
    this.#task = task;
    this.#participants = options.participants;
  }

  /** The round's revealed updates of the others, before the model moves. */
  see(model: Int32Array, exponent: number, updates: readonly JudgedUpdate[]): void {
    const whole = updates.filter(({ blob }) => blob.length === 2 * model.length);
    this.#seen = { model: dequantiseModel(model, this.#task.model.scaleBits), updates: whole, exponent };
  }

  /** What it votes in place of what it would in honesty. */
  votes(honest: readonly UpdateVote[], updates: readonly JudgedUpdate[]): UpdateVote[] {
    const { attack, accomplices } = this.#options;
    const friends = updates.flatMap(({ miner }, i) => (accomplices.includes(miner) ? [i] : []));
    return attackVotes(attack, honest, friends);
  }

  /** What is sent in place of `own`, the honest delta of this height. @param start the global model in real units */
  send(own: Float32Array, start: Float32Array, height: number): Float32Array {
    const { attack, seed, accomplices } = this.#options;
    this.#learn(start);
    const { f, maxF } = this.#task.aggregation;
    const sent = attackDelta(
      attack,
      {
        own,
        allies: [own],
        past: this.#past,
        participants: this.#participants,
        attackers: 1 + accomplices.length,
        f: f === "auto" ? Math.max(0, Math.min(maxF, Math.floor((this.#participants - 3) / 2))) : f,
        random: new Random("attack", seed, height),
        // All nodes that are set to one attack draw the same: a ring needs no talk.
        shared: new Random("ring", this.#task.name, height),
      },
      this.#first && this.#first.height < height ? this.#first.delta : undefined,
    );
    this.#first ??= { height, delta: sent };
    return sent;
  }

  /** The round that was seen is past once the model has moved; a block without learning leaves it where it is. */
  #learn(start: Float32Array): void {
    const seen = this.#seen;
    if (!seen?.model.some((v, k) => v !== start[k])) return;
    this.#seen = undefined;
    this.#participants = 1 + seen.updates.length;
    this.#past = {
      updates: seen.updates
        .filter(({ miner }) => !this.#options.accomplices.includes(miner))
        .map(({ miner, blob }) => ({ miner, delta: dequantise(blob, this.#task.model.scaleBits, seen.exponent) })),
      step: start.map((v, k) => v - (seen.model[k] as number)),
    };
  }
}
