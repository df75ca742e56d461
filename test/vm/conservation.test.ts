import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeTask } from "../../genesis/task.ts";
import { type Address, type Hash, toHex } from "../../types/primitives.ts";
import { UPDATE_STATUS, type UpdateStatus } from "../../types/round.ts";
import { ChainState } from "../../types/state.ts";
import type { Tx, TypedPayload } from "../../types/tx.ts";
import { audit } from "../../vm/audit.ts";
import { failureName } from "../../vm/failures.ts";
import { trainersPool } from "../../vm/rewards.ts";
import { State } from "../../vm/state.ts";
import { applyTx } from "../../vm/transactions.ts";
import { committeeSize, firstHeight, validatorSet } from "../../vm/validators.ts";
import { perList } from "../../vm/view.ts";
import {
  addressFor,
  BALANCE,
  Chain,
  consensusOf,
  expectCode,
  FOUNDERS,
  genesisWith,
  learningOf,
  OTHERS,
  spec,
  type UpdateOf,
} from "./support.ts";

/** Random chains: every kind of transaction with good and bad values, learning, absences, double votes. */

const NAMES = [...FOUNDERS, ...OTHERS];
const name = fc.constantFrom(...NAMES);
const amount = fc.oneof(fc.bigInt(0n, 5000n), fc.bigInt(0n, 2n * BALANCE), fc.constantFrom(0n, 1n, 1_000_000n));

type Action = { from: string; fee: bigint } & (
  | { kind: "transfer"; to: string; amount: bigint }
  | { kind: "bond" | "unbond" | "publish"; amount: bigint }
  | { kind: "unjail" }
  | { kind: "fund" | "cancel"; task: number; amount: bigint }
);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant("transfer" as const), from: name, fee: amount, to: name, amount }),
  fc.record({
    kind: fc.constantFrom("bond" as const, "unbond" as const, "publish" as const),
    from: name,
    fee: amount,
    amount,
  }),
  fc.record({ kind: fc.constant("unjail" as const), from: name, fee: amount }),
  fc.record({
    kind: fc.constantFrom("fund" as const, "cancel" as const),
    from: name,
    fee: amount,
    task: fc.nat(3),
    amount,
  }),
);
const block = fc.record({
  actions: fc.array(action, { maxLength: 4 }),
  learns: fc.boolean(),
  accuracy: fc.constantFrom(0, 500, 900),
  pays: fc.array(fc.record({ part: fc.nat(4), status: fc.nat(UPDATE_STATUS.length - 1) }), { maxLength: 7 }),
  attest: fc.nat(7),
  missed: fc.boolean(),
  culprit: fc.option(name, { nil: undefined, freq: 6 }),
});
type Plan = typeof block extends fc.Arbitrary<infer T> ? T : never;

function payloadOf(chain: Chain, plan: Action): TypedPayload {
  const task = (i: number): Hash => [...chain.state.tasks()][i]?.record.id ?? new Uint8Array(32);
  switch (plan.kind) {
    case "transfer":
      return { kind: "transfer", value: { to: addressFor(plan.to), amount: plan.amount } };
    case "bond":
      return { kind: "bond", value: chain.bondOf(plan.from, plan.amount) };
    case "unbond":
      return { kind: "unbond", value: { amount: plan.amount } };
    case "unjail":
      return { kind: "unjail", value: { height: 0 } };
    case "publish": {
      const task = spec({ bounty: String(plan.amount % 3000n), rounds: { maximum: 2 } });
      return { kind: "task-publish", value: { spec: encodeTask(task), escrow: plan.amount } };
    }
    case "fund":
      return { kind: "task-fund", value: { task: task(plan.task), amount: plan.amount } };
    case "cancel":
      return { kind: "task-cancel", value: { task: task(plan.task) } };
  }
}

/** Signed transactions of the plan, each tried on a draft that is audited after it; those that no block may hold are left out. */
function transactions(chain: Chain, plan: Plan, seen: Map<string, number>): Tx[] {
  const draft = chain.state.draft();
  const txs: Tx[] = [];
  const height = chain.state.height + 1;
  for (const step of plan.actions) {
    const payload = payloadOf(chain, step);
    const nonce = draft.account(addressFor(step.from))?.record.nonce ?? 0;
    const least = chain.tx(step.from, payload, { nonce });
    const tx = chain.tx(step.from, payload, { nonce, fee: least.body.fee + step.fee / 100n });
    try {
      const { code } = applyTx(draft, tx, { genesis: chain.genesis, genesisHash: chain.hash, height });
      const outcome = `${step.kind} ${failureName(code) ?? "done"}`;
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      txs.push(tx);
    } catch (error) {
      expectCode("TX_CANNOT_PAY_FEE")(error);
    }
    audit(draft);
  }
  return txs;
}

function runBlock(chain: Chain, plan: Plan, seen: Map<string, number>): void {
  const validators = validatorSet(chain.state, chain.genesis);
  const active = chain.state.activeTask()?.record;
  const txs = transactions(chain, plan, seen);
  const at = (i: number) => validators[i % validators.length]?.address as Address;
  let left = active ? trainersPool(chain.state, chain.genesis, active) : 0n;
  const updates: UpdateOf[] = plan.pays.slice(0, validators.length).map(({ part, status }, miner) => {
    const pay = part === 4 ? left : (left * BigInt(part)) / 4n;
    left -= pay;
    return { miner, pay, status: UPDATE_STATUS[status] as UpdateStatus };
  });
  const learns = plan.learns && active !== undefined;
  const seats = committeeSize(validators, chain.genesis);
  const culprit = plan.culprit && chain.state.bondedBy("consensusKey", consensusOf(plan.culprit).publicKey);
  const height = chain.state.height + 1;
  const punishable =
    culprit && height >= firstHeight(culprit.record, chain.genesis) && !culprit.record.slashed.includes(height);
  chain.run({
    txs,
    learning: learns ? learningOf(active.id, updates) : undefined,
    metrics: { n: plan.accuracy === 0 ? 0 : 3, loss: 100, accuracy: plan.accuracy, auroc: 0 },
    committee: learns ? validators.slice(0, Math.min(seats, plan.attest)).map((v) => v.address) : [],
    proposer: at(height),
    expectedProposer: at(height + (plan.missed ? 1 : 0)),
    proposedRound: plan.missed ? 1 : 0,
    evidence: punishable ? [chain.doubleVote(plan.culprit as string, height)] : [],
  });
  if (learns) seen.set("learning", (seen.get("learning") ?? 0) + 1);
  if (punishable) seen.set("evidence", (seen.get("evidence") ?? 0) + 1);
}

test("minted - burned is all that exists after every transaction and block; the set is never empty; roots and records agree", () => {
  const seen = new Map<string, number>();
  const target = { metric: "accuracy" as const, value: 0.9, releasePermille: 333 };
  const genesis = genesisWith({
    task: { spec: spec({ rounds: { maximum: 4, minimum: 1, target } }), escrow: "3500" },
    consensus: { unbondingHeights: 4, evidenceWindow: 3, keyDelay: 1, jailHeights: 2, maxMissed: 1 },
  });
  const first = State.genesis(genesis);
  const root = toHex(first.root());
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 12 }), (plans) => {
      const chain = new Chain(genesis, first);
      for (const plan of plans) runBlock(chain, plan, seen);
      const { state } = chain;
      assert.ok(validatorSet(state, genesis).length > 0);
      const { tables } = state.parts;
      const value = { ...state.singles, ...perList((list) => [...tables[list]]) };
      assert.is(toHex(state.root()), toHex(ChainState.hashTreeRoot(value as unknown as ChainState)));
      assert.is(toHex(State.load(state.records()).root()), toHex(state.root()));
      assert.is(toHex(first.root()), root);
    }),
    { numRuns: 60, seed: 7 },
  );
  // The property says little unless the plans reach the state machine's corners.
  for (const outcome of ["transfer", "bond", "unbond", "publish", "fund", "cancel"].map((kind) => `${kind} done`)) {
    assert.ok(seen.has(outcome), `no ${outcome} among ${[...seen.keys()].join(", ")}`);
  }
  for (const outcome of ["learning", "evidence", "unjail done", "transfer TX_INSUFFICIENT_BALANCE"]) {
    assert.ok(seen.has(outcome), `no ${outcome} among ${[...seen.keys()].join(", ")}`);
  }
});

test("the audit finds a unit too much", () => {
  const draft = State.genesis(genesisWith()).draft();
  audit(draft);
  draft.credit(addressFor("emil"), 1n);
  assert.throws(() => audit(draft), expectCode("AUDIT_FAILED"));
});

test.run();
