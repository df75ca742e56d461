import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createGenesis } from "../../genesis/presets.ts";
import { createMempool, Mempool, type MempoolLimits } from "../../node/mempool.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { Tx } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";
import { addressAt, GENESIS_HASH, seeded, transfer } from "./support.ts";

/** A mempool over accounts whose nonces the test sets; `check` knows nonces and one bad fee. */
function world(limits: Partial<MempoolLimits> = {}) {
  const nonces = new Map<string, number>();
  const clock = { now: 0, height: 10 };
  const nonceOf = (sender: Uint8Array) => nonces.get(toHex(sender)) ?? 0;
  const check = ({ body }: Tx) => {
    if (body.fee === 666n) throw new PoflError("TX_CANNOT_PAY_FEE", "the balance is too low");
    if (body.nonce < nonceOf(body.sender)) throw new PoflError("TX_NONCE_LOW", "used");
    if (body.nonce > nonceOf(body.sender)) throw new PoflError("TX_NONCE_HIGH", "not its turn");
  };
  const pool = new Mempool(
    { check, nonceOf, height: () => clock.height, now: () => clock.now, admissible: (txs) => txs },
    limits,
  );
  return { pool, clock, setNonce: (n: number, nonce: number) => nonces.set(toHex(addressAt(n)), nonce) };
}

const ALL = { maxBytes: 1e9, maxCount: 1e9 };
const label = (txs: Tx[]) =>
  txs
    .map(({ body }) => `${[1, 2, 3, 4].find((n) => toHex(addressAt(n)) === toHex(body.sender))}:${body.nonce}`)
    .join(" ");
const size = Tx.value_serializedSize(transfer(1, 0));

test("picks by fee, each sender's nonces in order and without a gap", () => {
  const { pool, setNonce } = world();
  setNonce(2, 5);
  pool.add(transfer(1, 1, { fee: 9000n })); // must wait for 1:0
  pool.add(transfer(1, 0, { fee: 2000n }));
  pool.add(transfer(2, 5, { fee: 3000n }));
  pool.add(transfer(2, 7, { fee: 9999n })); // 2:6 is missing
  pool.add(transfer(3, 0, { fee: 1000n }));
  assert.is(label(pool.pick(ALL)), "2:5 1:0 1:1 3:0");
  assert.is(label(pool.pick({ ...ALL, maxCount: 2 })), "2:5 1:0");
  assert.is(label(pool.pick({ ...ALL, maxBytes: size * 3 + 1 })), "2:5 1:0 1:1");
  assert.is(pool.nextNonce(addressAt(1)), 2);
  assert.is(pool.nextNonce(addressAt(2)), 6);
  assert.is(pool.nextNonce(addressAt(4)), 0);
});

test("equal fees are ordered by id, whatever came first", () => {
  const txs = [1, 2, 3, 4].map((n) => transfer(n, 0, { fee: 5000n }));
  const orders = [txs, [...txs].reverse()].map((list) => {
    const { pool } = world();
    for (const tx of list) pool.add(tx);
    return label(pool.pick(ALL));
  });
  assert.is(orders[0], orders[1]);
});

test("refusals, each with its code, and nothing changes", () => {
  const { pool, setNonce } = world({ maxPerSender: 4 });
  setNonce(2, 3);
  pool.add(transfer(1, 0, { fee: 1001n }));
  const table: [string, Tx, string][] = [
    ["the same again", transfer(1, 0, { fee: 1001n }), "TX_KNOWN"],
    ["same nonce, 10 % missed by one", transfer(1, 0, { fee: 1101n }), "TX_UNDERPRICED"],
    ["same nonce, less", transfer(1, 0, { fee: 1n }), "TX_UNDERPRICED"],
    ["too far ahead", transfer(2, 7), "TX_SENDER_LIMIT"],
    ["used nonce", transfer(2, 2), "TX_NONCE_LOW"],
    ["what the state machine says", transfer(3, 0, { fee: 666n }), "TX_CANNOT_PAY_FEE"],
  ];
  for (const [id, tx, code] of table) {
    assert.throws(
      () => pool.add(tx),
      (e: unknown) => isPoflError(e, code),
      id,
    );
    assert.is(pool.count, 1, id);
    assert.is(pool.bytes, size, id);
  }
  pool.add(transfer(1, 0, { fee: 1102n }));
  pool.add(transfer(2, 6));
  assert.is(pool.count, 2);
  assert.is(pool.pick(ALL)[0]?.body.fee, 1102n);
});

test("when full, only who pays more comes in, and no gap arises", () => {
  for (const limits of [{ maxCount: 3 }, { maxBytes: 3 * size }]) {
    const { pool } = world(limits);
    pool.add(transfer(1, 0, { fee: 1000n }));
    pool.add(transfer(1, 1, { fee: 5000n }));
    pool.add(transfer(2, 0, { fee: 4000n }));
    assert.throws(
      () => pool.add(transfer(3, 0, { fee: 4000n })),
      (e: unknown) => isPoflError(e, "MEMPOOL_FULL"),
    );
    pool.add(transfer(3, 0, { fee: 4500n })); // 2:0 goes: 1:0 is cheaper but 1:1 follows on it
    assert.is(label(pool.pick(ALL)), "3:0 1:0 1:1");
    pool.add(transfer(1, 1, { fee: 6000n })); // a replacement needs no room
    assert.is(pool.count, 3);
    assert.throws(
      () => pool.add(transfer(4, 0, { fee: 1n })),
      (e: unknown) => isPoflError(e, "MEMPOOL_FULL"),
    );
    assert.is(label(pool.pick(ALL)), "3:0 1:0 1:1");
  }
});

test("after a block: what it holds, used nonces, expired and old ones go", () => {
  const { pool, clock, setNonce } = world({ timeToLiveMs: 1000 });
  const included = transfer(1, 0);
  pool.add(included);
  pool.add(transfer(1, 1));
  pool.add(transfer(2, 0)); // another with this nonce is in the block
  pool.add(transfer(3, 0, { expires: 11 }));
  pool.add(transfer(3, 1, { expires: 12 }));
  clock.height = 11;
  setNonce(1, 1);
  setNonce(2, 1);
  pool.onBlock([included]);
  assert.equal(pool.ids().map(toHex).length, 2);
  assert.is(label(pool.pick(ALL)), "1:1");
  clock.now = 1000;
  pool.onBlock();
  assert.is(pool.count, 2);
  clock.now = 1001;
  pool.onBlock();
  assert.is(pool.count + pool.bytes, 0);
});

test("recheck drops what the latest state refuses", () => {
  const { pool, setNonce } = world();
  pool.add(transfer(1, 0));
  pool.add(transfer(2, 0));
  pool.add(transfer(2, 1));
  setNonce(2, 1);
  assert.is(pool.recheck(), 1);
  assert.is(label(pool.pick(ALL)).split(" ").sort().join(" "), "1:0 2:1");
});

test("whatever comes, the limits hold and a pick is valid", () => {
  const txs = new Map<string, Tx>();
  const made = (n: number, nonce: number, fee: number) => {
    const key = `${n}/${nonce}/${fee}`;
    const tx = txs.get(key) ?? transfer(n, nonce, { fee: BigInt(fee) });
    txs.set(key, tx);
    return tx;
  };
  const step = fc.record({
    n: fc.integer({ min: 1, max: 4 }),
    nonce: fc.nat(5),
    fee: fc.constantFrom(1000, 1100, 1200, 3000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 8 }), (steps, maxCount) => {
      const { pool } = world({ maxCount, maxPerSender: 5 });
      for (const { n, nonce, fee } of steps) {
        try {
          pool.add(made(n, nonce, fee));
        } catch (error) {
          assert.ok(isPoflError(error), String(error));
        }
        assert.ok(pool.count <= maxCount);
        assert.is(pool.bytes, pool.count * size);
      }
      const next = new Map<string, number>();
      for (const { body } of pool.pick(ALL)) {
        const sender = toHex(body.sender);
        assert.is(body.nonce, next.get(sender) ?? 0);
        next.set(sender, body.nonce + 1);
      }
    }),
    { numRuns: 100 },
  );
});

test("on a real state: what it refuses is not admitted, and what it refuses later is not picked", () => {
  const genesis = createGenesis({
    chainId: "test",
    genesisTime: "2026-01-01T00:00:00.000Z",
    validators: [
      {
        moniker: "one",
        address: toHex(addressAt(50)),
        consensusKey: toHex(seeded(51).publicKey),
        vrfKey: toHex(seeded(52).publicKey),
        institution: toHex(new Uint8Array(32).fill(1)),
        stake: "1000000000000",
      },
    ],
    accounts: [{ address: toHex(addressAt(1)), balance: "10000" }],
  });
  let state = State.genesis(genesis);
  const pool = createMempool({ state: () => state, genesis, genesisHash: GENESIS_HASH, now: () => 0 });
  const code = (expected: string) => (e: unknown) => isPoflError(e, expected);
  assert.throws(() => pool.add(transfer(2, 0, { fee: 5000n })), code("TX_CANNOT_PAY_FEE"));
  assert.throws(() => pool.add(transfer(1, 0, { fee: 5n })), code("TX_FEE_TOO_LOW"));
  const forged = transfer(1, 0, { fee: 4000n });
  assert.throws(() => pool.add({ ...forged, signature: new Uint8Array(64) }), code("TX_BAD_SIGNATURE"));
  pool.add(transfer(1, 0, { fee: 4000n }));
  pool.add(transfer(1, 1, { fee: 4000n }));
  pool.add(transfer(1, 2, { fee: 4000n })); // the third fee is more than is left
  assert.is(label(pool.pick()), "1:0 1:1");
  const draft = state.draft();
  draft.debit(addressAt(1), 9000n);
  state = new State(draft.seal());
  assert.is(label(pool.pick()), "");
  assert.is(pool.recheck(), 3);
});

test.run();
