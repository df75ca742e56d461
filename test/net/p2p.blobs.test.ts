import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot } from "../../crypto/blob.ts";
import { blobServer } from "../../p2p/blobserve.ts";
import { decodeChunk } from "../../p2p/blobwire.ts";
import { DEFAULT_LIMITS } from "../../p2p/limits.ts";
import { BLOB } from "../../p2p/protocols.ts";
import { isPoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { bytesOf, type Node, node, rogue, until, withNodes } from "./p2p.support.ts";

const MiB = 1024 * 1024;

/** A reader and `count` sources, all connected to the reader. */
async function star(count: number, body: (reader: Node, sources: Node[]) => Promise<void>): Promise<void> {
  const reader = await node(1);
  const sources = Array.from({ length: count }, (_, i) => node(2 + i, reader.net.addresses()));
  await withNodes([Promise.resolve(reader), ...sources], async (nodes) => {
    await until("connected", () => reader.up.size === count);
    await body(reader, nodes.slice(1));
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return isPoflError(error) ? error.code : `untyped ${String(error)}`;
  }
}

test("blobs of every shape come whole from one source", async () => {
  await star(1, async (reader, [source]) => {
    const blobs = [0, 1, 256 * 1024, 256 * 1024 + 1, 3 * MiB + 7].map((size) => bytesOf(size, size));
    const byRoot = new Map(blobs.map((b) => [Buffer.from(blobRoot(b)).toString("hex"), b]));
    source?.net.serveBlobs(async (root) => byRoot.get(Buffer.from(root).toString("hex")));
    for (const blob of blobs) {
      const got = await reader.net.fetchBlob(blobRoot(blob), blob.length, { timeoutMs: 5000 });
      assert.ok(bytesEqual(got, blob), `${blob.length} bytes`);
    }
    // The size is part of what the root names.
    const root = blobRoot(blobs[4] as Uint8Array);
    assert.is(await codeOf(reader.net.fetchBlob(root, 3 * MiB, { timeoutMs: 600 })), "BLOB_TIMEOUT");
    assert.is(await codeOf(reader.net.fetchBlob(root, 2 ** 40, { timeoutMs: 600 })), "BLOB_SIZE");
    assert.is(reader.net.peers()[0]?.score, 0, "not to have a blob is no offence");
  });
});

test("a source that lies in one chunk is dropped, reported, and does no harm", async () => {
  await star(1, async (reader, [honest]) => {
    const blob = bytesOf(5 * MiB, 5);
    const root = blobRoot(blob);
    honest?.net.serveBlobs(async () => blob);
    const truth = blobServer(() => async () => blob, DEFAULT_LIMITS);
    const liar = await rogue(99, reader.net.addresses()[0] as string, {
      [BLOB]: async function* (peer, request) {
        for await (const frame of truth(peer, request)) {
          // One bit of the last byte of the third chunk.
          if (decodeChunk(frame).index === 2) frame[frame.length - 1] = (frame.at(-1) as number) ^ 1;
          yield frame;
        }
      },
    });
    try {
      await until("the liar is connected", () => reader.up.has(liar.peerId));
      const peers = [liar.peerId, honest?.net.peerId as string];
      const got = await reader.net.fetchBlob(root, blob.length, { timeoutMs: 8000, peers });
      assert.ok(bytesEqual(got, blob));
      const accused = reader.lines.filter((l) => l.fields.code === "BAD_CHUNK").map((l) => l.fields.peer);
      assert.equal(accused, [liar.peerId]);
      const score = (peer: string) => reader.net.peers().find((p) => p.peer === peer)?.score;
      assert.ok((score(liar.peerId) as number) < -9);
      assert.is(score(honest?.net.peerId as string), 0);
      const only = reader.net.fetchBlob(root, blob.length, { timeoutMs: 8000, peers: [liar.peerId] });
      assert.is(await codeOf(only), "BLOB_UNAVAILABLE");
      assert.not(reader.up.has(liar.peerId), "twice is enough to be disconnected");
    } finally {
      await liar.stop();
    }
  });
});

test("a source that dies half-way costs only what it had not sent", async () => {
  await star(2, async (reader, [mortal, other]) => {
    const blob = bytesOf(8 * MiB, 8);
    const root = blobRoot(blob);
    mortal?.net.serveBlobs(async () => blob);
    let asked = 0;
    other?.net.serveBlobs(async () => {
      asked += 1;
      return blob;
    });
    const before = reader.net.counters().blobs.in;
    const fetching = reader.net.fetchBlob(root, blob.length, {
      timeoutMs: 15_000,
      peers: [mortal?.net.peerId as string, other?.net.peerId as string],
    });
    await until("some has come", () => reader.net.counters().blobs.in - before > MiB);
    await mortal?.stop();
    assert.ok(bytesEqual(await fetching, blob));
    const came = reader.net.counters().blobs.in - before;
    assert.ok(asked > 0);
    assert.ok(came < blob.length * 1.5, `${came} bytes came for a blob of ${blob.length}`);
  });
});

test("a blob that a peer gets later is fetched then; waiting can be given up", async () => {
  await star(1, async (reader, [source]) => {
    const blob = bytesOf(MiB, 3);
    let have = false;
    source?.net.serveBlobs(async () => (have ? blob : undefined));
    const fetching = reader.net.fetchBlob(blobRoot(blob), blob.length, { timeoutMs: 8000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    have = true;
    assert.ok(bytesEqual(await fetching, blob));
    const stop = new AbortController();
    const never = reader.net.fetchBlob(blobRoot(bytesOf(9, 9)), 9, { timeoutMs: 8000, signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    assert.is(await codeOf(never), "ABORTED");
  });
});

test.run();
