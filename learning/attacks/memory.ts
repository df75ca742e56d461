import type { TaskSpec } from "../../genesis/task.ts";
import { dequantise, dequantiseModel } from "../quantise.ts";
import { Random } from "../random.ts";
import { type Attack, attackDelta } from "./index.ts";
import type { PastRound } from "./view.ts";

/** What a live attacker has seen go by: the updates that it was asked to judge, and how the model moved. */
export class AttackerMemory {
  readonly #attack: Attack;
  readonly #seed: string;
  #seen: { readonly model: Float32Array; readonly updates: PastRound["updates"] } | undefined;
  #past: PastRound | undefined;
  #first: Float32Array | undefined;

  constructor(attack: Attack, seed: string) {
    this.#attack = attack;
    this.#seed = seed;
  }

  /** The round's revealed updates, before the model moves. */
  see(
    task: TaskSpec,
    model: Int32Array,
    exponent: number,
    updates: readonly { miner: number; blob: Uint8Array }[],
  ): void {
    const { scaleBits } = task.model;
    this.#seen = {
      model: dequantiseModel(model, scaleBits),
      updates: updates
        .filter(({ blob }) => blob.length === 2 * model.length)
        .map(({ miner, blob }) => ({ miner, delta: dequantise(blob, scaleBits, exponent) })),
    };
  }

  /** What is sent in place of `own`, the honest delta of this height. @param start the global model in real units */
  send(task: TaskSpec, own: Float32Array, start: Float32Array, height: number): Float32Array {
    const seen = this.#seen;
    if (seen && seen.model.length === start.length && seen.model.some((v, k) => v !== start[k])) {
      this.#past = { updates: seen.updates, step: start.map((v, k) => v - (seen.model[k] as number)) };
      this.#seen = undefined;
    }
    const participants = 1 + (this.#past?.updates.length ?? 0);
    const sent = attackDelta(
      this.#attack,
      {
        own,
        allies: [own],
        self: 0,
        past: this.#past,
        participants,
        f: Math.max(0, Math.floor((participants - 3) / 2)),
        random: new Random("attack", this.#seed, height),
        // All nodes that are set to one attack draw the same: a ring needs no talk.
        shared: new Random("ring", task.name, height),
      },
      this.#first,
    );
    this.#first ??= sent;
    return sent;
  }
}
