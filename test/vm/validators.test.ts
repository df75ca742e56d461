import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Task } from "../../types/state.ts";
import { State } from "../../vm/state.ts";
import { expectedMiners, powerCap, validatorSet } from "../../vm/validators.ts";
import {
  addressFor,
  Chain,
  expectCode,
  FOUNDERS,
  type GenesisChange,
  genesisWith,
  learningOf,
  nameOf,
  STAKE,
  seedOf,
  spec,
} from "./support.ts";

function start(change: GenesisChange = {}): Chain {
  const genesis = genesisWith(change);
  return new Chain(genesis, State.genesis(genesis));
}
const missedBy = (name: string, by = "anna") => ({
  proposedRound: 1,
  proposer: addressFor(by),
  expectedProposer: addressFor(name),
});

const caps: { id: string; stakes: bigint[]; permille: number; cap: bigint }[] = [
  { id: "all equal", stakes: [10n, 10n, 10n, 10n], permille: 330, cap: 10n },
  { id: "no cap at all", stakes: [97n, 1n, 1n, 1n], permille: 1000, cap: 97n },
  { id: "a giant counts for a third of what counts", stakes: [970n, 100n, 100n, 100n], permille: 330, cap: 147n },
  { id: "two giants", stakes: [900n, 800n, 100n, 100n], permille: 330, cap: 194n },
  { id: "too few for the cap: all as the smallest", stakes: [900n, 100n, 50n], permille: 330, cap: 50n },
  { id: "one", stakes: [7n], permille: 1, cap: 7n },
  { id: "none", stakes: [], permille: 330, cap: 0n },
];
for (const { id, stakes, permille, cap } of caps) {
  test(`power cap: ${id}`, () => assert.is(powerCap(stakes, permille), cap));
}

test("no capped power is above its share or zero, and the cap could not be a unit higher", () => {
  const stakes = fc.array(fc.bigInt(1n, 1_000_000n), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(stakes, fc.integer({ min: 1, max: 1000 }), (list, permille) => {
      const cap = powerCap(list, permille);
      const shareAt = (c: bigint) => {
        const powers = list.map((s) => (s < c ? s : c));
        const largest = powers.reduce((a, b) => (a > b ? a : b));
        return { powers, excess: 1000n * largest - BigInt(permille) * powers.reduce((a, b) => a + b) };
      };
      const { powers, excess } = shareAt(cap);
      assert.ok(powers.every((p) => p > 0n));
      if (BigInt(list.length) * BigInt(permille) < 1000n) {
        assert.ok(powers.every((p) => p === powers[0]));
        return;
      }
      const largest = list.reduce((a, b) => (a > b ? a : b));
      assert.ok(excess <= 0n);
      if (cap < largest) assert.ok(shareAt(cap + 1n).excess > 0n);
    }),
  );
});

test("the largest by stake validate, ties by registration, listed in the order of registration", () => {
  const chain = start({ consensus: { maxValidators: 4 }, stakes: { cleo: STAKE + 1n } });
  chain.send(chain.bond("emil", STAKE), chain.bond("fay", STAKE + 5n));
  chain.to(4);
  assert.equal(chain.validators(), ["anna", "ben", "cleo", "fay"]);
});

test("weight in the committee is power times reputation, at least 1", () => {
  const chain = start();
  const draft = chain.state.draft();
  draft.setMiner(0, { ...chain.miner("anna"), reputation: 1 << 15 });
  draft.setMiner(1, { ...chain.miner("ben"), reputation: 0 });
  const set = validatorSet(new State(draft.seal()), chain.genesis);
  assert.equal(
    set.map((v) => v.committeeWeight),
    [STAKE / 2n, 1n, STAKE, STAKE],
  );
  assert.equal(
    set.map((v) => v.power),
    [STAKE, STAKE, STAKE, STAKE],
  );
});

test("a key counts only after the delay", () => {
  const chain = start();
  chain.send(chain.bond("emil", STAKE));
  // Registered at 1 with a delay of 3: validates height 4, so it is in the set that the state of height 3 gives.
  chain.to(2);
  assert.not(chain.validators().includes("emil"));
  chain.run();
  assert.ok(chain.validators().includes("emil"));
});

test("missed proposals in a row jail; one made in round 0 starts the count again; unjail brings back", () => {
  const chain = start();
  chain.run(missedBy("dora"));
  assert.is(chain.miner("dora").missed, 1);
  chain.run({ proposer: addressFor("dora"), expectedProposer: addressFor("dora") });
  assert.is(chain.miner("dora").missed, 0);
  chain.run(missedBy("dora")).run(missedBy("dora"));
  assert.equal([chain.miner("dora").jailed, chain.miner("dora").jailedUntil], [true, 9]);
  assert.equal(chain.validators(), ["anna", "ben", "cleo"]);
  chain.to(8);
  assert.equal(chain.send(chain.tx("dora", { kind: "unjail", value: { height: 8 } })), [""]);
  assert.equal(chain.validators(), [...FOUNDERS]);
});

test("a block of a later round by the one whose turn it was is no miss", () => {
  const chain = start();
  chain.run(missedBy("anna", "anna"));
  assert.is(chain.miner("anna").missed, 0);
});

test("jailing for absence leaves two thirds of the stake free: of four, only one", () => {
  const chain = start();
  for (const name of ["dora", "cleo", "cleo", "ben"]) chain.run(missedBy(name)).run(missedBy(name));
  assert.equal(
    FOUNDERS.map((n) => chain.miner(n).jailed),
    [false, false, false, true],
  );
  assert.equal(chain.validators(), ["anna", "ben", "cleo"]);
});

test("whoever misses its turn is ranked last", () => {
  const chain = start();
  const id = chain.state.activeTask()?.record.id as Hash;
  const learning = learningOf(id, [
    { miner: 0, contribution: 1n },
    { miner: 3, contribution: 9n },
  ]);
  chain.run({ learning });
  assert.equal(chain.state.ranking.map(nameOf), ["dora", "anna"]);
  chain.run({ learning, ...missedBy("dora") });
  assert.equal(chain.state.ranking.map(nameOf), ["anna", "dora"]);
});

test("the set never becomes empty: the last one is punished but stays, with the minimum at least", () => {
  const chain = start({ economy: { slashDoubleSignPermille: 1000, minimumStake: "1000" } });
  const evidence = FOUNDERS.map((name) => chain.doubleVote(name, 1));
  chain.run({ evidence });
  assert.equal(chain.validators(), ["dora"]);
  assert.equal(
    FOUNDERS.map((n) => chain.miner(n).stake),
    [0n, 0n, 0n, 1000n],
  );
  chain.run({ evidence: [chain.doubleVote("dora", 2)] });
  assert.equal(chain.validators(), ["dora"]);
});

test("who is expected: everyone at first, then those of the last two learning blocks and newcomers", () => {
  const chain = start({ task: { spec: spec({ rounds: { maximum: 99 } }), escrow: "0" } });
  const task = () => chain.state.activeTask()?.record as Task;
  const expected = () =>
    expectedMiners(chain.state, task(), validatorSet(chain.state, chain.genesis), chain.genesis).map(nameOf);
  const learn = (...miners: number[]) =>
    chain.run({
      learning: learningOf(
        task().id,
        miners.map((miner) => ({ miner })),
      ),
    });
  assert.equal(expected(), [...FOUNDERS]);
  learn(0, 1, 2);
  assert.equal(expected(), ["anna", "ben", "cleo"]);
  learn(0, 1);
  assert.equal(expected(), ["anna", "ben", "cleo"]);
  learn(0, 3);
  assert.equal(expected(), ["anna", "ben", "dora"]);
  chain.send(chain.bond("emil", STAKE));
  chain.run().run();
  // First height 7; learning blocks so far at 1, 2, 3.
  assert.equal(expected(), ["anna", "ben", "dora", "emil"]);
  learn(0);
  assert.equal(expected(), ["anna", "dora", "emil"]);
  learn(0);
  assert.equal(expected(), ["anna"], "two learning blocks went by without it");
});

test("refused blocks: wrong height, time that stands still, strangers who propose", () => {
  const chain = start();
  const root = toHex(chain.state.root());
  for (const change of [
    { height: 2 },
    { time: chain.state.time },
    { proposer: addressFor("emil") },
    { expectedProposer: seedOf("x").slice(0, 20) },
  ]) {
    assert.throws(() => chain.run(change), expectCode("BAD_BLOCK"));
  }
  assert.is(toHex(chain.state.root()), root);
});

test.run();
