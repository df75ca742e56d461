import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startMetrics } from "../../node/metrics.ts";
import { createRpcClient } from "../../node/rpc/client.ts";
import { startRpc } from "../../node/rpc/server.ts";
import { rpcWorld } from "../node/rpcworld.ts";
import { ask, CALL, code, errorCode, quiet, type Reply, served } from "./rpc.support.ts";

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
