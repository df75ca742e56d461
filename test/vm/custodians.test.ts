import { test } from "uvu";
import * as assert from "uvu/assert";
import { statementSigning } from "../../crypto/custodian.ts";
import { shareOf } from "../../crypto/dealing.ts";
import { complain, envelopeKeys, sealShare } from "../../crypto/envelope.ts";
import type { CeremonyPlan } from "../../types/ceremony.ts";
import { toHex } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import { awaited, ceremonyId, ceremonyStatus } from "../../vm/ceremony.ts";
import { TX_FAILURES } from "../../vm/failures.ts";
import { Custody, custodianOf, custodyChain, withKey } from "./custody-support.ts";
import { seedOf } from "./support.ts";

/** The ceremonies as the chain sees them. */

const ALL = [0, 1, 2, 3, 4];
const fresh = () => new Custody(custodyChain());
const register = (custody: Custody, plan: CeremonyPlan, numbers: readonly number[] = ALL): Tx =>
  custody.chain.tx("emil", { kind: "custodian-register", value: custody.outcome(plan, numbers) });

/** A ceremony in which everyone has dealt. */
function dealt(plan?: Partial<CeremonyPlan>) {
  const custody = fresh();
  const made = custody.plan(plan);
  for (const n of ALL) assert.equal(custody.chain.send(custody.dealTx(made, n)), [""]);
  return { custody, plan: made };
}

/** Dealer d sends receiver r this share, sealed; and what r publishes against it. */
function complaint(custody: Custody, plan: CeremonyPlan, d: number, r: number, share: Uint8Array): Tx {
  const ceremony = ceremonyId(plan);
  const keysOf = (n: number) => envelopeKeys(custody.seed(plan, n), ceremony);
  const signed = sealShare({
    genesisHash: custody.chain.hash,
    custodianSecret: custodianOf(d).secret,
    envelopeSecret: keysOf(d).secret,
    receiverKey: keysOf(r).publicKey,
    ceremony,
    dealer: d,
    receiver: r,
    share,
  });
  const value = complain({
    envelopeSecret: keysOf(r).secret,
    dealerKey: keysOf(d).publicKey,
    signed,
    seed: custody.seed(plan, r),
  });
  return custody.chain.tx("emil", { kind: "custodian-complain", value });
}

test("five deal, and the chain comes to the key that they hold shares of", () => {
  const { custody, plan } = dealt();
  const { chain } = custody;
  assert.equal(awaited(chain.state, custody.ceremony(plan)), []);
  assert.equal(chain.send(register(custody, plan)), [""]);
  const epoch = custody.epoch(0);
  assert.is(epoch.threshold, 3);
  assert.is(epoch.generation, 0);
  assert.is(epoch.verifyingShares.length, 5);
  assert.is(ceremonyStatus(custody.ceremony(plan)), "done");
});

test("the next key is made by those in office; records go under the latest", () => {
  const custody = withKey();
  custody.handOver(0, [0, 1, 2], [3, 4, 5], 2);
  const plan = custody.plan({ keys: [3, 4, 5].map((n) => custodianOf(n).publicKey), threshold: 2 });
  for (const n of [3, 4, 5]) assert.equal(custody.chain.send(custody.dealTx(plan, n)), [""]);
  assert.equal(custody.chain.send(register(custody, plan, [3, 4, 5])), [""]);
  assert.is.not(toHex(custody.epoch(1).publicKey), toHex(custody.epoch(0).publicKey));
  assert.equal(custody.chain.send(custody.record("emil", "x").tx), [""]);
});

test("a dealer of a bad share is named by the chain, and the next attempt may go without it", () => {
  const { custody, plan } = dealt();
  const { chain } = custody;
  const bad = shareOf(custody.dealing(plan, 1), 3);
  assert.equal(chain.send(complaint(custody, plan, 1, 2, bad)), [""]);
  const ended = custody.ceremony(plan);
  assert.is(ceremonyStatus(ended), "failed");
  assert.is(toHex(ended.culprit), toHex(custodianOf(1).publicKey));
  const without = custody.plan({ attempt: 1, keys: [0, 2, 3, 4].map((n) => custodianOf(n).publicKey) });
  for (const n of [0, 2, 3, 4]) assert.equal(chain.send(custody.dealTx(without, n)), [""]);
  assert.equal(chain.send(register(custody, without, [0, 2, 3, 4])), [""]);
  assert.is(custody.epoch(0).keys.length, 4);
});

test("a key is handed over by those whom the plan names; the others only receive", () => {
  const custody = withKey();
  const { chain } = custody;
  const plan = custody.plan({ epoch: 0, generation: 1, dealers: [0, 2, 4] });
  for (const n of [4, 2, 0]) assert.equal(chain.send(custody.dealTx(plan, n)), [""]);
  assert.equal(
    awaited(chain.state, custody.ceremony(plan)).map(toHex),
    [1, 3].map((n) => toHex(custodianOf(n).publicKey)),
  );
  for (const n of [1, 3]) assert.equal(chain.send(custody.dealTx(plan, n, false)), [""]);
  const value = custody.outcome(plan, ALL);
  const before = custody.epoch(0);
  assert.equal(chain.send(chain.tx("emil", { kind: "custodian-rotate", value })), [""]);
  assert.equal(custody.epoch(0).publicKey, before.publicKey);
  assert.is.not(toHex(custody.epoch(0).verifyingShares[0]!), toHex(before.verifyingShares[0]!));
});

test("who cheats or keeps silent in a hand-over is left out of the next", () => {
  const custody = withKey();
  const { chain } = custody;
  const plan = custody.plan({ epoch: 0, generation: 1, dealers: [0, 1, 2] });
  for (const n of [0, 1, 2]) assert.equal(chain.send(custody.dealTx(plan, n)), [""]);
  for (const n of [3, 4]) assert.equal(chain.send(custody.dealTx(plan, n, false)), [""]);
  const bad = shareOf(custody.dealing(plan, 1), 3);
  assert.equal(chain.send(complaint(custody, plan, 1, 2, bad)), [""]);
  assert.is(toHex(custody.ceremony(plan).culprit), toHex(custodianOf(1).publicKey));
  custody.handOver(0, [0, 2, 3], [0, 2, 3, 4], 3);
  assert.is(custody.epoch(0).generation, 1);
});

type Case = { id: string; code: (typeof TX_FAILURES)[number]; tx: () => { custody: Custody; tx: Tx } };
const planned = (id: string, change: Partial<CeremonyPlan>): Case => ({
  id,
  code: "TX_BAD_PLAN",
  tx: () => {
    const custody = fresh();
    return { custody, tx: custody.dealTx(custody.plan(), 0, true, { plan: custody.plan(change) }) };
  },
});
const dealCase = (id: string, code: Case["code"], make: (custody: Custody) => Tx): Case => ({
  id,
  code,
  tx: () => {
    const custody = fresh();
    return { custody, tx: make(custody) };
  },
});
const cases: Case[] = [
  planned("an epoch that is not the next", { epoch: 1 }),
  planned("another threshold than genesis says", { threshold: 2 }),
  planned("a threshold of nobody", { threshold: 0 }),
  planned("a custodian that genesis does not name", {
    keys: [0, 1, 2, 3, 9].map((n) => custodianOf(n).publicKey),
  }),
  planned("a custodian left out who has done nothing", {
    keys: [0, 1, 2, 3].map((n) => custodianOf(n).publicKey),
  }),
  planned("a custodian twice", { keys: [0, 1, 2, 3, 3].map((n) => custodianOf(n).publicKey) }),
  planned("a key handed over that there is not", { generation: 1 }),
  planned("dealers named where everyone deals", { dealers: [0, 1, 2] }),
  {
    id: "a generation that is not the next",
    code: "TX_BAD_PLAN",
    tx: () => {
      const custody = withKey();
      return { custody, tx: custody.dealTx(custody.plan({ epoch: 0, generation: 2 }), 0) };
    },
  },
  ...[
    [0, 1],
    [0, 1, 2, 3],
    [2, 1, 0],
    [0, 0, 1],
    [0, 1, 5],
  ].map(
    (dealers): Case => ({
      id: `a hand-over by the dealers ${dealers.join()}`,
      code: "TX_BAD_PLAN",
      tx: () => {
        const custody = withKey();
        return { custody, tx: custody.dealTx(custody.plan({ epoch: 0, generation: 1, dealers }), 0) };
      },
    }),
  ),
  {
    id: "commitments of who is no dealer of the plan",
    code: "TX_BAD_DEAL",
    tx: () => {
      const custody = withKey();
      const plan = custody.plan({ epoch: 0, generation: 1, dealers: [0, 1, 2] });
      custody.chain.send(custody.dealTx(plan, 0));
      return { custody, tx: custody.dealTx(plan, 3) };
    },
  },
  {
    id: "a key's making registered as a hand-over",
    code: "TX_BAD_PLAN",
    tx: () => {
      const { custody, plan } = dealt();
      const value = custody.outcome(plan, ALL);
      return { custody, tx: custody.chain.tx("emil", { kind: "custodian-rotate", value }) };
    },
  },
  {
    id: "two ceremonies for one epoch: the second comes too late",
    code: "TX_BAD_PLAN",
    tx: () => {
      const { custody, plan } = dealt();
      const other = custody.plan({ attempt: 1 });
      for (const n of ALL) custody.chain.send(custody.dealTx(other, n));
      assert.equal(custody.chain.send(register(custody, other)), [""]);
      return { custody, tx: register(custody, plan) };
    },
  },
  dealCase("a deal that another custodian signed", "TX_BAD_DEAL", (custody) => {
    const { body } = custody.deal(custody.plan(), 0);
    const { signature } = custody.deal(custody.plan(), 1);
    return custody.chain.tx("emil", { kind: "custodian-deal", value: { body, signature } });
  }),
  dealCase("by who is no custodian", "TX_BAD_DEAL", (custody) =>
    custody.dealTx(custody.plan(), 1, true, { custodian: custodianOf(9).publicKey }),
  ),
  dealCase("without knowledge of the secret", "TX_BAD_DEAL", (custody) =>
    custody.dealTx(custody.plan(), 1, true, { proof: custody.deal(custody.plan(), 2).body.proof }),
  ),
  dealCase("another's commitments", "TX_BAD_DEAL", (custody) => {
    const { commitments, proof } = custody.deal(custody.plan(), 2).body;
    return custody.dealTx(custody.plan(), 1, true, { commitments, proof });
  }),
  dealCase("one commitment too few", "TX_BAD_DEAL", (custody) => {
    const { commitments } = custody.deal(custody.plan(), 1).body;
    return custody.dealTx(custody.plan(), 1, true, { commitments: commitments.slice(1) });
  }),
  dealCase("an envelope key that is the identity", "TX_BAD_DEAL", (custody) =>
    custody.dealTx(custody.plan(), 1, true, { envelopeKey: new Uint8Array(32) }),
  ),
  dealCase("only receiving where a key is made", "TX_BAD_DEAL", (custody) => custody.dealTx(custody.plan(), 1, false)),
  {
    id: "a hand-over of something else than one's share",
    code: "TX_BAD_DEAL",
    tx: () => {
      const custody = withKey();
      const plan = custody.plan({ epoch: 0, generation: 1, dealers: [0, 1, 2] });
      const { commitments } = custody.deal(plan, 1).body;
      return { custody, tx: custody.dealTx(plan, 0, true, { commitments }) };
    },
  },
  {
    id: "a hand-over begun by who holds nothing",
    code: "TX_UNKNOWN_CEREMONY",
    tx: () => {
      const custody = withKey();
      const plan = custody.plan({
        epoch: 0,
        generation: 1,
        dealers: [0, 1, 2],
        keys: [5, 6, 7].map((n) => custodianOf(n).publicKey),
      });
      return { custody, tx: custody.dealTx(plan, 5, false) };
    },
  },
  {
    id: "a deal twice",
    code: "TX_ALREADY_DEALT",
    tx: () => {
      const { custody, plan } = dealt();
      return { custody, tx: custody.dealTx(plan, 2) };
    },
  },
  {
    id: "a deal after the ceremony failed",
    code: "TX_CEREMONY_OVER",
    tx: () => {
      const custody = fresh();
      const plan = custody.plan();
      for (const n of [0, 1]) custody.chain.send(custody.dealTx(plan, n));
      const bad = shareOf(custody.dealing(plan, 0), 3);
      assert.equal(custody.chain.send(complaint(custody, plan, 0, 1, bad)), [""]);
      return { custody, tx: custody.dealTx(plan, 2) };
    },
  },
  {
    id: "a key registered before all have dealt",
    code: "TX_CEREMONY_INCOMPLETE",
    tx: () => {
      const custody = fresh();
      const plan = custody.plan();
      for (const n of [0, 1, 2, 3]) custody.chain.send(custody.dealTx(plan, n));
      return { custody, tx: register(custody, plan) };
    },
  },
  {
    id: "a complaint about a good share",
    code: "TX_BAD_COMPLAINT",
    tx: () => {
      const { custody, plan } = dealt();
      const good = shareOf(custody.dealing(plan, 1), 2);
      return { custody, tx: complaint(custody, plan, 1, 2, good) };
    },
  },
  {
    id: "a complaint about who has not dealt",
    code: "TX_BAD_COMPLAINT",
    tx: () => {
      const custody = fresh();
      const plan = custody.plan();
      custody.chain.send(custody.dealTx(plan, 2));
      return { custody, tx: complaint(custody, plan, 1, 2, seedOf("share").fill(1)) };
    },
  },
  {
    id: "a statement that one did not sign",
    code: "TX_BAD_STATEMENT",
    tx: () => {
      const { custody, plan } = dealt();
      const value = custody.outcome(plan, ALL);
      const signatures = [...value.signatures];
      signatures[3] = signatures[2]!;
      return { custody, tx: custody.chain.tx("emil", { kind: "custodian-register", value: { ...value, signatures } }) };
    },
  },
  {
    id: "a statement that all signed, of another key",
    code: "TX_BAD_STATEMENT",
    tx: () => {
      const { custody, plan } = dealt();
      const { signatures: _, ...said } = custody.outcome(plan, ALL);
      const other = { ...said, publicKey: withKey().epoch(0).verifyingShares[0]! };
      const signatures = ALL.map((n) => statementSigning.sign(custody.chain.hash, custodianOf(n).secret, other));
      return { custody, tx: custody.chain.tx("emil", { kind: "custodian-register", value: { ...other, signatures } }) };
    },
  },
];

for (const { id, code, tx: make } of cases) {
  test(`${code}: ${id}`, () => {
    const { custody, tx } = make();
    const before = custody.chain.state;
    assert.equal(custody.chain.send(tx), [code]);
    for (const list of ["epochs", "ceremonies"] as const) {
      assert.is(custody.chain.state.parts.tables[list], before.parts.tables[list], `${list} stay as they were`);
    }
  });
}

test("every code of ceremonies has a case above", () => {
  const codes = TX_FAILURES.slice(TX_FAILURES.indexOf("TX_BAD_PLAN"));
  assert.equal([...new Set(cases.map((c) => c.code))].sort(), [...codes].sort());
});

test.run();
