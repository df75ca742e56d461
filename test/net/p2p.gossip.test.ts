import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Verdict } from "../../p2p/types.ts";
import { isPoflError } from "../../types/errors.ts";
import { bytesOf, type Node, node, until, withNodes } from "./p2p.support.ts";

const KiB = 1024;

async function chain(
  count: number,
  verdict: () => Verdict,
  body: (nodes: Node[], got: Uint8Array[][]) => Promise<void>,
) {
  const first = await node(1);
  const rest = Array.from({ length: count - 1 }, (_, i) => node(i + 2, first.net.addresses()));
  await withNodes([Promise.resolve(first), ...rest], async (nodes) => {
    const got = nodes.map((n) => {
      const list: Uint8Array[] = [];
      n.net.onGossip("tx", async (_peer, bytes) => {
        list.push(bytes);
        return verdict();
      });
      return list;
    });
    await until("mesh", () => nodes.every((n) => n.up.size === count - 1));
    // Subscriptions travel after the connections: publish until they have.
    let probe = 0;
    await until("subscribed", () => {
      void nodes[0]?.net.publish("tx", Uint8Array.of(255, probe >> 8, probe++ & 255));
      return got.slice(1).every((list) => list.length > 0);
    });
    await body(nodes, got);
  });
}

const count = (list: Uint8Array[], bytes: Uint8Array) => list.filter((b) => Buffer.compare(b, bytes) === 0).length;

test("a message reaches everyone once, whoever publishes it and however often", async () => {
  await chain(
    5,
    () => "accept",
    async (nodes, got) => {
      const message = bytesOf(64 * KiB, 1);
      await nodes[0]?.net.publish("tx", message);
      await until("everyone has it", () => got.slice(1).every((list) => count(list, message) === 1));
      await nodes[3]?.net.publish("tx", message);
      await nodes[0]?.net.publish("tx", message);
      const next = bytesOf(10, 2);
      await nodes[4]?.net.publish("tx", next);
      await until("the next one", () => got.slice(0, 4).every((list) => count(list, next) === 1));
      assert.ok(got.slice(1).every((list) => count(list, message) === 1));
      const traffic = nodes[0]?.net.counters().gossip;
      assert.ok((traffic?.out ?? 0) > 64 * KiB, "gossip bytes are counted");
      assert.ok((nodes[1]?.net.counters().gossip.in ?? 0) > 64 * KiB);
    },
  );
});

test("too large a message is refused with an error, not lost in silence", async () => {
  await withNodes([node(1)], async ([one]) => {
    for (const size of [0, 64 * KiB + 1, 5 * 1024 * KiB]) {
      try {
        await one?.net.publish("tx", new Uint8Array(size));
        assert.unreachable(`${size} bytes`);
      } catch (error) {
        assert.ok(isPoflError(error, "GOSSIP_SIZE"), String(error));
      }
    }
  });
});

test("rejected messages cost their sender the connection; a bug of ours doesn't", async () => {
  const one = await node(1);
  await withNodes([Promise.resolve(one), node(2, one.net.addresses())], async ([, two]) => {
    let mode: Verdict | "bug" = "accept";
    let seen = 0;
    one.net.onGossip("head", () => {
      seen += 1;
      if (mode === "bug") throw new Error("a bug of ours");
      return mode;
    });
    const say = async (i: number) => {
      const before = seen;
      let n = 0;
      await until("heard", () => {
        if (n++ % 20 === 0) void two?.net.publish("head", Uint8Array.of(i, n >> 8, n & 255));
        return seen > before;
      });
    };
    await until("connected", () => one.up.size === 1);
    await say(1);
    mode = "bug";
    for (let i = 2; i < 6; i++) await say(i);
    assert.ok((one.net.peers()[0]?.score ?? -1) > 0, "the bug is not counted against the peer");
    mode = "reject";
    await say(6);
    await say(7);
    await until("disconnected", () => one.lines.some((l) => l.level === "warn" && /disconnected/.test(l.message)));
  });
});

test.run();
