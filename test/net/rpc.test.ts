import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import WebSocket from "ws";
import type { z } from "zod";
import { verifyChunk } from "../../crypto/blob.ts";
import { startMetrics } from "../../node/metrics.ts";
import { createRpcClient } from "../../node/rpc/client.ts";
import { ERROR_NUMBERS } from "../../node/rpc/errors.ts";
import { rpcMethods } from "../../node/rpc/methods.ts";
import { type RpcOptions, type RpcServer, startRpc } from "../../node/rpc/server.ts";
import { CeremonyPlan } from "../../types/ceremony.ts";
import { isPoflError } from "../../types/errors.ts";
import { OFFENCE_KINDS, type OffenceKind } from "../../types/evidence.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { Tx } from "../../types/tx.ts";
import { verifyStateProof } from "../../vm/proof.ts";
import { rpcWorld } from "../node/rpcworld.ts";
import { offence } from "../vm/offences.ts";
import { addressFor, consensusOf, FOUNDERS, spec } from "../vm/support.ts";

type World = Awaited<ReturnType<typeof rpcWorld>>;
const code = (expected: string) => (error: unknown) => isPoflError(error, expected);
const quiet = { error: () => {} };

async function served(work: (world: World, server: RpcServer) => Promise<void>, options: Partial<RpcOptions> = {}) {
  const world = await rpcWorld();
  const server = await startRpc(world.context, { listen: "127.0.0.1:0", ...options }, quiet);
  try {
    await work(world, server);
  } finally {
    await server.close();
  }
}

type Reply = { status: number; body: string };
/** A request with any headers: fetch sets Host itself. */
function ask(url: string, body: string | undefined, headers: Record<string, string> = {}, path = "/"): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const method = body === undefined ? "GET" : "POST";
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const sent = request(
      { hostname, port, path, method, headers: { ...type, ...headers }, agent: false },
      (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
const CALL = '{"jsonrpc":"2.0","id":1,"method":"node_status"}';
const errorCode = ({ body }: Reply) => JSON.parse(body).error?.data?.code;

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
      await run({ evidence: [offence(chain, kind, name, height)] });
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

test("HTTP: walls against browsers, types, sizes; each refusal is a JSON-RPC error", () =>
  served(
    async ({ settings }, { url }) => {
      const port = new URL(url).port;
      const table: [string, Record<string, string>, number, string | undefined][] = [
        ["plain", {}, 200, undefined],
        ["by name", { host: `localhost:${port}` }, 200, undefined],
        ["by IPv6 address", { host: `[::1]:${port}` }, 200, undefined],
        ["a configured name", { host: "node.example" }, 200, undefined],
        ["rebound name", { host: `evil.example:${port}` }, 403, "HOST_REFUSED"],
        ["looks like an address", { host: `127.0.0.1.evil.example:${port}` }, 403, "HOST_REFUSED"],
        ["with a user", { host: `127.0.0.1@evil.example` }, 403, "HOST_REFUSED"],
        ["other origin", { origin: "https://evil.example" }, 403, "ORIGIN_REFUSED"],
        ["null origin", { origin: "null" }, 403, "ORIGIN_REFUSED"],
        ["same host, other port", { origin: "http://127.0.0.1:1" }, 403, "ORIGIN_REFUSED"],
        ["own page", { origin: `http://127.0.0.1:${port}` }, 200, undefined],
        ["a configured origin", { origin: "https://explorer.example" }, 200, undefined],
        ["text/plain", { "content-type": "text/plain" }, 415, "UNSUPPORTED_MEDIA_TYPE"],
        ["a form", { "content-type": "application/x-www-form-urlencoded" }, 415, "UNSUPPORTED_MEDIA_TYPE"],
      ];
      for (const [id, headers, status, expected] of table) {
        const reply = await ask(url, CALL, headers);
        assert.is(reply.status, status, id);
        assert.is(errorCode(reply), expected, id);
      }
      const large = await ask(url, `"${"x".repeat(1024 * 1024)}"`);
      assert.equal([large.status, errorCode(large)], [413, "BODY_TOO_LARGE"]);
      const broken = await ask(url, "{");
      assert.equal([broken.status, errorCode(broken)], [200, "PARSE_ERROR"]);
      const silent = await ask(url, '{"jsonrpc":"2.0","method":"node_status"}');
      assert.equal([silent.status, silent.body], [204, ""]);
      const lost = await ask(url, undefined, {}, "/nothing");
      assert.equal([lost.status, errorCode(lost)], [404, "NOT_FOUND"]);
      const page = await ask(url, undefined);
      assert.ok(page.status === 200 && page.body.includes("node_status"));

      assert.is((await ask(url, undefined, {}, "/health")).status, 200);
      settings.catchingUp = true;
      assert.is((await ask(url, undefined, {}, "/health")).status, 206);
      settings.problem = "the disk is full";
      const failing = await ask(url, undefined, {}, "/health");
      assert.equal([failing.status, JSON.parse(failing.body).reason], [503, "the disk is full"]);
    },
    { allowedHosts: ["node.example"], allowedOrigins: ["https://explorer.example"] },
  ));

test("curl gets what the client gets", async () =>
  served(async (_world, { url }) => {
    const args = ["-s", "-H", "content-type: application/json", "-d", CALL, url];
    const curl = await promisify(execFile)("curl", args).catch((error) => {
      if (error.code !== "ENOENT") throw error;
      console.log("skipped: no curl");
      return undefined;
    });
    if (curl) assert.equal(JSON.parse(curl.stdout).result, await createRpcClient(url).call("node_status"));
  }));

test("a flood is slowed down, a slow client and idle connections are cut", () =>
  served(
    async (_world, { url }) => {
      const replies = await Promise.all(Array.from({ length: 30 }, () => ask(url, CALL)));
      const limited = replies.filter((r) => r.status === 429);
      assert.ok(limited.length >= 10, `${limited.length} refused`);
      assert.is(errorCode(limited[0] as Reply), "RATE_LIMITED");
      // Half a request, then silence.
      const { port } = new URL(url);
      const started = Date.now();
      const socket = connect(Number(port), "127.0.0.1");
      socket.write("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n");
      socket.resume();
      await once(socket, "close");
      assert.ok(Date.now() - started < 4000);
      // More connections than allowed: the surplus is closed at once.
      const sockets = Array.from({ length: 12 }, () => connect(Number(port), "127.0.0.1").on("error", () => {}));
      const closed = sockets.map((s) => once(s.resume(), "close").then(() => 1));
      await new Promise((done) => setTimeout(done, 300));
      const early = await Promise.race([Promise.all(closed.slice(0, 1)).then(() => 0), Promise.any(closed.slice(8))]);
      assert.is(early, 1);
      for (const s of sockets) s.destroy();
    },
    { limits: { requestsPerSecond: 20, headersTimeoutMs: 500, requestTimeoutMs: 1000, maxConnections: 10 } },
  ));

/** A WebSocket with its answers in order. */
async function socketTo(url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url.replace("http", "ws"), { headers });
  const inbox: {
    id?: unknown;
    result?: unknown;
    error?: { data: { code: string } };
    params?: { topic: string; result: Record<string, unknown> };
  }[] = [];
  const waiting: (() => void)[] = [];
  socket.on("message", (data) => {
    inbox.push(JSON.parse(String(data)));
    waiting.shift()?.();
  });
  await once(socket, "open");
  const next = async () => {
    while (inbox.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return inbox.shift() as (typeof inbox)[number];
  };
  const send = (method: string, params: object = {}, id: unknown = 1) =>
    socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  return { socket, next, send };
}

test("WebSocket: the same methods, and news of heads, rounds and transactions", () =>
  served(async ({ chain, learn, run, context }, { url }) => {
    const { socket, next, send } = await socketTo(url);
    send("node_status", {}, "a");
    assert.is((await next()).id, "a");
    const ids: unknown[] = [];
    for (const topic of ["heads", "rounds", "txs"]) {
      send("chain_subscribe", { topic });
      ids.push((await next()).result);
    }
    assert.is(new Set(ids).size, 3);
    send("chain_subscribe", { topic: "votes" });
    assert.is((await next()).error?.data.code, "INVALID_PARAMS");
    await learn();
    const head = await next();
    assert.equal([head.params?.topic, head.params?.result.height, head.params?.result.learning], ["heads", 1, true]);
    const round = await next();
    assert.equal([round.params?.topic, round.params?.result.height], ["rounds", 1]);
    const tx = chain.transfer("anna", "gus", 1n);
    const hash = toHex(context.submit(tx));
    assert.equal((await next()).params?.result, { hash, status: "pending", height: null, code: null });
    send("chain_unsubscribe", { subscription: ids[0] });
    assert.is((await next()).result, true);
    await run({ txs: [tx] });
    assert.equal((await next()).params?.result, { hash, status: "final", height: 2, code: null });
    for (let i = 0; i < 14; i++) {
      send("chain_subscribe", { topic: "heads" });
      assert.type((await next()).result, "string");
    }
    send("chain_subscribe", { topic: "heads" });
    assert.is((await next()).error?.data.code, "TOO_MANY_SUBSCRIPTIONS");
    socket.close();
    await once(socket, "close");
  }));

test("WebSocket: a page of another origin, a request flood and an oversize message are refused", () =>
  served(async (_world, { url }) => {
    const refused = await socketTo(url, { origin: "https://evil.example" }).catch((error) => error);
    assert.ok(String(refused).includes("403"), String(refused));
    const { socket, send } = await socketTo(url);
    for (let i = 0; i < 200; i++) send("miner_list");
    const [status, reason] = await once(socket, "close");
    assert.equal([status, String(reason).split(":")[0]], [1008, "RATE_LIMITED"]);
    const second = await socketTo(url);
    second.socket.on("error", () => {});
    second.socket.send(`"${"x".repeat(1024 * 1024)}"`);
    assert.is((await once(second.socket, "close"))[0], 1009);
  }));

test("WebSocket: a client that does not read is dropped with the reason, others go on", () =>
  served(
    async ({ learn, run }, { url }) => {
      const slow = await socketTo(url);
      const good = await socketTo(url);
      slow.send("chain_subscribe", { topic: "heads" });
      good.send("chain_subscribe", { topic: "heads" });
      await Promise.all([slow.next(), good.next()]);
      slow.socket.pause();
      await learn();
      let news = 0;
      good.socket.on("message", () => news++);
      // The kernel's buffers take some megabytes before the server's own begins to fill.
      const closed = once(slow.socket, "close");
      for (let i = 0; i < 300; i++) {
        for (let k = 0; k < 3; k++) slow.send("rpc.discover");
        if (i % 50 === 0) await run();
        await new Promise((done) => setTimeout(done, 4));
      }
      slow.socket.resume();
      const [status, reason] = await closed;
      assert.equal([status, String(reason).split(":")[0]], [1013, "SLOW_CLIENT"]);
      assert.ok(news > 0);
      good.socket.close();
      await once(good.socket, "close");
    },
    { limits: { maxBufferedBytes: 16 * 1024, dropGraceMs: 20_000 } },
  ));

test("a taken port is named; the client says what can't be reached, what is late and what is no node", async () => {
  let answer = "";
  const silent = createServer((socket) => {
    socket.resume().on("error", () => {});
    if (answer !== "") socket.end(answer);
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const { context } = await rpcWorld();
  const listen = `127.0.0.1:${port}`;
  for (const start of [startRpc(context, { listen }, quiet), startMetrics(context, listen)]) {
    const error = await start.then(
      () => undefined,
      (e) => e,
    );
    assert.ok(code("PORT_TAKEN")(error) && error.message.includes(listen), String(error));
  }
  const bad = await startRpc(context, { listen: "127.0.0.1" }, quiet).catch((e) => e);
  assert.ok(code("BAD_LISTEN")(bad));

  const failure = (url: string) =>
    createRpcClient(url, { timeoutMs: 300 })
      .raw("x")
      .catch((e) => e);
  assert.ok(code("RPC_TIMEOUT")(await failure(`http://${listen}`)));
  answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
  assert.ok(code("RPC_BAD_ANSWER")(await failure(`http://${listen}`)));
  await new Promise((done) => silent.close(done));
  assert.ok(code("RPC_UNREACHABLE")(await failure(`http://${listen}`)));
});

test("metrics: on a port of their own, in Prometheus' form, as the node stands", async () => {
  const { context, learn } = await rpcWorld();
  const server = await startMetrics(context, "127.0.0.1:0");
  try {
    await learn();
    const text = await (await fetch(server.url)).text();
    for (const line of [
      "pofl_height 1",
      "pofl_round 1",
      "pofl_peers 1",
      "pofl_mempool_transactions 0",
      'pofl_network_bytes_total{channel="gossip",direction="out"} 2',
      'pofl_rejected_messages_total{reason="vote"} 3',
      'pofl_phase_seconds_count{phase="decided"} 1',
      'pofl_blocks_total{learning="true"} 1',
      "# TYPE pofl_event_loop_lag_seconds gauge",
    ]) {
      assert.ok(text.split("\n").includes(line), `${line}\n${text}`);
    }
    assert.is(
      await (await fetch(server.url)).text().then((t) => t.includes('pofl_rejected_messages_total{reason="vote"} 3')),
      true,
    );
    assert.is((await fetch(server.url.replace("/metrics", "/"))).status, 404);
  } finally {
    await server.close();
  }
});

test.run();
