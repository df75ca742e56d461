import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { MemoryLevel } from "memory-level";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { FinalBlock } from "../../node/store/append.ts";
import { type Database, ENCODINGS, openDatabase } from "../../node/store/database.ts";
import { layout } from "../../node/store/layout.ts";
import { openStore, type Store, type StoreOptions } from "../../node/store/store.ts";
import { blockId, Header } from "../../types/block.ts";
import { isPoflError, type PoflError } from "../../types/errors.ts";
import { bytesEqual, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { lasting } from "./grown.ts";
import { chain, GENESIS_HASH, genesisState, type Link } from "./support.ts";

const code = (expected: string) => (error: unknown) => isPoflError(error, expected);

async function rejects(work: Promise<unknown>, expected: string, id: string = expected): Promise<PoflError> {
  try {
    await work;
  } catch (error) {
    assert.ok(code(expected)(error), `${id}: ${error}`);
    return error as PoflError;
  }
  throw new Error(`${id}: was accepted`);
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-store-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const open = (db: Database, options: Partial<StoreOptions> = {}): Promise<Store> =>
  openStore(db, { genesisHash: GENESIS_HASH, genesisState, path: "test/db", ...options });

async function grow(store: Store, links: readonly Link[]): Promise<void> {
  for (const { certified, receipts, state } of links) await store.append(certified, receipts, state.changes(), []);
}

/** What every store must do, whatever it stands on. `reopen` gives the same database again after `close`. */
async function complies(reopen: () => Promise<Database>): Promise<void> {
  const links = chain(12);
  let store = await open(await reopen());
  assert.equal(store.head(), { height: 0, id: ZERO_HASH });
  assert.equal((await store.loadState()).root(), genesisState().root());
  assert.is(await store.block(1), undefined);
  assert.is(await store.tx(ZERO_HASH), undefined);

  await grow(store, links.slice(0, 5));
  const five = links[4] as Link;
  // Not the next: too high, again, another parent, another certificate. Nothing of it is kept.
  const stray = (patch: Partial<Header>) => ({
    ...Header.defaultValue(),
    ...(links[5] as Link).certified.block.header,
    ...patch,
  });
  for (const [id, header] of Object.entries({
    "too high": stray({ height: 7 }),
    again: five.certified.block.header,
    "other parent": stray({ parent: ZERO_HASH }),
  })) {
    const block = { ...five.certified.block, header };
    const commit = { ...five.certified.commit, height: header.height, blockId: blockId(header) };
    await rejects(store.append({ block, commit }, five.receipts, five.state.changes(), []), "NOT_NEXT", id);
  }
  const six = links[5] as Link;
  const wrongCommit = { block: six.certified.block, commit: five.certified.commit };
  await rejects(store.append(wrongCommit, six.receipts, six.state.changes(), []), "NOT_NEXT");
  await rejects(store.append(six.certified, [], six.state.changes(), []), "NOT_NEXT");
  assert.is(store.head().height, 5);
  await store.close();

  store = await open(await reopen());
  assert.equal(store.head(), { height: 5, id: five.id });
  // Several at once: all or, when one of them does not follow, none.
  const blocks = links.map(({ certified, receipts, state }) => ({
    certified,
    receipts,
    changes: state.changes(),
    validators: [],
  }));
  const [b6, b7, b8] = [5, 6, 7].map((i) => blocks[i] as FinalBlock) as [FinalBlock, FinalBlock, FinalBlock];
  for (const [id, wrong] of Object.entries({
    gap: [b6, b8],
    again: [b6, b7, b7],
    receipts: [b6, { ...b7, receipts: [] }],
  })) {
    await rejects(store.appendAll(wrong), "NOT_NEXT", id);
    assert.is(store.head().height, 5);
    assert.is(await store.block(6), undefined);
  }
  await store.appendAll([b6, b7, b8]);
  assert.equal((await store.loadState()).root(), (links[7] as Link).state.root());
  await grow(store, links.slice(8, 10));
  await store.appendAll(blocks.slice(10));
  const state = await store.loadState();
  assert.equal(state.root(), (links[11] as Link).state.root());
  for (const { certified, receipts, id } of links) {
    const { height } = certified.block.header;
    assert.equal(await store.certified(height), certified);
    assert.equal(await store.header(height), certified.block.header);
    assert.equal(await store.commit(height), certified.commit);
    assert.equal(await store.receipts(height), receipts);
    assert.equal(await store.blockByHash(id), certified.block);
    assert.equal(await store.tx((receipts[0] as { tx: Uint8Array }).tx), { height, index: 0 });
  }
  await store.close();
}

test("memory: a store", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  await complies(async () => lasting(db));
});

test("disk: a store", () => inFolder((folder) => complies(() => openDatabase(join(folder, "db")))));

test("a database of another chain is refused, and both genesis hashes are named", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  await open(lasting(db));
  const other = new Uint8Array(32).fill(8);
  const error = await rejects(open(lasting(db), { genesisHash: other }), "FOREIGN_DATABASE");
  for (const part of [toHex(GENESIS_HASH), toHex(other), "test/db", "--home"])
    assert.ok(error.message.includes(part), part);
});

test("a second process on the database is refused with path and remedy", () =>
  inFolder(async (folder) => {
    const store = await open(await openDatabase(folder));
    const error = await rejects(openDatabase(folder), "DATABASE_LOCKED");
    assert.ok(error.message.includes(folder) && error.message.includes("--home"));
    await store.close();
    await (await openDatabase(folder)).close();
  }));

test("a flipped bit in any record is found when it is read, and the record is named", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  await grow(await open(lasting(db)), chain(3));
  const link = chain(3)[1] as Link;
  const tx = (link.receipts[0] as { tx: Uint8Array }).tx;
  const table: [string, Uint8Array, (store: Store) => Promise<unknown>][] = [
    ["receipts", layout.receipts(2), (s) => s.receipts(2)],
    ["id", layout.id(link.id), (s) => s.blockByHash(link.id)],
    ["tx", layout.tx(tx), (s) => s.tx(tx)],
    ["singles", layout.singles, (s) => s.loadState()],
    ["account", layout.record("accounts", 1), (s) => s.loadState()],
    ["head", layout.head, async () => open(lasting(db))],
    ["genesis", layout.genesis, async () => open(lasting(db))],
    [
      "block, with the check on opening off",
      layout.block(2),
      async () => (await open(lasting(db), { depth: 0 })).block(2),
    ],
  ];
  for (const [id, key, read] of table) {
    const store = await open(lasting(db));
    const good = (await db.get(key)) as Uint8Array;
    for (const bit of [0, good.length * 4, good.length * 8 - 1]) {
      const bad = new Uint8Array(good);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      await db.put(key, bad);
      const error = await rejects(read(store), "CORRUPT_RECORD", `${id}, bit ${bit}`);
      assert.ok(error.message.includes("fetched from peers"), id);
    }
    await db.put(key, good);
  }
  // A whole record in the place of another is damage too.
  await db.put(layout.receipts(2), (await db.get(layout.receipts(3))) as Uint8Array);
  await rejects((await open(lasting(db))).receipts(2), "CORRUPT_RECORD");
});

test("a stale or missing state record is found: its root is compared with the head's", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  const store = await open(lasting(db));
  await grow(store, chain(2));
  const key = layout.record("accounts", 3);
  const stale = (await db.get(key)) as Uint8Array;
  await grow(store, chain(3).slice(2));
  const current = (await db.get(key)) as Uint8Array;
  await db.put(key, stale);
  await rejects(store.loadState(), "CORRUPT_RECORD", "stale");
  await db.put(key, current);
  await store.loadState();
  await db.del(layout.record("accounts", 1));
  await rejects(store.loadState(), "CORRUPT_RECORD", "missing");
});

test("holes are refused with their heights, and can be filled with the right blocks from the top down", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  const links = chain(20);
  await grow(await open(lasting(db)), links);
  const at = (height: number) => (links[height - 1] as Link).certified;
  for (const height of [4, 5, 6]) await db.del(layout.block(height));
  await db.put(layout.block(11), new Uint8Array(100));
  // A whole and valid record, but of another chain.
  const other = { ...at(9).block.header, time: 5 };
  await db.put(layout.block(15), (await db.get(layout.block(14))) as Uint8Array);
  const error = await rejects(open(lasting(db)), "DATABASE_HOLE");
  assert.ok(error.message.includes("15 (damaged), 11 (damaged), 4 to 6 (missing)"), error.message);
  assert.equal(error.data, { from: 4, to: 15, holes: 3 });
  const shallow = await open(lasting(db), { depth: 5 });
  assert.equal(shallow.holes(), [], "15 is not among the last five");

  const store = await open(lasting(db), { acceptHoles: true });
  await rejects(store.fill(at(11)), "NOT_IN_HOLE", "not the highest");
  await rejects(
    store.fill({ block: { ...at(15).block, header: { ...other, height: 15 } }, commit: at(15).commit }),
    "NOT_IN_HOLE",
  );
  for (const height of [15, 11, 6, 5, 4]) await store.fill(at(height));
  assert.equal(store.holes(), []);
  await rejects(store.fill(at(3)), "NOT_IN_HOLE", "no hole left");
  const again = await open(lasting(db), { depth: 1000 });
  for (const link of links) assert.equal(await again.block(link.certified.block.header.height), link.certified.block);
});

test("a block of the wrong parent inside the chain is a hole", async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  const store = await open(lasting(db));
  const links = chain(6);
  await grow(store, links);
  const forged = structuredClone((links[2] as Link).certified);
  forged.block.header.time += 1;
  const elsewhere = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  const second = await open(lasting(elsewhere));
  await grow(second, links.slice(0, 2));
  forged.commit.blockId = blockId(forged.block.header);
  await second.append(forged, (links[2] as Link).receipts, (links[2] as Link).state.changes(), []);
  await db.put(layout.block(3), (await elsewhere.get(layout.block(3))) as Uint8Array);
  const error = await rejects(open(lasting(db)), "DATABASE_HOLE");
  assert.ok(error.message.includes("3 (not linked)"), error.message);
});

test("after a failed write the head stays, and nothing more is written until the database is opened again", async () => {
  for (const [text, expected] of [
    ["IO error: /x/000005.log: No space left on device", "DISK_FULL"],
    ["IO error: /x/000005.log: Read-only file system", "READ_ONLY"],
    ["IO error: something else", "DISK_FAILED"],
  ] as const) {
    const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
    let fails = false;
    const flaky = new Proxy(lasting(db), {
      get: (target, name) => {
        if (name === "batch" && fails) return async () => Promise.reject(new Error(text));
        return Reflect.get(target, name);
      },
    });
    const store = await open(flaky);
    const links = chain(4);
    await grow(store, links.slice(0, 2));
    fails = true;
    await rejects(grow(store, links.slice(2, 3)), expected);
    fails = false;
    await rejects(grow(store, links.slice(2, 3)), "STORE_FAILED");
    assert.is(store.head().height, 2);
    const again = await open(flaky);
    await grow(again, links.slice(2));
    assert.equal((await again.loadState()).root(), (links[3] as Link).state.root());
  }
});

test("files of LevelDB damaged anywhere: refused, or every block and the state read back as written", () =>
  inFolder(async (folder) => {
    const links = chain(40);
    const whole = join(folder, "whole");
    const writer = await open(await openDatabase(whole));
    await grow(writer, links);
    // As after a kill: the log is not yet a table.
    cpSync(whole, join(folder, "killed"), { recursive: true });
    await writer.close();
    const kinds = { flips: 0, refused: 0, intact: 0, shorter: 0 };
    const copy = join(folder, "copy");
    const sample = fc.sample(fc.record({ at: fc.nat(), bit: fc.nat(7), killed: fc.boolean(), pick: fc.nat() }), {
      numRuns: 120,
      seed: 42,
    });
    for (const { at, bit, killed, pick } of sample) {
      rmSync(copy, { recursive: true, force: true });
      cpSync(killed ? join(folder, "killed") : whole, copy, { recursive: true });
      const files = readdirSync(copy).filter(
        (f) => /\.(log|ldb)$|MANIFEST/.test(f) && readFileSync(join(copy, f)).length > 0,
      );
      const file = join(copy, files[pick % files.length] as string);
      const bytes = readFileSync(file);
      bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << bit);
      writeFileSync(file, bytes);
      kinds.flips++;
      try {
        const store = await open(await openDatabase(copy), { path: copy });
        try {
          const { height } = store.head();
          const state = await store.loadState();
          assert.equal(state.root(), (links[height - 1]?.state ?? genesisState()).root());
          for (const { certified, receipts, id } of links.slice(0, height)) {
            const h = certified.block.header.height;
            assert.equal(await store.certified(h), certified);
            assert.equal(await store.receipts(h), receipts);
            assert.is(await store.heightOf(id), h);
            assert.ok(await store.tx((receipts[0] as { tx: Uint8Array }).tx));
          }
          assert.ok(bytesEqual(store.head().id, links[height - 1]?.id ?? ZERO_HASH));
          kinds[height === 40 ? "intact" : "shorter"]++;
        } finally {
          await store.close();
        }
      } catch (error) {
        const expected = ["CORRUPT_RECORD", "DATABASE_HOLE", "DATABASE_DAMAGED", "BAD_LAYOUT", "DISK_FAILED"];
        assert.ok(
          expected.some((c) => isPoflError(error, c)),
          `byte ${at % bytes.length} of ${file}: ${(error as Error).stack}`,
        );
        kinds.refused++;
      }
    }
    assert.ok(kinds.refused > 0 && kinds.intact + kinds.shorter + kinds.refused === kinds.flips, JSON.stringify(kinds));
    console.log(`flipped bits in files: ${JSON.stringify(kinds)}`);
  }));

test.run();
