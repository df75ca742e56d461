import { test } from "uvu";
import * as assert from "uvu/assert";
import type { z } from "zod";
import { chameleonOpens } from "../../crypto/chameleon.ts";
import { joinSidecar, type Sidecar } from "../../crypto/record.ts";
import type { Method } from "../../node/rpc/jsonrpc.ts";
import { rpcMethods } from "../../node/rpc/methods.ts";
import type { RecordJson, RecordPage, RedactionFull, RedactionPage } from "../../node/rpc/recordtypes.ts";
import { defaultRpcLimits } from "../../node/rpc/server.ts";
import { isPoflError } from "../../types/errors.ts";
import { MAX_RECORD_BYTES, MAX_TX_BYTES } from "../../types/limits.ts";
import { fromHex, type Hash, toHex } from "../../types/primitives.ts";
import { RecordEntry } from "../../types/state.ts";
import { Tx } from "../../types/tx.ts";
import { verifyStateProof } from "../../vm/proof.ts";
import { custodianOf } from "../vm/custody-support.ts";
import { addressFor } from "../vm/support.ts";
import { recordWorld } from "./recordworld.ts";

/** What the RPC says of records in every state, on a chain that made and edited them. */

type World = Awaited<ReturnType<typeof recordWorld>>;

/** Calls a method as the server would; its result must have the shape that the schema says. */
function caller({ context }: World) {
  const methods = rpcMethods(context);
  return async <T>(name: string, params: object = {}): Promise<T> => {
    const method = methods.get(name) as Method;
    const given = method.params.parse(params);
    const result = await (method.run as (params: unknown, caller: unknown) => unknown)(given, {});
    const checked = (method.result as z.ZodType).safeParse(result);
    assert.ok(checked.success, `${name}: ${checked.error?.message}`);
    return result as T;
  };
}

async function refused(work: Promise<unknown>, code: string, says: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(isPoflError(error, code), `${code}: ${error}`);
  assert.match(error.message, says);
}

const hexOf = (text: string) => toHex(new TextEncoder().encode(text));
const sidecarHex = (sidecar: Sidecar) => toHex(joinSidecar(sidecar));

test("a record that nobody has edited: payload, leaf that opens its digest, proof against the head's state root", async () => {
  const world = await recordWorld();
  const call = caller(world);
  const made = await world.put("emil", "consent of patient 7: ✓", { subject: addressFor("fay") });
  const byLabel = await call<RecordJson>("record_get", { id: toHex(made.label) });
  const byTx = await call<RecordJson>("record_get", { id: byLabel.tx });
  assert.equal(byTx, byLabel);
  const { id, status, version, here, malformed, text, payload, sender, subject, height, epoch } = byLabel;
  assert.equal(
    { id, status, version, here, malformed, text, payload, sender, subject, height, epoch },
    {
      id: toHex(made.label),
      status: "current",
      version: 0,
      here: true,
      malformed: false,
      text: "consent of patient 7: ✓",
      payload: hexOf("consent of patient 7: ✓"),
      sender: toHex(addressFor("emil")),
      subject: toHex(addressFor("fay")),
      height: 1,
      epoch: 0,
    },
  );
  const leaf = byLabel.leaf as NonNullable<RecordJson["leaf"]>;
  const opening = { cm: fromHex(leaf.cm), version: 0, r: fromHex(leaf.r), s: fromHex(leaf.s) };
  assert.ok(chameleonOpens(world.custody.epoch(0).publicKey, made.label, fromHex(byLabel.digest), opening));
  const { proof } = byLabel;
  assert.is(proof.stateRoot, toHex(world.chain.state.root()));
  const state = {
    kind: "records" as const,
    index: proof.index,
    record: fromHex(proof.record),
    branch: proof.branch.map((h) => fromHex(h)),
  };
  assert.ok(verifyStateProof(fromHex(proof.stateRoot), state));
  assert.equal(RecordEntry.deserialize(state.record).label, made.label);
  assert.not(verifyStateProof(fromHex(proof.stateRoot), { ...state, index: 1 }));
});

test("corrected, then erased: the edits with their approvals, and nothing of what was there before", async () => {
  const world = await recordWorld();
  const call = caller(world);
  const { label } = await world.put("emil", "blood group A", { subject: addressFor("fay") });
  const first = await world.edit("fay", label, "correction", "blood group B");
  const corrected = await call<RecordJson>("record_get", { id: toHex(label) });
  assert.equal([corrected.status, corrected.version, corrected.text], ["edited", 1, "blood group B"]);
  assert.equal(corrected.edits, [
    {
      request: toHex(first.id),
      reason: "correction",
      requester: toHex(addressFor("fay")),
      askedAt: 2,
      executedAt: 7,
      approvals: [0, 1, 2].map((n) => toHex(custodianOf(n).publicKey)),
      version: 1,
      erased: false,
    },
  ]);
  // The leaf stays what the block holds: the commitment of the original, which no longer is the current one.
  assert.is.not(corrected.leaf?.cm, corrected.cm);
  const second = await world.edit("gus", label, "unlawful");
  const erased = await call<RecordJson>("record_get", { id: toHex(label) });
  const { status, version, here, payload, text, malformed, length } = erased;
  assert.equal(
    { status, version, here, payload, text, malformed, length },
    { status: "erased", version: 2, here: false, payload: null, text: null, malformed: false, length: 0 },
  );
  assert.equal(
    erased.edits.map((e) => [e.request, e.reason, e.erased]),
    [
      [toHex(first.id), "correction", false],
      [toHex(second.id), "unlawful", true],
    ],
  );
  assert.is(erased.leaf?.cm, corrected.leaf?.cm);
  for (const gone of [hexOf("blood group A"), hexOf("blood group B")].map((h) => h.slice(2))) {
    assert.not(JSON.stringify(erased).includes(gone));
  }
});

test("a payload that is not here, one that does not open the commitment, a body without padding, one that is no text", async () => {
  const world = await recordWorld();
  const call = caller(world);
  const made = await world.put("emil", "somewhere else");
  const id = toHex(made.label);
  const get = () => call<RecordJson>("record_get", { id });
  const shown = async () => {
    const { here, payload, text, malformed } = await get();
    return { here, payload, text, malformed };
  };
  const nothing = { here: false, payload: null, text: null, malformed: false };
  world.sidecars.delete(id);
  assert.equal(await shown(), nothing);
  world.sidecars.set(id, { ...made.sidecar, salt: new Uint8Array(32) });
  assert.equal(await shown(), nothing);
  world.sidecars.set(id, made.sidecar);
  world.settings.catchingUp = true;
  assert.equal(await shown(), nothing, "an older head may not know yet that it was erased");
  world.settings.catchingUp = false;
  assert.is((await shown()).here, true);

  /** A record whose body is what its sender wanted it to be. */
  const raw = async (body: Uint8Array) =>
    call<RecordJson>("record_get", { id: toHex(await world.putBody("emil", body)) });
  const zeros = await raw(new Uint8Array(1024));
  assert.equal([zeros.here, zeros.payload, zeros.text, zeros.malformed], [true, null, null, true]);
  const bytes = new Uint8Array(1024).fill(0xff, 0, 3);
  bytes[3] = 0x80;
  const binary = await raw(bytes);
  assert.equal([binary.here, binary.payload, binary.text, binary.malformed], [true, "0xffffff", null, false]);
});

test("what an edit takes away while it is read is not given out", async () => {
  const world = await recordWorld();
  const { label } = await world.put("emil", "soon gone");
  let reads = 0;
  const { read } = world.context.records;
  const records = {
    read: async (...asked: Parameters<typeof read>) => {
      const found = await read(...asked);
      if (++reads === 1) await world.edit("emil", label);
      return found;
    },
  };
  const call = caller({ ...world, context: { ...world.context, records } });
  const found = await call<RecordJson>("record_get", { id: toHex(label) });
  assert.equal([found.status, found.payload, reads], ["erased", null, 1]);
});

test("record_list: in order, by pages", async () => {
  const world = await recordWorld();
  const call = caller(world);
  assert.equal(await call<RecordPage>("record_list"), { total: 0, records: [], next: null });
  const labels: string[] = [];
  for (const text of ["a", "b", "c"]) labels.push(toHex((await world.put("emil", text)).label));
  await world.edit("emil", fromHex(labels[1] as string));
  const all = await call<RecordPage>("record_list");
  assert.equal(
    all.records.map((r) => [r.index, r.id, r.status, r.length]),
    [
      [0, labels[0], "current", 1024],
      [1, labels[1], "erased", 0],
      [2, labels[2], "current", 1024],
    ],
  );
  assert.equal([all.total, all.next], [3, null]);
  const first = await call<RecordPage>("record_list", { limit: 2 });
  assert.equal([first.records.length, first.next], [2, 2]);
  const rest = await call<RecordPage>("record_list", { from: 2, limit: 2 });
  assert.equal([...first.records, ...rest.records], all.records);
  assert.equal((await call<RecordPage>("record_list", { from: 9 })).records, []);
});

test("redaction_list: open, executed, stopped, lapsed, superseded; objections with the power of now", async () => {
  const world = await recordWorld();
  const { chain, custody, done, to } = world;
  const call = caller(world);
  const subject = { subject: addressFor("fay") };
  const one = (await world.put("emil", "one", subject)).label;
  const two = (await world.put("emil", "two", subject)).label;
  const three = (await world.put("emil", "three", subject)).label;
  const ask = async (...args: Parameters<typeof custody.request>) => {
    const asked = custody.request(...args);
    await done(asked.tx);
    return toHex(asked.id);
  };
  const list = async (params: object = {}) => (await call<RedactionPage>("redaction_list", params)).requests;
  const states = async (record?: Hash) =>
    (await list(record ? { record: toHex(record) } : {})).map((r) => [r.id, r.status, r.endedAt]);

  const stopped = await ask("fay", one);
  const lapses = await ask("fay", two);
  const rival = await ask("fay", three, "correction", "drei");
  const [first] = await list();
  const asked = custody.asked(fromHex(stopped));
  assert.equal(first, {
    index: 0,
    id: stopped,
    record: toHex(one),
    reason: "erasure",
    requester: toHex(addressFor("fay")),
    version: 0,
    erases: true,
    length: 0,
    cm: toHex(asked.cm),
    askedAt: 4,
    opensAt: asked.opensAt,
    lapsesAt: asked.lapsesAt,
    status: "open",
    endedAt: null,
    objections: [],
    objectionsPermille: 0,
    approvals: [],
  });
  assert.is((await list())[2]?.erases, false);

  const object = (name: string) => chain.tx(name, { kind: "redact-object", value: { request: fromHex(stopped) } });
  await done(object("anna"));
  assert.equal((await list())[0]?.objections, [{ miner: toHex(addressFor("anna")), moniker: "anna", permille: 250 }]);
  await done(object("ben"), object("cleo"));
  const ended = (await list())[0];
  assert.equal([ended?.status, ended?.objectionsPermille, ended?.endedAt], ["stopped", 750, chain.state.height]);

  const executed = await world.edit("emil", three);
  const edited = chain.state.height;
  assert.equal(await states(three), [
    [rival, "superseded", edited],
    [toHex(executed.id), "executed", edited],
  ]);
  assert.equal((await list({ record: toHex(three) }))[1]?.approvals.length, 3);

  const last = custody.asked(fromHex(lapses)).lapsesAt;
  await to(last - 1);
  assert.equal(await states(two), [[lapses, "open", null]], "it can still be executed at the next height");
  await done(custody.executeTx(fromHex(lapses)));
  assert.is(chain.state.height, last);
  assert.equal(await states(two), [[lapses, "executed", last]]);

  const late = (await world.put("emil", "four")).label;
  const lapsed = await ask("emil", late);
  const end = custody.asked(fromHex(lapsed)).lapsesAt;
  await to(end - 1);
  assert.equal(await states(late), [[lapsed, "open", null]]);
  await to(end);
  assert.equal(await states(late), [[lapsed, "lapsed", end]]);
  const code = await world.run({ txs: [custody.executeTx(fromHex(lapsed))] }).then(() => chain.receipts[0]?.code);
  assert.is.not(code, 0, "and it can't be executed now");
  const again = await world.edit("emil", late);
  assert.equal(
    await states(late),
    [
      [lapsed, "lapsed", end],
      [toHex(again.id), "executed", chain.state.height],
    ],
    "it lapsed before the other edit came",
  );

  const page = await call<RedactionPage>("redaction_list", { limit: 2, from: 1 });
  assert.equal([page.requests.map((r) => r.index), page.total, page.next], [[1, 2], 6, 3]);
  const mine = await call<RedactionPage>("redaction_list", { record: toHex(three), limit: 1 });
  assert.equal([mine.requests.map((r) => r.id), mine.next], [[rival], 3], "the next page goes on after it");
});

test("redaction_get: what would come in the place of a payload, while the request is open and no longer", async () => {
  const world = await recordWorld();
  const call = caller(world);
  const { label } = await world.put("emil", "blood group A");
  const asked = world.custody.request("emil", label, "correction", "blood group B");
  await world.done(asked.tx);
  world.sidecars.set(toHex(asked.id), asked.sidecar as Sidecar);
  const get = async () => {
    const { status, here, text, payload } = await call<RedactionFull>("redaction_get", { id: toHex(asked.id) });
    return { status, here, text, payload };
  };
  assert.equal(await get(), { status: "open", here: true, text: "blood group B", payload: hexOf("blood group B") });
  const [listed] = (await call<RedactionPage>("redaction_list")).requests;
  const {
    here: _h,
    text: _t,
    payload: _p,
    malformed: _m,
    ...rest
  } = await call<RedactionFull>("redaction_get", {
    id: toHex(asked.id),
  });
  assert.equal(rest, listed);
  await world.to(world.custody.asked(asked.id).lapsesAt);
  const lapsed = { status: "lapsed", here: false, text: null, payload: null };
  assert.equal(await get(), lapsed, "though this node has not deleted it");
  await refused(call("redaction_get", { id: toHex(label) }), "NOT_FOUND", /no request/);
});

test("ids of nothing, of another kind of transaction, of one that waits, and of one that failed", async () => {
  const world = await recordWorld();
  const { chain, custody } = world;
  const call = caller(world);
  const get = (id: Hash) => call("record_get", { id: toHex(id) });
  await refused(get(new Uint8Array(32)), "NOT_FOUND", /no record 0x00/);
  await refused(call("redaction_list", { record: toHex(new Uint8Array(32)) }), "NOT_FOUND", /no record/);
  const transfer = chain.transfer("anna", "gus", 5n);
  const epoch = custody.record("emil", "x", { epoch: 5 });
  await world.run({ txs: [transfer, epoch.tx] });
  const [sent, failed] = chain.receipts;
  await refused(get(sent?.tx as Hash), "NOT_A_RECORD", /is a transfer: only records .* can be edited/);
  await refused(get(failed?.tx as Hash), "NOT_FOUND", /failed: it made no record/);
  const waiting = custody.record("emil", "later");
  const { hash } = await call<{ hash: string }>("tx_send", {
    tx: toHex(Tx.serialize(waiting.tx)),
    sidecar: sidecarHex(waiting.sidecar),
  });
  await refused(get(fromHex(hash)), "NOT_FOUND", /waits for a block/);
  await world.done(waiting.tx);
  assert.is((await call<RecordJson>("record_get", { id: hash })).text, "later");
});

test("tx_send: the sidecar that belongs to the transaction, or a refusal; the largest record fits into a request", async () => {
  const world = await recordWorld();
  const { custody, chain } = world;
  const call = caller(world);
  const made = custody.record("emil", "x");
  const tx = toHex(Tx.serialize(made.tx));
  const send = (params: object) => call("tx_send", params);
  await refused(send({ tx }), "MISSING_SIDECAR", /./);
  const wrong = { ...made.sidecar, salt: new Uint8Array(32) };
  await refused(send({ tx, sidecar: sidecarHex(wrong) }), "BAD_SIDECAR", /./);
  await refused(send({ tx, sidecar: "0x12" }), "INVALID_PARAMS", /\$\.sidecar: must be at least 32 bytes/);
  const transfer = toHex(Tx.serialize(chain.transfer("anna", "gus", 1n)));
  await refused(send({ tx: transfer, sidecar: sidecarHex(made.sidecar) }), "BAD_SIDECAR", /./);
  await send({ tx, sidecar: sidecarHex(made.sidecar) });
  const { params } = rpcMethods(world.context).get("tx_send") as Method;
  const zeros = (bytes: number) => `0x${"00".repeat(bytes)}`;
  assert.ok(params.safeParse({ tx, sidecar: zeros(32 + MAX_RECORD_BYTES) }).success);
  assert.not(params.safeParse({ tx, sidecar: zeros(33 + MAX_RECORD_BYTES) }).success);
  const largest = JSON.stringify({
    jsonrpc: "2.0",
    id: Number.MAX_SAFE_INTEGER,
    method: "tx_send",
    params: { tx: zeros(MAX_TX_BYTES), sidecar: zeros(32 + MAX_RECORD_BYTES) },
  });
  assert.ok(largest.length <= defaultRpcLimits.maxBodyBytes);
});

test("transactions about records read well", async () => {
  const world = await recordWorld();
  const { custody, chain } = world;
  const call = caller(world);
  const made = await world.put("emil", "x", { subject: addressFor("fay") });
  const asked = await world.edit("fay", made.label, "correction", "y");
  const found = async (id: string) =>
    (await call<{ tx: { kind: string; payload: object } }>("tx_get", { hash: id })).tx;
  const record = await found((await call<RecordJson>("record_get", { id: toHex(made.label) })).tx as string);
  assert.equal([record.kind, (record.payload as { subject: string }).subject], ["record", toHex(addressFor("fay"))]);
  const request = await found(toHex(asked.id));
  const { cm, length } = custody.asked(asked.id);
  assert.equal(request.payload, { reason: "correction", label: toHex(made.label), version: 0, cm: toHex(cm), length });
  const executed = await found(toHex(chain.receipts[0]?.tx as Hash));
  assert.equal([executed.kind, (executed.payload as { approvals: number }).approvals], ["redact-execute", 3]);
});

test.run();
