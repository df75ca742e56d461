import { test } from "uvu";
import * as assert from "uvu/assert";
import { computeRound, type RoundUpdate } from "../../consensus/round/compute.ts";
import { lanesOf, modelBytes, modelFromBytes, modelRoot } from "../../consensus/round/model.ts";
import { isHarmful } from "../../consensus/round/select.ts";
import { RoundResult } from "../../types/round.ts";
import { blobOf, canonicalOrder, hash, lcg, learned, round, statuses, task, update } from "./round-fixture.ts";

/** What becomes of one update, the only one of the round. */
function fate(lanes: readonly number[], more: Parameters<typeof round>[1] = {}, of: Partial<RoundUpdate> = {}): string {
  return statuses(learned(round([update(0, lanes, of)], { model: new Int32Array(1), ...more })).result)[0] as string;
}

const first = task({ firstNormBound: 0.0001 }); // 104.8 model units at 20 bits
for (const [id, expected, got] of [
  ["largest lane", "accepted", () => fate([2047])],
  ["smallest lane", "accepted", () => fate([-2047])],
  ["lane above 12 bits", "malformed", () => fate([2048])],
  ["lane below 12 bits", "malformed", () => fate([-2048])],
  ["one lane too many", "malformed", () => fate([1, 1])],
  ["one lane too few", "malformed", () => fate([])],
  ["half a lane", "malformed", () => fate([1], {}, { blob: new Uint8Array(3) })],
  ["norm at the bound", "accepted", () => fate([400], { medianNorm: 100n })],
  ["norm above the bound", "too-large", () => fate([401], { medianNorm: 100n })],
  ["norm at the bound, exponent 2", "accepted", () => fate([100], { medianNorm: 100n, exponent: 2 })],
  ["norm above the bound, exponent 2", "too-large", () => fate([101], { medianNorm: 100n, exponent: 2 })],
  ["norm at the floor", "accepted", () => fate([2], { medianNorm: 100n })],
  ["norm below the floor", "too-small", () => fate([1], { medianNorm: 100n })],
  ["first bound, at", "accepted", () => fate([104], { spec: first })],
  ["first bound, above", "too-large", () => fate([105], { spec: first })],
  ["smallest update of the first round", "accepted", () => fate([1])],
  ["zero update of the first round", "too-small", () => fate([0])],
  [
    "zero update without a floor",
    "too-small",
    () => fate([0], { medianNorm: 100n, spec: task({ normFloorPermille: 0 }) }),
  ],
] as const) {
  test(`well-formed: ${id}`, () => assert.is(got(), expected));
}

for (const [id, second, aggregation, duplicate] of [
  ["cosine at least 999 ‰", [1000, 44], { duplicateDistancePermille: 1000 }, true],
  ["cosine below 999 ‰", [1000, 45], { duplicateDistancePermille: 1000 }, false],
  ["distance² within 10 ‰", [1000, 100], { duplicateCosinePermille: 500 }, true],
  ["distance² above 10 ‰", [1000, 101], { duplicateCosinePermille: 500 }, false],
  ["distance² is a share of the larger norm²", [1104, 0], {}, true],
  ["same direction, other length", [500, 0], {}, false],
  ["opposite", [-1000, 0], { duplicateCosinePermille: 500, duplicateDistancePermille: 1000 }, false],
  ["equal", [1000, 0], { duplicateCosinePermille: 1000, duplicateDistancePermille: 0 }, true],
] as const) {
  test(`duplicates: ${id}`, () => {
    const { result } = learned(round([update(0, [1000, 0]), update(1, second)], { spec: task(aggregation) }));
    const later = canonicalOrder([0, 1])[1] as number;
    assert.equal(
      statuses(result),
      duplicate ? [0, 1].map((m) => (m === later ? "duplicate" : "accepted")) : ["accepted", "accepted"],
    );
    if (duplicate) assert.is(result.updates[later]?.pay, 0n);
  });
}

test("duplicates are compared with those kept only: a chain of small steps loses every other", () => {
  const order = canonicalOrder([0, 1, 2]);
  const lanes = [
    [1000, 0],
    [1000, 70],
    [1000, 140],
  ] as const;
  const spec = task({ duplicateCosinePermille: 500 });
  const { result } = learned(
    round(
      order.map((m, i) => update(m, lanes[i] as readonly number[])),
      { spec },
    ),
  );
  const by = new Map(result.updates.map((u, i) => [u.miner, statuses(result)[i]]));
  assert.equal(
    order.map((m) => by.get(m)),
    ["accepted", "duplicate", "accepted"],
  );
});

test("one institution sends one update", () => {
  const both = [update(0, [1000, 0]), update(1, [0, 900], { institution: hash(0) })];
  assert.equal(statuses(learned(round(both)).result), ["accepted", "duplicate"]);
});

test("Krum: the farthest is suspect, ties fall in canonical order, its norm is clipped to the lower median", () => {
  // Five around (100, 100), two of them equally far.
  const points = [
    [100, 100],
    [100, 104],
    [100, 96],
    [130, 100],
    [70, 100],
  ];
  const spec = task({ duplicateCosinePermille: 1000 });
  const { result, model } = learned(
    round(
      points.map((p, i) => update(i, p)),
      { spec, committeeSize: 0 },
    ),
  );
  assert.is(result.fKrum, 1);
  assert.is(result.updates[3]?.krumScore, result.updates[4]?.krumScore);
  const suspect = canonicalOrder([3, 4])[1] as number;
  assert.equal(
    statuses(result),
    [0, 1, 2, 3, 4].map((i) => (i === suspect ? "accepted-clipped" : "accepted")),
  );
  assert.ok(model[1]! > 0);
  const square = ([x, y]: number[]) => x! * x! + y! * y!;
  const central = points
    .filter((_, i) => i !== suspect)
    .map(square)
    .sort((a, b) => a - b);
  const own = square(points[suspect] as number[]);
  // The lower median of the clipped norms of all five, in model units.
  const clipped = [...central, Math.min(own, central[1] as number)].sort((a, b) => a - b);
  assert.is(result.medianNorm, BigInt(Math.floor(Math.sqrt(clipped[2] as number))));
});

test("a fixed f that n does not carry means no learning, and is never lowered", () => {
  const updates = [0, 1, 2, 3, 4].map((i) => update(i, [100 + 40 * i, 100 - 40 * i]));
  assert.is(learned(round(updates, { spec: task({ f: 1 }) })).result.fKrum, 1);
  assert.is(computeRound(round(updates, { spec: task({ f: 2 }) })).failure, "too-few");
  // Counted after the duplicates are out.
  const copies = [...updates.slice(0, 4), update(4, [100, 100])];
  assert.is(computeRound(round(copies, { spec: task({ f: 1 }) })).failure, "too-few");
});

test("fewer updates than the task's minimum mean no learning", () => {
  const updates = [0, 1].map((i) => update(i, [100, 100 * i]));
  assert.is(computeRound(round(updates, { spec: task({}, 3) })).failure, "too-few");
  assert.is(computeRound(round(updates, { spec: task({}, 2) })).failure, undefined);
});

for (const [id, committee, votes, harmful] of [
  ["c = 7: 3 of 5", 7, [3, 2, 0], true],
  ["c = 7: 3 of 6 is no majority", 7, [3, 3, 0], false],
  ["c = 7: 2 of 5 is below f_c + 1", 7, [2, 0, 3], false],
  ["c = 7: 4 votes are too few for a verdict", 7, [4, 0, 0], false],
  ["c = 4: 2 of 3", 4, [2, 1, 0], true],
  ["c = 4: 2 votes are too few for a verdict", 4, [2, 0, 0], false],
  ["c = 3: f_c = 0, one vote decides", 3, [1, 0, 0], true],
  ["c = 3: no vote", 3, [0, 0, 0], false],
] as const) {
  test(`harmful: ${id}`, () => {
    const [h, n, g] = votes;
    const cast = { harmful: h, neutral: n, helpful: g };
    const { result, model } = learned(
      round([update(0, [100, 7], cast), update(1, [90, -30])], { committeeSize: committee }),
    );
    assert.is(statuses(result)[0], harmful ? "harmful" : "accepted");
    assert.equal([...model], harmful ? [90, -30] : [95, -12]);
    assert.is(result.updates[0]?.weight, harmful ? 0n : 1n);
    if (harmful) assert.is(result.updates[0]?.pay, 0n);
  });
}

test("f_c liars make no verdict, and break none on which the honest agree", () => {
  for (let c = 4; c <= 40; c++) {
    const f = Math.floor((c - 1) / 3);
    const honest = c - 1 - f;
    for (let h = 0; h <= f; h++) {
      for (let n = 0; n + h <= f; n++) {
        const lies = { harmful: h, neutral: n, helpful: f - h - n };
        const say = (vote: "harmful" | "neutral" | "helpful") => ({ ...lies, [vote]: lies[vote] + honest });
        assert.not.ok(isHarmful(say("helpful"), f), `c = ${c}`);
        assert.not.ok(isHarmful(say("neutral"), f), `c = ${c}`);
        assert.ok(isHarmful(say("harmful"), f), `c = ${c}`);
      }
    }
    // Silence does not help either: without the liars' votes there are too few to condemn, never too few to clear.
    assert.not.ok(isHarmful({ harmful: f, neutral: 0, helpful: 0 }, f));
  }
});

test("nothing accepted: the model stays, and so do exponent and median", () => {
  const { result, model } = learned(
    round([update(0, [0, 0]), update(1, [2048, 0])], { model: Int32Array.of(5, -6), exponent: 3, medianNorm: 77n }),
  );
  assert.equal([...model], [5, -6]);
  assert.equal([result.medianNorm, result.exponent, result.nextExponent], [77n, 3, 3]);
  assert.equal(statuses(result), ["too-small", "malformed"]);
});

test("a parameter that leaves int32 means no learning, at the edge exactly", () => {
  const at = (start: number, lane: number) =>
    computeRound(round([update(0, [lane, 9])], { model: Int32Array.of(start, 0), exponent: 4 })).failure;
  assert.is(at(2 ** 31 - 1 - 16, 1), undefined);
  assert.is(at(2 ** 31 - 16, 1), "overflow");
  assert.is(at(-(2 ** 31) + 16, -1), undefined);
  assert.is(at(-(2 ** 31) + 15, -1), "overflow");
});

test("the result lists all, ascending by miner, and has an encoding", () => {
  const missing = { miner: 2, institution: hash(2), commitment: hash(1002), harmful: 0, neutral: 0, helpful: 0 };
  const updates = [update(3, [10, 900]), update(0, [2048, 0]), update(1, [-800, 60])];
  const { result, model } = learned(round(updates, { notHeld: [missing], model: new Int32Array(2) }));
  assert.equal(
    result.updates.map((u) => u.miner),
    [0, 1, 2, 3],
  );
  assert.equal(statuses(result), ["malformed", "accepted", "not-held", "accepted"]);
  assert.equal(result.modelRoot, modelRoot(model));
  assert.ok(BigInt.asIntN(64, result.updates[1]!.contribution) < 100_000n);
  assert.equal(RoundResult.deserialize(RoundResult.serialize(result)), result);
});

test("bytes of models and updates are little-endian, wherever their buffer starts", () => {
  const model = Int32Array.of(1, -2, 2 ** 31 - 1, -(2 ** 31));
  assert.equal([...modelBytes(model).slice(0, 8)], [1, 0, 0, 0, 254, 255, 255, 255]);
  assert.equal(modelFromBytes(Uint8Array.of(9, ...modelBytes(model)).subarray(1)), model);
  assert.equal(lanesOf(Uint8Array.of(9, ...blobOf([1, -2, 2047])).subarray(1)), Int16Array.of(1, -2, 2047));
  assert.throws(
    () => lanesOf(new Uint8Array(3)),
    (e: { code?: string }) => e.code === "BAD_BLOB",
  );
  assert.throws(
    () => modelFromBytes(new Uint8Array(6)),
    (e: { code?: string }) => e.code === "BAD_MODEL",
  );
});

/** Honest hospitals: a common direction and their own. */
function hospitals(n: number, d: number, seed: number): number[][] {
  const next = lcg(seed);
  const base = Array.from({ length: d }, () => (next() - 0.5) * 600);
  return Array.from({ length: n }, () => base.map((b) => Math.round(b + (next() - 0.5) * 500)));
}
const clear = { harmful: 0, neutral: 1, helpful: 5 };

test("sign flips of −4×, 2 of 7: kept out by votes or by the bound, paid nothing", () => {
  const honest = hospitals(7, 60, 11);
  const lanes = honest.map((u, i) => (i < 2 ? u.map((q) => Math.max(-2047, Math.min(2047, -4 * q))) : u));
  const votes = (i: number) => (i < 2 ? { harmful: 5, neutral: 0, helpful: 1 } : clear);
  const updates = lanes.map((u, i) => update(i, u, votes(i)));
  const voted = learned(round(updates)).result;
  assert.equal(statuses(voted).slice(0, 2), ["harmful", "harmful"]);
  const norms = honest.slice(2).map((u) => Math.floor(Math.sqrt(u.reduce((s, q) => s + q * q, 0))));
  // The flippers' own honest norms are near the others': past a median of this size they are too large.
  const medianNorm = BigInt(Math.floor(Math.min(...norms) / 1.5));
  const bounded = learned(round(updates, { medianNorm, spec: task({ normBoundPermille: 4000 }) })).result;
  assert.equal(statuses(bounded).slice(0, 2), ["too-large", "too-large"]);
  // Even where nobody votes they enter clipped, and are paid nothing.
  const silent = lanes.map((u, i) => update(i, u));
  const unvoted = learned(round(silent)).result;
  assert.equal(statuses(unvoted).slice(0, 2), ["accepted-clipped", "accepted-clipped"]);
  for (const result of [voted, bounded, unvoted]) {
    assert.equal(
      result.updates.slice(0, 2).map((u) => u.pay),
      [0n, 0n],
    );
    // Those that are opposed by two count for less with each of the others: some of the five may get nothing.
    const paid = result.updates.slice(2).filter((u) => u.pay > 0n).length;
    assert.ok(paid >= (result === bounded ? 5 : 3), `${paid}`);
    assert.is(result.fKrum, statuses(result).includes("too-large") ? 1 : 2);
  }
});

test("four hospitals: f = 0, all central, all paid", () => {
  const result = learned(round(hospitals(4, 60, 5).map((u, i) => update(i, u, { helpful: 3 })))).result;
  assert.is(result.fKrum, 0);
  assert.equal(statuses(result), ["accepted", "accepted", "accepted", "accepted"]);
  assert.ok(result.updates.every((u) => u.pay > 1_000_000n / 32n));
});

test.run();
