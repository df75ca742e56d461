import { test } from "uvu";
import * as assert from "uvu/assert";
import { tally } from "../../consensus/round/tally.ts";
import type { Hash } from "../../types/primitives.ts";
import {
  type AttestedUpdate,
  HARMFUL,
  HELD,
  HELPFUL,
  type HoldStatus,
  type Metrics,
  NEUTRAL,
  NO_REVEAL,
  NO_VOTE,
  NOT_HELD,
  type SignedAttestation,
  type SignedPledge,
  type UpdateVote,
} from "../../types/round.ts";
import { hash, validators } from "./round-fixture.ts";

const signature = new Uint8Array(64);
const [height, task] = [5, hash(77)];
const cm = (miner: number) => hash(1000 + miner);

function said(miner: number, status: HoldStatus, vote: UpdateVote = NO_VOTE, commitment = cm(miner)): AttestedUpdate {
  return { miner, commitment, status, vote };
}
function attest(member: number, updates: AttestedUpdate[], metrics: Metrics[] = []): SignedAttestation {
  return { message: { height, task, member, updates, metrics }, signature };
}
function pledge(miner: number, commitment: Hash = cm(miner)): SignedPledge {
  return { message: { height, task, miner, commitment }, signature };
}
function run(attestations: SignedAttestation[], pledges: SignedPledge[], n = 4) {
  const set = validators(n);
  return tally({ validators: set, committee: set.map((_, i) => i), attestations, pledges });
}

test("S: f_c + 1 holders are needed, f_c are too few", () => {
  // n = 7: f_c = 2.
  const holders = (count: number) =>
    run(
      Array.from({ length: 7 }, (_, m) => attest(m, [said(6, m < count ? HELD : NOT_HELD)])),
      [pledge(6)],
      7,
    );
  assert.equal(
    holders(3).included.map((u) => [u.miner, u.held]),
    [[6, 3]],
  );
  assert.equal(holders(3).notHeld, []);
  assert.equal(holders(2).included, []);
  assert.equal(
    holders(2).notHeld.map((u) => [u.miner, u.held]),
    [[6, 2]],
  );
});

test("votes: the owner's is left out, no vote counts nothing", () => {
  const all = (vote: UpdateVote) => [said(1, HELD, vote)];
  const counted = run(
    [attest(0, all(HARMFUL)), attest(1, all(HELPFUL)), attest(2, all(NEUTRAL)), attest(3, all(NO_VOTE))],
    [pledge(1)],
  ).included[0]!;
  assert.equal([counted.harmful, counted.neutral, counted.helpful], [1, 1, 0]);
});

test("a lie about a pledge that nobody signed leaves no trace", () => {
  const { included, notHeld, noReveal } = run(
    [0, 1, 2].map((m) => attest(m, [said(3, m === 0 ? HELD : NO_REVEAL, NO_VOTE, hash(666))])),
    [],
  );
  assert.equal([included, notHeld, noReveal], [[], [], []]);
});

test("no reveal: c − f_c attestations, not one fewer", () => {
  const seen = (count: number) =>
    run(
      [0, 1, 2, 3].map((m) => attest(m, [said(3, m < count ? NO_REVEAL : NOT_HELD)])),
      [pledge(3)],
    ).noReveal;
  assert.equal(seen(3), [3]);
  assert.equal(seen(2), []);
});

test("a miner of which two commitments are held has signed two: neither enters", () => {
  const { included, notHeld } = run(
    [0, 1, 2, 3].map((m) => attest(m, [said(2, HELD), said(3, HELD, NO_VOTE, m < 2 ? cm(3) : hash(9))])),
    [pledge(2), pledge(3)],
  );
  assert.equal(
    included.map((u) => u.miner),
    [2],
  );
  assert.equal(
    notHeld.map((u) => u.miner),
    [3],
  );
  // A single liar's second commitment does not hurt an honest miner.
  const one = run(
    [0, 1, 2, 3].map((m) => attest(m, [said(3, HELD, NO_VOTE, m > 0 ? cm(3) : hash(9))])),
    [pledge(3)],
  );
  assert.equal(
    one.included.map((u) => u.miner),
    [3],
  );
});

test("the order of attestations and pledges changes nothing", () => {
  const attestations = [0, 1, 2, 3].map((m) =>
    attest(m, [said(0, HELD, HELPFUL), said(1, m < 1 ? HELD : NOT_HELD), said(2, HELD, m < 2 ? HARMFUL : NEUTRAL)]),
  );
  const pledges = [pledge(0), pledge(1), pledge(2)];
  assert.equal(run(attestations.toReversed(), pledges.toReversed()), run(attestations, pledges));
});

test("metrics: lower medians per field, AUROC where defined, n reports", () => {
  const m = (loss: number, accuracy: number, auroc: number): Metrics[] => [{ n: 64, loss, accuracy, auroc }];
  const reports = [m(400, 900, 0), m(100, 800, 700), m(300, 600, 800), m(200, 700, 0)];
  const { metrics } = run(
    reports.map((r, i) => attest(i, [], r)),
    [],
  );
  assert.equal(metrics, { n: 4, loss: 200, accuracy: 700, auroc: 700 });
  assert.equal(run([attest(0, [])], []).metrics, { n: 0, loss: 0, accuracy: 0, auroc: 0 });
});

test.run();
