import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { faults } from "../../consensus/committee.ts";
import { voteFactor } from "../../consensus/round/credit.ts";
import { isHarmful } from "../../consensus/round/select.ts";
import { type CountedUpdate, tally } from "../../consensus/round/tally.ts";
import type { Hash } from "../../types/primitives.ts";
import {
  HARMFUL,
  HELD,
  HELPFUL,
  NEUTRAL,
  NO_VOTE,
  NOT_HELD,
  type SignedAttestation,
  type UpdateVote,
} from "../../types/round.ts";
import { hash, lcg, learned, round, update, validators } from "./round-fixture.ts";

/** Lying members, f_c of them, who know how everybody else votes and choose what hurts most. */

const VOTES = [NO_VOTE, HARMFUL, NEUTRAL, HELPFUL] as const;
/** What a liar can say of one update: a vote, none, or that it does not hold it; or it sends no attestation at all. */
const LIES = [...VOTES, "not held", "absent"] as const;
type Lie = (typeof LIES)[number];

/** says[member][miner]; every member of the committee is a miner. */
type Says = readonly (readonly Lie[])[];

function count(says: Says): CountedUpdate[] {
  const set = validators(says.length);
  const attestations = says.flatMap((row, member): SignedAttestation[] => {
    if (row.every((lie) => lie === "absent")) return [];
    const updates = row.map((lie, miner) => ({
      miner,
      commitment: hash(1000 + miner),
      status: typeof lie === "number" ? HELD : NOT_HELD,
      vote: typeof lie === "number" ? lie : NO_VOTE,
    }));
    return [
      { message: { height: 5, task: hash(77) as Hash, member, updates, metrics: [] }, signature: new Uint8Array(64) },
    ];
  });
  return tally({ validators: set, committee: set.map((_, i) => i), attestations, pledges: [] }).included;
}

/** A committee, who lies in it, and what everybody thinks in honesty. */
const committees = fc.integer({ min: 4, max: 40 }).chain((c) =>
  fc.record({
    liars: fc.shuffledSubarray([...Array(c).keys()], { minLength: faults(c), maxLength: faults(c) }),
    honest: fc.array(fc.array(fc.constantFrom<UpdateVote>(...VOTES), { minLength: c, maxLength: c }), {
      minLength: c,
      maxLength: c,
    }),
    /** So many of the first members have too few rows to vote. */
    quiet: fc.nat(2),
    lies: fc.array(fc.constantFrom<Lie>(...LIES), { minLength: faults(c), maxLength: faults(c) }),
  }),
);

/**
 * What is said when the liars lie: in each way in which all say the same, which contains the worst (a verdict is monotone in every
 * vote), and in one in which each says something else.
 * @param of whom they lie about
 */
function attempts(
  honest: Says,
  liars: readonly number[],
  mixed: readonly Lie[],
  of: (miner: number) => boolean,
): Says[] {
  const same = LIES.map((lie) => liars.map(() => lie));
  return [...same, mixed].map((lies) =>
    honest.map((row, member) => {
      const at = liars.indexOf(member);
      return at < 0 ? row : row.map((v, miner) => (of(miner) ? (lies[at] as Lie) : v));
    }),
  );
}
const everyone = () => true;

/** Other votes on miner 0. */
const withVotes = (honest: Says, vote: (v: Lie, member: number) => Lie): Says =>
  honest.map(([first, ...rest], member) => [vote(first!, member), ...rest]);

test("what no honest member finds harmful is never harmful, whatever f_c liars say", () => {
  fc.assert(
    fc.property(committees, ({ liars, honest, lies }) => {
      const f = faults(honest.length);
      const liked = withVotes(honest, (v) => (v === HARMFUL ? NEUTRAL : v));
      for (const says of attempts(liked, liars, lies, everyone)) assert.not.ok(isHarmful(count(says)[0]!, f));
    }),
    { numRuns: 100 },
  );
});

test("what all honest members find harmful always is, while 2 f_c + 1 of them vote", () => {
  let met = 0;
  fc.assert(
    fc.property(committees, ({ liars, honest, quiet, lies }) => {
      const f = faults(honest.length);
      const hated = withVotes(honest, (_, member) => (member < quiet ? NO_VOTE : HARMFUL));
      const voting = hated.filter(([v], member) => member !== 0 && !liars.includes(member) && v === HARMFUL).length;
      if (voting < 2 * f + 1) return;
      met++;
      for (const says of attempts(hated, liars, lies, everyone)) assert.ok(isHarmful(count(says)[0]!, f));
    }),
    { numRuns: 100 },
  );
  assert.ok(met > 20, `${met}`);
});

test("what an institution says of its own update counts for nothing", () => {
  fc.assert(
    fc.property(committees, fc.constantFrom<UpdateVote>(...VOTES), ({ honest }, vote) => {
      const other = honest.map((row, member) => row.map((v, miner) => (miner === member ? vote : v)));
      assert.equal(count(other), count(honest));
    }),
    { numRuns: 30 },
  );
});

test("f_c flatterers and slanderers move the vote factor no further than some honest member voted", () => {
  const points = (v: UpdateVote) => (v === HELPFUL ? 65_536n : v === NEUTRAL ? 32_768n : 0n);
  let met = 0;
  fc.assert(
    fc.property(committees, ({ liars, honest: thought, quiet, lies }) => {
      const f = faults(thought.length);
      const honest = withVotes(thought, (v, member) => (member < quiet ? NO_VOTE : v === NO_VOTE ? NEUTRAL : v));
      const said = honest.flatMap((row, member) => {
        const vote = row[0] as UpdateVote;
        return member === 0 || liars.includes(member) || vote === NO_VOTE ? [] : [points(vote)];
      });
      if (said.length < 2 * f + 1) return;
      met++;
      const least = said.reduce((a, b) => (b < a ? b : a));
      const most = said.reduce((a, b) => (b > a ? b : a));
      for (const says of attempts(honest, liars, lies, everyone)) {
        const factor = voteFactor(count(says)[0]!, f);
        assert.ok(factor >= least && factor <= most, `${factor} outside ${least} to ${most}`);
      }
    }),
    { numRuns: 100 },
  );
  assert.ok(met > 20, `${met}`);
});

/** Pay of every miner: updates that agree, standings that are paid, and these votes. */
function payOf(says: Says, seed: number): bigint[] {
  const random = lcg(seed);
  const common = Array.from({ length: 10 }, () => 600 * (random() - 0.5));
  const lanes = says.map(() => common.map((b) => Math.round(b + 900 * (random() - 0.5))));
  const counted = new Map(count(says).map((u) => [u.miner, u]));
  const updates = lanes.flatMap((l, miner) => {
    const votes = counted.get(miner);
    const standing = { credit: 60_000n, variance: 40_000_000n };
    return votes ? [update(miner, l, { ...votes, standing })] : [];
  });
  const { result } = learned(round(updates, { committeeSize: says.length, pool: 1_000_000_000n }));
  const paid = new Map(result.updates.map((u) => [u.miner, u.pay]));
  return says.map((_, miner) => paid.get(miner) ?? 0n);
}

test("lies about rivals change the liars' own pay by nothing, and speaking worse of them raises nobody's", () => {
  let cost = 0;
  fc.assert(
    fc.property(committees, fc.nat(), ({ liars, honest, lies }, seed) => {
      const rival = (miner: number) => !liars.includes(miner);
      const truth = payOf(honest, seed);
      for (const says of attempts(honest, liars, lies, rival)) {
        const pay = payOf(says, seed);
        for (const liar of liars) assert.is(pay[liar], truth[liar]);
      }
      const worse = (how: (v: Lie) => Lie) =>
        honest.map((row, member) => (rival(member) ? row : row.map((v, miner) => (rival(miner) ? how(v) : v))));
      const oneLower = (v: Lie) => (v === HELPFUL ? NEUTRAL : v === NEUTRAL ? HARMFUL : v);
      for (const says of [worse(() => HARMFUL), worse(oneLower)]) {
        const pay = payOf(says, seed);
        pay.forEach((p, miner) => {
          assert.ok(p <= truth[miner]!, `miner ${miner}: ${p} in place of ${truth[miner]}`);
          if (p < truth[miner]!) cost++;
        });
      }
    }),
    { numRuns: 30 },
  );
  // Lies do cost rivals something, or nothing was tested.
  assert.ok(cost > 0);
});

test.run();
