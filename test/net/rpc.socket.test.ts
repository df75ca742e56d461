import { once } from "node:events";
import { test } from "uvu";
import * as assert from "uvu/assert";
import WebSocket from "ws";
import { toHex } from "../../types/primitives.ts";
import { served } from "./rpc.support.ts";

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

test.run();
