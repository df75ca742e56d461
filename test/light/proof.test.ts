import { test } from "uvu";
import * as assert from "uvu/assert";
import { provenAccount, provenModelChunk, provenRecord } from "../../consensus/light/proof.ts";
import { blobRoot, chunkOf, chunkProof } from "../../crypto/blob.ts";
import { Header } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { ChainState, RecordEntry } from "../../types/state.ts";
import { prove } from "../../vm/proof.ts";
import { State } from "../../vm/state.ts";
import { seedOf } from "../vm/support.ts";

const { accounts: _a, records: _r, ...singles } = ChainState.defaultValue();
const account = (n: number) => ({ address: seedOf(`a${n}`).slice(0, 20), balance: BigInt(n), nonce: n });
const record = (n: number) => ({ ...RecordEntry.defaultValue(), label: seedOf(`r${n}`), version: n });
const state = State.of(singles, { accounts: [1, 2, 3].map(account), records: [1, 2].map(record) });
const model = new Uint8Array(600_000).map((_, i) => i % 251);
const header = { ...Header.defaultValue(), height: 9, stateRoot: state.root(), modelRoot: blobRoot(model) };

function refused(id: string, act: () => unknown, says: RegExp): void {
  try {
    act();
  } catch (error) {
    assert.ok(isPoflError(error, "BAD_PROOF"), String(error));
    assert.match(error.message, says, id);
    return;
  }
  assert.unreachable(`${id}: nothing was refused`);
}

test("accounts, records and chunks of a model are proven against a header, each under its own name", () => {
  assert.equal(provenAccount(header, account(2).address, prove(state, "accounts", 1)), account(2));
  assert.equal(provenRecord(header, record(1).label, prove(state, "records", 0)), record(1));
  for (const i of [0, 1, 2]) {
    const chunk = chunkOf(model, i);
    assert.equal(provenModelChunk(header, model.length, i, chunk, chunkProof(model, i)), chunk);
  }
});

test("a proof of something else, of another kind or of another state proves nothing", () => {
  const other = { ...header, stateRoot: seedOf("other"), modelRoot: seedOf("other") };
  const of = (n: number) => prove(state, "accounts", n - 1);
  refused("another account", () => provenAccount(header, account(1).address, of(2)), /it is of another account/);
  refused(
    "a record as an account",
    () => provenAccount(header, account(1).address, prove(state, "records", 0)),
    /state root/,
  );
  refused("another record", () => provenRecord(header, record(2).label, prove(state, "records", 0)), /another record/);
  refused("another state", () => provenAccount(other, account(1).address, of(1)), /height 9 is bad: it does not lead/);
  refused("another index", () => provenAccount(header, account(1).address, { ...of(1), index: 1 }), /state root/);
  const proof = chunkProof(model, 0);
  refused("another chunk", () => provenModelChunk(header, model.length, 1, chunkOf(model, 0), proof), /model root/);
  refused("another model", () => provenModelChunk(other, model.length, 0, chunkOf(model, 0), proof), /model root/);
});

test.run();
