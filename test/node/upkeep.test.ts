import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryLevel } from "memory-level";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Wal } from "../../consensus/engine/wal.ts";
import { SignGuard } from "../../consensus/signer.ts";
import { openHomeJournal } from "../../node/journals.ts";
import { takeLock } from "../../node/lock.ts";
import { exportSnapshot } from "../../node/snapshots/file.ts";
import { type CheckReport, checkRecords } from "../../node/store/check.ts";
import { ENCODINGS, openDatabase } from "../../node/store/database.ts";
import { diskError } from "../../node/store/disk.ts";
import { keyText, layout } from "../../node/store/layout.ts";
import { varint } from "../../node/store/leveldb/bytes.ts";
import { openRecord, Records, sealRecord } from "../../node/store/records.ts";
import { compactHome, resetHome } from "../../node/upkeep.ts";
import { verifyHome } from "../../node/verify.ts";
import { CertifiedBlock, ReceiptList } from "../../types/block.ts";
import { cli, inFolder } from "../cli/support.ts";
import type { World } from "../consensus/world.ts";
import { fillGrown, grownHome, grownWorld, lasting, openGrown } from "./grown.ts";

const HEIGHT = 6;

let grown: Promise<World> | undefined;
const world = () => {
  grown ??= grownWorld(HEIGHT, 4);
  return grown;
};

type Db = MemoryLevel<Uint8Array, Uint8Array>;

async function stored(): Promise<{ made: World; db: Db; check: () => Promise<CheckReport> }> {
  const made = await world();
  const db = new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS);
  await fillGrown(made, await openGrown(made, lasting(db)), HEIGHT);
  return { made, db, check: () => checkRecords(new Records(lasting(db), "test/db"), made.hash) };
}

const say = ({ damages }: CheckReport) => damages.map((d) => `${d.key}@${d.height ?? "-"}: ${d.what}`).join("; ");

test("a whole database: everything is counted and nothing found", async () => {
  const { db, check, made } = await stored();
  const report = await check();
  assert.equal(report.damages, []);
  assert.is(report.more, 0);
  assert.is(report.height, HEIGHT);
  assert.is(report.blocks, HEIGHT);
  assert.is(report.transactions, 4);
  assert.is(report.records, (await db.keys().all()).length);
  assert.is(
    report.headHash,
    `0x${Buffer.from(made.disks.get("a")?.blocks[HEIGHT - 1]?.head.id ?? []).toString("hex")}`,
  );
});

test("every single record, deleted, with a flipped bit, cut or put in another's place, is named", async () => {
  const { db, check } = await stored();
  const entries = await db.iterator().all();
  let tried = 0;
  for (const [i, [key, value]] of entries.entries()) {
    const other = (entries[(i + 1) % entries.length] as [Uint8Array, Uint8Array])[1];
    const flipped = new Uint8Array(value);
    flipped[(i * 31) % value.length]! ^= 1 << (i & 7);
    for (const [how, bad] of [
      ["deleted", undefined],
      ["flipped", flipped],
      ["cut", value.subarray(0, value.length - 1 - (i % 20))],
      ["empty", new Uint8Array(0)],
      ["another's", other],
    ] as const) {
      if (bad) await db.put(key, bad);
      else await db.del(key);
      const report = await check();
      const name = keyText(key);
      // A record that is gone is named itself, or the one whose reading shows it (a hole in a table, the state as a whole).
      assert.ok(
        report.damages.some((d) => d.key === name) || (how === "deleted" && report.damages.length > 0),
        `${name} ${how}: ${say(report)}`,
      );
      assert.ok(report.damages.every((d) => d.remedy !== "" && d.what !== ""));
      tried++;
    }
    await db.put(key, value);
  }
  assert.equal((await check()).damages, []);
  assert.ok(tried > 150, String(tried));
});

test("whole records that say something else are found: the other block, index, receipts, validators, what is too much", async () => {
  const { db, check, made } = await stored();
  const at = (h: number) =>
    made.disks.get("a")?.blocks[h - 1] as NonNullable<ReturnType<World["disks"]["get"]>>["blocks"][number];
  const get = async (key: Uint8Array) => openRecord(key, (await db.get(key)) as Uint8Array);
  const tx = at(2).receipts[0]?.tx as Uint8Array;
  const withBlock = (h: number, change: (c: CertifiedBlock) => void) => async () => {
    const value = CertifiedBlock.deserialize(await get(layout.block(h)));
    change(value);
    return CertifiedBlock.serialize(value);
  };
  const table: [string, Uint8Array, () => Promise<Uint8Array>, RegExp][] = [
    [
      "no transactions",
      layout.block(2),
      withBlock(2, (c) => void c.block.txs.pop()),
      /@2: its txRoot is not that of its header/,
    ],
    [
      "other header",
      layout.block(3),
      withBlock(3, (c) => void c.block.header.time++),
      /@3: is not the block that the one above names/,
    ],
    [
      "other certificate",
      layout.block(4),
      withBlock(4, (c) => void c.commit.blockId.fill(1)),
      /@4: its certificate is of another/,
    ],
    [
      "id of another height",
      layout.id(at(3).head.id),
      async () => await get(layout.id(at(4).head.id)),
      /@3: names height 4/,
    ],
    ["place of another", layout.tx(tx), async () => Buffer.from("000000000000000300000000", "hex"), /@2: names 3, 0/],
    [
      "no receipts",
      layout.receipts(1),
      async () => ReceiptList.serialize([]),
      /r0+1@1: are not those of the block's transactions/,
    ],
    ["receipts of another block", layout.receipts(1), async () => get(layout.receipts(2)), /r0+1@1: are not those/],
    ["another set", layout.validators(5), async () => Uint8Array.of(), /v0+5@6: is not the validator set of block 6/],
    [
      "an id too many",
      layout.id(new Uint8Array(32).fill(3)),
      async () => get(layout.id(at(3).head.id)),
      /^i0303.*@3: names height 3, where it is not/,
    ],
    [
      "a transaction too many",
      layout.tx(new Uint8Array(32).fill(3)),
      async () => get(layout.tx(tx)),
      /^t0303.*@2: names height 2, where it is not/,
    ],
    ["beyond the head", layout.block(HEIGHT + 1), async () => get(layout.block(HEIGHT)), /@7: is beyond the head 6/],
    ["an unknown key", Buffer.from("zz"), async () => Uint8Array.of(1), /^z7a@-: is no record of this layout/],
    [
      "another head",
      layout.head,
      async () => Buffer.concat([(await get(layout.head)).subarray(0, 8), at(5).head.id]),
      /@6: is not the block that the one above names/,
    ],
    [
      "a lower head",
      layout.head,
      async () => Buffer.concat([Buffer.from("0000000000000005", "hex"), at(5).head.id]),
      /s@5: the state: and the records of the state are not those of block 5/,
    ],
    [
      "an account more",
      layout.record("accounts", 500),
      async () => get(layout.record("accounts", 1)),
      /the state: is missing/,
    ],
    ["another genesis", layout.genesis, async () => new Uint8Array(32), /^G@-: is of the chain 0x0000/],
    ["another layout", layout.version, async () => Uint8Array.of(0, 0, 0, 9), /^V@-: says layout 9/],
  ];
  for (const [id, key, value, says] of table) {
    const before = await db.get(key);
    await db.put(key, sealRecord(key, await value()));
    const said = say(await check());
    assert.match(said, says, `${id}: ${said}`);
    if (before) await db.put(key, before);
    else await db.del(key);
  }
  assert.equal((await check()).damages, []);
});

test("pofl db check and compact: exit codes, a lost block with its remedy, and no record changed", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, HEIGHT);
    const ok = await cli(["db", "check", "--home", dir]);
    assert.is(ok.code, 0, ok.stderr);
    assert.match(ok.stdout, /6 blocks up to height 6, 4 transactions\nNothing is damaged\.\n$/);

    const compacted = await cli(["db", "compact", "--home", dir, "--json"]);
    assert.is(compacted.code, 0, compacted.stderr);
    const { before, after } = JSON.parse(compacted.stdout);
    assert.ok(before > 0 && after > 0);
    assert.ok(
      readdirSync(paths.chain).some((f) => f.endsWith(".ldb")),
      "the log became a table",
    );
    assert.is((await cli(["db", "check", "--home", dir, "--json"])).code, 0);

    const db = await openDatabase(paths.chain);
    await db.del(layout.block(3));
    await db.close();
    const { code, stdout, stderr } = await cli(["db", "check", "--home", dir]);
    assert.is(code, 1);
    assert.match(stdout, /Damaged {3}record b0+3 \(height 3\) is missing\n +start the node and leave it running/);
    assert.match(stderr, /1 damage; the first: b0+3 is missing; start the node.*\[DATABASE_DAMAGED\]/);

    const unlock = takeLock(paths.lock);
    const busy = await cli(["db", "check", "--home", dir]);
    unlock();
    assert.match(busy.stderr, /\[HOME_LOCKED\]/);
    const nothing = await cli(["db", "compact", "--home", join(dir, "elsewhere")]);
    assert.match(nothing.stderr, /\[NO_HOME\]/);
  }));

test("pofl db check names a table that does not match its checksum; if no record was hit, pofl db compact writes it anew", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, 3);
    // Opening makes a table of the log.
    assert.is((await cli(["db", "check", "--home", dir])).code, 0);
    const name = readdirSync(paths.chain).find((f) => f.endsWith(".ldb")) as string;
    const file = readFileSync(join(paths.chain, name));
    // The last block of data ends where the filter begins; the metaindex, which the footer names first, has its place as its only value.
    const cursor = { at: varint(file, { at: file.length - 48 }) };
    varint(file, cursor);
    const [keyBytes] = [varint(file, cursor), varint(file, cursor)];
    cursor.at += keyBytes;
    const end = varint(file, cursor);
    file[end - 1]! ^= 1;
    writeFileSync(join(paths.chain, name), file);

    const damaged = await cli(["db", "check", "--home", dir]);
    assert.is(damaged.code, 1);
    assert.match(
      damaged.stdout,
      /chain file 00\d+\.ldb: its block at \d+ does not match its checksum\n +if no record is named below/,
    );
    assert.is((await cli(["db", "compact", "--home", dir])).code, 0);
    assert.is((await cli(["db", "check", "--home", dir])).code, 0);
  }));

test("pofl db check says that the newest blocks are gone, by what the node has signed and by its consensus log", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, 3);
    const begin = (height: number) => {
      const wal = openHomeJournal(paths.data, "consensus.wal");
      new Wal(wal).begin(height);
      wal.close();
    };
    const check = () => cli(["db", "check", "--home", dir]);
    const signer = openHomeJournal(paths.data, "signer.state");
    begin(4);
    // The height after the head is the one in progress. Opening made a table of the log.
    assert.is((await check()).code, 0);
    begin(5);
    const cut = await check();
    assert.is(cut.code, 1);
    assert.match(cut.stdout, /chain ends at height 3, though this node was at 5\n {10}start the node.*from peers/);
    assert.match(cut.stderr, /1 damage; the first: the database ends at height 3.*\[DATABASE_DAMAGED\]/);

    new SignGuard(signer).once(
      "prevote",
      9,
      0,
      () => false,
      () => Uint8Array.of(1),
    ); // prettier-ignore
    signer.close();
    for (const log of readdirSync(paths.chain).filter((f) => f.endsWith(".log"))) rmSync(join(paths.chain, log));
    const gone = await check();
    assert.match(gone.stdout, /\.log: is missing\n {10}the newest blocks may be gone: start the node.*\n.*was at 9\n/);
    assert.not.match(gone.stdout, /compact/);

    writeFileSync(join(paths.data, "consensus.wal"), "damaged");
    assert.match((await check()).stdout, /can't be compared.*\n.*consensus\.wal: damaged at byte 0/);
    assert.is(readFileSync(join(paths.data, "consensus.wal"), "utf8"), "damaged", "no journal is written");
  }));

test("verify, compact and snapshot export name a damaged file, and where to learn more", () =>
  inFolder(async (folder) => {
    const made = await world();
    const runs: [string, (dir: string, onDamage: (what: string) => void) => Promise<unknown>, string[]][] = [
      ["verify", (dir, onDamage) => verifyHome(dir, { onDamage }), ["verify"]],
      ["compact", (dir, onDamage) => compactHome(dir, onDamage), ["db", "compact"]],
      [
        "export",
        (dir, onDamage) => exportSnapshot(dir, `${dir}.1`, onDamage),
        ["snapshot", "export", join(folder, "export.2")],
      ],
    ];
    for (const [id, run, args] of runs) {
      const dir = join(folder, id);
      const paths = await grownHome(made, dir, 3);
      const breakLog = async () => {
        await (await openDatabase(paths.chain)).close();
        const log = readdirSync(paths.chain).find((f) => f.endsWith(".log")) as string;
        rmSync(join(paths.chain, log));
      };
      await breakLog();
      const said: string[] = [];
      await run(dir, (what) => said.push(what));
      assert.match(said.join("\n"), /chain: file \d+\.log: is missing.*`pofl db check`/, id);
      await breakLog();
      const { code, stdout, stderr } = await cli([...args, "--home", dir, "--json"]);
      assert.is(code, 0, stderr);
      assert.match(stderr, /^pofl: .*chain: file \d+\.log: is missing.*`pofl db check`.*\n$/, id);
      JSON.parse(stdout);
    }
  }));

test("a folder that can't be read, or a home that can't be written, is one line with a code and a remedy", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, 1);
    rmSync(paths.chain, { recursive: true });
    // As good as a folder of another user, also for root, whom no permission stops.
    writeFileSync(paths.chain, "no folder");
    for (const args of [["db", "check"], ["db", "compact"], ["verify"]]) {
      const { code, stderr } = await cli([...args, "--home", dir]);
      assert.is(code, 1);
      assert.match(stderr, /chain: ENOTDIR.*; check the disk \[DISK_FAILED\]\n$/, args.join(" "));
    }
    const denied = Object.assign(new Error("EACCES: permission denied, scandir"), { code: "EACCES" });
    assert.match(diskError(denied, "data/chain").message, /can't be read or written.*this user owns the folder/);
    rmSync(paths.data, { recursive: true });
    writeFileSync(paths.data, "no folder");
    for (const args of [
      ["reset", "--unsafe", "--yes"],
      ["snapshot", "import", "x"],
    ]) {
      const { stderr } = await cli([...args, "--home", dir]);
      assert.match(
        stderr,
        /data.*can't be written: .*; check that .* this user owns the folder \[HOME_UNWRITABLE\]\n$/,
      );
    }
  }));

test("a database whose file CURRENT is gone is refused, and nothing in it is deleted", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, HEIGHT);
    rmSync(join(paths.chain, "CURRENT"));
    const files = readdirSync(paths.chain).sort();
    for (const args of [["db", "check"], ["db", "compact"], ["verify"], ["snapshot", "export", join(dir, "x")]]) {
      const { code, stderr } = await cli([...args, "--home", dir]);
      assert.is(code, 1);
      assert.match(stderr, /CURRENT is missing.*move it away.*\[DATABASE_DAMAGED\]/, args.join(" "));
    }
    assert.equal(readdirSync(paths.chain).sort(), files);
  }));

test("pofl reset removes what peers can give again, and nothing else; it wants --unsafe, and asks", () =>
  inFolder(async (dir) => {
    const paths = await grownHome(await world(), dir, 2);
    writeFileSync(join(paths.data, "signer.state"), "signed");
    writeFileSync(join(paths.data, "consensus.wal"), "log");
    writeFileSync(join(paths.data, "custodian.sessions"), "sessions");
    for (const folder of ["records", "custodian"]) {
      mkdirSync(join(paths.data, folder));
      writeFileSync(join(paths.data, folder, "x"), "x");
    }
    const all = readdirSync(paths.data).sort();
    const refusals: [string[], number, RegExp][] = [
      [["reset", "--home", dir, "--yes"], 2, /--unsafe.*\[USAGE\]/],
      [["reset", "--home", dir, "--unsafe"], 2, /no terminal.*--yes.*\[USAGE\]/],
      [["reset", "--home", join(dir, "none"), "--unsafe", "--yes"], 1, /\[NO_HOME\]/],
    ];
    for (const [args, exit, says] of refusals) {
      const { code, stderr } = await cli(args);
      assert.is(code, exit);
      assert.match(stderr, says);
    }
    assert.equal(readdirSync(paths.data).sort(), all);
    const { code, stdout } = await cli(["reset", "--home", dir, "--unsafe", "--yes"]);
    assert.is(code, 0);
    assert.match(
      stdout,
      /removes blobs \(.*chain \(.*consensus\.wal.*records.*; keeps custodian, custodian\.sessions, signer\.state\nRemoved\./,
    );
    assert.equal(readdirSync(paths.data).sort(), ["custodian", "custodian.sessions", "signer.state"]);
    assert.is(readFileSync(join(paths.data, "signer.state"), "utf8"), "signed");
    assert.ok(existsSync(paths.genesis) && existsSync(join(paths.data, "custodian", "x")));
    assert.equal((await resetHome(dir)).removes, [], "again: nothing is left to remove");
    const again = await cli(["reset", "--home", dir, "--unsafe"]);
    assert.is(again.code, 0, again.stderr);
    assert.match(again.stdout, /^.*: nothing to remove; keeps custodian, custodian\.sessions, signer\.state\n$/);
    const { stderr: none } = await cli(["verify", "--home", dir]);
    assert.match(none, /start the node first, or give the right --home \[NO_CHAIN\]/);
  }));

test.run();
