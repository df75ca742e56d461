import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot, blobTree, chunkOf, treeProof } from "../../crypto/blob.ts";
import { createBlobs } from "../../p2p/blobs.ts";
import { decodeRequest, encodeChunk } from "../../p2p/blobwire.ts";
import { DEFAULT_LIMITS } from "../../p2p/limits.ts";
import type { Peer } from "../../p2p/types.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { BLOB_CHUNK_BYTES } from "../../types/limits.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { settle, VirtualClock } from "../sim/clock.ts";

/** Which sources a blob is fetched from, and for how long each is waited for; under a virtual clock. */

const CHUNKS = 12;
const BLOB = new Uint8Array(CHUNKS * BLOB_CHUNK_BYTES).map((_, i) => i >> 16);
const ROOT = blobRoot(BLOB);
const TREE = blobTree(BLOB);
const TIMEOUT_MS = 20_000;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** Milliseconds that a source takes for each chunk; undefined: it has not got the blob. */
type Pace = (now: number) => number | undefined;

class Sources {
  readonly clock = new VirtualClock(0);
  readonly paces = new Map<Peer, Pace>();
  /** Chunks asked of each, and sent by each. */
  readonly asked = new Map<Peer, number[]>();
  readonly sent = new Map<Peer, number[]>();
  readonly reports: Peer[] = [];
  underWay = 0;
  seed = 1;
  readonly blobs = createBlobs({
    limits: DEFAULT_LIMITS,
    log: QUIET,
    peers: () => [...this.paces.keys()],
    ask: (peer, request, { signal, timeoutMs }) => this.#answer(peer, request, signal as AbortSignal, timeoutMs),
    report: (peer) => this.reports.push(peer),
    chance: () => {
      this.seed = (this.seed * 48_271) % 2_147_483_647;
      return this.seed / 2_147_483_647;
    },
  });

  add(prefix: string, count: number, pace: number | Pace): this {
    for (let i = 0; i < count; i++) this.paces.set(`${prefix}${i}`, typeof pace === "number" ? () => pace : pace);
    return this;
  }

  count(of: Map<Peer, number[]>, prefix = ""): number {
    return [...of].filter(([peer]) => peer.startsWith(prefix)).reduce((sum, [, chunks]) => sum + chunks.length, 0);
  }

  async *#answer(peer: Peer, request: Uint8Array, signal: AbortSignal, timeoutMs: number): AsyncGenerator<Uint8Array> {
    const { from, count } = decodeRequest(request);
    const note = (to: Map<Peer, number[]>, chunk: number) => to.set(peer, [...(to.get(peer) ?? []), chunk]);
    for (let i = from; i < from + count; i++) note(this.asked, i);
    this.underWay += 1;
    try {
      const pace = this.paces.get(peer)?.(this.clock.now);
      if (pace === undefined) return;
      for (let i = from; i < from + count; i++) {
        await this.#wait(Math.min(pace, timeoutMs), signal);
        if (pace > timeoutMs) throw new PoflError("REQUEST_TIMEOUT", "no answer");
        note(this.sent, i);
        yield encodeChunk({ index: i, proof: treeProof(TREE, i), bytes: chunkOf(BLOB, i) });
      }
    } finally {
      this.underWay -= 1;
    }
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new PoflError("ABORTED", "given up"));
      const cancel = this.clock.at(ms, resolve);
      signal.addEventListener("abort", () => {
        cancel();
        reject(new PoflError("ABORTED", "given up"));
      });
    });
  }

  /** How long it took; undefined when it did not come in time. */
  async fetch(peers?: readonly Peer[]): Promise<number | undefined> {
    const { clock } = this;
    const real = { setTimeout, clearTimeout, now: performance.now };
    const timer = (act: () => void, ms: number) => ({ cancel: clock.at(ms, act) });
    Object.assign(globalThis, { setTimeout: timer, clearTimeout: (t?: { cancel(): void }) => t?.cancel() });
    performance.now = () => clock.now;
    try {
      const began = clock.now;
      let ended: number | undefined;
      const fetching = this.blobs.fetch(ROOT, BLOB.length, { timeoutMs: TIMEOUT_MS, peers }).finally(() => {
        ended = clock.now;
      });
      fetching.catch(() => {});
      for (await settle(); ended === undefined; await settle()) {
        const next = clock.next(Number.POSITIVE_INFINITY);
        assert.ok(next, "nothing will ever happen again");
        next();
      }
      try {
        assert.ok(bytesEqual(await fetching, BLOB));
        return ended - began;
      } catch (error) {
        if (!isPoflError(error, "BLOB_TIMEOUT")) throw error;
        return undefined;
      } finally {
        await settle();
        assert.is(this.underWay, 0, "no request outlasts its fetch");
      }
    } finally {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
      performance.now = real.now;
    }
  }
}

for (const [what, pace] of [
  ["just answer in time", DEFAULT_LIMITS.chunkMs - 100],
  ["are several times slower", 1000],
  ["never answer", 1e9],
] as const) {
  test(`sources that ${what} don't hold up a blob while a quick one is free`, async () => {
    const sources = new Sources().add("slow", 3, pace).add("quick", 1, 10);
    const took = await sources.fetch([...sources.paces.keys()]);
    assert.ok(took !== undefined && took < 4000, `${took} ms`);
    assert.ok(sources.count(sources.asked, "quick") <= CHUNKS);
    assert.equal(sources.reports, []);
  });
}

test("many slow sources don't hold it up either, whichever are asked first", async () => {
  // How many of thirty are slow, and within how long a blob comes all the same.
  for (const [slow, within] of [
    [10, 3 * DEFAULT_LIMITS.lateMs],
    [20, TIMEOUT_MS],
  ] as const) {
    for (let seed = 1; seed <= 30; seed++) {
      const sources = new Sources().add("slow", slow, 9_900).add("quick", 30 - slow, 10);
      sources.seed = seed * 7919;
      const took = await sources.fetch();
      assert.ok(took !== undefined && took < within, `${slow} slow ones, ${took} ms`);
    }
  }
});

test("quick sources share a blob, and none is asked for what another brings", async () => {
  const sources = new Sources().add("quick", 8, 50);
  assert.is(await sources.fetch(), 4 * 50);
  assert.is(sources.count(sources.asked), CHUNKS);
  assert.is(sources.asked.size, DEFAULT_LIMITS.sourcesPerBlob);
});

test("fetches begin with different sources", async () => {
  const sources = new Sources().add("quick", 30, 10);
  for (let i = 0; i < 10; i++) await sources.fetch();
  assert.ok(sources.asked.size > 12, `${sources.asked.size} of 30 were asked in ten fetches`);
});

test("where all sources are slow they go on with what they have under way", async () => {
  const sources = new Sources().add("slow", 4, 2_500);
  assert.ok((await sources.fetch()) !== undefined);
  assert.ok(sources.count(sources.sent) <= 2 * CHUNKS, `${sources.count(sources.sent)} chunks for ${CHUNKS}`);
});

test("what came of a blob that did not come whole is not asked for again", async () => {
  const sources = new Sources().add("slow", 1, 4_000);
  let fetches = 1;
  while ((await sources.fetch()) === undefined) assert.ok(++fetches <= 4);
  assert.ok(fetches > 1);
  assert.is(sources.count(sources.sent), CHUNKS);
  // It is whole, and given away: the next fetch begins anew.
  sources.add("quick", 1, 10).paces.delete("slow0");
  assert.ok((await sources.fetch()) !== undefined);
  assert.is(sources.count(sources.sent, "quick"), CHUNKS);
});

test("one that drips does not keep those from being asked again that had nothing at first", async () => {
  const sources = new Sources().add("slow", 1, 9_900).add("later", 1, (now) => (now < 3000 ? undefined : 10));
  const took = await sources.fetch();
  assert.ok(took !== undefined && took < 4000, `${took} ms`);
});

test.run();
