import { test } from "uvu";
import * as assert from "uvu/assert";
import { isPoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { bytesOf, node, until, withNodes } from "./p2p.support.ts";

test("a full mesh of five forms from one bootnode", async () => {
  const first = await node(1);
  const boot = first.net.addresses();
  const rest = [2, 3, 4, 5].map((seed) => node(seed, boot));
  await withNodes([Promise.resolve(first), ...rest], async (nodes) => {
    await until("everyone sees four others", () => nodes.every((n) => n.up.size === 4));
    for (const n of nodes) {
      assert.is(n.net.peers().length, 4);
      assert.not(n.up.has(n.net.peerId));
    }
  });
});

test("frames arrive whole and in order, small and 4 MiB", async () => {
  const a = await node(1);
  await withNodes([Promise.resolve(a), node(2, a.net.addresses())], async (nodes) => {
    const [one, two] = nodes as [typeof a, typeof a];
    await until("connected", () => one.up.size === 1 && two.up.size === 1);
    const sizes = [1, 2, 300, 4 * 1024 * 1024, 70_000, 1, 5 * 1024 * 1024, 3];
    const sent = sizes.map((size, i) => bytesOf(size, i));
    for (const frame of sent) {
      assert.ok(one.net.send(two.net.peerId, frame));
      assert.ok(two.net.send(one.net.peerId, frame));
    }
    await until("all frames", () => one.frames.length === sizes.length && two.frames.length === sizes.length);
    for (const end of [one, two]) {
      end.frames.forEach(({ frame }, i) => {
        assert.ok(bytesEqual(frame, sent[i] as Uint8Array), `frame ${i}`);
      });
    }
    const counted = one.net.counters().direct;
    const total = sizes.reduce((n, size) => n + size + 4, 0);
    assert.is(counted.out, total);
    assert.is(counted.in, total);
  });
});

test("a frame of a wrong size is refused before it is sent; an unknown peer takes nothing", async () => {
  await withNodes([node(1)], async ([one]) => {
    for (const size of [0, 5 * 1024 * 1024 + 1]) {
      assert.throws(
        () => one?.net.broadcast(new Uint8Array(size)),
        (e: unknown) => isPoflError(e, "FRAME_SIZE"),
      );
    }
    assert.is(one?.net.send("12D3KooWnobody", Uint8Array.of(1)), false);
  });
});

test("a peer that goes away is noticed, and found again when it returns", async () => {
  const a = await node(1);
  const started = [a];
  try {
    const b = await node(2, a.net.addresses());
    started.push(b);
    await until("connected, and its address is known", () => (a.net.peers()[0]?.listens.length ?? 0) > 0);
    const address = b.net.addresses()[0]?.split("/p2p/")[0] as string;
    await b.stop();
    await until("a sees it go", () => a.up.size === 0);
    // The one that comes back knows nobody: it is the other that redials.
    const again = await node(2, [], { listen: [address] });
    started.push(again);
    await until("a is back", () => a.up.size === 1 && again.up.size === 1);
  } finally {
    await Promise.all(started.map((n) => n.stop()));
  }
});

test.run();
