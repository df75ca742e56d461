import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { type Account, ChainState, type Miner, type Task } from "../../types/state.ts";
import { State } from "../../vm/state.ts";
import { KeyIndex } from "../../vm/table.ts";
import { perList, type Singles, statusCode } from "../../vm/view.ts";

const bytes = (length: number, seed: number) => new Uint8Array(length).fill(seed);
const address = (seed: number) => bytes(20, seed);
const singles: Singles = {
  height: 7,
  time: 1_700_000_000_123,
  seed: bytes(32, 9),
  minted: 1000n,
  burned: 1n,
  learningBlocks: 3,
  learned: true,
  ranking: [address(1), address(2)],
};
const account = (seed: number, balance = 10n): Account => ({ address: address(seed), balance, nonce: seed });
function miner(seed: number, change: Partial<Miner> = {}): Miner {
  return {
    address: address(seed),
    institution: bytes(32, seed),
    consensusKey: bytes(32, 100 + seed),
    vrfKey: bytes(32, 200 + seed),
    moniker: new TextEncoder().encode(`miner ${seed}`),
    stake: 100n,
    unbonding: 0n,
    unbondingHeight: 0,
    bondedAt: 0,
    reputation: 1 << 16,
    jailed: false,
    jailedUntil: 0,
    slashed: [3, 5],
    missed: 0,
    lastReveal: 0,
    accepted: 1,
    rejected: 2,
    blocksProposed: 3,
    earned: 4n,
    ...change,
  };
}
function task(seed: number, status: "queued" | "active" | "cancelled"): Task {
  return {
    id: bytes(32, seed),
    publisher: address(1),
    spec: bytes(100, 32 + seed),
    escrow: 5n,
    publishedAt: 1,
    status: statusCode(status),
    round: 2,
    failed: 0,
    requeues: 0,
    modelRoot: bytes(32, 77),
    exponent: 10,
    medianNorm: 12n,
    lastLearning: 6,
    priorLearning: 5,
    endedAt: 0,
    recorded: [{ blobRoot: bytes(32, 8), size: 12, coefficient: 1n << 16n }],
    standings: [{ miner: 1, credit: 5n, variance: 6n, earned: 7n }],
  };
}
const sample = () =>
  State.of(singles, {
    accounts: [account(1), account(2)],
    miners: [miner(1), miner(2)],
    tasks: [task(1, "cancelled"), task(2, "active")],
  });

function values(state: State): ChainState {
  const { tables } = state.parts;
  return { ...state.singles, ...perList((list) => [...tables[list]]) } as unknown as ChainState;
}
const plainRoot = (state: State) => toHex(ChainState.hashTreeRoot(values(state)));

test("the root is the SSZ root of the ChainState, from scratch and after changes", () => {
  const state = sample();
  assert.is(toHex(state.root()), plainRoot(state));
  assert.is(toHex(State.of(singles, {}).root()), plainRoot(State.of(singles, {})));
  const draft = state.draft();
  draft.credit(address(1), 5n);
  draft.credit(address(9), 1n);
  draft.setSingles({ height: 8, ranking: [] });
  draft.addMiner(miner(3));
  draft.setTask(1, { ...task(2, "active"), round: 3 });
  const next = new State(draft.seal());
  assert.is(toHex(next.root()), plainRoot(next));
  assert.is.not(toHex(next.root()), toHex(state.root()));
});

test("a state does not change with its drafts", () => {
  const state = sample();
  const before = toHex(state.root());
  const draft = state.draft();
  draft.credit(address(1), 5n);
  draft.addMiner(miner(3));
  draft.setTask(1, task(2, "cancelled"));
  const sealed = new State(draft.seal());
  draft.credit(address(1), 5n);
  assert.is(state.account(address(1))?.record.balance, 10n);
  assert.is(sealed.account(address(1))?.record.balance, 15n);
  assert.is(state.miner(address(3)), undefined);
  assert.is(sealed.activeTask(), undefined);
  assert.equal(state.activeTask()?.record.id, bytes(32, 2));
  assert.is(toHex(state.root()), before);
  assert.is(plainRoot(state), before);
});

test("a failing step leaves nothing behind: records, keys, lengths, open tasks, singles", () => {
  const draft = sample().draft();
  draft.credit(address(1), 1n);
  const before = toHex(new State(draft.seal()).root());
  const failure = () =>
    draft.atomically(() => {
      draft.debit(address(1), 11n);
      draft.credit(address(50), 11n);
      draft.addMiner(miner(3));
      draft.setMiner(0, miner(1, { consensusKey: bytes(32, 60) }));
      draft.addTask(task(3, "queued"));
      draft.setTask(1, task(2, "cancelled"));
      draft.setSingles({ minted: 5n });
      draft.debit(address(50), 12n);
    });
  assert.throws(failure, (e: unknown) => e instanceof PoflError && e.code === "TX_INSUFFICIENT_BALANCE");
  assert.is(toHex(new State(draft.seal()).root()), before);
  assert.is(draft.account(address(50)), undefined);
  assert.is(draft.miner(address(3)), undefined);
  assert.is(draft.bondedBy("consensusKey", bytes(32, 60)), undefined);
  assert.is(draft.bondedBy("consensusKey", bytes(32, 101))?.index, 0);
  assert.is(draft.task(bytes(32, 3)), undefined);
  assert.equal(
    [...draft.openTasks()].map((t) => t.index),
    [1],
  );
  // The place that was taken back is used again.
  draft.addMiner(miner(4));
  assert.is(draft.miner(address(4))?.index, 2);
});

test("changes over the parent's records give the state, and so do all records", () => {
  const parent = sample();
  const draft = parent.draft();
  draft.credit(address(2), 3n);
  draft.credit(address(8), 3n);
  draft.addMiner(miner(5));
  draft.setTask(1, { ...task(2, "active"), escrow: 0n });
  draft.setSingles({ height: 8, learned: false, ranking: [] });
  const state = new State(draft.seal());
  const changes = state.changes();
  assert.equal(
    [changes.lists.accounts, changes.lists.miners, changes.lists.tasks].map((list) => list.map((c) => c.index)),
    [[1, 2], [2], [1]],
  );
  const over = (records: Iterable<Uint8Array>, list: readonly { index: number; bytes: Uint8Array }[]) => {
    const all = [...records];
    for (const { index, bytes } of list) all[index] = bytes;
    return all;
  };
  const old = parent.records();
  const replayed = State.load({
    singles: changes.singles,
    lists: perList((list) => over(old.lists[list], changes.lists[list])),
  });
  assert.is(toHex(replayed.root()), toHex(state.root()));
  assert.is(toHex(State.load(state.records()).root()), toHex(state.root()));
  assert.is(replayed.account(address(8))?.index, 2);
  assert.is(replayed.bondedBy("institution", bytes(32, 5))?.index, 2);
  assert.is(replayed.activeTask()?.index, 1);
});

test("a damaged record is refused", () => {
  const records = sample().records();
  const cut = [...records.lists.accounts].map((r) => r.subarray(0, r.length - 1));
  assert.throws(
    () => State.load({ ...records, lists: { ...records.lists, accounts: cut } }),
    (e: unknown) => e instanceof PoflError && e.code === "BAD_ENCODING",
  );
});

test("a key belongs to the engaged miner, live and after loading", () => {
  const key = bytes(32, 250);
  const draft = sample().draft();
  draft.setMiner(0, miner(1, { consensusKey: key }));
  draft.setMiner(0, miner(1, { consensusKey: key, stake: 0n }));
  assert.is(draft.bondedBy("consensusKey", key), undefined);
  draft.setMiner(1, miner(2, { consensusKey: key }));
  draft.setMiner(1, miner(2, { consensusKey: key, stake: 0n }));
  draft.setMiner(0, miner(1, { consensusKey: key, stake: 0n, unbonding: 1n }));
  // Written last by miner 0 without a change of its key: registering is what writes, so write it as a registration does.
  draft.setMiner(0, miner(1, { consensusKey: new Uint8Array(key), stake: 1n }));
  const state = new State(draft.seal());
  assert.is(state.bondedBy("consensusKey", key)?.index, 0);
  assert.is(State.load(state.records()).bondedBy("consensusKey", key)?.index, 0);
  assert.is(state.bondedBy("consensusKey", bytes(32, 102)), undefined);
});

test("a key index equals a map over many versions, and old versions stay", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(2000), { maxLength: 400 }), { maxLength: 6 }), (blocks) => {
      let index = new KeyIndex();
      const model = new Map<string, number>();
      const versions: [KeyIndex, Map<string, number>][] = [];
      blocks.forEach((keys, b) => {
        const added = new Map(keys.map((k, i) => [String(k), b * 1000 + i]));
        index = index.with(added);
        for (const [k, v] of added) model.set(k, v);
        versions.push([index, new Map(model)]);
      });
      for (const [version, expected] of versions) {
        for (let k = 0; k <= 2000; k += 7) assert.is(version.get(String(k)), expected.get(String(k)));
      }
    }),
    { numRuns: 30 },
  );
});

test.run();
