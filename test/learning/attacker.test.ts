import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseTask } from "../../genesis/task.ts";
import type { Attack } from "../../learning/attacks/index.ts";
import { AttackerMemory } from "../../learning/attacks/memory.ts";
import { norm, quantise } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import { HARMFUL, HELPFUL, NO_VOTE, type UpdateVote } from "../../types/round.ts";

/** A live attacker: it knows what it was asked to judge and how the model moved, and nothing of the round in progress. */

const task = parseTask(
  JSON.stringify({
    name: "t",
    schema: { features: [{ name: "a", kind: "number", unit: "", min: -1, max: 1 }], label: { name: "y" } },
    model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }], scaleBits: 10 },
    training: { epochs: 1, batch: 8, learningRate: 0.1 },
    rounds: { maximum: 9 },
    split: { test: 0.2, validation: 0.3, seed: 1 },
  }),
);
const SIZE = 30;
const UNIT = 2 ** -10;
const lanes = (...seed: (string | number)[]): Int32Array => {
  const random = new Random("lanes", ...seed);
  return Int32Array.from({ length: SIZE }, () => random.below(2001) - 1000);
};
const real = (units: Int32Array): Float32Array => Float32Array.from(units, (u) => u * UNIT);
const blob = (units: Int32Array): Uint8Array => quantise(real(units), 10, 0, new Random("exact"));
const sum = (a: Int32Array, b: Int32Array): Int32Array => a.map((v, k) => v + b[k]!);

const start = lanes("model");
const updates = [0, 1, 4, 5].map((miner) => ({ miner, blob: blob(lanes("update", miner)) }));
const malformed = { miner: 6, blob: new Uint8Array(4) };
const own = real(lanes("own"));

const attacker = (attack: Attack, accomplices: number[] = []) =>
  new AttackerMemory({ attack, seed: "s", accomplices, participants: 7 }, task);
/** What it sends at height 2, after a round in which the model took the update of miner 4. */
function second(a: AttackerMemory): Float32Array {
  a.send(own, real(start), 1);
  a.see(start, 0, [...updates, malformed]);
  return a.send(own, real(sum(start, lanes("update", 4))), 2);
}

test("a copycat resends what the model followed, unless that is an accomplice's", () => {
  assert.equal(second(attacker("copycat")), real(lanes("update", 4)));
  const other = second(attacker("copycat", [4]));
  assert.ok([0, 1, 5].some((miner) => lanes("update", miner).every((u, k) => other[k] === u * UNIT)));
});

test("without learning in between nothing is past: it goes on with what it knew", () => {
  const a = attacker("copycat");
  second(a);
  const model = sum(start, lanes("update", 4));
  a.see(model, 0, [{ miner: 0, blob: blob(lanes("late")) }]);
  assert.equal(a.send(own, real(model), 3), real(lanes("update", 4)));
});

test("replacement reckons with the round's size: as told at first, then as seen; and with its accomplices", () => {
  for (const [accomplices, factors] of [
    [[], [7, 5]],
    [[5], [3.5, 2.5]],
  ] as const) {
    const a = attacker("model-replacement", [...accomplices]);
    const sizes = [a.send(own, real(start), 1), second(a)].map((u) => norm(u) / norm(own));
    sizes.forEach((size, i) => assert.ok(Math.abs(size - factors[i]!) < 1e-4, `${sizes}`));
  }
});

test("the same height again gives the same update, also of one that resends its first", () => {
  for (const attack of ["own-replay", "alie", "noise-ring", "free-rider-replay"] as const) {
    const a = attacker(attack);
    const first = a.send(own, real(start), 1);
    assert.equal(a.send(own, real(start), 1), first);
    a.see(start, 0, updates);
    const model = real(sum(start, lanes("update", 4)));
    const next = a.send(own, model, 2);
    assert.equal(a.send(own, model, 2), next);
    assert.not.equal(next, first);
  }
});

test("a liar spares its accomplices, by their miners' numbers", () => {
  const honest: UpdateVote[] = [HELPFUL, HELPFUL, HARMFUL, HARMFUL, NO_VOTE];
  const lies: UpdateVote[] = [HARMFUL, HELPFUL, HARMFUL, HELPFUL, NO_VOTE];
  assert.equal(attacker("reversal+lies", [1, 5]).votes(honest, [...updates, malformed]), lies);
  assert.equal(attacker("reversal", [1, 5]).votes(honest, [...updates, malformed]), honest);
});

test.run();
