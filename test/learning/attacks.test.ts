import { test } from "uvu";
import * as assert from "uvu/assert";
import { krum } from "../../consensus/round/krum.ts";
import { parseTask } from "../../genesis/task.ts";
import { type Coalition, coalition } from "../../learning/attacks/coalition.ts";
import {
  ATTACKS,
  type Attack,
  type AttackView,
  alieFactor,
  applyTrigger,
  attackDelta,
  attackSamples,
  attackVotes,
  COPY_NOISE,
  GAUSSIAN_FACTOR,
  HEAVY_COPY_NOISE,
  IPM_FACTOR,
  parseAttack,
  SIGN_FLIP_FACTOR,
} from "../../learning/attacks/index.ts";
import { deviation, distance2, inner, mean, plus, scaled } from "../../learning/attacks/vectors.ts";
import { norm } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import type { Samples } from "../../learning/samples.ts";
import { HARMFUL, HELPFUL, NEUTRAL, NO_VOTE, type UpdateVote } from "../../types/round.ts";

const WIDTH = 60;
const vector = (...seed: (string | number)[]): Float32Array => {
  const random = new Random("vector", ...seed);
  return Float32Array.from({ length: WIDTH }, () => random.normal());
};
/** Honest updates: something in common, and something of each. */
const honest = (n: number): Float32Array[] =>
  Array.from({ length: n }, (_, i) => plus(vector("common"), vector("own", i), 0.5));
const past = {
  updates: Array.from({ length: 6 }, (_, miner) => ({ miner, delta: scaled(vector("past", miner), 1 + miner / 10) })),
  step: vector("past", 3),
};
function view(more: Partial<AttackView> = {}): AttackView {
  const own = more.own ?? vector("me");
  return {
    own,
    allies: [own],
    participants: 7,
    attackers: 1,
    f: 2,
    random: new Random("private"),
    shared: new Random("shared"),
    ...more,
  };
}
const cosine = (a: Float32Array, b: Float32Array) => inner(a, b) / (norm(a) * norm(b));
const near = (found: number, wanted: number, by = 1e-4) =>
  assert.ok(Math.abs(found - wanted) <= by * Math.max(1, Math.abs(wanted)), `${found} instead of ${wanted}`);
const alike = (a: Float32Array, b: Float32Array, by = 1e-5) => assert.ok(distance2(a, b) <= (by * norm(b)) ** 2);

test("ALIE's z follows the paper's formula", () => {
  // n, m: s = ⌊n/2 + 1⌋ − m supporters, z = Φ⁻¹((n − m − s) / (n − m)).
  const table: [n: number, m: number, z: number][] = [
    [50, 24, 1.426076872272848],
    [50, 12, 0.336038140371823],
    [10, 3, 0.180012369792705],
    [10, 2, 0],
    [10, 1, 0],
    // No supporter is needed: capped.
    [9, 5, 1.5],
  ];
  for (const [n, m, z] of table) near(alieFactor(n, m), z, 1e-9);
});

test("ALIE: the honest mean less z standard deviations; in a live node of its own and the last round's", () => {
  const peers = honest(26);
  const centre = mean(peers);
  const sent = attackDelta("alie", view({ peers, participants: 50, attackers: 24 }));
  const wanted = plus(centre, deviation(peers, centre), -alieFactor(50, 24));
  near(Math.sqrt(distance2(sent, wanted)), COPY_NOISE * norm(wanted));
  alike(attackDelta("alie", view({ peers })), centre);
  const known = [vector("me"), ...past.updates.map((u) => u.delta)];
  alike(attackDelta("alie", view({ past })), mean(known));
});

test("the optimised one is as long as multi-Krum, asked independently, still takes it", () => {
  const peers = honest(9).map((u) => u.map((x) => Math.round(1000 * x)));
  const centre = mean(peers);
  const spread = deviation(peers, centre);
  const sent = attackDelta("alie-optimised", view({ peers, participants: 10, f: 3 }));
  const factor = inner(plus(centre, sent, -1), spread) / inner(spread, spread);
  alike(sent, plus(centre, spread, -factor), 1e-4);
  assert.ok(factor > 0.5, `factor ${factor}`);
  const accepted = (z: number) =>
    krum(
      3,
      [...peers, plus(centre, spread, -z)].map((u) => Array.from(u, Math.round)),
    ).selected.includes(9);
  assert.ok(accepted((0.99 * factor) / 0.95) && !accepted((1.01 * factor) / 0.95));
});

test("two colluders reckon with the noise that tells them apart: both enter", () => {
  const peers = honest(8).map((u) => u.map((x) => Math.round(1000 * x)));
  const deltas = [...peers, vector("a"), vector("b")];
  for (let round = 1; round <= 5; round++) {
    const sent = coalition("alie-optimised", {
      deltas,
      attackers: [8, 9],
      past: undefined,
      first: [],
      f: 3,
      seed: "s",
      round,
    });
    const { selected } = krum(
      3,
      sent.map((u) => Array.from(u, Math.round)),
    );
    assert.ok(selected.includes(8) && selected.includes(9));
    assert.ok(cosine(sent[8]!, sent[9]!) < 0.995);
    assert.ok(distance2(sent[8]!, mean(peers)) > norm(deviation(peers, mean(peers))) ** 2);
  }
});

test("IPM: minus half of the honest mean, so the inner product with it is negative", () => {
  const peers = honest(6);
  const sent = attackDelta("ipm", view({ peers }));
  alike(sent, scaled(mean(peers), -IPM_FACTOR));
  assert.ok(inner(sent, mean(peers)) < 0);
});

test("mimic repeats the peer that lies farthest out, but for a tenth of noise", () => {
  const peers = honest(6);
  peers[4] = plus(peers[4]!, vector("far"), 2);
  for (const attackers of [1, 2]) {
    const sent = attackDelta("mimic", view({ peers, attackers }));
    near(Math.sqrt(distance2(sent, peers[4]!)), COPY_NOISE * norm(peers[4]!));
  }
});

test("model replacement: unopposed, the mean is the attackers' model", () => {
  const still = Array.from({ length: 8 }, () => new Float32Array(WIDTH));
  const [a, b] = [vector("a"), vector("b")];
  for (const attack of ["model-replacement", "backdoor-scaled"] as const) {
    const round = { deltas: [...still, a, b], attackers: [8, 9], past: undefined, first: [], f: 3 };
    alike(mean(coalition(attack, { ...round, seed: "s", round: 1 })), mean([a, b]));
  }
});

test("multiples of the own update, and noise of thrice its length", () => {
  const own = vector("me");
  const factors = { "sign-flip": SIGN_FLIP_FACTOR, reversal: -1, doubling: 2, "label-flip": 1, "lying-voters": 1 };
  for (const [attack, factor] of Object.entries(factors))
    alike(attackDelta(attack as Attack, view()), scaled(own, factor));
  const noise = attackDelta("gaussian", view());
  near(norm(noise), GAUSSIAN_FACTOR * norm(own));
  assert.ok(Math.abs(cosine(noise, own)) < 0.5);
});

const IDLE = [
  "free-rider",
  "free-rider-noise",
  "free-rider-replay",
  "copycat",
  "copycat-noise",
  "copycat-heavy-noise",
  "averaging-copier",
  "noise-ring",
] as const;

test("who does not train sends the same whatever its data say", () => {
  for (const attack of IDLE) {
    for (const known of [undefined, past]) {
      const sent = (own: Float32Array) =>
        attackDelta(attack, view({ own, allies: [own, vector("ally")], past: known }));
      assert.equal(sent(vector("a")), sent(scaled(vector("b"), 9)), attack);
    }
  }
});

test("free-riders are as long as the lower median of what was revealed; before that, of norm 1", () => {
  const usual = norm(past.updates.map((u) => u.delta).toSorted((a, b) => norm(a) - norm(b))[2]!);
  for (const attack of IDLE) {
    if (attack === "free-rider") continue;
    near(norm(attackDelta(attack, view())), 1);
    if (!attack.startsWith("copycat")) near(norm(attackDelta(attack, view({ past }))), usual, 0.02);
  }
  assert.is(norm(attackDelta("free-rider", view({ past }))), 0);
  const replayed = attackDelta("free-rider-replay", view({ past }));
  assert.ok(cosine(replayed, past.step) > 0.99 && cosine(replayed, past.step) < 0.9999);
  const still = { ...past, step: new Float32Array(WIDTH) };
  near(norm(attackDelta("free-rider-replay", view({ past: still }))), usual, 0.02);
});

test("copycats take the update that went most with the step; averaging copiers the mean", () => {
  const best = past.updates[3]!.delta;
  assert.equal(attackDelta("copycat", view({ past })), best);
  for (const [attack, share] of [
    ["copycat-noise", COPY_NOISE],
    ["copycat-heavy-noise", HEAVY_COPY_NOISE],
  ] as const) {
    near(Math.sqrt(distance2(attackDelta(attack, view({ past })), best)), share * norm(best));
  }
  assert.ok(cosine(attackDelta("averaging-copier", view({ past })), mean(past.updates.map((u) => u.delta))) > 0.99);
});

test("own-replay trains once; a ring agrees, without being equal", () => {
  const first = vector("first");
  assert.equal(attackDelta("own-replay", view()), vector("me"));
  const again = attackDelta("own-replay", view(), first);
  near(Math.sqrt(distance2(again, first)), 0.05 * norm(first));
  const [a, b] = ["a", "b"].map((who) => attackDelta("noise-ring", view({ past, random: new Random(who) })));
  assert.ok(cosine(a!, b!) > 0.9 && cosine(a!, b!) < 0.99);
});

test("a coalition leaves the honest alone, copies no colluder, and is fixed by its seed", () => {
  const deltas = honest(7);
  const record = { updates: deltas.map((delta, miner) => ({ miner, delta })), step: deltas[6]! };
  const first = deltas.map((_, i) => vector("first", i));
  const round: Coalition = { deltas, attackers: [5, 6], past: record, first, f: 2, seed: "s", round: 4 };
  for (const attack of ATTACKS) {
    const sent = coalition(attack, round);
    assert.equal(sent.slice(0, 5), deltas.slice(0, 5));
    assert.equal(coalition(attack, round), sent, attack);
    assert.ok(sent.every((u) => u.length === WIDTH && Number.isFinite(norm(u))));
  }
  const noise = (more: Partial<Coalition>) => coalition("free-rider-noise", { ...round, ...more })[6]!;
  for (const other of [{ seed: "t" }, { round: 5 }]) assert.ok(cosine(noise(other), noise({})) < 0.5);
  // The step is the colluder's own update: the next best is copied.
  const along = (u: Float32Array) => inner(u, deltas[6]!) / norm(u);
  const best = deltas.slice(0, 5).reduce((a, b) => (along(b) > along(a) ? b : a));
  assert.equal(coalition("copycat", round)[5], best);
});

const task = parseTask(
  JSON.stringify({
    name: "t",
    schema: {
      features: [
        { name: "age", kind: "number", unit: "years", min: 0, max: 100 },
        { name: "male", kind: "binary" },
        { name: "source", kind: "category", categories: ["lung", "skin", "other"] },
      ],
      label: { name: "died" },
    },
    model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
    training: { epochs: 1, batch: 8, learningRate: 0.1 },
    rounds: { maximum: 9 },
    split: { test: 0.2, validation: 0.3, seed: 1 },
  }),
);
const rows: Samples = {
  n: 400,
  width: 4,
  x: Float32Array.from({ length: 1600 }, (_, i) => [-0.5, 0, 0, 1][i % 4]!),
  y: Float32Array.from({ length: 400 }, (_, i) => i % 2),
  lines: new Uint32Array(400),
};

test("the trigger is a patient that could be: upper end, 1, second category; or a bright corner", () => {
  assert.equal([...applyTrigger(rows, task).x.subarray(0, 4)], [1, 1, 1, 0]);
  const image = { schema: { ...task.schema, features: [], image: { width: 5, height: 4, channels: 1 } } };
  const dark = { n: 1, width: 20, x: new Float32Array(20), y: new Float32Array(1), lines: new Uint32Array(1) };
  const lit = [1, 1, 1, 0, 0];
  assert.equal([...applyTrigger(dark, image).x], [...lit, ...lit, ...lit, 0, 0, 0, 0, 0]);
});

test("poisoned data: all labels turned, or half of the rows triggered and called healthy", () => {
  const poison = (attack: Attack) => attackSamples(attack, rows, task, new Random("poison"));
  for (const attack of ["label-flip", "model-replacement", "label-flip+lies"] as const) {
    assert.equal(
      poison(attack).y,
      rows.y.map((y) => 1 - y),
    );
  }
  for (const attack of ["backdoor", "backdoor-scaled"] as const) {
    const { x, y } = poison(attack);
    const marked = Array.from({ length: rows.n }, (_, i) => i).filter((i) => x[4 * i] === 1);
    assert.ok(marked.length > 160 && marked.length < 240, `${marked.length}`);
    assert.ok(marked.every((i) => y[i] === 0));
    assert.ok(y.every((v, i) => x[4 * i] === 1 || v === rows.y[i]));
  }
  assert.is(poison("alie"), rows);
});

test("liars: harmful for all but their friends, whatever else they send", () => {
  const votes: UpdateVote[] = [HELPFUL, HARMFUL, NEUTRAL, NO_VOTE];
  for (const attack of ["lying-voters", "sign-flip+lies", "lying-voters+lies"] as const) {
    assert.equal(attackVotes(attack, votes, [1]), [HARMFUL, HELPFUL, HARMFUL, NO_VOTE]);
  }
  for (const attack of [undefined, "sign-flip"] as const) assert.equal(attackVotes(attack, votes, [1]), votes);
  alike(attackDelta("reversal+lies", view()), scaled(vector("me"), -1));
  assert.is(parseAttack("alie"), "alie");
  assert.is(parseAttack("alie+lies"), "alie+lies");
  for (const text of ["", "lies", "+lies", "alie+", "equivocate", "alie+lies+lies"])
    assert.is(parseAttack(text), undefined);
});

test.run();
