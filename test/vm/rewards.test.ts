import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { toHex } from "../../types/primitives.ts";
import { issuance, roundBounty, splitPot, trainersPool } from "../../vm/rewards.ts";
import { State } from "../../vm/state.ts";
import {
  addressFor,
  BALANCE,
  Chain,
  expectCode,
  FOUNDERS,
  type GenesisChange,
  genesisWith,
  learningOf,
  spec,
  type UpdateOf,
} from "./support.ts";

function start(change: GenesisChange = {}): Chain {
  const genesis = genesisWith(change);
  return new Chain(genesis, State.genesis(genesis));
}
const task = (chain: Chain) =>
  chain.state.activeTask()?.record as NonNullable<ReturnType<State["activeTask"]>>["record"];
const everyone = FOUNDERS.map(addressFor);
const learn = (chain: Chain, updates: UpdateOf[], committee = everyone) =>
  chain.run({ learning: learningOf(task(chain).id, updates), committee });

test("a full round: issuance 10000 and bounty 1000 by 100, 300 and 600 per mille", () => {
  const chain = start();
  assert.is(trainersPool(chain.state, chain.genesis, task(chain)), 6600n);
  const { minted } = chain.state.singles;
  learn(chain, [
    { miner: 0, pay: 3000n },
    { miner: 1, pay: 2000n },
    { miner: 2, pay: 1600n },
    { miner: 3, pay: 0n },
  ]);
  // 1100 to the proposer (anna), 3300 / 4 to each member.
  assert.is(chain.balance("anna"), BALANCE + 1100n + 825n + 3000n);
  assert.is(chain.balance("ben"), BALANCE + 825n + 2000n);
  assert.is(chain.balance("cleo"), BALANCE + 825n + 1600n);
  assert.is(chain.balance("dora"), BALANCE + 825n);
  assert.is(chain.state.singles.minted, minted + 10_000n);
  assert.is(task(chain).escrow, 9000n);
  assert.equal(
    FOUNDERS.map((n) => chain.miner(n).earned),
    [4925n, 2825n, 2425n, 825n],
  );
});

test("attestations left out lower the proposer's pay and raise nobody's; trainers unpaid: the rest is not minted", () => {
  const chain = start();
  const { minted } = chain.state.singles;
  learn(chain, [{ miner: 0, pay: 600n }], everyone.slice(0, 3));
  assert.is(chain.balance("anna"), BALANCE + 825n + 825n + 600n);
  assert.is(chain.balance("cleo"), BALANCE + 825n);
  assert.is(chain.balance("dora"), BALANCE);
  // 3900 of 11000 paid: 3900 · 1000 / 11000 = 354 of it from the escrow.
  assert.is(task(chain).escrow, 10_000n - 354n);
  assert.is(chain.state.singles.minted, minted + 3900n - 354n);
});

test("fees: the proposer and the committee get their shares, trainers the fraction that they were paid; the rest is burned", () => {
  const chain = start();
  const tx = chain.transfer("emil", "fay", 1n, { fee: 1001n });
  chain.run({
    txs: [tx],
    learning: learningOf(task(chain).id, [{ miner: 1, pay: 3300n }]),
    committee: everyone.slice(0, 2),
  });
  // Of 1001: proposer 100 · 2/4 = 50; each of two members 300 / 4 = 75; trainers 601 · 3300/6600 = 300.
  assert.is(chain.balance("anna"), BALANCE + 550n + 50n + 825n + 75n);
  assert.is(chain.balance("ben"), BALANCE + 825n + 75n + 3300n + 300n);
  assert.is(chain.state.singles.burned, 1001n - 50n - 150n - 300n);
});

test("a block without learning pays nobody and burns its fees", () => {
  const chain = start();
  chain.send(chain.transfer("emil", "fay", 1n, { fee: 1001n }));
  assert.equal(
    FOUNDERS.map((n) => chain.balance(n)),
    [BALANCE, BALANCE, BALANCE, BALANCE],
  );
  assert.is(chain.state.singles.burned, 1001n);
  assert.is(chain.miner("anna").blocksProposed, 1);
});

test("issuance halves by learning blocks, not by heights", () => {
  const chain = start({ task: { spec: spec({ rounds: { maximum: 100 } }), escrow: "0" } });
  const seen: bigint[] = [];
  for (let round = 0; round < 6; round++) {
    seen.push(issuance(chain.state, chain.genesis));
    learn(chain, []);
    chain.run();
  }
  assert.equal(seen, [10_000n, 10_000n, 5000n, 5000n, 2500n, 2500n]);
  const late = chain.state.draft();
  late.setSingles({ learningBlocks: 200 });
  assert.is(issuance(late, chain.genesis), 0n);
  late.setSingles({ learningBlocks: 0, minted: (1n << 64n) - 4n });
  assert.is(issuance(late, chain.genesis), 3n);
});

test("the bounty is what the escrow still holds", () => {
  const chain = start({ task: { spec: spec({ rounds: { maximum: 100 } }), escrow: "1500" } });
  const full: UpdateOf[] = [{ miner: 0, pay: 6600n }];
  learn(chain, full);
  assert.is(task(chain).escrow, 500n);
  assert.is(roundBounty(task(chain)), 500n);
  assert.is(trainersPool(chain.state, chain.genesis, task(chain)), 6300n);
  learn(chain, [{ miner: 0, pay: 6300n }]);
  // Four seats of 3150 leave 2 of 10500 unpaid: 500 · 10498 / 10500 = 499 come from the escrow.
  assert.is(task(chain).escrow, 1n);
  assert.is(trainersPool(chain.state, chain.genesis, task(chain)), 3001n);
});

test("transactions of a block change neither what its round pays nor whom", () => {
  const chain = start({ task: undefined });
  const { tx, id } = chain.publish("emil", spec(), 10_000n);
  chain.send(tx);
  const before = chain.balance("emil");
  const cancel = chain.tx("emil", { kind: "task-cancel", value: { task: id } });
  chain.run({ txs: [cancel], learning: learningOf(id, [{ miner: 0, pay: 6600n }]), committee: everyone });
  const ended = chain.state.task(id)?.record;
  assert.is(ended?.status, 4);
  assert.is(ended?.round, 1);
  assert.is(ended?.escrow, 0n);
  // The round took its bounty of 1000 before the rest went back.
  assert.is(chain.balance("emil"), before - cancel.body.fee + 9000n);
});

test("what is funded in a block pays from the next round on", () => {
  const chain = start({ task: { spec: spec(), escrow: "0" } });
  const { id } = task(chain);
  const fund = chain.tx("emil", { kind: "task-fund", value: { task: id, amount: 5000n } });
  chain.run({ txs: [fund], learning: learningOf(id, [{ miner: 0, pay: 6000n }]), committee: everyone });
  assert.is(task(chain).escrow, 5000n);
  assert.is(trainersPool(chain.state, chain.genesis, task(chain)), 6600n);
});

const refused: { id: string; updates: UpdateOf[] }[] = [
  {
    id: "more pay than the pool",
    updates: [
      { miner: 0, pay: 6600n },
      { miner: 1, pay: 1n },
    ],
  },
  { id: "a miner twice", updates: [{ miner: 0 }, { miner: 0 }] },
  { id: "miners out of order", updates: [{ miner: 1 }, { miner: 0 }] },
  { id: "a miner who is no validator", updates: [{ miner: 4 }] },
];
for (const { id, updates } of refused) {
  test(`refused learning: ${id}`, () => assert.throws(() => learn(start(), updates), expectCode("BAD_LEARNING")));
}

test("refused: learning of another task or without one, a committee with strangers or with someone twice", () => {
  const chain = start();
  const learning = learningOf(task(chain).id, []);
  const none = start({ task: undefined });
  assert.throws(() => none.run({ learning }), expectCode("BAD_LEARNING"));
  assert.throws(() => chain.run({ learning: { ...learning, task: addressFor("x") } }), expectCode("BAD_LEARNING"));
  for (const committee of [[addressFor("emil")], [everyone[0], everyone[0]]]) {
    assert.throws(() => chain.run({ learning, committee: committee as Uint8Array[] }), expectCode("BAD_BLOCK"));
  }
});

test("shares sum to the pot, and full pay leaves nothing but the remainder of the seats", () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 1n << 62n), fc.nat(1000), fc.nat(1000), (pot, a, b) => {
      const proposer = Math.min(a, b);
      const shares = { proposer, committee: Math.max(a, b) - proposer, trainers: 1000 - Math.max(a, b) };
      const split = splitPot(pot, genesisWith({ economy: { shares } }));
      assert.is(split.proposer + split.committee + split.trainers, pot);
      assert.ok(split.proposer >= 0n && split.committee >= 0n && split.trainers >= 0n);
    }),
    { numRuns: 30 },
  );
});

test("reputation falls for misconduct only; results enter the miners' records", () => {
  const chain = start();
  learn(chain, [
    { miner: 0, status: "accepted-clipped" },
    { miner: 1, status: "harmful" },
    { miner: 2, status: "duplicate" },
    { miner: 3, status: "not-held" },
  ]);
  const fields = FOUNDERS.map((n) => chain.miner(n)).map((m) => [m.reputation, m.accepted, m.rejected, m.lastReveal]);
  assert.equal(fields, [
    [65_536, 1, 0, 1],
    [61_440, 0, 1, 1],
    [65_536, 0, 1, 1],
    [65_536, 0, 0, 0],
  ]);
  learn(chain, [{ miner: 1 }]);
  assert.is(chain.miner("ben").reputation, 61_440 + 256);
});

test("ranking: the paid ones, then contribution with its sign, then canonical order; rejected updates give none", () => {
  const chain = start();
  learn(chain, [
    { miner: 0, pay: 5n, contribution: -3n },
    { miner: 1, pay: 5n, contribution: 2n },
    { miner: 2, contribution: 7n },
    { miner: 3, pay: 9n, status: "suspect" },
  ]);
  assert.equal(
    chain.state.ranking.map(toHex),
    ["ben", "anna", "cleo"].map((n) => toHex(addressFor(n))),
  );
  assert.ok(chain.state.learned);
  const orders = new Set<string>();
  for (let round = 0; round < 2; round++) {
    learn(chain, [{ miner: 0 }, { miner: 1 }, { miner: 2 }, { miner: 3 }]);
    orders.add(chain.state.ranking.map(toHex).join());
  }
  assert.is(orders.size, 2, "ties are broken by the seed, so that they fall differently each height");
  chain.run();
  assert.equal([chain.state.learned, chain.state.ranking], [false, []]);
});

test.run();
