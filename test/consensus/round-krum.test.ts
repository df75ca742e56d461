import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { krum, krumTolerance } from "../../consensus/round/krum.ts";

const VECTOR = [
  [5, 3],
  [1, 0],
  [1, 5],
  [-2, 3],
  [2, -5],
  [-1, 4],
  [1, -5],
];

test("the vector of PROTOCOL section 6", () => {
  const { scores, selected, aggregate } = krum(2, VECTOR);
  assert.equal(scores, [82n, 63n, 38n, 33n, 100n, 27n, 99n]);
  assert.equal(selected, [5, 3, 2, 1, 0]);
  // Sums 4 and 15 of five: 0.8 and 3.
  assert.equal(aggregate, [1, 3]);
});

test("ties go to the lower index, halves away from zero", () => {
  const { scores, selected, aggregate } = krum(0, [
    [0, -1],
    [1, 0],
    [0, -1],
    [1, 0],
  ]);
  assert.equal(scores, [2n, 2n, 2n, 2n]);
  assert.equal(selected, [0, 1, 2, 3]);
  assert.equal(aggregate, [1, -1]);
});

test("equals a direct computation on any safe integers", () => {
  const coordinate = fc.oneof(
    fc.integer({ min: -9, max: 9 }),
    fc.constantFrom(Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
    fc.maxSafeInteger(),
  );
  const input = fc
    .tuple(fc.integer({ min: 3, max: 11 }), fc.integer({ min: 1, max: 4 }))
    .chain(([n, d]) =>
      fc.tuple(
        fc.integer({ min: 0, max: Math.floor((n - 3) / 2) }),
        fc.array(fc.array(coordinate, { minLength: d, maxLength: d }), { minLength: n, maxLength: n }),
      ),
    );
  fc.assert(
    fc.property(input, ([f, updates]) => {
      const n = updates.length;
      const scores = updates.map((a, i) => {
        const all: bigint[] = [];
        updates.forEach((b, j) => {
          let sum = 0n;
          for (let k = 0; k < a.length; k++) sum += (BigInt(a[k] as number) - BigInt(b[k] as number)) ** 2n;
          if (j !== i) all.push(sum);
        });
        all.sort((x, y) => (x < y ? -1 : x > y ? 1 : 0));
        return all.slice(0, n - f - 2).reduce((s, x) => s + x, 0n);
      });
      const got = krum(f, updates);
      assert.equal(got.scores, scores);
      assert.is(got.selected.length, n - f);
      const worst = got.selected.at(-1) as number;
      updates.forEach((_, i) => {
        const ahead = scores[i]! < scores[worst]! || (scores[i] === scores[worst] && i <= worst);
        assert.is(got.selected.includes(i), ahead);
      });
      got.aggregate.forEach((value, k) => {
        const sum = got.selected.reduce((s, i) => s + BigInt(updates[i]![k] as number), 0n);
        const off = BigInt(value) * BigInt(n - f) - sum;
        assert.ok(2n * (off < 0n ? -off : off) <= BigInt(n - f));
      });
    }),
    { numRuns: 300 },
  );
});

const three = [[0], [1], [2]];
for (const [id, f, updates, message] of [
  ["too few", 1, three, /f = 1 needs at least 2f \+ 3 = 5 updates, there are 3/],
  ["ragged", 0, [[0], [1, 2], [2]], /updates\[1\] has 2 numbers, updates\[0\] has 1/],
  ["fraction", 0, [[0], [1], [0.5]], /updates\[2\]\[0\] is 0.5/],
  ["past 2^53", 0, [[0], [2 ** 53], [1]], /updates\[1\]\[0\] is 9007199254740992/],
  ["text", 0, [[0], ["7"], [1]], /updates\[1\]\[0\] is "7"/],
  ["no list", 0, [[0], 7, [1]], /updates\[1\] must be a list/],
  ["no lists", 0, "abc", /updates must be a list/],
  ["empty vectors", 0, [[], [], []], /updates\[0\] is empty/],
  ["negative f", -1, three, /f is -1/],
  ["fractional f", 0.5, three, /f is 0.5/],
] as const) {
  test(`refuses ${id}`, () => {
    try {
      krum(f, updates as unknown as number[][]);
      assert.unreachable();
    } catch (error) {
      assert.is((error as { code?: string }).code, "BAD_UPDATES");
      assert.match((error as Error).message, message);
    }
  });
}

test("tolerance: auto from n up to the cap, fixed never lowered", () => {
  const auto = (n: number, maxF = 62) => krumTolerance({ f: "auto", maxF }, n);
  assert.equal(
    [0, 1, 2, 3, 4, 5, 6, 7, 9, 128].map((n) => auto(n)),
    [0, 0, 0, 0, 0, 1, 1, 2, 3, 62],
  );
  assert.is(auto(9, 2), 2);
  assert.is(krumTolerance({ f: 2, maxF: 62 }, 7), 2);
  assert.is(krumTolerance({ f: 2, maxF: 62 }, 6), undefined);
  assert.is(krumTolerance({ f: 0, maxF: 62 }, 2), undefined);
});

test.run();
