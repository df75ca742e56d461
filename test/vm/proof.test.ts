import { test } from "uvu";
import * as assert from "uvu/assert";
import { Account } from "../../types/state.ts";
import { prove, type StateProof, verifyStateProof } from "../../vm/proof.ts";
import { State } from "../../vm/state.ts";
import { addressFor, BALANCE, Chain, expectCode, genesisWith } from "./support.ts";

function start(): Chain {
  const genesis = genesisWith();
  const chain = new Chain(genesis, State.genesis(genesis));
  chain.send(chain.transfer("emil", "fay", 5n));
  return chain;
}

test("every account, miner and task is proven against the root, and no other root", () => {
  const { state } = start();
  const root = state.root();
  const other = start().run().state.root();
  for (const [kind, count] of [
    ["accounts", 7],
    ["miners", 4],
    ["tasks", 1],
  ] as const) {
    for (let index = 0; index < count; index++) {
      const proof = prove(state, kind, index);
      assert.ok(verifyStateProof(root, proof), `${kind}[${index}]`);
      assert.not.ok(verifyStateProof(other, proof));
    }
    assert.throws(() => prove(state, kind, count), expectCode("NOT_FOUND"));
    assert.throws(() => prove(state, kind, -1), expectCode("NOT_FOUND"));
  }
});

test("a proof says what the account holds", () => {
  const { state } = start();
  const proof = prove(state, "accounts", state.account(addressFor("fay"))?.index ?? -1);
  assert.equal(Account.deserialize(proof.record), { address: addressFor("fay"), balance: BALANCE + 5n, nonce: 0 });
});

const forgeries: { id: string; forge: (p: StateProof) => StateProof }[] = [
  {
    id: "more balance",
    forge: (p) => {
      const account = Account.deserialize(p.record);
      return { ...p, record: Account.serialize({ ...account, balance: account.balance + 1n }) };
    },
  },
  { id: "another index", forge: (p) => ({ ...p, index: p.index + 1 }) },
  { id: "an index that wraps around", forge: (p) => ({ ...p, index: p.index + 2 ** 32 }) },
  { id: "an index that is no integer", forge: (p) => ({ ...p, index: 0.5 }) },
  { id: "another list", forge: (p) => ({ ...p, kind: "tasks" }) },
  { id: "a branch that is too short", forge: (p) => ({ ...p, branch: p.branch.slice(1) }) },
  { id: "a branch that is too long", forge: (p) => ({ ...p, branch: [...p.branch, new Uint8Array(32)] }) },
  { id: "no branch", forge: (p) => ({ ...p, branch: [] }) },
  { id: "a sibling of 31 bytes", forge: (p) => ({ ...p, branch: [new Uint8Array(31), ...p.branch.slice(1)] }) },
  { id: "a record cut short", forge: (p) => ({ ...p, record: p.record.subarray(1) }) },
  { id: "siblings exchanged", forge: (p) => ({ ...p, branch: [...p.branch].reverse() }) },
];
for (const { id, forge } of forgeries) {
  test(`refused: ${id}`, () => {
    const { state } = start();
    assert.not.ok(verifyStateProof(state.root(), forge(prove(state, "accounts", 2))));
  });
}

test.run();
