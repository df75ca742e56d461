import { test } from "uvu";
import * as assert from "uvu/assert";
import { scalarBytes } from "../../crypto/chameleon.ts";
import { recordLabel } from "../../crypto/record.ts";
import { MAX_RECORD_BYTES, MAX_RECORD_BYTES_PER_BLOCK } from "../../types/limits.ts";
import { toHex } from "../../types/primitives.ts";
import { RecordLeaves } from "../../types/record.ts";
import type { Tx } from "../../types/tx.ts";
import { TX_FAILURES } from "../../vm/failures.ts";
import { besideBlock, madeRecords, requestStatus } from "../../vm/records.ts";
import { admissibleTxs, feeSize, minimumFee } from "../../vm/transactions.ts";
import { type Custody, custodianOf, custodyChain, REDACTION, Custody as Rules, withKey } from "./custody-support.ts";
import { addressFor, Chain, expectCode, FOUNDERS } from "./support.ts";

/** What may be done to a record, by whom and when; and each edit that may not. */

/** A chain with a record of emil's about fay, and all of its parts. */
function recorded() {
  const custody = withKey();
  const made = custody.record("emil", "consent of patient 7", { subject: addressFor("fay") });
  assert.equal(custody.chain.send(made.tx), [""]);
  return { custody, made };
}

/** And a request of the subject's for its erasure, whose delay is over. */
function ripe() {
  const { custody, made } = recorded();
  const asked = custody.request("fay", made.label);
  assert.equal(custody.chain.send(asked.tx), [""]);
  custody.chain.to(custody.asked(asked.id).opensAt - 1);
  return { custody, made, asked };
}

test("a record is entered under its label, and the block's leaf says the same", () => {
  const { custody, made } = recorded();
  const { chain } = custody;
  const entry = custody.entry(made.label);
  assert.is(entry.version, 0);
  assert.equal(entry.cm, made.value.cm);
  assert.is(entry.height, chain.state.height);
  const leaves = madeRecords(chain.hash, [made.tx], chain.receipts);
  assert.is(leaves.length, 1);
  assert.equal(leaves[0]?.label, made.label);
  assert.is.not(toHex(RecordLeaves.hashTreeRoot(leaves)), toHex(RecordLeaves.hashTreeRoot([])));
  assert.equal(besideBlock(chain.hash, [made.tx], chain.receipts), [
    { id: made.label, cm: made.value.cm, length: made.value.length },
  ]);
});

test("a fee pays for the payload beside the block too", () => {
  const { custody, made } = recorded();
  const { chain } = custody;
  assert.is(made.tx.body.fee, minimumFee(chain.genesis, feeSize(made.tx)));
  const next = custody.record("emil", "x");
  const cheap = chain.tx("emil", { kind: "record", value: next.value }, { fee: next.tx.body.fee - 1n });
  assert.throws(() => chain.send(cheap), expectCode("TX_FEE_TOO_LOW"));
});

test("records of one block together are bounded: a proposer leaves the rest out, a block with more is invalid", () => {
  const custody = withKey();
  const { chain } = custody;
  const large = "x".repeat(MAX_RECORD_BYTES - 1);
  const count = MAX_RECORD_BYTES_PER_BLOCK / MAX_RECORD_BYTES;
  const nonce = chain.state.account(addressFor("fay"))?.record.nonce ?? 0;
  const txs = Array.from({ length: count + 1 }, (_, i) => custody.record("fay", large, {}, nonce + i).tx);
  const context = { genesis: chain.genesis, genesisHash: chain.hash, height: chain.state.height + 1 };
  assert.is(admissibleTxs(chain.state, txs, context).length, count);
  assert.throws(() => chain.send(...txs), expectCode("BAD_BLOCK"));
});

test("sender, subject and regulator may ask; the edit replaces the commitment and nothing else", () => {
  for (const who of ["emil", "fay", "gus"]) {
    const { custody, made } = recorded();
    const { chain } = custody;
    const asked = custody.request(who, made.label);
    assert.equal(chain.send(asked.tx), [""]);
    chain.to(custody.asked(asked.id).opensAt - 1);
    const before = custody.entry(made.label);
    assert.equal(chain.send(custody.executeTx(asked.id, [1, 3, 4])), [""]);
    const after = custody.entry(made.label);
    assert.equal(after, { ...before, version: 1, cm: custody.asked(asked.id).cm, length: 0, edits: after.edits });
    assert.equal([...after.edits], [chain.state.find("requests", asked.id)?.index]);
    const request = custody.asked(asked.id);
    assert.is(requestStatus(request), "executed");
    assert.equal(
      request.approvals.map(toHex),
      [1, 3, 4].map((n) => toHex(custodianOf(n).publicKey)),
    );
  }
});

test("a record is corrected, corrected again, then erased; each edit is asked for anew", () => {
  const { custody, made } = recorded();
  const { chain } = custody;
  const texts = ["corrected", "again", undefined];
  texts.forEach((text, i) => {
    const asked = custody.request("emil", made.label, text === undefined ? "erasure" : "correction", text);
    assert.equal(chain.send(asked.tx), [""]);
    if (text !== undefined) assert.is(besideBlock(chain.hash, [asked.tx], chain.receipts).length, 1);
    chain.to(custody.asked(asked.id).opensAt - 1);
    assert.equal(chain.send(custody.executeTx(asked.id)), [""]);
    assert.is(custody.entry(made.label).version, i + 1);
  });
  assert.is(custody.entry(made.label).length, 0);
});

test("an emergency that a regulator sees waits less; nobody else may call it one", () => {
  const { custody, made } = recorded();
  const { chain } = custody;
  assert.equal(chain.send(custody.request("emil", made.label, "emergency").tx), ["TX_NOT_ENTITLED"]);
  const asked = custody.request("gus", made.label, "emergency");
  assert.equal(chain.send(asked.tx), [""]);
  const { opensAt, askedAt, lapsesAt } = custody.asked(asked.id);
  assert.equal([opensAt - askedAt, lapsesAt - opensAt], [REDACTION.emergencyDelay, REDACTION.window]);
});

test("objections stop a request only with more than two thirds of the power", () => {
  const { custody, asked } = ripe();
  const { chain } = custody;
  const object = (name: string) => chain.tx(name, { kind: "redact-object", value: { request: asked.id } });
  for (const [i, name] of FOUNDERS.slice(0, 3).entries()) {
    assert.is(requestStatus(custody.asked(asked.id)), "open");
    assert.equal(chain.send(object(name)), [""], `${i}`);
  }
  // Three of four are more than two thirds, two of four were not.
  assert.is(requestStatus(custody.asked(asked.id)), "stopped");
});

/** Every edit that must not happen, each with a code of its own. */
type Case = { id: string; code: (typeof TX_FAILURES)[number]; tx: () => { custody: Custody; tx: Tx } };
const cases: Case[] = [
  {
    id: "a record before there is a key",
    code: "TX_NO_CUSTODIANS",
    tx: () => {
      const custody = new Rules(custodyChain());
      return { custody, tx: custody.record("emil", "x").tx };
    },
  },
  {
    id: "a record under an older key",
    code: "TX_WRONG_EPOCH",
    tx: () => {
      const custody = withKey();
      custody.generate();
      return { custody, tx: custody.record("emil", "x", { epoch: 0 }).tx };
    },
  },
  {
    id: "a leaf whose opening opens nothing",
    code: "TX_BAD_LEAF",
    tx: () => {
      const custody = withKey();
      return { custody, tx: custody.record("emil", "x", { s: scalarBytes(9n) }).tx };
    },
  },
  {
    id: "a leaf made for another nonce",
    code: "TX_BAD_LEAF",
    tx: () => {
      const custody = withKey();
      const { value } = custody.record("emil", "x");
      custody.chain.send(custody.chain.transfer("emil", "fay", 1n));
      return { custody, tx: custody.chain.tx("emil", { kind: "record", value }) };
    },
  },
  {
    id: "another's leaf, verbatim",
    code: "TX_BAD_LEAF",
    tx: () => {
      const { custody, made } = recorded();
      return { custody, tx: custody.chain.tx("fay", { kind: "record", value: made.value }) };
    },
  },
  {
    id: "a length that tells",
    code: "TX_BAD_LEAF",
    tx: () => {
      const custody = withKey();
      return { custody, tx: custody.record("emil", "x", { length: 100 }).tx };
    },
  },
  {
    id: "a request for a transfer",
    code: "TX_UNKNOWN_RECORD",
    tx: () => {
      const { custody } = recorded();
      const { chain } = custody;
      const nonce = chain.state.account(addressFor("fay"))?.record.nonce ?? 0;
      assert.equal(chain.send(chain.transfer("fay", "emil", 5n)), [""]);
      return { custody, tx: custody.request("fay", recordLabel(chain.hash, addressFor("fay"), nonce)).tx };
    },
  },
  {
    id: "a request that says erased and replaces",
    code: "TX_BAD_REQUEST",
    tx: () => {
      const { custody, made } = recorded();
      return { custody, tx: custody.request("emil", made.label, "correction", "x", { length: 0 }).tx };
    },
  },
  {
    id: "a request without a reason",
    code: "TX_BAD_REQUEST",
    tx: () => {
      const { custody, made } = recorded();
      return { custody, tx: custody.request("emil", made.label, "erasure", undefined, { reason: 4 }).tx };
    },
  },
  {
    id: "a request by a stranger",
    code: "TX_NOT_ENTITLED",
    tx: () => {
      const { custody, made } = recorded();
      return { custody, tx: custody.request("anna", made.label).tx };
    },
  },
  {
    id: "an edit without a request on the chain",
    code: "TX_UNKNOWN_REQUEST",
    tx: () => {
      const { custody, asked } = ripe();
      const tx = custody.executeTx(asked.id);
      const { value } = tx.body.payload as { value: object };
      const elsewhere = { ...value, request: custody.chain.hash };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value: elsewhere as never }) };
    },
  },
  {
    id: "an edit with another record's collision",
    code: "TX_BAD_OPENING",
    tx: () => {
      const { custody, asked } = ripe();
      const { chain } = custody;
      const other = custody.record("emil", "another");
      assert.equal(chain.send(other.tx), [""]);
      const theirs = custody.request("emil", other.label);
      assert.equal(chain.send(theirs.tx), [""]);
      const opening = custody.open(custody.redaction(theirs.id), [0, 1, 2]);
      const approvals = custody.approvals(asked.id, opening, [0, 1, 2]);
      const value = { request: asked.id, ...opening, approvals };
      return { custody, tx: chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit with the opening of the original",
    code: "TX_BAD_OPENING",
    tx: () => {
      const { custody, made, asked } = ripe();
      const { r, s } = made.value;
      const value = { request: asked.id, r, s, approvals: custody.approvals(asked.id, { r, s }, [0, 1, 2]) };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit twice",
    code: "TX_REQUEST_EXECUTED",
    tx: () => {
      const { custody, asked } = ripe();
      assert.equal(custody.chain.send(custody.executeTx(asked.id, [0, 1, 2])), [""]);
      // Another opening that is just as valid, as another session would make it.
      const asBefore = { ...custody.redaction(asked.id), version: 1 };
      const opening = custody.open(asBefore, [2, 3, 4]);
      const approvals = custody.approvals(asked.id, opening, [2, 3, 4]);
      const value = { request: asked.id, ...opening, approvals };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit that another has overtaken",
    code: "TX_RECORD_CHANGED",
    tx: () => {
      const { custody, made, asked } = ripe();
      const { chain } = custody;
      const second = custody.request("emil", made.label, "correction", "better");
      assert.equal(chain.send(second.tx), [""]);
      assert.equal(chain.send(custody.executeTx(asked.id)), [""]);
      chain.to(custody.asked(second.id).opensAt - 1);
      return { custody, tx: custody.executeTx(second.id) };
    },
  },
  {
    id: "an edit before its delay",
    code: "TX_REQUEST_TOO_EARLY",
    tx: () => {
      const { custody, made } = recorded();
      const asked = custody.request("emil", made.label);
      assert.equal(custody.chain.send(asked.tx), [""]);
      custody.chain.to(custody.asked(asked.id).opensAt - 2);
      return { custody, tx: custody.executeTx(asked.id) };
    },
  },
  {
    id: "an edit after its window",
    code: "TX_REQUEST_LAPSED",
    tx: () => {
      const { custody, asked } = ripe();
      custody.chain.to(custody.asked(asked.id).lapsesAt);
      return { custody, tx: custody.executeTx(asked.id) };
    },
  },
  {
    id: "an edit after an objection",
    code: "TX_REQUEST_STOPPED",
    tx: () => {
      const { custody, asked } = ripe();
      const { chain } = custody;
      for (const name of FOUNDERS.slice(0, 3)) {
        assert.equal(chain.send(chain.tx(name, { kind: "redact-object", value: { request: asked.id } })), [""]);
      }
      return { custody, tx: custody.executeTx(asked.id) };
    },
  },
  {
    id: "an edit with one approval too few",
    code: "TX_TOO_FEW_APPROVALS",
    tx: () => {
      const { custody, asked } = ripe();
      const opening = custody.open(custody.redaction(asked.id), [0, 1, 2]);
      const value = { request: asked.id, ...opening, approvals: custody.approvals(asked.id, opening, [0, 1]) };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit with one approval twice",
    code: "TX_BAD_APPROVAL",
    tx: () => {
      const { custody, asked } = ripe();
      const opening = custody.open(custody.redaction(asked.id), [0, 1, 2]);
      const value = { request: asked.id, ...opening, approvals: custody.approvals(asked.id, opening, [0, 1, 1]) };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit with approvals of another opening",
    code: "TX_BAD_APPROVAL",
    tx: () => {
      const { custody, asked } = ripe();
      const first = custody.open(custody.redaction(asked.id), [0, 1, 2]);
      const second = custody.open(custody.redaction(asked.id), [0, 1, 2]);
      const value = { request: asked.id, ...second, approvals: custody.approvals(asked.id, first, [0, 1, 2]) };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an edit by custodians who have handed their office over",
    code: "TX_BAD_APPROVAL",
    tx: () => {
      const { custody, asked } = ripe();
      const opening = custody.open(custody.redaction(asked.id), [0, 1, 2]);
      const approvals = custody.approvals(asked.id, opening, [0, 1, 2]);
      custody.handOver(0, [0, 1, 2], [5, 6, 7, 8], 3);
      const value = { request: asked.id, ...opening, approvals };
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-execute", value }) };
    },
  },
  {
    id: "an objection of no validator",
    code: "TX_NOT_VALIDATOR",
    tx: () => {
      const { custody, asked } = ripe();
      return { custody, tx: custody.chain.tx("emil", { kind: "redact-object", value: { request: asked.id } }) };
    },
  },
  {
    id: "an objection twice",
    code: "TX_ALREADY_OBJECTED",
    tx: () => {
      const { custody, asked } = ripe();
      const { chain } = custody;
      const object = () => chain.tx("anna", { kind: "redact-object", value: { request: asked.id } });
      assert.equal(chain.send(object()), [""]);
      return { custody, tx: object() };
    },
  },
];

for (const { id, code, tx: make } of cases) {
  test(`${code}: ${id}`, () => {
    const { custody, tx } = make();
    const before = custody.chain.state;
    assert.equal(custody.chain.send(tx), [code]);
    const { state } = custody.chain;
    for (const list of ["records", "requests", "epochs", "ceremonies"] as const) {
      assert.is(state.parts.tables[list], before.parts.tables[list], `${list} stay as they were`);
    }
  });
}

test("every code of records has a case above", () => {
  const codes = TX_FAILURES.slice(TX_FAILURES.indexOf("TX_NO_CUSTODIANS"), TX_FAILURES.indexOf("TX_BAD_PLAN"));
  assert.equal([...new Set(cases.map((c) => c.code))].sort(), [...codes].sort());
});

test("new custodians under the same key edit records of before; the old ones' collision is good, their approval is not", () => {
  const { custody, made, asked } = ripe();
  const { publicKey } = custody.epoch(0);
  custody.handOver(0, [0, 2, 4], [4, 5, 6, 7], 2);
  assert.equal(custody.epoch(0).publicKey, publicKey);
  assert.is(custody.epoch(0).generation, 1);
  assert.equal(custody.chain.send(custody.executeTx(asked.id, [5, 7])), [""]);
  assert.is(custody.entry(made.label).length, 0);
});

test("earlier state roots and headers never change: only the state moves on", () => {
  const { custody, asked } = ripe();
  const { chain } = custody;
  const before = chain.state;
  const root = toHex(before.root());
  const twin = new Chain(chain.genesis, before);
  assert.equal(chain.send(custody.executeTx(asked.id)), [""]);
  assert.is(toHex(before.root()), root);
  assert.is.not(toHex(chain.state.root()), root);
  assert.is(toHex(twin.state.root()), root);
});

test.run();
