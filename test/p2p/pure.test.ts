import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeChunk, decodeRequest, encodeChunk, encodeRequest } from "../../p2p/blobwire.ts";
import { FrameDecoder, packet } from "../../p2p/framing.ts";
import { Gcra } from "../../p2p/gcra.ts";
import { DEFAULT_LIMITS } from "../../p2p/limits.ts";
import { PeerBook } from "../../p2p/peerbook.ts";
import { chainOf, wireName } from "../../p2p/protocols.ts";
import { Scores } from "../../p2p/scores.ts";
import { Slots } from "../../p2p/slots.ts";
import { isPoflError } from "../../types/errors.ts";
import { MAX_BLOB_BYTES } from "../../types/limits.ts";
import { bytesEqual } from "../../types/primitives.ts";

const hasCode = (code: string) => (e: unknown) => isPoflError(e, code);

test("frames survive any cut of the stream", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });
  fc.assert(
    fc.property(frames, fc.infiniteStream(fc.integer({ min: 1, max: 97 })), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((f) => packet(f).subarray()));
      const decoder = new FrameDecoder(300);
      const got: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + (cuts.next().value as number));
        got.push(...decoder.push(new Uint8Array(bytes.subarray(at, end))));
        at = end;
      }
      assert.is(got.length, sent.length);
      got.forEach((frame, i) => {
        assert.ok(bytesEqual(frame, sent[i] as Uint8Array));
      });
      assert.is(decoder.pendingBytes, 0);
    }),
  );
});

test("a frame over the limit is refused at its length, before its bytes", () => {
  const decoder = new FrameDecoder(10);
  assert.is([...decoder.push(packet(new Uint8Array(10)))].length, 1);
  assert.throws(() => [...decoder.push(Uint8Array.of(0, 0, 0, 11))], hasCode("FRAME_SIZE"));
});

test("a decoded frame is memory of its own", () => {
  const chunk = packet(Uint8Array.of(1, 2, 3)).slice();
  const [frame] = [...new FrameDecoder(10).push(chunk)];
  chunk.fill(9);
  assert.equal(frame, Uint8Array.of(1, 2, 3));
});

test("blob messages: decode inverts encode, and anything else is refused or canonical", () => {
  const u32 = fc.nat(2 ** 32 - 1);
  const root = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(root, fc.nat(MAX_BLOB_BYTES), u32, u32, (r, size, from, count) => {
      const request = { root: r, size, from, count };
      assert.equal(decodeRequest(encodeRequest(request)), request);
    }),
  );
  fc.assert(
    fc.property(u32, fc.array(root, { maxLength: 12 }), fc.uint8Array(), (index, proof, bytes) => {
      const back = decodeChunk(encodeChunk({ index, proof, bytes }));
      assert.is(back.index, index);
      assert.ok(bytesEqual(back.bytes, bytes));
      assert.is(back.proof.length, proof.length);
      back.proof.forEach((hash, i) => {
        assert.ok(bytesEqual(hash, proof[i] as Uint8Array));
      });
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      for (const [decode, again] of [
        [decodeRequest, (m: ReturnType<typeof decodeRequest>) => encodeRequest(m)],
        [decodeChunk, (m: ReturnType<typeof decodeChunk>) => encodeChunk(m)],
      ] as const) {
        try {
          assert.ok(bytesEqual((again as (m: unknown) => Uint8Array)(decode(bytes)), bytes));
        } catch (error) {
          assert.ok(isPoflError(error, "BAD_ENCODING"), String(error));
        }
      }
    }),
  );
  const large = encodeRequest({ root: new Uint8Array(32), size: MAX_BLOB_BYTES + 1, from: 0, count: 1 });
  assert.throws(() => decodeRequest(large), hasCode("BAD_ENCODING"));
});

test("the quota lets a burst through, then the rate, and keys don't share", () => {
  const quota = new Gcra(1000, 500);
  assert.is(quota.spend("a", 500, 0), 0);
  assert.is(quota.spend("a", 100, 0), 100);
  assert.is(quota.wait("b", 500, 0), 0);
  // After the rate has refilled 400 units' worth of time: 600 spent, 400 back, 300 of room.
  assert.is(quota.wait("a", 300, 400), 0);
  assert.is(quota.wait("a", 301, 400), 1);
  assert.is(quota.size, 1);
  quota.prune(600);
  assert.is(quota.size, 0);
});

test("over any time the quota never gives more than burst plus rate", () => {
  const calls = fc.array(fc.record({ after: fc.nat(200), units: fc.integer({ min: 1, max: 400 }) }), { maxLength: 60 });
  fc.assert(
    fc.property(calls, (list) => {
      const quota = new Gcra(1000, 500);
      let now = 0;
      let spent = 0;
      for (const { after, units } of list) {
        now += after;
        if (quota.wait("a", units, now) > 0) continue;
        quota.spend("a", units, now);
        spent += units;
        assert.ok(spent <= 500 + now + 1e-6, `${spent} units by ${now} ms`);
      }
    }),
  );
});

test("slots: in order, so many at a time, the rest refused; giving up leaves the line", async () => {
  const slots = new Slots(2, 2);
  const first = await slots.acquire("k");
  const second = await slots.acquire("k");
  await slots.acquire("other");
  const order: string[] = [];
  const stop = new AbortController();
  const third = slots.acquire("k", stop.signal).then(
    () => order.push("third"),
    () => order.push("gave up"),
  );
  const fourth = slots.acquire("k").then((release) => {
    order.push("fourth");
    return release;
  });
  await slots.acquire("k").then(
    () => assert.unreachable(),
    (e) => assert.ok(isPoflError(e, "BUSY")),
  );
  stop.abort();
  await third;
  first();
  first();
  const release = await fourth;
  assert.equal(order, ["gave up", "fourth"]);
  release();
  second();
  // All is free again: two at once.
  await Promise.all([slots.acquire("k"), slots.acquire("k")]);
});

test("scores: rejects add up, time heals, credit is small", () => {
  const limits = { disconnectScore: -15, banScore: -45, banMs: 1000, scoreHalfLifeMs: 10_000 };
  const scores = new Scores(limits);
  const standings = [1, 2, 3, 4, 5].map((now) => scores.report("p", "reject", now));
  assert.equal(standings, ["good", "disconnect", "disconnect", "disconnect", "banned"]);
  assert.ok(scores.banned("p", 1004));
  assert.not(scores.banned("p", 1006));
  assert.ok(Math.abs(scores.score("p", 10_005) - scores.score("p", 5) / 2) < 1e-9);
  for (let i = 0; i < 1000; i++) assert.is(scores.report("q", "accept", 0), "good");
  assert.is(scores.score("q", 0), 5);
  assert.is(scores.report("q", "reject", 0), "good");
  assert.is(scores.report("r", "ignore", 0), "good");
  assert.is(scores.size, 2);
  scores.prune(1_000_000);
  assert.is(scores.size, 0);
});

test("the book dials what is due, backs off, forgets strangers and never a bootnode", () => {
  const limits = { ...DEFAULT_LIMITS, maxKnownPeers: 4, redialTries: 3 };
  const book = new PeerBook("m", limits);
  const nobody = () => false;
  book.addBootnode(undefined, "/ip4/10.0.0.1/tcp/1");
  book.hear("a", ["/ip4/10.0.0.2/tcp/1"], 0);
  book.hear("z", ["/ip4/10.0.0.3/tcp/1"], 0);
  book.hear("m", ["/ip4/10.0.0.4/tcp/1"], 0);
  book.hear("b", [], 0);
  assert.is(book.size, 3, "neither ourselves nor one without an address");
  assert.equal(
    book.due(0, nobody).map((e) => e.peer),
    [undefined, "z"],
    "of two that hear of each other, the smaller id dials first",
  );
  assert.equal(
    book.due(1000, (p) => p === "z").map((e) => e.peer),
    [undefined, "a"],
  );
  const [boot] = book.due(0, nobody);
  const a = book.get("a");
  assert.ok(boot && a);
  const pauses: number[] = [];
  for (let i = 0, now = 0; i < 50; i++) {
    book.failed(boot, now, 0.5);
    pauses.push(boot.nextDialAt - now);
    now = boot.nextDialAt;
  }
  assert.equal(pauses.slice(0, 8), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  assert.is(pauses.at(-1), 15_000);
  for (let i = 0; i < 3; i++) book.failed(a, 0, 0.5);
  assert.is(book.get("a"), undefined);
  // Hearsay does not replace what a peer said itself.
  book.confirm("z", ["/ip4/10.0.0.9/tcp/1"], 0);
  book.hear("z", ["/ip4/6.6.6.6/tcp/1"], 0);
  assert.equal(book.get("z")?.addresses, ["/ip4/10.0.0.9/tcp/1"]);
  // A bootnode found to be somebody we know becomes one entry.
  book.reached(boot, "z", 0);
  assert.is(book.get("z"), boot);
  assert.is(book.size, 1);
  // A flood of names fills the book and pushes out only those that failed.
  for (let i = 0; i < 10; i++) book.hear(`x${i}`, ["/ip4/10.1.0.1/tcp/1"], 0);
  assert.is(book.size, 4);
  book.failed(book.get("x0") as NonNullable<typeof a>, 0, 0.5);
  book.hear("new", ["/ip4/10.1.0.2/tcp/1"], 0);
  assert.is(book.get("x0"), undefined);
  assert.ok(book.get("new") && book.get("z"));
});

test("names on the wire carry the chain", () => {
  const genesis = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.is(wireName(genesis, "direct/1"), "/pofl/0001020304050607/direct/1");
  assert.is(chainOf(["/ipfs/ping/1.0.0", wireName(genesis, "direct/1")]), "0001020304050607");
  assert.is(chainOf(["/ipfs/ping/1.0.0", "/pofl/xyz/direct/1"]), undefined);
});

test.run();
