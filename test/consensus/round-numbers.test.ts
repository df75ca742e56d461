import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { nextExponent, weightsOf } from "../../consensus/round/aggregate.ts";
import { voteFactor } from "../../consensus/round/credit.ts";
import { divideHalfAway, lowerMedian, meanOf } from "../../consensus/round/integers.ts";
import { clipLanes, clipScale, SCALE_ONE } from "../../consensus/round/select.ts";
import { fixedPoint } from "../../genesis/json.ts";
import { task } from "./round-fixture.ts";

test("halves are rounded away from zero", () => {
  const cases = [
    [5n, 2n, 3n],
    [-5n, 2n, -3n],
    [4n, 3n, 1n],
    [-4n, 3n, -1n],
    [0n, 7n, 0n],
    [1n, 2n, 1n],
    [-1n, 3n, 0n],
  ];
  for (const [n, d, q] of cases) assert.is(divideHalfAway(n!, d!), q);
});

test("the mean is the same in doubles and in bigints, up to the largest sums", () => {
  const total = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 128 * (2 ** 32 - 1) }));
  fc.assert(
    fc.property(total, fc.integer({ min: 0, max: 15 }), fc.double({ min: -1, max: 1, noNaN: true }), (w, e, share) => {
      const sum = Math.round(share * w * 2047);
      assert.is(BigInt(meanOf(sum, e, w)), divideHalfAway(BigInt(sum) << BigInt(e), BigInt(w)));
    }),
    { numRuns: 2000 },
  );
  assert.is(meanOf(1, 0, 2), 1);
  assert.is(meanOf(-1, 0, 2), -1);
  assert.is(meanOf(-1, 0, 3), 0);
});

test("numbers of a task file in fixed point", () => {
  const cases: [number, number, bigint][] = [
    [64, 20, 64n << 20n],
    [0.5, 8, 128n],
    [0.1, 20, 104_857n],
    [1e-7, 24, 1n],
    [1e-9, 8, 0n],
    [1_000_000, 24, 1_000_000n << 24n],
    [1.5e-7, 24, 2n],
  ];
  for (const [value, bits, expected] of cases) assert.is(fixedPoint(value, bits), expected, String(value));
});

test("lower median", () => {
  const of = (values: number[]) => lowerMedian(values, (a, b) => a - b);
  assert.equal([of([]), of([3]), of([9, 1]), of([9, 1, 5]), of([4, 3, 2, 1])], [undefined, 3, 1, 5, 2]);
});

test("clipping: factor 1 up to the target, then the norm is met from below; halves away from zero", () => {
  assert.is(clipScale(100n, 100n), SCALE_ONE);
  assert.is(clipScale(400n, 100n), SCALE_ONE / 2);
  assert.ok(clipScale(101n, 100n) < SCALE_ONE);
  assert.equal(
    clipLanes(Int16Array.of(1, -1, 3, -3, 2047, -2047), SCALE_ONE / 2),
    Int16Array.of(1, -1, 2, -2, 1024, -1024),
  );
  assert.equal(clipLanes(Int16Array.of(2047, -2047), SCALE_ONE - 1), Int16Array.of(2047, -2047));
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 50n }), fc.bigInt({ min: 0n, max: 2n ** 50n }), (norm2, target2) => {
      const s = BigInt(clipScale(norm2, target2));
      assert.ok(s * s * norm2 <= target2 << 32n || s === 65536n);
      if (s < 65536n) assert.ok((s + 1n) ** 2n * norm2 > target2 << 32n);
    }),
  );
});

test("weights: equal, or samples capped at a multiple of their lower median", () => {
  const weights = (samples: number[], more = {}) =>
    weightsOf(task({ weights: "samples", ...more }).aggregation, samples);
  assert.equal(weightsOf(task().aggregation, [7, 900]), [1, 1]);
  assert.equal(weights([10, 40, 21, 20]), [10, 40, 21, 20]);
  assert.equal(weights([10, 41, 21, 20]), [10, 40, 21, 20]);
  assert.equal(weights([2 ** 32 - 1, 5, 5], { weightCapPermille: 1000 }), [5, 5, 5]);
  assert.equal(weights([0, 3, 0]), [1, 1, 1], "nobody can be left without weight by a median of nothing");
});

test("the exponent follows the median norm, one step at a time, within 0 to 15", () => {
  // d = 16: the peak is taken as the norm. In lanes: up past 1024, down below 512.
  assert.equal(
    [511n, 512n, 1024n, 1025n].map((m) => nextExponent(3, m << 3n, 16)),
    [2, 3, 3, 4],
  );
  assert.equal(
    [511n, 512n, 1024n, 1025n].map((m) => nextExponent(3, m << 3n, 4)),
    [2, 3, 3, 4],
    "at most the norm",
  );
  assert.equal(
    [1023n, 1024n, 2048n, 2049n].map((m) => nextExponent(3, m << 3n, 64)),
    [2, 3, 3, 4],
    "4 / sqrt(d)",
  );
  assert.is(nextExponent(15, 1n << 40n, 16), 15);
  assert.is(nextExponent(0, 1n, 16), 0);
  assert.is(nextExponent(8, 0n, 16), 8, "without a norm it stays");
});

test("votes: f_c liars neither take away nor add, too few votes say nothing", () => {
  const ONE = 65536n;
  const factor = (harmful: number, neutral: number, helpful: number, f: number) =>
    voteFactor({ harmful, neutral, helpful }, f);
  assert.is(factor(2, 0, 4, 2), ONE, "two liars of six");
  assert.is(factor(3, 0, 3, 2), ONE / 2n);
  assert.is(factor(0, 6, 0, 2), ONE / 2n);
  assert.is(factor(0, 3, 3, 2), (ONE * 3n) / 4n, "the lowest and the highest go, whatever they say");
  assert.is(factor(0, 4, 2, 2), ONE / 2n, "two flatterers of six");
  assert.is(factor(4, 0, 2, 2), 0n);
  assert.is(factor(1, 2, 2, 1), (ONE * 4n) / 6n);
  assert.is(factor(6, 0, 0, 2), 0n);
  assert.is(factor(4, 0, 0, 2), ONE, "four votes of five needed");
});

test.run();
