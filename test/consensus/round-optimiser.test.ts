import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { moveModel } from "../../consensus/round/optimiser.ts";
import { type ServerOptimiser, serverOptimiser } from "../../genesis/aggregation.ts";
import { initialModel, parametersOf, storedCount } from "../../genesis/model.ts";
import { packSquare, unpackSquare } from "../../genesis/moments.ts";
import { hash, learned, round, statuses, task, update } from "./round-fixture.ts";

/** Server optimisers on numbers that can be checked on paper. ONE is 1.0 of a rate or a decay. */

const ONE = 2 ** 16;
const mean = (...deltas: number[]) => ({ sums: Float64Array.from(deltas), denominator: 1 });
const fedavgm = (rate: number, momentum: number): ServerOptimiser => ({ name: "fedavgm", rate, momentum });
const fedadam = (more: Partial<ServerOptimiser & { name: "fedadam" }> = {}): ServerOptimiser => ({
  ...{ name: "fedadam", rate: ONE, momentum: ONE / 2, secondMomentum: ONE / 2, tau: 1024, scaleBits: 20 },
  ...more,
});

test("fedavg: the model moves by the rounded mean in model units, or not at all", () => {
  const combined = { sums: Float64Array.of(3, -3, 1), denominator: 2 };
  const move = (model: Int32Array, exponent: number) => moveModel({ name: "fedavg" }, model, combined, exponent);
  assert.equal(move(Int32Array.of(10, 10, -1), 0), Int32Array.of(12, 8, 0));
  assert.equal(move(Int32Array.of(10, 10, -1), 1), Int32Array.of(13, 7, 0));
  assert.is(move(Int32Array.of(2 ** 31 - 3, 0, 0), 1), undefined);
});

test("fedavgm: m ← β·m + Δ, and the model moves by η·m", () => {
  const half = fedavgm(ONE, ONE / 2);
  const first = moveModel(half, Int32Array.of(0, 100, 0, 0), mean(10, -10), 0) as Int32Array;
  assert.equal(first, Int32Array.of(10, 90, 10, -10));
  const second = moveModel(half, first, mean(10, 0), 0) as Int32Array;
  assert.equal(second, Int32Array.of(25, 85, 15, -5));
  // 15 / 2 = 7 and −5 / 2 = −2, towards zero: without news momentum dies out.
  assert.equal(moveModel(half, second, mean(0, 0), 0), Int32Array.of(32, 83, 7, -2));
  assert.equal(
    moveModel(fedavgm(ONE / 4, 0), Int32Array.of(0, 0), mean(10), 0),
    Int32Array.of(3, 10),
    "2.5 rounds away from zero",
  );
});

test("fedavgm: a moment that leaves int32 is no learning, whatever the parameter does", () => {
  const at = (m: number) => moveModel(fedavgm(ONE / 2 ** 12, 65_529), Int32Array.of(0, m), mean(2047), 15);
  assert.ok(at(2 ** 30));
  assert.is(at(2 ** 31 - 1), undefined);
});

test("fedadam: η·m / (√v + τ)", () => {
  // τ = 1024, v = 1024² and Δ = 1024: v stays, m = 512 (in sixteenths), and the step is 512 / 2048 of 2^20.
  const v = packSquare(1024 ** 2);
  assert.equal(moveModel(fedadam(), Int32Array.of(5, 0, v), mean(1024), 0), Int32Array.of(5 + 2 ** 18, 512 * 16, v));
  // Δ = −3072: v = (1024² + 3072²) / 2 = 5 · 1024², √v = 2289, m = −1536: −1536 · 2^20 / (2289 + 1024) = −486149.3…
  assert.equal(
    moveModel(fedadam(), Int32Array.of(5, 0, v), mean(-3072), 0),
    Int32Array.of(5 - 486_149, -1536 * 16, packSquare(5 * 1024 ** 2)),
  );
  // With 8 bits a unit is 2^-8: 512 / 2048 of 2^8.
  assert.equal(moveModel(fedadam({ scaleBits: 8 }), Int32Array.of(5, 0, v), mean(1024), 0)?.[0], 5 + 64);
  assert.equal(moveModel(fedadam({ rate: ONE / 2 }), Int32Array.of(5, 0, v), mean(1024), 0)?.[0], 5 + 2 ** 17);
});

test("fedadam: without news both moments die out, and the model comes to rest", () => {
  let stored: Int32Array = Int32Array.of(0, -12_345, packSquare(123_456_789));
  const settings = fedadam({ momentum: 58_982, secondMomentum: 64_880 });
  for (let r = 0; r < 4000; r++) stored = moveModel(settings, stored, mean(0), 0) as Int32Array;
  assert.equal([...stored.slice(1)], [0, 0]);
  assert.equal(moveModel(settings, stored, mean(0), 0), stored);
});

test("fedadam: on a steady Δ the root of v comes to Δ, and the step to η", () => {
  for (const delta of [300, 5000, 2 ** 25]) {
    let stored: Int32Array = Int32Array.of(0, 0, packSquare(1024 ** 2));
    const settings = fedadam({ rate: 655, momentum: 58_982, secondMomentum: 64_880, tau: 64 });
    for (let r = 0; r < 3000; r++) {
      stored = moveModel(settings, stored, mean(delta / 2 ** 15), 15) as Int32Array;
      stored[0] = 0;
    }
    const root = Math.sqrt(unpackSquare(stored[2]!));
    assert.ok(Math.abs(root / delta - 1) < 1e-3, `${root} for ${delta}`);
    assert.ok(Math.abs((stored[1]! / 16) * (1 / delta) - 1) < 1e-2);
    const last = moveModel(settings, stored, mean(delta / 2 ** 15), 15) as Int32Array;
    const expected = ((655 / ONE) * 2 ** 20 * delta) / (delta + 64);
    assert.ok(Math.abs(last[0]! / expected - 1) < 1e-2, `${last[0]} for ${expected}`);
  }
});

test("a square is stored from below, to a part in 2^25, in order", () => {
  const value = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 30 }),
    fc.maxSafeInteger().map((x) => Math.abs(x) / 2 ** 1),
  );
  fc.assert(
    fc.property(value.map(Math.floor), value.map(Math.floor), (a, b) => {
      const packed = packSquare(a);
      assert.ok(packed >= 0 && packed < 2 ** 31);
      const back = unpackSquare(packed);
      assert.ok(back <= a && a - back <= a / 2 ** 25);
      assert.is(packSquare(back), packed);
      if (a < b) assert.ok(packed <= packSquare(b));
    }),
    { numRuns: 1000 },
  );
  assert.is(packSquare((2047 * 2 ** 15) ** 2), 13 * 2 ** 27 + Math.floor((2047 ** 2 * 2 ** 30) / 4 ** 13));
});

test("what is stored: parameters, moments of zero, and τ² for fedadam", () => {
  const plain = task();
  const m = task({ optimiser: "fedavgm" });
  const adam = task({ optimiser: "fedadam", tau: 0.001 });
  assert.equal([plain, m, adam].map(storedCount), [2, 4, 6]);
  const v = packSquare(1048 ** 2);
  assert.equal([...initialModel(adam, hash(1))], [0, 0, 0, 0, v, v]);
  assert.equal([...parametersOf(adam, Int32Array.of(1, 2, 3, 4, 5, 6))], [1, 2]);
  assert.equal([...parametersOf(plain, Int32Array.of(1, 2))], [1, 2]);
});

test("settings in fixed point", () => {
  const of = (more: object) => serverOptimiser(task(more).aggregation, 20);
  assert.equal(of({}), { name: "fedavg" });
  assert.equal(of({ optimiser: "fedavg" }), { name: "fedavg" });
  assert.equal(of({ optimiser: "fedavgm" }), { name: "fedavgm", rate: ONE, momentum: 58_982 });
  assert.equal(of({ optimiser: "fedadam", serverRate: 0.5, tau: 0.25 }), {
    ...{ name: "fedadam", rate: ONE / 2, momentum: 58_982, secondMomentum: 64_880, tau: 2 ** 18, scaleBits: 20 },
  });
});

test("a round moves moments with the model; where nothing is accepted, nothing moves", () => {
  const spec = task({ optimiser: "fedavgm", momentum: 0.5 });
  const model = Int32Array.of(1, 2, 8, -8);
  const { result, model: after } = learned(round([update(0, [100, 0])], { spec, model }));
  assert.equal([...after], [1 + 104, 2 - 4, 104, -4]);
  assert.is(result.updates[0]?.weight, 1n);
  const idle = learned(round([update(0, [0, 0])], { spec, model }));
  assert.equal(idle.model, model);
  // As many lanes as stored numbers is malformed.
  assert.equal(statuses(learned(round([update(0, [1, 2, 3, 4])], { spec, model })).result), ["malformed"]);
});

test("a million parameters take well under a second", () => {
  const d = 1_000_000;
  const sums = Float64Array.from({ length: d }, (_, k) => ((k * 7919) % 4001) - 2000);
  for (const optimiser of [fedavgm(ONE, 58_982), fedadam({ momentum: 58_982, secondMomentum: 64_880, rate: 1966 })]) {
    const stored = new Int32Array(d * (optimiser.name === "fedadam" ? 3 : 2));
    const started = performance.now();
    moveModel(optimiser, stored, { sums, denominator: 7 }, 8);
    const ms = performance.now() - started;
    console.log(`${optimiser.name}, d = 1,000,000: ${ms.toFixed(0)} ms`);
    assert.ok(ms < 5000);
  }
});

test.run();
