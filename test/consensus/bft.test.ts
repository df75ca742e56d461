import { test } from "uvu";
import * as assert from "uvu/assert";
import { Bft } from "../../consensus/bft/machine.ts";
import type { BftEffect, BftEvent } from "../../consensus/bft/types.ts";
import { type Hash, ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import { accused } from "../../vm/offences.ts";
import { Cluster, proposal, TIMEOUTS, validators, valueId, vote } from "./bft-cluster.ts";

/** Node 3 of n equal validators; proposer of round r is r mod n. */
function machine(n = 4, self = 3): Bft {
  const set = validators(Array.from({ length: n }, () => 1));
  return new Bft({ height: 1, validators: set, self, proposer: (r) => r % n, timeouts: TIMEOUTS });
}

const V = valueId(0, 0);
const W = valueId(1, 1);
const valid = (blockId: Hash, ok = true): BftEvent => ({
  type: "verdict",
  blockId,
  valid: ok,
  builtRound: blockId[2] as number,
});
const prevote = (round: number, id: Hash, from: number, vr = -1): BftEvent => ({
  type: "vote",
  vote: vote(PREVOTE, round, id, from, vr),
});
const precommit = (round: number, id: Hash, from: number): BftEvent => ({
  type: "vote",
  vote: vote(PRECOMMIT, round, id, from),
});
const propose = (round: number, id: Hash, from: number, vr = -1): BftEvent => ({
  type: "proposal",
  proposal: proposal(round, id, from, vr),
});
const timeout = (kind: "propose" | "prevote" | "precommit", round: number): BftEvent => ({
  type: "timeout",
  kind,
  round,
});

/** Feeds events; own votes come back at once, as the shell does it. Returns what was voted, as text. */
function feed(bft: Bft, ...events: BftEvent[]): string[] {
  const votes: string[] = [];
  const queue = [...events];
  for (let event = queue.shift(); event; event = queue.shift()) {
    for (const effect of bft.handle(event)) {
      votes.push(...describe(effect));
      if (effect.type === "vote") {
        queue.unshift({
          type: "vote",
          vote: vote(effect.vote, effect.round, effect.blockId, bft.config.self, effect.validRound),
        });
      }
    }
  }
  return votes;
}

function describe(effect: BftEffect): string[] {
  const name = (id: Hash) => (id[0] === 0 ? "nil" : id[1] === 0 ? "V" : "W");
  switch (effect.type) {
    case "vote":
      return [`${effect.vote === PREVOTE ? "prevote" : "precommit"} ${name(effect.blockId)} @${effect.round}`];
    case "propose":
      return [`propose ${name(effect.blockId)} @${effect.round} vr ${effect.validRound}`];
    case "decide":
      return [`decide ${name(effect.blockId)} @${effect.commit.round}`];
    case "offence":
      return [`${effect.offence.kind} of ${accused(effect.offence)}`];
    case "alarm":
      return ["alarm"];
    default:
      return [];
  }
}

test("L22: prevotes a valid value, nil for an invalid one, nothing before the verdict", () => {
  assert.equal(feed(machine(), { type: "start" }, propose(0, V, 0), valid(V)), ["prevote V @0"]);
  assert.equal(feed(machine(), { type: "start" }, propose(0, V, 0), valid(V, false)), ["prevote nil @0"]);
  assert.equal(feed(machine(), { type: "start" }, propose(0, V, 0)), []);
});

test("a fresh proposal must have been built in its own round", () => {
  const late = valueId(0, 2);
  assert.equal(feed(machine(), { type: "start" }, propose(0, late, 0), valid(late)), ["prevote nil @0"]);
});

test("a proposal from anybody but the proposer of the round is ignored", () => {
  assert.equal(feed(machine(), { type: "start" }, propose(0, V, 1), valid(V), timeout("propose", 0)), [
    "prevote nil @0",
  ]);
});

test("L36 and L49: locks, precommits, decides; precommits of different rounds don't add up", () => {
  const bft = machine();
  assert.equal(feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, V, 0), prevote(0, V, 1)), [
    "prevote V @0",
    "precommit V @0",
  ]);
  assert.equal(bft.locked, { round: 0, id: V });
  assert.equal(feed(bft, precommit(0, V, 0), precommit(1, V, 1), precommit(2, V, 2)), []);
  assert.equal(feed(bft, precommit(0, V, 1)), ["decide V @0"]);
});

test("L49: decides for a round that is not the current one, before starting too", () => {
  const bft = machine();
  assert.equal(feed(bft, valid(W), precommit(1, W, 0), precommit(1, W, 1), precommit(1, W, 2)), ["decide W @1"]);
});

test("an equivocating vote is reported; nobody counts twice for one thing", () => {
  const bft = machine();
  feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, V, 0));
  assert.equal(feed(bft, prevote(0, ZERO_HASH, 0)), ["double-vote of 0"]);
  assert.equal(feed(bft, prevote(0, V, 0), prevote(0, V, 0)), []);
  assert.is(bft.locked, undefined);
});

test("an equivocator may complete a proof-of-lock that others saw complete, whichever vote came first", () => {
  const bft = machine();
  feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, ZERO_HASH, 0), prevote(0, V, 1));
  assert.equal(feed(bft, prevote(0, V, 0)), ["double-vote of 0", "precommit V @0"]);
});

test("a flood of contradictions is not kept", () => {
  const bft = machine();
  feed(bft, { type: "start" });
  for (let salt = 1; salt < 200; salt++) feed(bft, prevote(0, valueId(0, 0, salt), 0));
  assert.equal(feed(bft, valid(V), prevote(0, V, 1), prevote(0, V, 2), propose(0, V, 0), prevote(0, V, 0)), [
    "prevote V @0",
    "precommit V @0",
    "double-vote of 0",
  ]);
});

/** Locks V in round 0 and moves to round 1. */
function lockedOnV(): Bft {
  const bft = machine();
  feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, V, 0), prevote(0, V, 1), timeout("precommit", 0));
  assert.is(bft.round, 1);
  return bft;
}

test("L22 when locked: prevotes nil for another value without a proof-of-lock", () => {
  assert.equal(feed(lockedOnV(), propose(1, W, 1), valid(W)), ["prevote nil @1"]);
});

test("L28: a stale or missing proof-of-lock does not free the lock, a newer one does", () => {
  const missing = lockedOnV();
  feed(missing, timeout("propose", 1), timeout("precommit", 1));
  assert.equal(feed(missing, valid(W), propose(2, W, 2, 1)), []);
  // The proof-of-lock of round 1 arrives: 1 ≥ lockedRound 0.
  assert.equal(feed(missing, prevote(1, W, 0), prevote(1, W, 1), prevote(1, W, 2)), ["prevote W @2"]);

  const stale = machine();
  feed(stale, { type: "start" }, timeout("propose", 0), timeout("precommit", 0));
  feed(stale, propose(1, W, 1), valid(W), prevote(1, W, 0), prevote(1, W, 1), timeout("precommit", 1));
  assert.equal(stale.locked, { round: 1, id: W });
  // Round 0 had a polka for V that this node had not seen; it is older than the lock.
  assert.equal(feed(stale, valid(V), prevote(0, V, 0), prevote(0, V, 1), prevote(0, V, 2), propose(2, V, 2, 0)), [
    "prevote nil @2",
  ]);
});

test("locked twice: an older proof-of-lock does not free the lock, for the block that is held neither", () => {
  const bft = lockedOnV();
  feed(bft, valid(W), propose(1, W, 1), ...[0, 1, 2].map((i) => prevote(1, W, i)), timeout("precommit", 1));
  assert.equal(bft.locked, { round: 1, id: W });
  feed(bft, timeout("propose", 2), ...[0, 1, 2].map((i) => prevote(2, V, i, 0)), timeout("precommit", 2));
  assert.equal(bft.locked, { round: 2, id: V });
  assert.equal(feed(bft, timeout("precommit", 3), propose(4, V, 0, 0)), ["prevote nil @4"]);
  assert.equal(feed(bft, timeout("precommit", 4), propose(5, V, 1, 2)), ["prevote V @5"]);
});

test("L44: a polka for nil precommits nil and keeps the lock", () => {
  const bft = lockedOnV();
  const votes = feed(bft, timeout("propose", 1), prevote(1, ZERO_HASH, 0), prevote(1, ZERO_HASH, 1));
  assert.equal(votes, ["prevote nil @1", "precommit nil @1"]);
  assert.equal(bft.locked, { round: 0, id: V });
});

test("L14: the proposer proposes its valid value again, with its round", () => {
  const bft = machine(4, 1);
  feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, V, 0), prevote(0, V, 2));
  assert.equal(feed(bft, timeout("precommit", 0)), ["propose V @1 vr 0"]);
});

test("L36 after precommitting nil: the value becomes valid, not locked", () => {
  const bft = machine();
  feed(bft, { type: "start" }, timeout("propose", 0), timeout("prevote", 0));
  feed(bft, valid(V), prevote(0, V, 0), prevote(0, V, 1), prevote(0, V, 2));
  assert.is(bft.locked, undefined);
  assert.equal(bft.valid, { round: 0, id: V });
});

test("L55: more than a third in a later round, proposals counted too; one alone is not enough", () => {
  const bft = machine();
  feed(bft, { type: "start" }, propose(5, V, 1));
  assert.is(bft.round, 0);
  feed(bft, prevote(5, ZERO_HASH, 1), precommit(5, ZERO_HASH, 1));
  assert.is(bft.round, 0);
  feed(bft, precommit(5, ZERO_HASH, 2));
  assert.is(bft.round, 5);
});

test("quorum is more than two thirds, not a majority: seen at n = 7", () => {
  const bft = machine(7, 6);
  const votes = feed(
    bft,
    { type: "start" },
    propose(0, V, 0),
    valid(V),
    prevote(0, V, 0),
    prevote(0, V, 1),
    prevote(0, V, 2),
  );
  assert.equal(votes, ["prevote V @0"]);
  assert.equal(feed(bft, prevote(0, V, 3)), ["precommit V @0"]);
});

test("prevotes with another validRound don't make one proof-of-lock (accountable variant)", () => {
  const bft = machine();
  feed(bft, { type: "start" }, propose(0, V, 0), valid(V), prevote(0, V, 0, -1));
  assert.is(bft.locked, undefined);
  feed(bft, prevote(0, V, 1, 3));
  assert.is(bft.locked, undefined);
});

test("timeouts of other rounds and steps do nothing; they grow with the round", () => {
  const bft = machine();
  assert.equal(feed(bft, { type: "start" }, timeout("prevote", 0), timeout("precommit", 3)), []);
  const [first] = machine(4, 3).handle({ type: "start" });
  assert.equal(first, { type: "timeout", kind: "propose", round: 0, ms: 300 });
  feed(bft, precommit(7, ZERO_HASH, 0));
  const effects = bft.handle(precommit(7, ZERO_HASH, 1));
  assert.ok(effects.some((e) => e.type === "timeout" && e.ms === 300 + 7 * 50));
});

test("a flood of future rounds stays bounded, and the decided round is not lost to it", () => {
  const bft = machine();
  feed(bft, { type: "start" });
  for (let r = 1; r < 5000; r++) feed(bft, prevote(r, ZERO_HASH, 0));
  assert.equal(bft.knownRounds(), [0, 4998, 4999], "nothing is left of the others");
  assert.equal(feed(bft, valid(W), precommit(1, W, 1), precommit(1, W, 2), precommit(1, W, 3)), ["decide W @1"]);
});

test("a vote for what a third supports is wanted whatever its sender has sent before; the same vote again is not", () => {
  const bft = machine();
  feed(bft, { type: "start" }, prevote(0, W, 0), prevote(0, V, 1));
  assert.not(bft.wants(vote(PREVOTE, 0, V, 0)), "one of four may be faulty");
  feed(bft, prevote(0, V, 2));
  assert.ok(bft.wants(vote(PREVOTE, 0, V, 0)));
  assert.not(bft.wants(vote(PREVOTE, 0, V, 0, 3)), "not in answer to the same proposal");
  feed(bft, prevote(0, V, 0));
  assert.not(bft.wants(vote(PREVOTE, 0, V, 0)));
});

test("a proposer that equivocates can't block the value that others decide", () => {
  const bft = machine();
  const other = valueId(0, 0, 9);
  feed(bft, { type: "start" }, propose(0, other, 0), valid(other));
  const effects = feed(bft, precommit(0, V, 0), precommit(0, V, 1), precommit(0, V, 2));
  assert.equal(effects, []);
  assert.equal(feed(bft, valid(V)), ["decide V @0"]);
});

for (const { id, powers, byzantine, seeds } of [
  { id: "4 equal", powers: [1, 1, 1, 1], byzantine: [], seeds: 150 },
  { id: "4 unequal", powers: [5, 3, 3, 2], byzantine: [], seeds: 40 },
  { id: "7 equal", powers: [1, 1, 1, 1, 1, 1, 1], byzantine: [], seeds: 40 },
  { id: "4, one says yes to everything", powers: [1, 1, 1, 1], byzantine: [0], seeds: 150 },
  { id: "7, two say yes to everything", powers: [1, 1, 1, 1, 1, 1, 1], byzantine: [0, 3], seeds: 40 },
]) {
  test(`agreement and termination with loss and delay: ${id}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const cluster = new Cluster({
        powers,
        seed,
        delay: 60,
        loss: 0.3,
        healAt: 3000,
        byzantine,
        // Signs whatever it sees, towards a random half of the others; proposes two values.
        act: (c, _from, event) => {
          for (const b of byzantine) {
            const half = c.nodes.map((_, i) => i).filter(() => c.rand() < 0.5);
            if (event.type === "vote") {
              const m = event.vote.message;
              for (const to of half) {
                c.send(b, to, { type: "vote", vote: vote(m.type as 1 | 2, m.round, m.blockId, b, m.validRound - 1) });
                if (b === m.round % powers.length) {
                  c.send(b, to, propose(m.round, valueId(b, m.round, c.rand() < 0.5 ? 1 : 2), b));
                }
              }
            }
          }
        },
      });
      assert.ok(cluster.run(60_000), `seed ${seed}: not everybody decided`);
      assert.is(new Set(cluster.decisions.map((d) => d.id)).size, 1, `seed ${seed}: two decisions`);
    }
  });
}

test.run();
