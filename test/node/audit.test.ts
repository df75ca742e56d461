import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { lockHome } from "../../node/home.ts";
import { type AuditReport, auditHome } from "../../node/records/audit.ts";
import { createRpcClient, type RpcClient } from "../../node/rpc/client.ts";
import { startRpc } from "../../node/rpc/server.ts";
import { openDatabase } from "../../node/store/database.ts";
import { toHex } from "../../types/primitives.ts";
import { cli, inFolder, refused } from "../cli/support.ts";
import { recordHome } from "./recordhome.ts";

/** `pofl record audit`: clean where payloads lie in their folder only; each way in which one got out is found and named. */

type Home = Awaited<ReturnType<typeof recordHome>>;
const noNode = createRpcClient("http://127.0.0.1:9");
const LETTER = `consent of patient 7, ${"given freely and in writing. ".repeat(20)}`;

/** Current, replaced, erased, and one whose replacement is asked for. */
async function furnished(dir: string) {
  const home = await recordHome(dir);
  const current = await home.put("emil", LETTER);
  const edited = await home.put("emil", "blood group A, as the laboratory wrote");
  await home.edit("emil", edited.label, "correction", "blood group B, as the laboratory measured");
  const erased = await home.put("emil", "what nobody shall read again");
  await home.edit("emil", erased.label);
  const asked = home.custody.request("emil", current.label, "correction", "consent of patient 8, not 7");
  await home.done(asked.tx);
  if (asked.sidecar) home.write(asked.id, home.custody.asked(asked.id).cm, asked.sidecar);
  return { home, current, edited, erased, asked };
}

async function stopped(work: (parts: Awaited<ReturnType<typeof furnished>>) => Promise<void>): Promise<void> {
  await inFolder(async (dir) => {
    const parts = await furnished(join(dir, "home"));
    await parts.home.store.close();
    await work(parts);
  });
}

const problems = async ({ dir }: Home) =>
  (await auditHome(dir, noNode)).problems.map((p) => [p.file, p.what, p.id] as const);

test("a stopped home in order: counts of everything, and nothing found", () =>
  stopped(async ({ home }) => {
    const { bytes, files, values, ...rest } = await auditHome(home.dir, noNode);
    const expected: Partial<AuditReport> = {
      running: false,
      records: 3,
      erased: 1,
      missing: 0,
      replacements: 1,
      unknown: 0,
      salts: 3,
      payloads: 3,
      copies: 0,
      problems: [],
    };
    assert.equal(rest, expected);
    assert.ok(bytes > 10_000 && files >= 6 && values > 20, `${bytes} bytes, ${files} files, ${values} values`);
  }));

test("a payload that has not come is missing, one of a block that is not final is unknown: neither is a problem", () =>
  stopped(async ({ home, current }) => {
    unlinkSync(current.file);
    home.write(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2), current.sidecar);
    const { missing, unknown, problems } = await auditHome(home.dir, noNode);
    assert.equal({ missing, unknown, problems }, { missing: 1, unknown: 1, problems: [] });
  }));

test("the payload of an executed request that has not been moved to its record yet is where it may be", () =>
  stopped(async ({ home, edited }) => {
    const { cm, edits } = home.custody.entry(edited.label);
    const request = home.chain.state.entry("requests", edits[0] as number);
    const file = home.fileOf(edited.label, cm);
    writeFileSync(home.fileOf(request?.id as Uint8Array, cm), readFileSync(file));
    unlinkSync(file);
    const { missing, problems } = await auditHome(home.dir, noNode);
    assert.equal({ missing, problems }, { missing: 0, problems: [] });
  }));

const LEAKS: [id: string, leak: (home: Home, salt: Uint8Array) => string, what: string][] = [
  ["a salt in a log", ({ dir }, salt) => append(dir, "node.log", salt), "salt found"],
  [
    "half a salt in the database's log",
    ({ dir }, salt) => append(dir, "data/chain/000099.log", salt.subarray(16)),
    "salt found",
  ],
  ["a salt in the database's files", ({ dir }, salt) => append(dir, "data/chain/000099.ldb", salt), "salt found"],
  ["a salt in hex", ({ dir }, salt) => append(dir, "data/consensus.wal", `{"sidecar":"${toHex(salt)}"}`), "salt found"],
  ["a payload's end in a blob", ({ dir }) => append(dir, "data/blobs/0a", LETTER.slice(-70)), "payload found"],
  [
    "a payload's start in hex",
    ({ dir }) => append(dir, "config/notes", Buffer.from(LETTER).toString("hex")),
    "payload found",
  ],
]; // prettier-ignore

function append(dir: string, name: string, what: Uint8Array | string): string {
  const file = join(dir, name);
  mkdirSync(join(file, ".."), { recursive: true });
  // So far into the file that it is not in the first piece that is read.
  appendFileSync(file, Buffer.concat([randomBytes(1_048_570), Buffer.from(what), randomBytes(50)]));
  return name;
}

for (const [id, leak, what] of LEAKS) {
  test(`found: ${id}`, () =>
    stopped(async ({ home, current }) => {
      const file = leak(home, current.sidecar.salt);
      assert.equal(await problems(home), [[file, what, toHex(current.label)]]);
    }));
}

test("found: a salt in a value of the database", () =>
  stopped(async ({ home, current }) => {
    const db = await openDatabase(home.paths.chain);
    await db.put(Buffer.from("zz"), Buffer.concat([Buffer.alloc(3000, "x"), current.sidecar.salt]));
    await db.close();
    const found = await problems(home);
    assert.ok(
      found.some(([file, what]) => file === "data/chain/z7a" && what === "salt found"),
      JSON.stringify(found),
    );
  }));

test("found: a file that is not what the chain says, one of an erased record, one of the original of a replaced one", () =>
  stopped(async ({ home, current, edited, erased, asked }) => {
    writeFileSync(current.file, randomBytes(2000));
    const before = home.write(edited.label, edited.value.cm, edited.sidecar);
    const gone = home.write(erased.label, erased.value.cm, erased.sidecar);
    const name = (file: string) => relative(home.dir, file);
    assert.equal(
      (await problems(home)).sort(),
      [
        [name(current.file), "does not open", toHex(current.label)],
        [name(before), "left behind", toHex(edited.label)],
        [name(gone), "left behind", toHex(erased.label)],
      ].sort(),
    );
    assert.ok(asked.sidecar);
  }));

test("a copy of what was erased is looked for everywhere, in data/records too", () =>
  stopped(async ({ home, erased }) => {
    const copy = { name: "copy.txt", bytes: Buffer.from("what nobody shall read again") };
    const look = async () => {
      const { copies, problems } = await auditHome(home.dir, noNode, [copy]);
      return [copies, problems.map((p) => [p.file, p.what, p.id])];
    };
    assert.equal(await look(), [1, []]);
    append(home.dir, "data/blobs/0b", copy.bytes);
    const other = new Uint8Array(32).fill(9);
    const again = relative(home.dir, home.write(other, other, erased.sidecar));
    assert.equal(await look(), [
      1,
      [
        [again, "payload found", "copy.txt"],
        ["data/blobs/0b", "payload found", toHex(other)],
        ["data/blobs/0b", "payload found", "copy.txt"],
      ],
    ]);
    await refused(() => auditHome(home.dir, noNode, [{ name: "x", bytes: Buffer.alloc(500) }]), "NOT_SEARCHABLE");
    await refused(() => auditHome(home.dir, noNode, [{ name: "x", bytes: Buffer.from("short") }]), "NOT_SEARCHABLE");
  }));

test("a running node's home: the node is asked, and must be on the chain of the home", () =>
  inFolder(async (dir) => {
    const { home } = await furnished(join(dir, "home"));
    const foreign = { ...home.context, genesisHash: new Uint8Array(32) };
    const unlock = lockHome(home.paths);
    const server = await startRpc(home.context, { listen: "127.0.0.1:0" }, { error: () => {} });
    const wrong = await startRpc(foreign, { listen: "127.0.0.1:0" }, { error: () => {} });
    try {
      const report = await auditHome(home.dir, createRpcClient(server.url));
      const { running, records, erased, replacements, salts, problems } = report;
      assert.equal(
        { running, records, erased, replacements, salts, problems },
        { running: true, records: 3, erased: 1, replacements: 1, salts: 3, problems: [] },
      );
      await refused(() => auditHome(home.dir, createRpcClient(wrong.url)), "WRONG_NODE");
      await refused(() => auditHome(home.dir, noNode), "RPC_UNREACHABLE");
    } finally {
      await server.close();
      await wrong.close();
      unlock();
      await home.store.close();
    }
  }));

test("a running node whose block has just erased a record is looked at again, and is right when its file is gone then", () =>
  inFolder(async (dir) => {
    const { home, erased } = await furnished(join(dir, "home"));
    const file = home.write(erased.label, erased.value.cm, erased.sidecar);
    const unlock = lockHome(home.paths);
    const server = await startRpc(home.context, { listen: "127.0.0.1:0" }, { error: () => {} });
    const client = createRpcClient(server.url);
    let looks = 0;
    const slow: RpcClient = {
      ...client,
      call: async (method, params) => {
        if (method === "record_list" && ++looks === 2) unlinkSync(file);
        return client.call(method, params);
      },
    };
    try {
      assert.equal((await auditHome(home.dir, slow)).problems, []);
      assert.is(looks, 2);
      home.write(erased.label, erased.value.cm, erased.sidecar);
      const found = (await auditHome(home.dir, client)).problems.map((p) => p.what);
      assert.equal(found, ["left behind"], "and wrong when it is still there");
    } finally {
      await server.close();
      unlock();
      await home.store.close();
    }
  }));

test("the command: exit code 0 and counts, or 1 and AUDIT_FAILED; never a payload or a salt", () =>
  stopped(async ({ home, current }) => {
    const args = ["record", "audit", "--home", home.dir];
    const good = await cli(args);
    assert.is(good.code, 0, good.stderr);
    assert.match(
      good.stdout,
      /Records {3}3 on the chain, 1 erased, 0 not here\n.*\nSought {4}3 salts, 3 payloads\n.*\nFound {5}nothing/s,
    );
    append(home.dir, "node.log", LETTER);
    const bad = await cli(args);
    assert.is(bad.code, 1);
    assert.match(bad.stderr, /: node\.log: payload found \(of 0x[0-9a-f]{64}\) \[AUDIT_FAILED\]\n$/);
    const json = await cli([...args, "--json"]);
    assert.is(json.code, 1);
    const report = JSON.parse(json.stdout) as AuditReport & { ok: boolean };
    assert.equal([report.ok, report.problems.length, report.problems[0]?.at], [false, 1, 1_048_570]);
    const copy = join(home.dir, "..", "copy.txt");
    writeFileSync(copy, "what nobody shall read again");
    const clean = await cli([...args, "--erased", copy, "--erased", copy]);
    assert.match(clean.stdout, /3 payloads, 2 of what was erased/);
    assert.match((await cli([...args, "--erased", `${copy}.none`])).stderr, /none: can't be read.*\[FILE_UNREADABLE\]/);
    for (const { stdout, stderr } of [good, bad, json, clean]) {
      for (const secret of ["consent", toHex(current.sidecar.salt).slice(2, 34)]) {
        assert.not((stdout + stderr).includes(secret));
      }
    }
  }));

test("homes that are none", () =>
  inFolder(async (dir) => {
    await refused(() => auditHome(join(dir, "none"), noNode), "NO_HOME");
    const home = await recordHome(join(dir, "home"));
    await home.store.close();
    await refused(() => auditHome(dir, noNode), "NO_GENESIS");
    mkdirSync(join(dir, "new", "config"), { recursive: true });
    writeFileSync(join(dir, "new", "config", "genesis.json"), readFileSync(home.paths.genesis));
    await refused(() => auditHome(join(dir, "new"), noNode), "NO_CHAIN");
  }));

test.run();
