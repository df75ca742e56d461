import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { z } from "zod";
import { verifyChunk } from "../../crypto/blob.ts";
import { createRpcClient } from "../../node/rpc/client.ts";
import { ERROR_NUMBERS } from "../../node/rpc/errors.ts";
import { rpcMethods } from "../../node/rpc/methods.ts";
import { CeremonyPlan } from "../../types/ceremony.ts";
import { OFFENCE_KINDS, type OffenceKind } from "../../types/evidence.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { Tx } from "../../types/tx.ts";
import { verifyStateProof } from "../../vm/proof.ts";
import { rpcWorld } from "../node/rpcworld.ts";
import { offence } from "../vm/offences.ts";
import { addressFor, consensusOf, FOUNDERS, spec } from "../vm/support.ts";
import { code, served } from "./rpc.support.ts";

test("every method: its result has the shape that the schema says, and the document lists it", () =>
  served(async ({ context, chain, run, learn }, server) => {
    const { raw } = createRpcClient(server.url);
    const { tx } = chain.publish("emil", spec(), 5000n);
    const bond = chain.bond("fay", 5000n);
    const transfer = chain.transfer("anna", "gus", 5n);
    const fails = chain.transfer("ben", "gus", 10n ** 15n);
    await learn();
    await run({ txs: [tx, bond, transfer, fails] });
    const waiting = chain.transfer("cleo", "gus", 1n);
    const anna = toHex(addressFor("anna"));
    const model = (await raw("model_get")) as { root: string };
    const calls: [string, object][] = [
      ["tx_send", { tx: toHex(Tx.serialize(waiting)) }],
      ["tx_get", { hash: toHex((await context.store.receipts(2))?.[0]?.tx as Uint8Array) }],
      ["tx_get", { hash: toHex((await context.store.receipts(2))?.[1]?.tx as Uint8Array) }],
      ["tx_get", { hash: toHex((await context.store.receipts(2))?.[3]?.tx as Uint8Array) }],
      ["account_get", { address: anna }],
      ["account_prove", { address: anna }],
      ["miner_get", { address: anna }],
      ["model_chunk", { root: model.root }],
      ["round_get", { height: 1 }],
      ["model_get", { height: 1 }],
      ["model_get", { height: 2 }],
      ["chain_getBlock", { height: 1 }],
      ["chain_getLightBlocks", { from: 1 }],
      ["validator_set", { height: 1 }],
      ["validator_set", {}],
    ];
    const methods = rpcMethods(context);
    // This node has no custodian key; with one they are tried in node/custodianrpc.test.ts.
    const custodians = ["custodian_join", "custodian_approve"];
    for (const name of methods.keys()) {
      // There is no record here: test/node/records.rpc.test.ts has them in every state.
      const records = ["record_get", "redaction_get"];
      const elsewhere = name.includes("subscribe") || records.includes(name) || custodians.includes(name);
      if (!elsewhere && !calls.some(([called]) => called === name)) calls.push([name, {}]);
    }
    for (const [name, params] of calls) {
      const result = await raw(name, params);
      const checked = (methods.get(name) as { result: z.ZodType }).result.safeParse(result);
      assert.ok(checked.success, `${name}: ${checked.error?.message}`);
    }
    const plan = { epoch: 0, generation: 0, attempt: 0, keys: [new Uint8Array(32)], threshold: 2, dealers: [] };
    const signature = `0x${"00".repeat(64)}`;
    for (const [name, params] of [
      ["custodian_join", { plan: toHex(CeremonyPlan.serialize(plan)), signature }],
      ["custodian_approve", { request: `0x${"00".repeat(32)}`, signature }],
    ] as const) {
      const error = await raw(name, params).catch((e: unknown) => e);
      assert.ok(code("NOT_CUSTODIAN")(error), `${name}: ${error}`);
    }
    const document = (await raw("rpc.discover")) as {
      methods: { name: string; params: { name: string; required: boolean }[] }[];
    };
    assert.equal(document.methods.map((m) => m.name).sort(), [...methods.keys()].sort());
    assert.equal(
      document.methods.find((m) => m.name === "chain_subscribe")?.params.map((p) => p.required),
      [true],
    );
    assert.equal(
      document.methods.find((m) => m.name === "model_chunk")?.params.map((p) => p.required),
      [true, false],
    );
  }));

test("a block names the offences that it punishes, of every kind", () =>
  served(async ({ chain, run }, server) => {
    const { call } = createRpcClient(server.url);
    await run();
    await run();
    const rounds: Partial<Record<OffenceKind, number>> = { "double-vote": 2, "double-proposal": 3, amnesia: 4 };
    for (const [i, kind] of OFFENCE_KINDS.entries()) {
      const name = FOUNDERS[i % 3] as string;
      const height = 1 + Math.floor(i / 3);
      if (i === 0) assert.is((await call("node_status")).jailed, null);
      await run({ evidence: [offence(chain, kind, name, height)] });
      if (i === 0) assert.equal((await call("node_status")).jailed, { since: 3, until: 8 });
      const { evidence } = await call("chain_getBlock");
      const consensusKey = toHex(consensusOf(name).publicKey);
      assert.equal(evidence, [{ kind, consensusKey, height, round: rounds[kind] ?? null }]);
    }
  }));

test("what the answers say is what the chain holds", () =>
  served(async ({ chain, run, learn, context }, server) => {
    const { call } = createRpcClient(server.url);
    const genesis = await call("node_status");
    assert.equal(
      [genesis.height, genesis.headHash, genesis.headTime],
      [0, toHex(chain.hash), Date.parse("2026-01-01")],
    );
    await learn();
    const transfer = chain.transfer("anna", "gus", 5n);
    const fails = chain.transfer("ben", "gus", 10n ** 15n);
    await run({ txs: [transfer, fails] });

    const status = await call("node_status");
    assert.equal([status.height, status.phase, status.round, status.validator], [2, "prevote", 1, true]);
    const block = await call("chain_getBlock");
    assert.is(block.hash, status.headHash);
    assert.equal(await call("chain_getBlock", { hash: block.hash }), block);
    assert.equal(await call("chain_getBlock", ["latest"]), block);
    assert.equal(block.txs[0]?.payload, { to: toHex(addressFor("gus")), amount: "5" });
    const receipts = await call("chain_getReceipts", { height: 2 });
    assert.equal(
      receipts.map((r) => [r.status, r.code]),
      [
        ["done", null],
        ["failed", "TX_INSUFFICIENT_BALANCE"],
      ],
    );
    const found = await call("tx_get", { hash: block.txs[1]?.hash as string });
    assert.equal([found.status, found.height, found.index, found.receipt?.status], ["final", 2, 1, "failed"]);
    const gus = await call("account_get", { address: toHex(addressFor("gus")) });
    assert.is(gus.balance, String(chain.balance("gus")));

    const proof = await call("account_prove", { address: toHex(addressFor("gus")) });
    const { record, branch, index } = proof.proof;
    const root = fromHex(block.header.stateRoot);
    const check = (bytes: string) =>
      verifyStateProof(root, {
        kind: "accounts",
        index,
        record: fromHex(bytes),
        branch: branch.map((h) => fromHex(h)),
      });
    assert.ok(check(record));
    assert.not(check(record.replace(/.$/, (c) => (c === "0" ? "1" : "0"))));

    const round = await call("round_get");
    assert.is(round.height, 1);
    assert.equal(
      round.updates.map((u) => [u.moniker, u.status, u.contribution, u.pay]),
      [
        ["anna", "accepted", "700", "5000"],
        ["ben", "harmful", "0", "0"],
        ["cleo", "accepted", "-300", "0"],
      ],
    );
    assert.equal(round.metrics, { n: 1, loss: 0.69, accuracy: 0.505, auroc: null });
    assert.equal(
      round.committee.map((m) => [m.moniker, m.metrics?.n]),
      [["dora", 64]],
    );
    const cleo = (await call("miner_list")).find((m) => m.moniker === "cleo");
    assert.is(cleo?.contribution, "-300");

    const model = await call("model_get");
    assert.equal(
      [model.height, model.root, model.stored, model.parameters, model.size],
      [1, round.modelRoot, true, 2, 8],
    );
    const chunk = await call("model_chunk", { root: model.root });
    const bytes = fromHex(chunk.bytes);
    assert.ok(
      verifyChunk(
        fromHex(model.root),
        chunk.size,
        0,
        bytes,
        chunk.proof.map((h) => fromHex(h)),
      ),
    );
    assert.is(new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true), 12_345);
    assert.equal((await call("model_get", { height: 2 })).root, model.root);

    const [, timing] = await call("node_timings", { count: 2 });
    assert.equal([timing?.height, timing?.phases.stored, timing?.finalityMs], [2, 31, 20]);
    const set = await call("validator_set", { height: 2 });
    assert.equal(
      set.validators.map((v) => v.moniker),
      ["anna", "ben", "cleo", "dora"],
    );
    assert.is(set.power, String(context.head().validators.reduce((sum, v) => sum + v.power, 0n)));
  }));

test("what is not there, and what is not asked well: stable codes", () =>
  served(async ({ learn, run, chain }, server) => {
    const { raw } = createRpcClient(server.url);
    const refused = async (id: string, name: string, params: object, expected: string) => {
      const error = await raw(name, params).then(
        () => undefined,
        (e) => e,
      );
      assert.ok(code(expected)(error), `${id}: ${error}`);
    };
    await refused("before the first block", "chain_getBlock", {}, "NOT_FOUND");
    await refused("before the first round", "round_get", {}, "NOT_FOUND");
    await learn();
    await run();
    const none = toHex(new Uint8Array(32));
    const old = chain.transfer("anna", "gus", 1n, { nonce: 0, fee: 5000n });
    await run({ txs: [old] });
    const table: [string, string, object, string][] = [
      ["genesis", "chain_getBlock", { height: 0 }, "NOT_FOUND"],
      ["above the head", "chain_getHeader", { height: 99 }, "NOT_FOUND"],
      ["no such hash", "chain_getCommit", { hash: none }, "NOT_FOUND"],
      ["both", "chain_getBlock", { height: 1, hash: none }, "INVALID_PARAMS"],
      ["negative", "chain_getBlock", { height: -1 }, "INVALID_PARAMS"],
      ["fraction", "chain_getBlock", { height: 1.5 }, "INVALID_PARAMS"],
      ["height in words", "chain_getBlock", { height: "one" }, "INVALID_PARAMS"],
      ["short hash", "tx_get", { hash: "0x12" }, "INVALID_PARAMS"],
      ["no such transaction", "tx_get", { hash: none }, "NOT_FOUND"],
      ["not a transaction", "tx_send", { tx: "0x00" }, "BAD_ENCODING"],
      ["odd hex", "tx_send", { tx: "0x000" }, "INVALID_PARAMS"],
      ["too large", "tx_send", { tx: `0x${"00".repeat(70_000)}` }, "INVALID_PARAMS"],
      ["used nonce", "tx_send", { tx: toHex(Tx.serialize(old)) }, "TX_NONCE_LOW"],
      ["not a miner", "miner_get", { address: toHex(addressFor("gus")) }, "NOT_FOUND"],
      ["no such account", "account_prove", { address: toHex(new Uint8Array(20)) }, "NOT_FOUND"],
      ["proof of the past", "account_prove", { address: toHex(addressFor("anna")), height: 1 }, "HEIGHT_UNAVAILABLE"],
      ["no round there", "round_get", { height: 2 }, "NOT_FOUND"],
      ["validators of the future", "validator_set", { height: 5 }, "HEIGHT_UNAVAILABLE"],
      ["no such task", "task_get", { id: none }, "NOT_FOUND"],
      ["no such blob", "model_chunk", { root: none }, "NOT_FOUND"],
      ["subscription without WebSocket", "chain_subscribe", { topic: "heads" }, "WEBSOCKET_ONLY"],
      ["unknown method", "eth_call", {}, "METHOD_NOT_FOUND"],
    ];
    for (const [id, name, params, expected] of table) await refused(id, name, params, expected);
    assert.equal(await raw("account_get", { address: toHex(new Uint8Array(20)) }), {
      address: toHex(new Uint8Array(20)),
      balance: "0",
      nonce: 0,
      nextNonce: 0,
      height: 3,
    });
  }));

test("docs/rpc.md names every method with its parameters in order, and every error code", async () => {
  const text = readFileSync("docs/rpc.md", "utf8");
  const { context } = await rpcWorld();
  for (const [name, { params }] of rpcMethods(context)) {
    const row = text.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
    assert.ok(row, `${name} is not in docs/rpc.md`);
    const named = (row.split("|")[2] as string).match(/[a-z]+(?=[?`,]| \()/g) ?? [];
    const known = Object.keys(params.shape);
    assert.equal(
      named.filter((n) => known.includes(n)),
      known,
      name,
    );
  }
  for (const code of Object.keys(ERROR_NUMBERS)) {
    if (!code.startsWith("TX_")) assert.ok(text.includes(`\`${code}\``), `${code} is not in docs/rpc.md`);
  }
});

test.run();
