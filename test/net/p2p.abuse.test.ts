import { createServer } from "node:net";
import { multiaddr } from "@multiformats/multiaddr";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createHost, type Host } from "../../p2p/host.ts";
import { DEFAULT_LIMITS } from "../../p2p/limits.ts";
import { createNetwork } from "../../p2p/network.ts";
import { DIRECT, wireName } from "../../p2p/protocols.ts";
import { isPoflError } from "../../types/errors.ts";
import { GENESIS, logTo, type Node, node, until, withNodes } from "./p2p.support.ts";

const MiB = 1024 * 1024;
const wire = wireName(GENESIS, DIRECT);

/** A peer that opens or takes the direct stream and then does as `use` says. */
async function mute(target: Node, use: (stream: Awaited<ReturnType<Host["dialProtocol"]>>) => void): Promise<Host> {
  // Seeds are tried until the id is the larger one, so that our node opens the stream.
  for (let seed = 100; ; seed++) {
    const keySeed = new Uint8Array(32).fill(seed);
    const options = { listen: [], bootnodes: [], keySeed, genesisHash: GENESIS };
    const host = await createHost(options, DEFAULT_LIMITS, {}, () => false);
    if (host.peerId.toString() < target.net.peerId) continue;
    await host.handle(wire, use);
    await host.start();
    const warnings = target.lines.filter((l) => l.level === "warn").length;
    await host.dial(multiaddr(target.net.addresses()[0] as string));
    // Some are dropped again before anyone has looked.
    const dropped = () => target.lines.filter((l) => l.level === "warn").length > warnings;
    await until("the direct stream", () => target.up.has(host.peerId.toString()) || dropped());
    return host;
  }
}

test("a peer that doesn't read is dropped, and what waits for it stays bounded", async () => {
  const limits = { maxQueuedBytes: 6 * MiB };
  await withNodes([node(1, [], { limits })], async ([one]) => {
    const host = await mute(one as Node, (stream) => stream.pause());
    try {
      const peer = host.peerId.toString();
      let taken = 0;
      let most = 0;
      while (one?.net.send(peer, new Uint8Array(MiB))) {
        taken += 1;
        most = Math.max(most, one.net.peers()[0]?.queuedBytes ?? 0);
        assert.ok(taken < 100, "the queue has no end");
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assert.ok(most > 4 * MiB && most <= limits.maxQueuedBytes, `${most} bytes waited`);
      assert.is(one?.up.size, 0);
      assert.ok(one?.lines.some((l) => l.fields.code === "SLOW_PEER"));
      await until("the connection is closed too", () => host.getConnections().length === 0);
    } finally {
      await host.stop();
    }
  });
});

test("a peer that takes nothing, or says nothing, for too long is dropped", async () => {
  const limits = { stallMs: 800, heartbeatMs: 200, silenceMs: 1500 };
  await withNodes([node(1, [], { limits })], async ([one]) => {
    const cases: [string, number][] = [
      ["SLOW_PEER", 5],
      ["SILENT_PEER", 0],
    ];
    for (const [code, frames] of cases) {
      const host = await mute(one as Node, (stream) => stream.pause());
      try {
        for (let i = 0; i < frames; i++) one?.net.send(host.peerId.toString(), new Uint8Array(MiB));
        await until(code, () => one?.up.size === 0, 5000);
        assert.is(one?.lines.findLast((l) => l.level === "warn")?.fields.code, code);
      } finally {
        await host.stop();
      }
    }
  });
});

test("an announced frame beyond the limit ends the connection before it is stored", async () => {
  await withNodes([node(1)], async ([one]) => {
    const host = await mute(one as Node, (stream) => {
      stream.send(Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1, 2, 3));
    });
    await until("dropped", () => one?.up.size === 0 && host.getConnections().length === 0);
    assert.ok(one?.lines.some((l) => l.fields.code === "FRAME_SIZE"));
    await host.stop();
  });
});

test("a connection that ends in the moment a stream is opened on it doesn't end the process", async () => {
  await withNodes([node(1)], async ([one]) => {
    for (const end of ["abort", "close"] as const) {
      const options = { listen: [], bootnodes: [], keySeed: new Uint8Array(32).fill(50), genesisHash: GENESIS };
      const host = await createHost(options, DEFAULT_LIMITS, {}, () => false);
      await host.start();
      try {
        const connection = await host.dial(multiaddr(one?.net.addresses()[0] as string));
        // Yamux sends its opening frame in a microtask of its own: what it throws there, nobody can catch.
        const opening = connection.newStream(wire).then(
          () => "open",
          () => "failed",
        );
        if (end === "abort") connection.abort(new Error("over"));
        else void connection.close().catch(() => {});
        assert.is(await opening, "failed");
      } finally {
        await host.stop();
      }
    }
  });
});

test("a handler that throws is our own bug: the peer stays", async () => {
  const bad = {
    onFrame: () => {
      throw new Error("a bug of ours");
    },
  };
  const one = await node(1, [], {}, bad);
  await withNodes([Promise.resolve(one), node(2, one.net.addresses())], async ([, two]) => {
    await until("connected", () => one.up.size === 1 && two?.up.size === 1);
    two?.net.send(one.net.peerId, Uint8Array.of(1));
    two?.net.send(one.net.peerId, Uint8Array.of(2));
    await until("both logged", () => one.lines.filter((l) => l.level === "error").length === 2);
    assert.is(one.up.size, 1);
    assert.is(one.net.peers()[0]?.score, 0);
  });
});

test("a peer of another chain is refused, with a word why", async () => {
  const one = await node(1);
  const other = node(2, one.net.addresses(), { genesisHash: new Uint8Array(32).fill(8) });
  await withNodes([Promise.resolve(one), other], async (nodes) => {
    const foreign = (n: Node) => n.lines.some((l) => l.fields.code === "FOREIGN_CHAIN");
    await until("one of them says so", () => nodes.some(foreign));
    const line = nodes.flatMap((n) => n.lines).find((l) => l.fields.code === "FOREIGN_CHAIN");
    assert.match(line?.message ?? "", /0707070707070707/);
    assert.match(line?.message ?? "", /0808080808080808/);
    assert.ok(nodes.every((n) => n.up.size === 0 && n.net.peers().length === 0));
  });
});

test("only peers on the allow-list connect; a banned one doesn't", async () => {
  const friend = await node(2);
  const one = await node(1, friend.net.addresses(), { allowlist: [friend.net.peerId] });
  const stranger = node(3, one.net.addresses());
  await withNodes([Promise.resolve(one), Promise.resolve(friend), stranger], async () => {
    await until("the friend is in", () => one.up.size === 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal([...one.up], [friend.net.peerId]);
    for (let i = 0; i < 5; i++) one.net.report(friend.net.peerId, "reject");
    await until("banned", () => one.up.size === 0);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.is(one.up.size, 0);
  });
});

test("a taken port, and addresses that are none, are named", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const base = { bootnodes: [], keySeed: new Uint8Array(32).fill(1), genesisHash: GENESIS };
  const cases: [string, string, { listen: string[]; bootnodes?: string[] }][] = [
    ["PORT_TAKEN", String(port), { listen: [`/ip4/127.0.0.1/tcp/${port}`] }],
    ["BAD_LISTEN", "127.0.0.1:26656", { listen: ["127.0.0.1:26656"] }],
    ["BAD_BOOTNODE", "10.0.0.1", { listen: [], bootnodes: ["10.0.0.1"] }],
    ["BAD_BOOTNODE", "nobody", { listen: [], bootnodes: ["/ip4/10.0.0.1/tcp/1/p2p/nobody"] }],
  ];
  try {
    for (const [code, named, options] of cases) {
      try {
        await (await createNetwork({ ...base, ...options }, { log: logTo([]) })).start();
        assert.unreachable(code);
      } catch (error) {
        assert.ok(isPoflError(error, code), `${code}: ${String(error)}`);
        assert.match((error as Error).message, named);
      }
    }
  } finally {
    server.close();
  }
});

test("stop leaves no socket, timer or listener; it may come at any time, and twice", async () => {
  const held = () => process.getActiveResourcesInfo().filter((r) => /TCP|Timeout|Immediate/.test(r)).length;
  const before = held();
  const one = await node(1);
  const two = await node(2, one.net.addresses());
  const early = await createNetwork(
    { listen: [], bootnodes: [], keySeed: new Uint8Array(32).fill(3), genesisHash: GENESIS },
    { log: logTo([]) },
  );
  await Promise.all([early.stop(), early.stop()]);
  await until("connected", () => one.up.size === 1 && two.up.size === 1);
  assert.ok(held() > before);
  await Promise.all([one.stop(), two.stop(), two.stop()]);
  await one.stop();
  await until("nothing is held", () => held() <= before, 3000);
});

test.run();
