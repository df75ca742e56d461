import { MemoryLevel } from "memory-level";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Refill } from "../../node/refill.ts";
import { ENCODINGS } from "../../node/store/database.ts";
import { layout } from "../../node/store/layout.ts";
import type { Store } from "../../node/store/store.ts";
import { BLOCKS_PROTOCOL, BlocksRequest } from "../../node/sync.ts";
import { verifyChain } from "../../node/verify.ts";
import type { Network, PeerInfo } from "../../p2p/types.ts";
import { CertifiedBlock } from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { decode } from "../../types/primitives.ts";
import type { World } from "../consensus/world.ts";
import { fillGrown, grownWorld, lasting, openGrown } from "./grown.ts";

/** What the disk lost below the head comes back from peers, whatever they send, and nothing is served that is not there. */

const HEIGHT = 12;

let grown: Promise<World> | undefined;
const world = () => {
  grown ??= grownWorld(HEIGHT, 6);
  return grown;
};

const block = (made: World, height: number) => structuredClone(made.certified("a", height)) as CertifiedBlock;

async function stored(made: World) {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  await fillGrown(made, await openGrown(made, lasting(db)), HEIGHT);
  return db;
}

/** Gives what it has of a range, as a node does: in order, up to the first that it has not. */
type Serve = (height: number, clock: Clock) => CertifiedBlock | undefined;

class Clock {
  now = 0;
  readonly timers = new Map<() => void, { readonly at: number; readonly ms: number }>();

  timer(ms: number, act: () => void) {
    const fire = () => {
      this.timers.delete(fire);
      act();
    };
    this.timers.set(fire, { at: this.now + ms, ms });
    return () => void this.timers.delete(fire);
  }

  /** For a retry, and not for an answer. */
  waits(): boolean {
    return [...this.timers.values()].some(({ ms }) => ms !== 30_000);
  }

  pass(ms: number): void {
    this.now += ms;
    for (const [fire, { at }] of [...this.timers]) if (at <= this.now) fire();
  }
}

function refillOf(store: Store, made: World, peers: Record<string, Serve>) {
  const reports: string[] = [];
  const log: string[] = [];
  const fatal: unknown[] = [];
  const clock = new Clock();
  const asked: string[] = [];
  const network: Pick<Network, "peers" | "request" | "report"> = {
    peers: () => Object.keys(peers).map((peer) => ({ peer }) as PeerInfo),
    report: (peer, verdict) => reports.push(`${peer} ${verdict}`),
    request: async function* (peer, protocol, request, { maxBytes, signal }) {
      assert.is(protocol, BLOCKS_PROTOCOL);
      let bytes = 0;
      const { from, count } = decode(BlocksRequest, request);
      asked.push(`${peer} ${from}+${count}`);
      for (let height = from; height < from + count; height++) {
        const found = peers[peer]?.(height, clock);
        if (signal?.aborted) throw new PoflError("ABORTED", "given up");
        if (!found) return;
        const frame = CertifiedBlock.serialize(found);
        bytes += peer === "large" ? 8 * 1024 * 1024 : frame.length;
        if (bytes > maxBytes) throw new PoflError("RESPONSE_SIZE", "too many bytes");
        yield frame;
      }
    },
  };
  const at = (level: string) => (_: object, text: string) => void log.push(`${level}: ${text}`);
  const refill = new Refill({
    store,
    network,
    genesisHash: made.hash,
    busy: () => false,
    timer: (ms, act) => clock.timer(ms, act),
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    fatal: (error) => fatal.push(error),
  });
  return { refill, reports, log, fatal, clock, asked, peers };
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !done(); i++) await new Promise((r) => setImmediate(r));
  assert.ok(done());
}

test("lost, damaged and foreign blocks come back byte for byte past liars, and the chain verifies", async () => {
  const made = await world();
  const db = await stored(made);
  for (const height of [3, 4, 5]) await db.del(layout.block(height));
  await db.del(layout.receipts(4));
  await db.put(layout.block(8), (await db.get(layout.block(9))) as Uint8Array);
  const bytes = new Uint8Array((await db.get(layout.block(10))) as Uint8Array);
  bytes[bytes.length >> 1]! ^= 4;
  await db.put(layout.block(10), bytes);
  const store = await openGrown(made, lasting(db), { acceptHoles: true });
  assert.equal(
    store.holes().map(({ from, to, why }) => `${from}-${to} ${why}`),
    ["10-10 damaged", "8-8 damaged", "3-5 missing"],
  );
  for (const height of [3, 4, 5, 8, 10]) {
    assert.is(await store.certified(height), undefined, `${height} is not served`);
    assert.is(await store.header(height), undefined);
    assert.is(await store.commit(height), undefined);
  }
  const { refill, reports, log, fatal } = refillOf(store, made, {
    nothing: () => undefined,
    silent: () => {
      throw new Error("the stream was reset");
    },
    // The right header, another body.
    body: (h) => {
      const forged = block(made, h);
      forged.block.txs = h === 3 ? [] : forged.block.txs;
      forged.block.learning[0]!.result.updates[0]!.pay += 1n;
      return forged;
    },
    other: (h) => {
      const forged = block(made, h);
      forged.block.header.time += 1;
      return forged;
    },
    shifted: (h) => block(made, h - 1 || 1),
    honest: (h) => block(made, h),
  });
  refill.start();
  await until(() => store.holes().length === 0 || fatal.length > 0);
  assert.equal(fatal, []);
  assert.equal([...new Set(reports)].sort(), ["body reject", "other reject", "shifted reject"]);
  assert.ok(
    log.some((line) => /lost blocks, which are fetched.*10 \(damaged\), 8 \(damaged\), 3 to 5 \(missing\)/.test(line)),
  );
  await refill.stop();

  const again = await openGrown(made, lasting(db), { depth: 1000 });
  for (let h = 1; h <= HEIGHT; h++) {
    assert.equal((await again.block(h))?.header, block(made, h).block.header, `${h}`);
  }
  assert.ok(await again.receipts(3), "they outlived their block");
  assert.is(await again.receipts(4), undefined, "lost, and nobody makes them up");
  const blobs = made.disks.get("a")?.blobs;
  const blob = async (root: Uint8Array) => blobs?.get(`0x${Buffer.from(root).toString("hex")}`);
  const report = await verifyChain({ genesis: made.genesis, store: again, blob });
  assert.equal(report.lostReceipts, [4]);
  assert.is(report.height, HEIGHT);
});

test("a peer that pruned the lower blocks gives the highest one by one; who has nothing is asked again later, or a new peer at once", async () => {
  const made = await world();
  const db = await stored(made);
  for (const height of [4, 5, 6]) await db.del(layout.block(height));
  const store = await openGrown(made, lasting(db), { acceptHoles: true });
  const run = refillOf(store, made, { pruned: (h) => (h >= 6 ? block(made, h) : undefined) });
  run.refill.start();
  await until(() => run.clock.waits());
  assert.equal(
    store.holes().map(({ from, to }) => [from, to]),
    [[4, 5]],
  );
  assert.equal(run.asked, ["pruned 4+3", "pruned 6+1", "pruned 4+2", "pruned 5+1"]);
  assert.equal(run.reports, [], "nobody is to blame");
  run.peers.full = (h) => block(made, h);
  run.refill.onPeer();
  await until(() => store.holes().length === 0);
  assert.equal(run.fatal, []);
  await run.refill.stop();
});

/** A store whose blocks at `lost` are gone. */
async function holed(made: World, lost: readonly number[]) {
  const db = await stored(made);
  for (const height of lost) await db.del(layout.block(height));
  return openGrown(made, lasting(db), { acceptHoles: true });
}

const mute: Serve = (_height, clock) => {
  clock.pass(10_000);
  throw new PoflError("REQUEST_TIMEOUT", "nothing came for 10000 ms");
};

test("a mute peer is asked once, and again only where nobody else has the block", async () => {
  const made = await world();
  const store = await holed(made, [2, 4, 6, 8, 10]);
  const run = refillOf(store, made, { mute, honest: (h) => (h > 4 ? block(made, h) : undefined) });
  run.refill.start();
  await until(() => run.clock.waits());
  const count = (peer: string) => run.asked.filter((a) => a.startsWith(peer)).length;
  assert.is(count("mute"), 2, "of five holes the first, and the one that honest has not got");
  assert.is(count("honest"), 4);
  run.peers.full = (h) => block(made, h);
  run.refill.onPeer();
  await until(() => store.holes().length === 0);
  assert.is(count("mute"), 2);
  assert.equal([run.reports, run.fatal], [[], []]);
  await run.refill.stop();
});

test("one that drips holds a batch for half a minute, and comes last then", async () => {
  const made = await world();
  const store = await holed(made, [2, 3, 4, 5, 7, 9]);
  const slow: Serve = (h, clock) => {
    clock.pass(9_000);
    return block(made, h);
  };
  const run = refillOf(store, made, { slow, honest: (h) => block(made, h) });
  run.refill.start();
  await until(() => store.holes().length === 0);
  assert.equal(run.asked, ["slow 9+1", "honest 7+1", "slow 2+4", "honest 4+2", "honest 2+2"]);
  await run.refill.stop();

  const again = await holed(made, [2, 3, 4, 5, 6, 7, 8, 9]);
  const dripped = refillOf(again, made, { slow, honest: (h) => block(made, h) });
  dripped.refill.start();
  await until(() => again.holes().length === 0);
  assert.is(dripped.clock.now, 36_000, "the fourth frame came too late");
  assert.equal(dripped.asked, ["slow 2+8", "honest 6+4", "honest 2+4"]);
  assert.equal(dripped.clock.timers.size, 0);
  await dripped.refill.stop();
});

test("blocks that are too large for one answer come in smaller batches", async () => {
  const made = await world();
  const store = await holed(made, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const run = refillOf(store, made, { large: (h) => block(made, h) });
  run.refill.start();
  await until(() => run.clock.waits());
  run.clock.pass(2_000);
  await until(() => store.holes().length === 0);
  assert.equal(run.asked, ["large 2+9", "large 6+5", "large 2+4"]);
  await run.refill.stop();
});

test("links further down than opening looks are walked afterwards", async () => {
  const made = await world();
  const db = await stored(made);
  for (const height of [2, 7, 8]) await db.del(layout.block(height));
  const store = await openGrown(made, lasting(db), { acceptHoles: true, depth: 4 });
  assert.equal(store.holes(), [], "7 and 8 are not among the last four");
  const run = refillOf(store, made, { honest: (h) => block(made, h) });
  run.refill.start();
  await until(() => run.asked.length === 2 && store.holes().length === 0);
  await run.refill.stop();
  assert.equal(run.asked, ["honest 7+2", "honest 2+1"]);
  assert.ok(run.log.some((line) => /lost blocks, which are fetched from peers: 7 to 8 \(missing\), 2/.test(line)));
  await openGrown(made, lasting(db));
});

test("without its head, or with another state than the head's, nothing is opened", async () => {
  const made = await world();
  const db = await stored(made);
  const refusal = async (work: () => Promise<unknown>) =>
    work().then(
      () => "",
      (error) => (isPoflError(error) ? `${error.code}: ${error.message}` : String(error)),
    );
  const head = (await db.get(layout.block(HEIGHT))) as Uint8Array;
  await db.del(layout.block(HEIGHT));
  const gone = await refusal(() => openGrown(made, lasting(db), { acceptHoles: true }));
  assert.match(gone, /^DATABASE_HOLE: test\/db lost blocks: 12 \(missing\)\. The head itself is gone: move it away/);
  await db.put(layout.block(HEIGHT), head);
  await db.del(layout.record("accounts", 1));
  await db.del(layout.block(5));
  const store = await openGrown(made, lasting(db), { acceptHoles: true });
  assert.match(await refusal(() => store.loadState()), /^CORRUPT_RECORD: .*move data\/chain away/);
});

test.run();
