import "../../p2p/polyfill.ts";
import { MemoryLevel } from "memory-level";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { genesisHead, type Head } from "../../consensus/block/context.ts";
import { Engine } from "../../consensus/engine/engine.ts";
import { messageHeight } from "../../consensus/engine/inbox.ts";
import type { EngineDeps } from "../../consensus/engine/types.ts";
import { Wal } from "../../consensus/engine/wal.ts";
import { decodeMessage, encodeMessage, type Message } from "../../consensus/messages.ts";
import { SignGuard } from "../../consensus/signer.ts";
import { signVote } from "../../crypto/domain.ts";
import { type Database, ENCODINGS } from "../../node/store/database.ts";
import { diskError } from "../../node/store/disk.ts";
import { openStore, type Store } from "../../node/store/store.ts";
import { blockId, CertifiedBlock } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT } from "../../types/vote.ts";
import { State } from "../../vm/state.ts";
import { CrashLog } from "../consensus/world.ts";
import { CertifiedChain, certificate } from "../light/chains.ts";
import { consensusOf, keys, nameOf } from "../vm/support.ts";
import { lasting } from "./grown.ts";

/** A validator that follows blocks in groups, on a real store: what is there at each moment, and after each end. */

const LENGTH = 6;
let made: CertifiedChain | undefined;
const chain = () => {
  made ??= CertifiedChain.of().grow(LENGTH);
  return made;
};
const group = (from: number, to: number): CertifiedBlock[] =>
  chain()
    .blocks.slice(from - 1, to)
    .map(({ certified }) => certified);

/** What becomes of a batch; `done` writes it. */
type Batch = (done: () => Promise<void>) => Promise<void>;

class Place {
  readonly #db = lasting(new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS));
  readonly #wal = new CrashLog();
  readonly #signer = new CrashLog();
  batch: Batch = (done) => done();
  batches = 0;
  readonly fatal: unknown[] = [];
  readonly stored: number[] = [];
  readonly sent: Message[] = [];
  #timers: { readonly at: number; readonly act: () => void }[] = [];
  #now = Date.parse(chain().genesis.genesisTime);
  store!: Store;
  engine!: Engine;

  /** The node starts, from what is on the disk. */
  async start(): Promise<void> {
    this.#timers = [];
    this.#wal.crash();
    this.#signer.crash();
    const batch = this.#db.batch.bind(this.#db) as (...args: unknown[]) => Promise<void>;
    const db = new Proxy(this.#db, {
      get: (target, key) => {
        if (key === "batch") {
          return (...args: unknown[]) => {
            this.batches++;
            return this.batch(() => batch(...args));
          };
        }
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }) as Database;
    const { genesis, hash } = chain();
    const genesisState = () => State.genesis(genesis);
    this.store = await openStore(db, { genesisHash: hash, genesisState, path: "/home/data/chain" });
    this.batches = 0;
    this.engine = new Engine(await this.#head(), this.#deps());
    this.engine.start();
  }

  async #head(): Promise<Head> {
    const { height, id } = this.store.head();
    const state = await this.store.loadState();
    if (height === 0) return genesisHead(chain().hash, state);
    const { block, commit } = (await this.store.certified(height))!;
    return { height, id, header: block.header, state, validators: (await this.store.validators(height))!, commit };
  }

  #deps(): EngineDeps {
    const { genesis, hash } = chain();
    return {
      genesis,
      genesisHash: hash,
      keys: { consensus: consensusOf("anna"), vrf: keys("anna/vrf") },
      clock: {
        now: () => this.#now,
        timer: (ms, act) => {
          const timer = { at: this.#now + ms, act };
          this.#timers.push(timer);
          return () => {
            this.#timers = this.#timers.filter((t) => t !== timer);
          };
        },
      },
      random: () => new Uint8Array(32),
      net: {
        send: (_peer, frame) => void this.sent.push(decodeMessage(frame)),
        broadcast: (frame) => void this.sent.push(decodeMessage(frame)),
        peers: () => 3,
        fetchBlob: () => Promise.reject(new Error("no peer has it")),
        report: () => {},
      },
      blobs: { get: async () => undefined, put: async () => ZERO_HASH },
      records: { ensure: async () => {} },
      wal: this.#wal,
      signerLog: this.#signer,
      trainer: undefined,
      rounds: { compute: () => Promise.reject(new Error("there is no round")) },
      pickTxs: () => [],
      commit: async (blocks) => {
        await this.store.appendAll(
          blocks.map(({ certified, receipts, head: { state, validators } }) => ({
            certified,
            receipts,
            changes: state.changes(),
            validators,
          })),
        );
        for (const { head } of blocks) this.stored.push(head.height);
      },
      certified: (height) => this.store.certified(height),
      behind: () => {},
      log: { debug() {}, info() {}, warn() {}, error() {} },
      // As the node does.
      fatal: (error) => {
        this.fatal.push(error);
        void this.engine.stop();
      },
    };
  }

  /** Timers that are due within `ms`, and those that they set. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.at);
      next.act();
    }
    this.#now = end;
  }

  /** Heights of what it signed, on the disk. */
  signedUpTo(): number {
    return new SignGuard(this.#signer).height;
  }
  loggedUpTo(): number {
    return new Wal(this.#wal).lastHeight();
  }

  /** All that is here is whole, and ends at `height`. */
  async isAt(height: number, what: string): Promise<void> {
    assert.is(this.engine.head.height, height, `${what}: head`);
    assert.is(this.store.head().height, height, `${what}: stored head`);
    for (let h = 1; h <= LENGTH; h++) {
      const block = await this.store.certified(h);
      assert.is(block !== undefined, h <= height, `${what}: block ${h}`);
      if (block) assert.equal(CertifiedBlock.serialize(block), CertifiedBlock.serialize(group(h, h)[0]!));
    }
    const state = height === 0 ? State.genesis(chain().genesis) : chain().blocks[height - 1]!.head.state;
    assert.equal((await this.store.loadState()).root(), state.root(), what);
  }
}

async function started(): Promise<Place> {
  const place = new Place();
  await place.start();
  return place;
}

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isPoflError(error) ? error.code : String(error);
  }
  return "nothing";
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("blocks that are followed together are stored in one batch, and nobody hears of any of them before", async () => {
  const place = await started();
  place.advance(1000);
  place.sent.length = 0;
  const gate = Promise.withResolvers<void>();
  place.batch = async (done) => {
    await gate.promise;
    await done();
  };
  const taken = place.engine.applyCertified(group(1, 5));
  await turn();
  assert.is(place.batches, 1);
  assert.is(place.engine.head.height, 0);
  assert.is(place.engine.status().height, 1);
  assert.is(await place.store.certified(1), undefined);
  // Messages and timers of the height that is over, and of the next, move nothing.
  const { validators } = chain().blocks[0]!.head;
  const message = { type: PRECOMMIT, height: 1, round: 0, blockId: ZERO_HASH, validRound: 0, time: 1, validator: 1 };
  const secret = consensusOf(nameOf(validators[1]!.address)).secret;
  place.engine.onFrame("b", encodeMessage({ kind: "vote", value: signVote(chain().hash, secret, message) }));
  place.advance(10_000);
  await turn();
  assert.is(place.engine.head.height, 0);
  assert.ok(place.sent.every((m) => messageHeight(m) <= 1));

  gate.resolve();
  assert.is(await taken, 5);
  assert.equal(place.stored, [1, 2, 3, 4, 5]);
  assert.is(place.batches, 1);
  await place.isAt(5, "stored");
  place.sent.length = 0;
  place.advance(60_000);
  const heights = new Set(place.sent.map(messageHeight));
  assert.equal([...heights], [6], "what it says afterwards is about the next height");
  await place.engine.stop();
});

test("in groups of any sizes the chain is the same, and nothing is signed below its end", async () => {
  for (const sizes of [[6], [1, 5], [2, 2, 2], [3, 1, 2], [1, 1, 1, 1, 1, 1]]) {
    const place = await started();
    let at = 0;
    for (const size of sizes) {
      assert.is(await place.engine.applyCertified(group(at + 1, at + size)), size);
      at += size;
      assert.is(place.signedUpTo(), 0);
      assert.ok(place.loggedUpTo() <= at + 1);
    }
    assert.is(place.batches, sizes.length);
    await place.isAt(LENGTH, sizes.join(" "));
    await place.engine.stop();
  }
});

test("a forged block ends a group: those before it stay, those after it are not taken, and the chain goes on", async () => {
  for (let bad = 1; bad <= 5; bad++) {
    const [few, changed] = [structuredClone(group(1, 5)), structuredClone(group(1, 5))] as const;
    few[bad - 1]!.commit.signatures.length = 2;
    // Certified by all, and yet it does not follow from its inputs.
    const { header } = changed[bad - 1]!.block;
    header.stateRoot[0]! ^= 1;
    const { validators } = chain().blocks[bad - 1]!.head;
    const commit = certificate(chain().hash, validators, bad, blockId(header), header.time + 1);
    changed[bad - 1] = { ...changed[bad - 1]!, commit };
    for (const [forged, why] of [
      [few, "BAD_COMMIT"],
      [changed, "INVALID_BLOCK"],
    ] as const) {
      const place = await started();
      assert.is(await code(place.engine.applyCertified(forged)), why, `${why} at ${bad}`);
      assert.is(place.batches, bad === 1 ? 0 : 1);
      await place.isAt(bad - 1, `${why} at ${bad}`);
      assert.is(await place.engine.applyCertified(group(1, 5)), 6 - bad);
      await place.isAt(5, `after ${why} at ${bad}`);
      await place.engine.stop();
    }
  }
});

test("a disk that refuses the batch ends the node with the chain that it had", async () => {
  const place = await started();
  assert.is(await place.engine.applyCertified(group(1, 2)), 2);
  place.batch = () => Promise.reject(diskError(Object.assign(new Error("no"), { code: "ENOSPC" }), "/home/data/chain"));
  assert.is(await place.engine.applyCertified(group(3, 5)), 0);
  assert.equal(
    place.fatal.map((error) => isPoflError(error, "DISK_FULL")),
    [true],
  );
  assert.is(await place.engine.applyCertified(group(3, 5)), 0, "it takes nothing more");
  place.batch = (done) => done();
  await place.isAt(2, "refused");
  place.sent.length = 0;
  place.advance(60_000);
  assert.is(place.sent.length, 0, "it says nothing more");
  await place.engine.stop();
  await place.start();
  assert.is(await place.engine.applyCertified(group(1, 5)), 3);
  await place.isAt(5, "started again");
  await place.engine.stop();
});

test("a crash before or after the batch leaves none of a group or all of it", async () => {
  for (const size of [1, 2, 4]) {
    for (const after of [false, true]) {
      const what = `${size} blocks, ${after ? "after" : "before"} the batch`;
      const place = await started();
      await place.engine.applyCertified(group(1, 1));
      const dead = new Promise<void>(() => {});
      const reached = Promise.withResolvers<void>();
      place.batch = async (done) => {
        if (after) await done();
        reached.resolve();
        return dead;
      };
      void place.engine.applyCertified(group(2, 1 + size));
      await reached.promise;
      place.batch = (done) => done();
      await place.start();
      const head = after ? 1 + size : 1;
      await place.isAt(head, what);
      assert.is(place.signedUpTo(), 0, what);
      assert.ok(place.loggedUpTo() <= head + 1, what);
      assert.is(await place.engine.applyCertified(group(1, LENGTH)), LENGTH - head, what);
      await place.isAt(LENGTH, what);
      await place.engine.stop();
    }
  }
});

test("a stop while a group is checked drops it, one while it is stored waits for it", async () => {
  const checking = await started();
  const dropped = checking.engine.applyCertified(group(1, 5));
  await checking.engine.stop();
  assert.is(await dropped, 0);
  assert.is(checking.batches, 0);
  await checking.isAt(0, "dropped");

  const storing = await started();
  const gate = Promise.withResolvers<void>();
  storing.batch = async (done) => {
    await gate.promise;
    await done();
  };
  const taken = storing.engine.applyCertified(group(1, 5));
  await turn();
  let stopped = false;
  const stopping = storing.engine.stop().then(() => {
    stopped = true;
  });
  await turn();
  assert.not(stopped);
  gate.resolve();
  await stopping;
  assert.is(await taken, 5);
  await storing.isAt(5, "stored");
  storing.sent.length = 0;
  storing.advance(60_000);
  assert.is(storing.sent.length, 0);
});

test("groups that come at the same time are stored once, in order", async () => {
  const place = await started();
  const taken = await Promise.all(
    [[1, 3] as const, [1, 5] as const, [2, 6] as const, [4, 4] as const].map(([a, b]) =>
      place.engine.applyCertified(group(a, b)),
    ),
  );
  assert.is(
    taken.reduce((sum, n) => sum + n, 0),
    place.engine.head.height,
  );
  assert.equal(
    place.stored,
    place.stored.map((_, i) => i + 1),
  );
  await place.engine.applyCertified(group(1, 6));
  await place.isAt(6, "all");
  await place.engine.stop();
});

test("the certificate that a block carries counts, known from its parent or not", async () => {
  const other = chain().fork(2);
  const { head } = other;
  const signatures = structuredClone(head.commit.signatures);
  const carrying = (list: typeof signatures) => {
    const fork = chain().fork(2);
    fork.head = { ...head, commit: { ...head.commit, signatures: list } };
    return fork.make().certified;
  };
  const bad = structuredClone(signatures);
  bad[3]!.signature[0]! ^= 1;
  const moved = structuredClone(signatures);
  moved[3]!.time += 1;
  for (const [what, list, why] of [
    ["three of four", signatures.slice(1), "nothing"],
    ["two of four", signatures.slice(2), "BAD_COMMIT"],
    ["a bad signature among those of the parent", bad, "BAD_COMMIT"],
    ["a time that was not signed", moved, "BAD_COMMIT"],
  ] as const) {
    const place = await started();
    assert.is(await code(place.engine.applyCertified([...group(1, 2), carrying([...list])])), why, what);
    assert.is(place.engine.head.height, why === "nothing" ? 3 : 2, what);
    await place.engine.stop();
  }
});

test("whoever told this node something else than the group's blocks show is accused", async () => {
  const { hash } = chain();
  const { validators, commit } = chain().blocks[0]!.head;
  // The first block's own certificate is without the equivocator; the next block carries one with it.
  const equivocator = commit.signatures[3]!.validator;
  const first = { ...group(1, 1)[0]!, commit: { ...commit, signatures: commit.signatures.slice(0, 3) } };
  const place = await started();
  const message = { ...{ type: PRECOMMIT, height: 1, round: 0, blockId: ZERO_HASH, validRound: 0, time: 5 } };
  const vote = signVote(hash, consensusOf(nameOf(validators[equivocator]!.address)).secret, {
    ...message,
    validator: equivocator,
  });
  place.engine.onFrame("b", encodeMessage({ kind: "vote", value: vote }));
  assert.is(await place.engine.applyCertified([first, ...group(2, 4)]), 4);
  const found = place.sent.flatMap((m) => (m.kind === "evidence" ? [m.value] : []));
  assert.ok(found.length > 0);
  assert.equal(found[0]!.consensusKey, validators[equivocator]!.consensusKey);
  await place.engine.stop();
});

test.run();
