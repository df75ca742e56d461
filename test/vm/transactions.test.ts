import { test } from "uvu";
import * as assert from "uvu/assert";
import { signCertificate, signPossession, signTx, txId } from "../../crypto/domain.ts";
import { encodeTask } from "../../genesis/task.ts";
import { toHex } from "../../types/primitives.ts";
import type { Tx, TypedPayload } from "../../types/tx.ts";
import { TX_FAILURES, TX_INVALID } from "../../vm/failures.ts";
import { State } from "../../vm/state.ts";
import { admissibleTxs, checkTx } from "../../vm/transactions.ts";
import {
  addressFor,
  BALANCE,
  Chain,
  consensusOf,
  expectCode,
  FOUNDERS,
  type GenesisChange,
  genesisWith,
  institutionOf,
  keys,
  STAKE,
  seedOf,
  spec,
} from "./support.ts";

function start(change: GenesisChange = {}): Chain {
  const genesis = genesisWith(change);
  return new Chain(genesis, State.genesis(genesis));
}
const unbond = (amount: bigint): TypedPayload => ({ kind: "unbond", value: { amount } });
const unjail: TypedPayload = { kind: "unjail", value: { height: 0 } };

type Invalid = { id: string; code: (typeof TX_INVALID)[number]; tx: (c: Chain) => Tx };
const invalid: Invalid[] = [
  {
    id: "larger than a transaction may be",
    code: "TX_TOO_LARGE",
    tx: (c) =>
      c.tx("emil", { kind: "task-publish", value: { spec: new Uint8Array(66_000).fill(32), escrow: 1n } }, { fee: 1n }),
  },
  { id: "past its last height", code: "TX_EXPIRED", tx: (c) => c.transfer("emil", "fay", 1n, { expires: 2 }) },
  {
    id: "one unit below the least fee",
    code: "TX_FEE_TOO_LOW",
    tx: (c) => c.transfer("emil", "fay", 1n, { fee: c.transfer("emil", "fay", 1n).body.fee - 1n }),
  },
  {
    id: "another's key",
    code: "TX_WRONG_KEY",
    tx: (c) => ({ ...c.transfer("emil", "fay", 1n), publicKey: keys("fay").publicKey }),
  },
  {
    id: "a changed body",
    code: "TX_BAD_SIGNATURE",
    tx: (c) => {
      const tx = c.transfer("emil", "fay", 1n);
      return { ...tx, body: { ...tx.body, fee: tx.body.fee + 1n } };
    },
  },
  {
    id: "signed for another chain",
    code: "TX_BAD_SIGNATURE",
    tx: (c) => signTx(seedOf("other chain"), keys("emil"), c.transfer("emil", "fay", 1n).body),
  },
  { id: "a nonce used before", code: "TX_NONCE_LOW", tx: (c) => c.transfer("gus", "fay", 1n, { nonce: 0 }) },
  { id: "a nonce too far", code: "TX_NONCE_HIGH", tx: (c) => c.transfer("gus", "fay", 1n, { nonce: 2 }) },
  { id: "an unknown sender", code: "TX_CANNOT_PAY_FEE", tx: (c) => c.transfer("nobody", "fay", 1n) },
  {
    id: "a fee above the balance",
    code: "TX_CANNOT_PAY_FEE",
    tx: (c) => c.transfer("emil", "fay", 1n, { fee: BALANCE + 1n }),
  },
];
for (const { id, code, tx } of invalid) {
  test(`invalid: ${id}`, () => {
    const chain = start();
    chain.send(chain.transfer("gus", "fay", 1n));
    chain.run();
    const bad = tx(chain);
    const before = toHex(chain.state.root());
    assert.throws(() => checkTx(chain.state, bad, chain.genesis, chain.hash, 3), expectCode(code));
    assert.throws(() => chain.run({ txs: [bad] }), expectCode(code));
    assert.is(toHex(chain.state.root()), before);
  });
}

test("every code of an invalid transaction has a case above", () => {
  assert.equal([...new Set(invalid.map((i) => i.code))].sort(), [...TX_INVALID].sort());
});

const REGISTRAR = "registrar";
const certified: GenesisChange = { registrars: [toHex(keys(REGISTRAR).publicKey)] };
type Failing = {
  id: string;
  code: (typeof TX_FAILURES)[number];
  genesis?: GenesisChange;
  before?: (c: Chain) => void;
  tx: (c: Chain) => Tx;
};
const jailDora = (c: Chain) => void c.run({ evidence: [c.doubleVote("dora", 1)] });
const lowOrder = new Uint8Array(32);
lowOrder[0] = 1;
const fund = (task: Uint8Array, amount: bigint): TypedPayload => ({ kind: "task-fund", value: { task, amount } });
const cancel = (task: Uint8Array): TypedPayload => ({ kind: "task-cancel", value: { task } });
const active = (c: Chain) => c.state.activeTask()?.record.id as Uint8Array;
const publishRaw = (c: Chain, text: string, escrow = 1000n) =>
  c.tx("emil", { kind: "task-publish", value: { spec: new TextEncoder().encode(text), escrow } });
const canonical = new TextDecoder().decode(encodeTask(spec()));

const failing: Failing[] = [
  { id: "transfer more than there is", code: "TX_INSUFFICIENT_BALANCE", tx: (c) => c.transfer("emil", "fay", BALANCE) },
  { id: "transfer nothing", code: "TX_ZERO_AMOUNT", tx: (c) => c.transfer("emil", "fay", 0n) },
  { id: "bond nothing", code: "TX_ZERO_AMOUNT", tx: (c) => c.bond("anna", 0n) },
  { id: "bond more than there is", code: "TX_INSUFFICIENT_BALANCE", tx: (c) => c.bond("emil", BALANCE) },
  { id: "bond below the minimum", code: "TX_STAKE_TOO_LOW", tx: (c) => c.bond("emil", 999n) },
  {
    id: "bond with a small-order key",
    code: "TX_BAD_KEY",
    tx: (c) => c.bond("emil", 1000n, { vrfKey: lowOrder }),
  },
  {
    id: "bond with another's possession",
    code: "TX_BAD_POSSESSION",
    tx: (c) =>
      c.bond("emil", 1000n, { possession: signPossession(c.hash, consensusOf("emil").secret, addressFor("fay")) }),
  },
  {
    id: "bond without a certificate",
    code: "TX_BAD_CERTIFICATE",
    genesis: certified,
    tx: (c) => c.bond("emil", 1000n),
  },
  {
    id: "bond with another's certificate",
    code: "TX_BAD_CERTIFICATE",
    genesis: certified,
    tx: (c) => {
      const statement = { institution: institutionOf("emil"), address: addressFor("fay") };
      return c.bond("emil", 1000n, { certificate: signCertificate(c.hash, keys(REGISTRAR).secret, statement) });
    },
  },
  {
    id: "bond for a bonded institution",
    code: "TX_INSTITUTION_TAKEN",
    tx: (c) => c.bond("emil", 1000n, { institution: institutionOf("anna") }),
  },
  {
    id: "bond with a bonded consensus key",
    code: "TX_KEY_TAKEN",
    tx: (c) => c.bond("emil", 1000n, { consensusKey: consensusOf("anna").publicKey }),
  },
  {
    id: "bond with a bonded VRF key as consensus key",
    code: "TX_KEY_TAKEN",
    tx: (c) => c.bond("emil", 1000n, { consensusKey: keys("anna/vrf").publicKey }),
  },
  {
    id: "bond with one key for two purposes",
    code: "TX_KEY_TAKEN",
    tx: (c) => c.bond("emil", 1000n, { vrfKey: consensusOf("emil").publicKey }),
  },
  {
    id: "bond with the account's key",
    code: "TX_KEY_TAKEN",
    tx: (c) => c.bond("emil", 1000n, { vrfKey: keys("emil").publicKey }),
  },
  {
    id: "add stake under another key",
    code: "TX_KEYS_DIFFER",
    tx: (c) => c.bond("anna", 10n, { vrfKey: keys("emil/vrf").publicKey }),
  },
  {
    id: "bond again while unbonding",
    code: "TX_STILL_UNBONDING",
    before: (c) => void c.send(c.tx("dora", unbond(STAKE))),
    tx: (c) => c.bond("dora", 1000n),
  },
  { id: "unbond nothing", code: "TX_ZERO_AMOUNT", tx: (c) => c.tx("anna", unbond(0n)) },
  { id: "unbond without a stake", code: "TX_NOT_BONDED", tx: (c) => c.tx("emil", unbond(1n)) },
  { id: "unbond more than the stake", code: "TX_INSUFFICIENT_BALANCE", tx: (c) => c.tx("anna", unbond(STAKE + 1n)) },
  { id: "unbond to below the minimum", code: "TX_STAKE_TOO_LOW", tx: (c) => c.tx("anna", unbond(STAKE - 999n)) },
  {
    id: "unbond the last validator",
    code: "TX_LAST_VALIDATOR",
    before: (c) => assert.equal(c.send(...FOUNDERS.slice(1).map((n) => c.tx(n, unbond(STAKE)))), ["", "", ""]),
    tx: (c) => c.tx("anna", unbond(STAKE)),
  },
  { id: "unjail the free", code: "TX_NOT_JAILED", tx: (c) => c.tx("anna", unjail) },
  { id: "unjail without a stake", code: "TX_NOT_BONDED", tx: (c) => c.tx("emil", unjail) },
  { id: "unjail too early", code: "TX_JAIL_NOT_OVER", before: jailDora, tx: (c) => c.tx("dora", unjail) },
  {
    id: "unjail with too little stake",
    code: "TX_STAKE_TOO_LOW",
    genesis: { stakes: { dora: 1000n } },
    before: (c) => {
      jailDora(c);
      c.to(10);
    },
    tx: (c) => c.tx("dora", unjail),
  },
  { id: "publish no JSON", code: "TX_BAD_TASK", tx: (c) => publishRaw(c, "{") },
  { id: "publish a task that is not canonical", code: "TX_BAD_TASK", tx: (c) => publishRaw(c, `${canonical} `) },
  {
    id: "publish an unknown rule",
    code: "TX_BAD_TASK",
    tx: (c) => publishRaw(c, canonical.replace("multi-krum", "best-of-two")),
  },
  {
    id: "publish an unknown field",
    code: "TX_BAD_TASK",
    tx: (c) => publishRaw(c, canonical.replace('"maximum":3', '"maximum":3,"zeal":1')),
  },
  {
    id: "publish bytes that are no UTF-8",
    code: "TX_BAD_TASK",
    tx: (c) => c.tx("emil", { kind: "task-publish", value: { spec: new Uint8Array([255, 254]), escrow: 1n } }),
  },
  {
    id: "publish for more participants than validators",
    code: "TX_BAD_TASK",
    tx: (c) => c.publish("emil", spec({ rounds: { minimumUpdates: 5 } }), 1000n).tx,
  },
  {
    id: "publish an f that the validators don't carry",
    code: "TX_BAD_TASK",
    tx: (c) => c.publish("emil", spec({ aggregation: { f: 1 } }), 1000n).tx,
  },
  { id: "publish below the bounty", code: "TX_ESCROW_TOO_LOW", tx: (c) => c.publish("emil", spec(), 999n).tx },
  {
    id: "publish with more than there is",
    code: "TX_INSUFFICIENT_BALANCE",
    tx: (c) => c.publish("emil", spec(), BALANCE).tx,
  },
  { id: "fund nothing", code: "TX_ZERO_AMOUNT", tx: (c) => c.tx("emil", fund(active(c), 0n)) },
  { id: "fund an unknown task", code: "TX_UNKNOWN_TASK", tx: (c) => c.tx("emil", fund(seedOf("?"), 1n)) },
  {
    id: "fund an ended task",
    code: "TX_TASK_ENDED",
    before: (c) => {
      const { tx, id } = c.publish("emil", spec(), 1000n);
      assert.equal(c.send(tx), [""]);
      assert.equal(c.send(c.tx("emil", cancel(id))), [""]);
    },
    tx: (c) => c.tx("emil", fund([...c.state.tasks()][1]?.record.id as Uint8Array, 1n)),
  },
  { id: "cancel an unknown task", code: "TX_UNKNOWN_TASK", tx: (c) => c.tx("emil", cancel(seedOf("?"))) },
  { id: "cancel another's task", code: "TX_NOT_PUBLISHER", tx: (c) => c.tx("emil", cancel(active(c))) },
];
for (const { id, code, genesis, before, tx } of failing) {
  test(`fails: ${id}`, () => {
    const chain = start(genesis);
    before?.(chain);
    const bad = tx(chain);
    assert.throws(() => checkTx(chain.state, bad, chain.genesis, chain.hash, chain.state.height + 1), expectCode(code));
    // What an empty block would do, and on top of it the fee and the nonce and nothing else.
    const empty = chain.state;
    const without = new Chain(chain.genesis, empty).run().state;
    const sender = bad.body.sender;
    const draft = without.draft();
    draft.debit(sender, bad.body.fee);
    const charged = draft.account(sender);
    if (charged) draft.setAccount(charged.index, { ...charged.record, nonce: charged.record.nonce + 1 });
    draft.setSingles({ burned: without.singles.burned + bad.body.fee });
    assert.equal(chain.send(bad), [code]);
    assert.is(toHex(chain.state.root()), toHex(new State(draft.seal()).root()));
    assert.equal(chain.receipts[0], { tx: txId(bad.body), code: TX_FAILURES.indexOf(code) + 1, fee: bad.body.fee });
  });
}

test("every code of a failing transaction has a case above", () => {
  // A full list takes 65,536 miners to reach; those after it are of records and custodians, which have tests of their own.
  const covered = new Set<string>([...failing.map((f) => f.code), "TX_STATE_FULL"]);
  const here = TX_FAILURES.slice(0, TX_FAILURES.indexOf("TX_STATE_FULL") + 1);
  assert.equal([...covered].sort(), [...here].sort());
});

test("transfers move exactly their amount, to oneself and to new accounts too", () => {
  const chain = start();
  const [a, b, c] = [
    chain.transfer("emil", "fay", 5n),
    chain.transfer("emil", "new", 7n, { nonce: 1 }),
    chain.transfer("emil", "emil", 9n, { nonce: 2 }),
  ];
  assert.equal(chain.send(a, b, c), ["", "", ""]);
  assert.is(chain.balance("fay"), BALANCE + 5n);
  assert.is(chain.balance("new"), 7n);
  assert.is(chain.balance("emil"), BALANCE - 12n - a.body.fee - b.body.fee - c.body.fee);
  assert.is(chain.state.account(addressFor("emil"))?.record.nonce, 3);
});

test("a payee can spend in the same block what it was paid in it", () => {
  const chain = start();
  const pay = chain.transfer("emil", "new", 10_000n);
  const pass = chain.transfer("new", "fay", 1000n);
  assert.equal(chain.send(pay, pass), ["", ""]);
  assert.throws(() => start().run({ txs: [pass, pay] }), expectCode("TX_CANNOT_PAY_FEE"));
});

test("what a block may contain is chosen in order, without those that no block may contain", () => {
  const chain = start();
  const good = chain.transfer("emil", "fay", 5n);
  const gap = chain.transfer("emil", "fay", 5n, { nonce: 2 });
  const fails = chain.transfer("fay", "emil", BALANCE);
  const twice = chain.transfer("emil", "gus", 6n);
  const chosen = admissibleTxs(chain.state, [good, gap, fails, twice], {
    genesis: chain.genesis,
    genesisHash: chain.hash,
    height: 1,
  });
  assert.equal(
    chosen.map((tx) => toHex(txId(tx.body))),
    [good, fails].map((tx) => toHex(txId(tx.body))),
  );
  assert.equal(chain.send(...chosen), ["", "TX_INSUFFICIENT_BALANCE"]);
});

test("a certified bond registers; more stake is added under the same keys", () => {
  const chain = start(certified);
  const statement = { institution: institutionOf("emil"), address: addressFor("emil") };
  const certificate = signCertificate(chain.hash, keys(REGISTRAR).secret, statement);
  assert.equal(chain.send(chain.bond("emil", 5000n, { certificate })), [""]);
  assert.equal(chain.send(chain.bond("emil", 1n)), [""]);
  const miner = chain.miner("emil");
  assert.is(miner.stake, 5001n);
  assert.is(miner.bondedAt, 1);
  assert.is(new TextDecoder().decode(miner.moniker), "emil");
});

test("unbonding: part stays bonded, the rest is returned at its height and not before", () => {
  const chain = start();
  chain.send(chain.tx("dora", unbond(400_000n)));
  const { fee } = chain.tx("dora", unbond(1n)).body;
  assert.is(chain.miner("dora").stake, 600_000n);
  assert.is(chain.miner("dora").unbondingHeight, 13);
  chain.to(12);
  assert.is(chain.balance("dora"), BALANCE - fee);
  chain.run();
  assert.is(chain.balance("dora"), BALANCE - fee + 400_000n);
  assert.is(chain.miner("dora").unbonding, 0n);
});

test("a second unbonding joins the first and moves its height", () => {
  const chain = start();
  chain.send(chain.tx("dora", unbond(100n)));
  chain.send(chain.tx("dora", unbond(200n)));
  assert.is(chain.miner("dora").unbonding, 300n);
  assert.is(chain.miner("dora").unbondingHeight, 14);
  chain.to(13);
  assert.is(chain.miner("dora").unbonding, 300n);
  chain.run();
  assert.is(chain.miner("dora").unbonding, 0n);
});

test("whoever left may come back with new keys, and its old ones are free", () => {
  const chain = start();
  chain.send(chain.tx("dora", unbond(STAKE)));
  assert.equal(chain.validators(), ["anna", "ben", "cleo"]);
  chain.to(13);
  const fresh = {
    consensusKey: consensusOf("fay").publicKey,
    possession: signPossession(chain.hash, consensusOf("fay").secret, addressFor("dora")),
  };
  assert.equal(chain.send(chain.bond("dora", 1000n, fresh)), [""]);
  assert.is(chain.miner("dora").bondedAt, 14);
  const reuse = {
    consensusKey: consensusOf("dora").publicKey,
    possession: signPossession(chain.hash, consensusOf("dora").secret, addressFor("emil")),
  };
  assert.equal(chain.send(chain.bond("emil", 1000n, reuse)), [""]);
  assert.equal(chain.send(chain.bond("gus", 1000n, { institution: institutionOf("dora") })), ["TX_INSTITUTION_TAKEN"]);
});

test.run();
