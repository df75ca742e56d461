import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fromHex } from "../../types/primitives.ts";
import { type CliResult, pofl, TestNet, until } from "./testnet.ts";

/** An erasure from end to end: five hospitals, three of whose five custodians it takes. Real processes, and nothing but the command line. */

const SECRET = "Consent of patient 4711, Ward B: may be used for the heart study; HIV status disclosed";
const KEPT = "Data card of the heart cohort: 4 hospitals, 2026";
const NODES = [0, 1, 2, 3, 4];

type RecordJson = { status: string; text: string | null; here: boolean; version: number; cm: string };
type HeaderJson = { hash: string; header: { stateRoot: string; recordRoot: string; txRoot: string } };

/** The command line of node i, with --json; its document. */
async function ask<T>(net: TestNet, i: number, ...args: string[]): Promise<T> {
  const node = net.nodes[i] as { home: string; rpcUrl: string };
  const done = await pofl([...args, "--home", node.home, "--rpc", node.rpcUrl, "--json"]);
  assert.is(done.code, 0, `node ${i}: pofl ${args.join(" ")}: ${done.stderr}`);
  return JSON.parse(done.stdout) as T;
}

function filesOf(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    return entry.isDirectory() ? filesOf(path) : [path];
  });
}

/** Files of a home, its log included, that hold the bytes. */
function holding(home: string, bytes: Uint8Array): string[] {
  return [...filesOf(home), `${home}.log`].filter((path) => {
    try {
      return statSync(path).isFile() && readFileSync(path).includes(Buffer.from(bytes));
    } catch {
      // A log or a table of LevelDB that has just been replaced.
      return false;
    }
  });
}

async function verified(home: string): Promise<{ height: number; headHash: string; redactions: number }> {
  const done: CliResult = await pofl(["verify", "--home", home, "--json"]);
  assert.is(done.code, 0, done.stderr);
  return JSON.parse(done.stdout) as { height: number; headHash: string; redactions: number };
}

test("a consent is recorded, read everywhere, and erased by three of five custodians but not by two", async () => {
  const net = await TestNet.create([
    ...["--nodes", "5", "--empty", "--custodians", "5", "--threshold", "3", "--redaction-delay", "4"],
  ]);
  try {
    for (const i of NODES) net.start(i);
    await net.reach(1, 60_000);

    // Everyone takes part in making the key; nobody ever holds it.
    const keys = await Promise.all(NODES.map((i) => ask<{ publicKey: string }>(net, i, "custodian", "dkg")));
    assert.is(new Set(keys.map((k) => k.publicKey)).size, 1);

    const { record: id } = await ask<{ record: string }>(net, 0, "record", "put", "--text", SECRET);
    const { record: kept } = await ask<{ record: string }>(net, 1, "record", "put", "--text", KEPT);
    await net.reach(await net.height(0), 30_000);
    assert.is((await ask<RecordJson>(net, 2, "record", "get", id)).text, SECRET);
    for (const i of NODES) {
      const record = await recordOn(net, i, id);
      assert.equal([record.status, record.text, record.here], ["current", SECRET, true], `node ${i}`);
      assert.is((await recordOn(net, i, kept)).text, KEPT);
    }
    // Where it lies while it lies there: in one file of each node, and nowhere else.
    const payload = Buffer.from(SECRET);
    const salts = NODES.map((i) => {
      const found = holding(net.nodes[i]?.home as string, payload);
      assert.is(found.length, 1, `node ${i}: ${found.join(", ")}`);
      return readFileSync(found[0] as string).subarray(0, 32);
    });
    assert.is(new Set(salts.map((salt) => salt.toString("hex"))).size, 1);

    // One node is down during the edit. What it has is sound.
    assert.is(await net.stop(4), 0, net.logs(4).slice(-2000));
    const before = await verified(net.nodes[4]?.home as string);
    const heights = Array.from({ length: before.height }, (_, h) => h + 1);
    const headersOf = (i: number) =>
      Promise.all(heights.map((height) => net.call<HeaderJson>(i, "chain_getHeader", { height })));
    const headers = await headersOf(0);

    const { receipt, tx } = await ask<{ receipt: { code: string | null }; tx: { hash: string } }>(
      net,
      0,
      ...["tx", "redact-request", id, "--reason", "erasure"],
    );
    assert.is(receipt.code, null);
    const approve = (i: number) => ask(net, i, "custodian", "approve", tx.hash, "--yes", "--no-wait");
    const opensAt = (await redaction(net, tx.hash)).opensAt;
    await approve(0);
    await approve(2);
    await net.reach(opensAt + 3, 60_000, [0, 1, 2, 3]);
    assert.is((await redaction(net, tx.hash)).status, "open", "two can't");
    assert.is((await recordOn(net, 3, id)).text, SECRET);

    await approve(3);
    await until("three can", 60_000, async () => (await redaction(net, tx.hash)).status === "executed");
    const executed = (await redaction(net, tx.hash)).endedAt;
    await net.reach(executed + 1, 30_000, [0, 1, 2, 3]);

    // The one that was down, and one that joins with nothing but the genesis file.
    net.start(4);
    const home = join(net.dir, "sixth");
    const genesis = join(net.dir, "net", "genesis.json");
    const made = await pofl(["init", "--home", home, "--genesis", genesis, "--moniker", "sixth"]);
    assert.is(made.code, 0, made.stderr);
    const sixth = await net.adopt(home);
    net.start(sixth);
    const all = [...NODES, sixth];
    await net.reach(executed + 2, 60_000, all);
    for (const i of all) {
      const record = await recordOn(net, i, id);
      assert.equal([record.status, record.text, record.version], ["erased", null, 1], `node ${i}`);
      await until("the other record is here", 30_000, async () => {
        const other = await recordOn(net, i, kept);
        return other.here && other.text === KEPT;
      });
      assert.equal(await headersOf(i), headers, "no id and no root of an earlier height has changed");
    }

    const { status } = await ask<RecordJson>(net, sixth, "record", "get", id);
    assert.is(status, "erased");
    for (const i of all) assert.is(await net.stop(i), 0, net.logs(i).slice(-2000));
    for (const i of all) {
      const { home } = net.nodes[i] as { home: string };
      assert.equal(holding(home, payload), [], `node ${i}`);
      assert.equal(holding(home, salts[0] as Uint8Array), [], `node ${i}`);
      const report = await verified(home);
      assert.is(report.redactions, 1);
      const audit = await pofl(["record", "audit", "--home", home, "--json"]);
      assert.is(audit.code, 0, audit.stderr);
    }
    // What erased it stays: the leaf, the request, the approvals.
    assert.ok(holding(net.nodes[0]?.home as string, fromHex(tx.hash)).length > 0);
  } finally {
    await net.close();
  }
});

/** As the command line asks for it, without a process for each. */
const recordOn = (net: TestNet, i: number, id: string) => net.call<RecordJson>(i, "record_get", { id });

type RedactionJson = { id: string; status: string; opensAt: number; endedAt: number };

async function redaction(net: TestNet, id: string): Promise<RedactionJson> {
  const list = await net.call<{ requests: RedactionJson[] }>(0, "redaction_list");
  return list.requests.find((r) => r.id === id) as RedactionJson;
}

test.run();
