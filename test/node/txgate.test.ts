import { test } from "uvu";
import * as assert from "uvu/assert";
import { joinSidecar, type Sidecar } from "../../crypto/record.ts";
import { createMempool } from "../../node/mempool.ts";
import { TxGate } from "../../node/txgate.ts";
import type { GossipHandler, Network, RequestHandler } from "../../p2p/types.ts";
import { isPoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { Tx } from "../../types/tx.ts";
import { feeSize } from "../../vm/transactions.ts";
import { addressFor } from "../vm/support.ts";
import { Ledger, Peers, RecordNode, settled } from "./recordnet.ts";

/** A transaction with something beside it comes in together with that, from whoever sends it, or not at all. */

async function gate(maxBytes?: number) {
  const ledger = new Ledger();
  const peers = new Peers();
  const node = await new RecordNode("a", ledger, peers).start();
  const { sidecars } = node;
  const mempool = createMempool(
    {
      state: () => node.state,
      genesis: ledger.custody.chain.genesis,
      genesisHash: ledger.hash,
      now: () => 0,
      dropped: (tx) => sidecars.withdraw(tx),
    },
    maxBytes === undefined ? {} : { maxBytes },
  );
  let handler: GossipHandler | undefined;
  const published: Tx[] = [];
  const admitted: string[] = [];
  const network: Pick<Network, "onGossip" | "publish"> = {
    onGossip: (_topic, h) => {
      handler = h;
    },
    publish: async (_topic, bytes) => published.push(Tx.deserialize(bytes)),
  };
  const made = new TxGate({
    network,
    mempool,
    sidecars,
    genesisHash: ledger.hash,
    admitted: (id) => admitted.push(toHex(id)),
  });
  const gossip = async (peer: string, tx: Tx) => handler?.(peer, Tx.serialize(tx));
  return { ledger, peers, node, sidecars, mempool, gate: made, gossip, published, admitted };
}

const code = (act: () => unknown) => {
  try {
    act();
    return "";
  } catch (error) {
    return isPoflError(error) ? error.code : String(error);
  }
};
const always = (sidecar: Sidecar): RequestHandler =>
  async function* () {
    yield joinSidecar(sidecar);
  };

test("submitted: with the payload that it commits to, and with none where none belongs", async () => {
  const { ledger, gate: door, sidecars, mempool, published } = await gate();
  const { tx, sidecar, label, value } = ledger.note("a note");
  const transfer = ledger.custody.chain.transfer("ben", "cleo", 1n);
  const other = { salt: sidecar.salt, body: sidecar.body.slice().fill(1) };
  assert.is(
    code(() => door.submit(tx)),
    "MISSING_SIDECAR",
  );
  assert.is(
    code(() => door.submit(tx, other)),
    "BAD_SIDECAR",
  );
  assert.is(
    code(() => door.submit(tx, { ...sidecar, body: sidecar.body.slice(1) })),
    "BAD_SIDECAR",
  );
  assert.is(
    code(() => door.submit(transfer, sidecar)),
    "BAD_SIDECAR",
  );
  assert.is(mempool.count, 0);
  assert.is(
    code(() => door.submit(transfer)),
    "",
  );
  assert.is(
    code(() => door.submit(tx, sidecar)),
    "",
  );
  assert.equal(sidecars.waiting({ id: label, cm: value.cm }), sidecar);
  // What is gossiped is the transaction alone.
  assert.equal(published, [transfer, tx]);
  assert.is(
    code(() => door.submit(tx, sidecar)),
    "TX_KNOWN",
  );
});

test("what waits in memory is charged to the mempool, and goes with its transaction", async () => {
  const { ledger, gate: door, sidecars, mempool } = await gate();
  const { chain } = ledger.custody;
  const { tx, sidecar, label, value } = ledger.note("a note");
  const place = { id: label, cm: value.cm };
  door.submit(tx, sidecar);
  assert.is(mempool.bytes, feeSize(tx));
  assert.is(mempool.bytes, Tx.value_serializedSize(tx) + 1024);
  // The same record at a better price needs no payload again: it is here.
  const better = chain.tx("anna", { kind: "record", value }, { fee: 2n * tx.body.fee });
  assert.is(
    code(() => door.submit(better)),
    "",
  );
  assert.equal(sidecars.waiting(place), sidecar);
  const instead = chain.transfer("anna", "ben", 1n, { fee: 4n * tx.body.fee });
  door.submit(instead);
  assert.is(sidecars.waiting(place), undefined, "another transaction took its place");
  assert.is(mempool.bytes, Tx.value_serializedSize(instead));
});

test("payloads count: a full mempool refuses a record that pays less for each of its bytes", async () => {
  const { ledger, gate: door, sidecars } = await gate(2500);
  const first = ledger.note("first", "anna");
  const second = ledger.note("second", "ben");
  door.submit(first.tx, first.sidecar);
  assert.is(
    code(() => door.submit(second.tx, second.sidecar)),
    "MEMPOOL_FULL",
  );
  assert.is(sidecars.waiting({ id: second.label, cm: second.value.cm }), undefined, "nothing of it is kept");
});

test("gossiped: the payload is pulled from who passed it on before it is admitted", async () => {
  const { ledger, peers, gossip, sidecars, mempool, admitted } = await gate();
  const { tx, sidecar, label, value } = ledger.note("a note");
  const asked: string[] = [];
  for (const name of ["b", "c", "d"]) {
    peers.handlers.set(name, async function* (peer, request) {
      asked.push(name);
      yield* always(sidecar)(peer, request);
    });
  }
  assert.is(await gossip("d", tx), "accept");
  assert.equal(asked, ["d"]);
  assert.is(mempool.count, 1);
  assert.is(admitted.length, 1);
  assert.equal(sidecars.waiting({ id: label, cm: value.cm }), sidecar);
  assert.is(await gossip("c", tx), "ignore", "known");
  assert.equal(asked, ["d"]);
});

test("gossiped: one that nobody serves is not admitted and not passed on; a lie is reported, the next peer asked", async () => {
  const { ledger, peers, gossip, mempool, admitted } = await gate();
  const { tx, sidecar } = ledger.note("a note");
  peers.handlers.set("b", async function* () {});
  assert.is(await gossip("b", tx), "ignore");
  assert.is(mempool.count + admitted.length, 0);
  peers.handlers.set("c", always({ salt: sidecar.salt, body: sidecar.body.slice().fill(2) }));
  assert.is(await gossip("c", tx), "ignore");
  assert.equal(peers.reports, ["a on c: reject"]);
  peers.handlers.set("d", always(sidecar));
  assert.is(await gossip("b", tx), "accept");
});

test("gossiped: what the mempool would refuse anyway pulls nothing", async () => {
  const { ledger, peers, gossip } = await gate();
  const { chain } = ledger.custody;
  const { tx, value } = ledger.note("a note");
  let asked = 0;
  peers.handlers.set("b", async function* () {
    asked++;
    yield new Uint8Array(1);
  });
  const cheap = chain.tx("anna", { kind: "record", value }, { fee: 1n });
  const forged = { ...tx, signature: new Uint8Array(64).fill(1) };
  assert.is(await gossip("b", cheap), "ignore");
  assert.is(await gossip("b", forged), "reject");
  assert.is(asked, 0);
});

test("a peer that floods us with transactions whose payloads it does not give holds up itself only", async () => {
  const { ledger, peers, gossip } = await gate();
  const { chain } = ledger.custody;
  let under = 0;
  let most = 0;
  peers.handlers.set("floods", async function* () {
    most = Math.max(most, ++under);
    await new Promise(() => {});
    yield new Uint8Array(0);
  });
  const nonce = chain.state.account(addressFor("anna"))?.record.nonce ?? 0;
  // Two of each, which differ by their expiry: none is known, and each could be admitted.
  const flood = Array.from({ length: 120 }, (_, i) => {
    const { value, tx } = ledger.custody.record("anna", `note ${i}`, {}, nonce + (i >> 1));
    return chain.tx("anna", { kind: "record", value }, { nonce: tx.body.nonce, expires: 1000 + i });
  });
  const verdicts: (string | undefined)[] = [];
  for (const tx of flood) void gossip("floods", tx).then((v) => verdicts.push(v));
  await settled();
  assert.ok(most <= 2, `${most} pulls at once`);
  assert.is(verdicts.length, flood.length - 2 - 64, "the rest is ignored at once");
  assert.ok(verdicts.every((v) => v === "ignore"));
  const { tx, sidecar } = ledger.note("from somebody else", "ben");
  peers.handlers.set("honest", always(sidecar));
  assert.is(await gossip("honest", tx), "accept");
});

test.run();
