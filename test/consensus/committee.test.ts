import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalKey, drawCommittee, drawProposer, faults, proposerOf, uniform } from "../../consensus/committee.ts";
import { u64Bytes } from "../../crypto/hash.ts";
import { hash, validators } from "./round-fixture.ts";

test("faults of a committee", () => {
  assert.equal([0, 1, 3, 4, 6, 7, 9, 10, 100].map(faults), [0, 0, 0, 1, 1, 2, 2, 3, 33]);
});

test("the canonical key depends on seed and institution", () => {
  assert.equal(canonicalKey(hash(1), hash(2)), canonicalKey(hash(1), hash(2)));
  assert.not.equal(canonicalKey(hash(1), hash(2)), canonicalKey(hash(1), hash(3)));
  assert.not.equal(canonicalKey(hash(1), hash(2)), canonicalKey(hash(4), hash(2)));
});

test("everyone sits in a small committee, whatever the weights", () => {
  assert.equal(
    drawCommittee(
      validators(4, () => ({ committeeWeight: 0n })),
      7,
      hash(1),
    ),
    [0, 1, 2, 3],
  );
  assert.equal(drawCommittee(validators(7), 7, hash(1)), [0, 1, 2, 3, 4, 5, 6]);
  assert.equal(drawCommittee([], 7, hash(1)), []);
});

test("a draw has the seats, ascending and distinct, and the seed fixes it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.bigInt({ min: 0n, max: 2n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.integer({ min: 1, max: 30 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (weights, seats, seed) => {
        const set = validators(weights.length, (i) => ({ committeeWeight: weights[i] as bigint }));
        const drawn = drawCommittee(set, seats, seed);
        assert.is(drawn.length, Math.min(seats, set.length));
        assert.ok(drawn.every((v, i) => v < set.length && (i === 0 || v > (drawn[i - 1] as number))));
        assert.equal(drawCommittee(set, seats, seed), drawn);
        // Nobody without weight sits while someone with weight stands.
        const out = weights.filter((_, i) => !drawn.includes(i));
        if (drawn.some((i) => weights[i] === 0n)) assert.ok(out.every((w) => w === 0n));
      },
    ),
    { numRuns: 200 },
  );
});

test("frequencies follow the weights", () => {
  // One seat of three with weights 1 : 2 : 5, then two seats: the chance of each is known.
  const set = validators(3, (i) => ({
    committeeWeight: [10n, 20n, 50n][i] as bigint,
    power: [10n, 20n, 50n][i] as bigint,
  }));
  const runs = 4000;
  const one = [0, 0, 0];
  const two = [0, 0, 0];
  const proposer = [0, 0, 0];
  for (let r = 0; r < runs; r++) {
    const seed = hash(r);
    for (const i of drawCommittee(set, 1, seed)) one[i]!++;
    for (const i of drawCommittee(set, 2, seed)) two[i]!++;
    proposer[drawProposer(set, hash(0), r, 3)]!++;
  }
  const near = (counts: number[], expected: number[]) => {
    counts.forEach((count, i) => {
      const p = expected[i] as number;
      // Five standard deviations: the seeds are fixed, so this passes always or never.
      assert.ok(Math.abs(count / runs - p) < 5 * Math.sqrt((p * (1 - p)) / runs), `${counts} against ${expected}`);
    });
  };
  near(one, [1 / 8, 2 / 8, 5 / 8]);
  near(proposer, [1 / 8, 2 / 8, 5 / 8]);
  const p = (a: number, b: number) => (a / 8) * (b / (8 - a));
  near(two, [1 / 8 + p(2, 1) + p(5, 1), 2 / 8 + p(1, 2) + p(5, 2), 5 / 8 + p(1, 5) + p(2, 5)]);
});

test("uniform stays below its bound and draws again in the incomplete interval", () => {
  // With this bound a hash is refused half of the time, so some of the draws need a second attempt.
  const bound = 2n ** 255n + 1n;
  for (let i = 0; i < 50; i++) assert.ok(uniform(bound, "test", [u64Bytes(i)]) < bound);
  assert.is(uniform(1n, "test", [u64Bytes(0)]), 0n);
});

test("proposer of a round", () => {
  const set = validators(5);
  const address = (i: number) => set[i]!.address;
  const input = { validators: set, ranking: [hash(99).slice(0, 20), address(3), address(1)], seed: hash(5), height: 9 };
  const drawn = (round: number) => drawProposer(set, hash(5), 9, round);
  assert.is(proposerOf({ ...input, learned: true, round: 0 }), 3, "best-ranked that is in the set");
  assert.is(proposerOf({ ...input, learned: false, round: 0 }), drawn(0), "after a block without learning");
  assert.is(proposerOf({ ...input, learned: true, ranking: [], round: 0 }), drawn(0), "nobody ranked");
  for (let r = 1; r < 9; r++) assert.is(proposerOf({ ...input, learned: true, round: r }), drawn(r), "later rounds");
  const later = Array.from({ length: 60 }, (_, r) => drawn(r));
  assert.is(new Set(later).size, 5, "rounds draw anew");
  assert.throws(
    () => drawProposer([], hash(1), 1, 0),
    (e: { code?: string }) => e.code === "NO_VALIDATORS",
  );
});

test.run();
