import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { centralNorm2, type Field, toleranceAmong } from "../../consensus/round/rules/rule.ts";
import { RULES, toleranceOf } from "../../consensus/round/rules/rules.ts";
import { AGGREGATION_RULES, type AggregationRule } from "../../genesis/aggregation.ts";
import { canonicalOrder, learned, round, statuses, task, update } from "./round-fixture.ts";

/** Each rule alone, on numbers that can be checked on paper, and what each must keep whatever it is given. */

type Applied = {
  scores: readonly bigint[];
  central: readonly boolean[];
  counts: readonly number[];
  /** Sums over the denominator. */
  mean: number[];
  denominator: number;
};

function apply(
  rule: AggregationRule,
  vectors: readonly (readonly number[])[],
  f: number,
  harmful: number[] = [],
): Applied {
  const lanes = vectors.map((v) => Int16Array.from(v));
  const dot = (i: number, j: number) => BigInt(vectors[i]!.reduce((s, x, k) => s + x * vectors[j]![k]!, 0));
  const field: Field = { inner: dot, harmful: vectors.map((_, i) => harmful.includes(i)), f };
  const selection = RULES[rule].select(field);
  const at = selection.counts.flatMap((c, i) => (c > 0 ? [i] : []));
  const parts = at.map((i) => ({ lanes: lanes[i]!, weight: selection.counts[i]! }));
  const { sums, denominator } = RULES[rule].combine({ inner: (i, j) => dot(at[i]!, at[j]!), parts, f });
  return { ...selection, mean: [...sums].map((s) => s / denominator), denominator };
}

/** Five on a line and one far away. */
const LINE = [[0], [2], [4], [6], [13], [1000]];

test("median: the middle, of an even number the mean of the middle two", () => {
  assert.equal(apply("median", LINE.slice(0, 5), 1).mean, [4]);
  const even = apply("median", LINE, 1);
  assert.equal([even.mean, even.denominator], [[5], 2]);
  assert.equal(
    apply(
      "median",
      [
        [1, 9],
        [2, 7],
        [3, 8],
      ],
      0,
    ).mean,
    [2, 8],
    "each coordinate by itself",
  );
  assert.equal(apply("median", [[5]], 0).mean, [5]);
  assert.equal(apply("median", LINE, 1, [5, 4]).mean, [3], "without the harmful");
});

test("trimmed mean: without the f smallest and the f largest", () => {
  const one = apply("trimmed-mean", LINE, 1);
  // 2, 4, 6 and 13.
  assert.equal([one.mean, one.denominator], [[6.25], 4]);
  assert.equal(apply("trimmed-mean", LINE.slice(0, 5), 0).mean, [5]);
  // Four are left without the harmful: they carry no f of 1, and all count.
  assert.equal(apply("trimmed-mean", LINE, 1, [5, 4]).mean, [3]);
});

test("fedavg: the mean, whoever comes", () => {
  assert.equal(apply("fedavg", LINE, 0).mean, [1025 / 6]);
  assert.equal(apply("fedavg", LINE, 0, [5]).mean, [5]);
});

test("multi-Krum ranks the harmful too, which then don't enter", () => {
  const { scores, central, counts } = apply("multi-krum", LINE, 1, [2]);
  // n − f − 2 = 3 nearest: 0 has 4 + 16 + 36.
  assert.equal(scores.slice(0, 3), [56n, 24n, 24n]);
  assert.equal(central, [true, true, true, true, true, false]);
  assert.equal(counts, [1, 1, 0, 1, 1, 1], "the suspect enters, clipped");
});

test("nearest-neighbour mixing and multi-Krum: each counts as often as it stands in a central neighbourhood", () => {
  // n = 5, f = 1: neighbourhoods of four. 0: {0 1 2 3}, 1: {0 1 2 3}, 2: {0 1 2 3}, 3: {0 1 2 3}, far: {far 3 2 1}.
  const { scores, central, counts, mean } = apply("nnm+multi-krum", [[0], [2], [4], [6], [100]], 1);
  // The four equal sums 12 have distance 0 to one another; 112 is 100 away, twice (n − f − 2 = 2), as sums of four.
  assert.equal(scores, [0n, 0n, 0n, 0n, (2n * 100n ** 2n) / 16n]);
  assert.equal(counts, [4, 4, 4, 4, 0]);
  assert.equal(central, [true, true, true, true, false]);
  assert.equal(mean, [3]);
  // Two camps, f = 1 of 6: neighbourhoods of five leave out the far end of the other camp; 4, mixed with all but 0, is the worst.
  const camps = apply("nnm+multi-krum", [[0], [1], [3], [10], [11], [13]], 1);
  assert.is(
    camps.counts.reduce((a, b) => a + b),
    25,
  );
});

test("nearest-neighbour mixing counts harmful ones nowhere", () => {
  const { scores, counts, mean } = apply("nnm+multi-krum", [[1], [50], [3], [5]], 1, [1]);
  // Three are left, which carry no f: everyone is mixed with everyone.
  assert.equal(counts, [3, 0, 3, 3]);
  assert.is(scores[1], 0n);
  assert.equal(mean, [3]);
});

test("nearest-neighbour mixing and trimmed mean", () => {
  // Mixed, of four: 12, 12, 12, 12 and 112; without the smallest and the largest 36 of 3 · 4.
  const { mean, denominator } = apply("nnm+trimmed-mean", [[0], [2], [4], [6], [100]], 1);
  assert.equal([mean, denominator], [[3], 12]);
  // Ties go to the first: 2's neighbours of n − f = 4 are itself, 1 and 3, and of 0 and 4 the first. The sums:
  // 0 1 2 3 → 6, 0 1 2 3 → 6, 0 1 2 3 → 6, 1 2 3 4 → 10, 1 2 3 4 → 10.
  assert.equal(apply("nnm+trimmed-mean", [[0], [1], [2], [3], [4]], 1).mean, [22 / 12]);
});

test("centered clipping: three steps of clipped differences from the median", () => {
  // v = 4, distances 4 2 0 2 9, τ = 2. Moves −2 −2 0 2 2: v stays.
  assert.equal(apply("centered-clipping", [[0], [2], [4], [6], [13]], 1).mean, [4]);
  // v = 0 (lower), distances 0 0 4, τ = 0: nobody moves it.
  assert.equal(apply("centered-clipping", [[0], [0], [4]], 0).mean, [0]);
  // v = 1 (lower), distances 1 0 9 10, τ = 1 (lower). Moves −1 0 1 1: v = 1 + 1/4. Then −1 −1/4 1 1: + 3/16. Then −1 −7/16 1 1: + 9/64.
  const { mean, denominator } = apply("centered-clipping", [[0], [1], [10], [11]], 0);
  assert.equal([mean, denominator], [[1 + 16 / 64 + 12 / 64 + 9 / 64], 256]);
  assert.equal(apply("centered-clipping", [[-7, 3]], 0).mean, [-7, 3]);
});

test("tolerance: of all as the task says, of the sound as far as they carry it", () => {
  assert.equal(
    AGGREGATION_RULES.map((rule) => toleranceOf(task({ rule }).aggregation, 9)),
    [3, 3, 3, 3, 3, 3, 0],
  );
  assert.is(toleranceOf(task({ rule: "median", f: 3 }).aggregation, 8), undefined);
  assert.is(
    toleranceOf(task({ rule: "fedavg", f: 0 }).aggregation, 1),
    0,
    "no number of updates is too small for a mean",
  );
  assert.equal(
    [9, 8, 7, 6, 5, 4, 1, 0].map((k) => toleranceAmong(k, 3)),
    [3, 2, 2, 1, 1, 0, 0, 0],
  );
});

test("the norm that others are clipped to is of the central ones that are sound", () => {
  const field: Field = { inner: (i, j) => BigInt((i + 1) * (j + 1)), harmful: [false, true, false, false], f: 0 };
  const of = (central: boolean[]) => centralNorm2(field, { central, scores: [], counts: [] });
  assert.is(of([true, true, true, true]), 9n);
  assert.is(of([false, true, false, false]), 4n, "only harmful ones");
  assert.is(of([false, false, false, false]), 0n);
});

const cluster = fc.record({ n: fc.integer({ min: 5, max: 12 }), d: fc.integer({ min: 1, max: 5 }) }).chain(({ n, d }) =>
  fc.array(fc.array(fc.integer({ min: -100, max: 100 }), { minLength: d, maxLength: d }), {
    minLength: n,
    maxLength: n,
  }),
);
const bounds = (vectors: number[][], k: number) => {
  const column = vectors.map((v) => v[k]!);
  return [Math.min(...column), Math.max(...column)] as const;
};

for (const rule of AGGREGATION_RULES) {
  test(`every coordinate lies within those of the updates: ${rule}`, () => {
    fc.assert(
      fc.property(cluster, fc.boolean(), (vectors, tolerant) => {
        const f = tolerant && rule !== "fedavg" ? Math.floor((vectors.length - 3) / 2) : 0;
        // Suspects of multi-Krum would enter clipped: here nobody clips, and the mean of all is what is combined.
        apply(rule, vectors, f).mean.forEach((x, k) => {
          const [low, high] = bounds(vectors, k);
          assert.ok(x >= low && x <= high, `${x} is not within ${low} and ${high}`);
        });
      }),
      { numRuns: 150, seed: 9 },
    );
  });
}

for (const rule of AGGREGATION_RULES.filter((r) => r !== "fedavg")) {
  test(`one update far away moves nothing beyond the honest ones: ${rule}`, () => {
    fc.assert(
      fc.property(cluster, fc.constantFrom(-2000, 2000), (vectors, far) => {
        const all = [...vectors, vectors[0]!.map(() => far)];
        const { mean, counts, central } = apply(rule, all, 1);
        if (rule === "multi-krum") assert.not.ok(central.at(-1));
        if (rule === "nnm+multi-krum") assert.is(counts.at(-1), 0);
        // Multi-Krum's suspect enters clipped to the honest norm, as computeRound does; see below.
        if (rule === "multi-krum") return;
        mean.forEach((x, k) => {
          const [low, high] = bounds(vectors, k);
          // Centered clipping moves by τ at most, three times, an n-th of it towards the outlier.
          const slack = rule === "centered-clipping" ? (3 * 250 * Math.sqrt(vectors[0]!.length)) / all.length : 0;
          assert.ok(x >= low - slack && x <= high + slack, `${x} is not within ${low} and ${high}`);
        });
      }),
      { numRuns: 150, seed: 10 },
    );
  });
}

test("multi-Krum: an update far away enters with the honest norm at most", () => {
  const honest = [
    [90, 100],
    [110, 100],
    [100, 90],
    [100, 112],
    [104, 103],
  ];
  const updates = [...honest, [-2000, -2000]].map((u, i) => update(i, u));
  const { result, model } = learned(round(updates, { spec: task({ f: 1, duplicateCosinePermille: 1000 }) }));
  assert.equal(statuses(result).slice(4), ["accepted", "accepted-clipped"]);
  for (const x of model) assert.ok(x > (5 * 90 - 101) / 6 && x < (5 * 112) / 6, `${x}`);
});

test("a suspect that a rule leaves out is listed as such, weighs nothing and is paid nothing", () => {
  const order = canonicalOrder([0, 1, 2, 3, 4]);
  const lanes = [
    [900, 0],
    [920, 60],
    [880, -70],
    [910, 120],
    [-1500, 100],
  ];
  const spec = task({ rule: "nnm+multi-krum" });
  const { result } = learned(
    round(
      order.map((m, i) => update(m, lanes[i]!)),
      { spec },
    ),
  );
  const last = result.updates.find((u) => u.miner === order[4])!;
  assert.is(statuses(result)[result.updates.indexOf(last)], "suspect");
  assert.equal([last.weight, last.pay], [0n, 0n]);
  assert.is(result.fKrum, 1);
});

test.run();
