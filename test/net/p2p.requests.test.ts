import { test } from "uvu";
import * as assert from "uvu/assert";
import type { RequestHandler } from "../../p2p/types.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { bytesOf, type Node, node, until, withNodes } from "./p2p.support.ts";

const ASK = { timeoutMs: 3000, maxBytes: 64 * 1024 * 1024 };
const text = (s: string) => new TextEncoder().encode(s);

async function pair(body: (asker: Node, server: Node) => Promise<void>, options = {}): Promise<void> {
  const server = await node(1, [], options);
  await withNodes([Promise.resolve(server), node(2, server.net.addresses(), options)], async (nodes) => {
    const asker = nodes[1] as Node;
    await until("connected", () => asker.up.size === 1 && server.up.size === 1);
    await body(asker, server);
  });
}

async function all(frames: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const list: Uint8Array[] = [];
  for await (const frame of frames) list.push(frame);
  return list;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return isPoflError(error) ? error.code : `untyped ${String(error)}`;
  }
}

test("an answer of several frames, an empty one, and none", async () => {
  await pair(async (asker, server) => {
    await server.net.serve("echo/1", async function* (peer, request) {
      assert.is(peer, asker.net.peerId);
      for (const size of request) yield bytesOf(size * 100_000, size);
    });
    const frames = await all(asker.net.request(server.net.peerId, "echo/1", Uint8Array.of(3, 0, 50, 1), ASK));
    assert.equal(
      frames.map((f) => f.length),
      [300_000, 0, 5_000_000, 100_000],
    );
    assert.ok(bytesEqual(frames[2] as Uint8Array, bytesOf(5_000_000, 50)));
    assert.equal(await all(asker.net.request(server.net.peerId, "echo/1", new Uint8Array(), ASK)), []);
    assert.is(await codeOf(server.net.serve("echo/1", async function* () {})), "PROTOCOL_TAKEN");
  });
});

test("four hundred requests in a row and forty at once don't exhaust streams", async () => {
  await pair(async (asker, server) => {
    let active = 0;
    let most = 0;
    await server.net.serve("count/1", async function* (_peer, request) {
      most = Math.max(most, ++active);
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      yield request;
    });
    const { peerId } = server.net;
    for (let i = 0; i < 400; i++) {
      const [frame] = await all(asker.net.request(peerId, "count/1", Uint8Array.of(i & 255), ASK));
      assert.is(frame?.[0], i & 255);
    }
    const many = Array.from({ length: 40 }, (_, i) => all(asker.net.request(peerId, "count/1", Uint8Array.of(i), ASK)));
    (await Promise.all(many)).forEach(([frame], i) => {
      assert.is(frame?.[0], i);
    });
    assert.ok(most <= 2, `${most} at once, at most 2 are allowed`);
  });
});

test("each failure has its code, and punishes nobody", async () => {
  await pair(async (asker, server) => {
    const { peerId } = server.net;
    const handlers: Record<string, RequestHandler> = {
      // biome-ignore lint/correctness/useYield: it throws before
      "bug/1": async function* () {
        throw new TypeError("a bug of ours");
      },
      "half/1": async function* () {
        yield text("first");
        throw new PoflError("GONE", "no more");
      },
      "slow/1": async function* () {
        yield text("first");
        await new Promise((resolve) => setTimeout(resolve, 1500));
        yield text("second");
      },
      "big/1": async function* () {
        for (let i = 0; i < 100; i++) yield new Uint8Array(10_000);
      },
    };
    for (const [name, handler] of Object.entries(handlers)) await server.net.serve(name, handler);
    const cases: [string, string, object][] = [
      ["bug/1", "REQUEST_FAILED", {}],
      ["half/1", "REQUEST_FAILED", {}],
      ["slow/1", "REQUEST_TIMEOUT", { timeoutMs: 300 }],
      ["big/1", "RESPONSE_SIZE", { maxBytes: 50_000 }],
      ["unknown/1", "REQUEST_FAILED", {}],
    ];
    for (const [protocol, code, options] of cases) {
      assert.is(
        await codeOf(all(asker.net.request(peerId, protocol, text("x"), { ...ASK, ...options }))),
        code,
        protocol,
      );
    }
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    const aborted = all(asker.net.request(peerId, "slow/1", text("x"), { ...ASK, signal: stop.signal }));
    assert.is(await codeOf(aborted), "ABORTED");
    assert.is(
      await codeOf(
        all(asker.net.request("12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq", "x/1", text("x"), ASK)),
      ),
      "NOT_CONNECTED",
    );
    assert.is(await codeOf(all(asker.net.request(peerId, "x/1", new Uint8Array(70_000), ASK))), "REQUEST_SIZE");
    assert.is(server.net.peers()[0]?.score, 0);
    assert.is(asker.net.peers()[0]?.score, 0);
    assert.is(server.lines.filter((l) => l.level === "warn").length, 1, "only the bug is worth a warning");
    // Half-finished answers leave nothing behind.
    for await (const _ of asker.net.request(peerId, "big/1", text("x"), ASK)) break;
    assert.is((await all(asker.net.request(peerId, "big/1", text("x"), ASK))).length, 100);
  });
});

test("a reader that is behind stops the writer", async () => {
  await pair(async (asker, server) => {
    let written = 0;
    await server.net.serve("flood/1", async function* () {
      for (let i = 0; i < 64; i++) {
        yield new Uint8Array(1024 * 1024);
        written += 1;
      }
    });
    let read = 0;
    let ahead = 0;
    for await (const frame of asker.net.request(server.net.peerId, "flood/1", text("x"), {
      ...ASK,
      maxBytes: 2 ** 27,
    })) {
      if (++read <= 5) {
        await new Promise((resolve) => setTimeout(resolve, 60));
        ahead = Math.max(ahead, written - read);
      }
      assert.is(frame.length, 1024 * 1024);
    }
    assert.is(read, 64);
    assert.ok(ahead <= 24, `the writer was ${ahead} MiB ahead of a reader that paused`);
  });
});

test("bytes beyond the quota are delayed, sent or said to be spent", async () => {
  const limits = { serveBytesPerSecond: 1_000_000, serveBurstBytes: 300_000 };
  await pair(
    async (asker, server) => {
      await server.net.serve("data/1", async function* () {
        for (let i = 0; i < 8; i++) yield new Uint8Array(100_000);
      });
      await server.net.serve("work/1", async function* (_peer, _request, spend) {
        for (let i = 0; i < 5; i++) await spend?.(100_000);
        yield text("done");
      });
      for (const [protocol, atLeast] of [
        ["data/1", 450],
        ["work/1", 400],
      ] as const) {
        const began = Date.now();
        await all(asker.net.request(server.net.peerId, protocol, text("x"), ASK));
        const ms = Date.now() - began;
        assert.ok(ms > atLeast && ms < 2500, `${protocol}: 1 MB/s after 300 kB at once took ${ms} ms`);
      }
    },
    { limits },
  );
});

test.run();
