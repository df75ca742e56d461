import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { joinSidecar, type Sidecar } from "../../crypto/record.ts";
import { genesisHash, parseGenesis } from "../../genesis/genesis.ts";
import { homePaths } from "../../node/home.ts";
import { RecordFiles } from "../../node/records/files.ts";
import { RECORD_PROTOCOL } from "../../node/records/peers.ts";
import { Sidecars } from "../../node/records/sidecars.ts";
import { openDatabase } from "../../node/store/database.ts";
import { openStore } from "../../node/store/store.ts";
import { toHex } from "../../types/primitives.ts";
import { Tx } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";
import { applied, Ledger, type Step } from "../node/recordnet.ts";
import { Custody, custodianOf } from "../vm/custody-support.ts";
import { addressFor, Chain } from "../vm/support.ts";
import { logTo, node, rogue, until as untilTrue } from "./p2p.support.ts";
import { TestNet, until } from "./testnet.ts";

/** Payloads between real hosts, and in the folders of a real node. */

test("real hosts: a peer that serves the erased original is refused and reported, the honest one is believed", async () => {
  const ledger = new Ledger();
  const begun = ledger.state;
  const made = ledger.note("what was to be forgotten");
  ledger.block(made.tx);
  const asked = ledger.ask(made.label, "what came in its place");
  ledger.block(asked.tx);
  ledger.block();
  ledger.block();
  const edit = ledger.block(ledger.custody.executeTx(asked.id));
  const dir = mkdtempSync(join(tmpdir(), "pofl-records-"));
  const stops: (() => Promise<void>)[] = [];
  const lines: Parameters<typeof logTo>[0] = [];
  const keeper = async (seed: number, bootnodes: string[], state: State) => {
    const host = await node(seed, bootnodes);
    stops.unshift(() => host.stop());
    const here = { state };
    const sidecars = new Sidecars({
      files: await RecordFiles.open(join(dir, String(seed))),
      genesisHash: ledger.hash,
      state: () => here.state,
      network: host.net,
      catchingUp: () => false,
      timer: (ms, act) => {
        const timer = setTimeout(act, ms);
        return () => clearTimeout(timer);
      },
      log: logTo(lines),
      fatal: (error) => lines.push({ level: "fatal", fields: {}, message: String(error) }),
    });
    stops.unshift(() => sidecars.stop());
    await sidecars.start();
    const block = async (step: Step) => {
      here.state = step.state;
      await sidecars.onBlock(applied(step));
    };
    return { host, sidecars, block };
  };
  try {
    const a = await keeper(1, [], edit.state);
    const [address] = a.host.net.addresses() as [string];
    const stale = await rogue(2, address, {
      [RECORD_PROTOCOL]: async function* () {
        yield joinSidecar(made.sidecar);
      },
    });
    stops.unshift(() => stale.stop());
    await untilTrue("the stale peer is connected", () => a.host.up.size === 1);
    // It has just joined: a block says that it is current, and it lacks the payload.
    await a.block({ ...edit, txs: [], receipts: [] });
    const now = edit.state.find("records", made.label)?.record;
    assert.ok(now);
    const read = () => a.sidecars.read(made.label, now.cm, now.length);
    await untilTrue("it is reported", () => a.host.net.peers().some((p) => p.score < 0));
    assert.ok(lines.some((l) => l.level === "warn" && l.fields.peer === stale.peerId));
    assert.is(await read(), undefined);
    assert.equal(readdirSync(join(dir, "1")), []);

    const b = await keeper(3, [address], begun);
    for (const step of ledger.steps) {
      for (const tx of step.txs) {
        const sidecar = [made, asked].find((x) => x.tx === tx)?.sidecar;
        if (sidecar) b.sidecars.offer(tx, sidecar);
      }
      await b.sidecars.ensure(step.beside);
      await b.block(step);
    }
    await until("the payload comes from the honest peer", 30_000, async () => (await read()) !== undefined);
    assert.equal(await read(), asked.sidecar);
    assert.is(readdirSync(join(dir, "1")).length, 1);
    assert.not.ok(lines.some((l) => l.level === "fatal"));
  } finally {
    for (const stop of stops) await stop();
    rmSync(dir, { recursive: true, force: true });
  }
});

/** All files below a folder, with their bytes; of a stopped node's database also every value, whole. */
async function bytesOf(dir: string, chain?: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(dir.length + 1), readFileSync(path));
  }
  if (!chain) return files;
  const db = await openDatabase(chain);
  for await (const [key, value] of db.iterator())
    files.set(`db:${Buffer.from(key).toString("hex")}`, Buffer.from(value));
  await db.close();
  return files;
}

/** A network of one node whose genesis names the tests' accounts and custodians. */
async function testNode(): Promise<{ net: TestNet; custody: Custody }> {
  const net = await TestNet.create(["--nodes", "1"]);
  const paths = homePaths(net.nodes[0]?.home as string);
  const made = JSON.parse(readFileSync(paths.genesis, "utf8"));
  made.task = undefined;
  made.consensus.idleIntervalMs = 200;
  made.consensus.redaction = { delay: 2, emergencyDelay: 1, window: 100_000 };
  made.custodians = { keys: [0, 1].map((n) => toHex(custodianOf(n).publicKey)), threshold: 2 };
  made.regulators = [toHex(addressFor("gus"))];
  for (const name of ["anna", "emil", "gus"]) {
    made.accounts.push({ address: toHex(addressFor(name)), balance: "1000000000" });
  }
  const text = JSON.stringify(made);
  writeFileSync(paths.genesis, text);
  const genesis = parseGenesis(text);
  return { net, custody: new Custody(new Chain(genesis, State.genesis(genesis))) };
}

test("a node's whole home after a correction and an erasure holds neither payloads nor salts", async () => {
  const { net, custody } = await testNode();
  try {
    const { chain } = custody;
    const { home } = net.nodes[0] as { home: string };
    const paths = homePaths(home);
    const send = async (tx: Tx, sidecar?: Sidecar) => {
      const params = { tx: toHex(Tx.serialize(tx)), ...(sidecar && { sidecar: toHex(joinSidecar(sidecar)) }) };
      return (await net.call<{ hash: string }>(0, "tx_send", params)).hash;
    };
    const done = async (hash: string) => {
      type Found = { receipt: { status: string } | null; height: number | null };
      let found: Found | undefined;
      await until(`transaction ${hash}`, 30_000, async () => {
        found = await net.call<Found>(0, "tx_get", { hash });
        return found.height !== null;
      });
      assert.is(JSON.stringify(found).includes("TX_"), false, JSON.stringify(found));
    };
    const up = () => until("the node answers", 30_000, async () => (await net.height(0)) >= 0);
    /** The node stops, its state is read, and it starts again. */
    const reload = async (signal: NodeJS.Signals) => {
      await net.stop(0, signal);
      const db = await openDatabase(paths.chain);
      const options = { genesisHash: genesisHash(chain.genesis), genesisState: () => chain.state, path: paths.chain };
      const store = await openStore(db, options);
      chain.state = await store.loadState();
      await store.close();
    };
    const again = async (signal: NodeJS.Signals = "SIGTERM") => {
      await reload(signal);
      net.start(0);
      await up();
    };
    net.start(0);
    await up();
    const plan = custody.plan();
    const deal = (n: number) =>
      chain.tx("emil", { kind: "custodian-deal", value: custody.deal(plan, n) }, { nonce: n });
    for (const hash of [await send(deal(0)), await send(deal(1))]) await done(hash);
    await again();
    await done(await send(chain.tx("emil", { kind: "custodian-register", value: custody.outcome(plan, [0, 1]) })));
    await again();

    const text = () => randomBytes(3000).toString("base64");
    const first = custody.record("anna", text());
    await done(await send(first.tx, first.sidecar));
    const correction = custody.request("gus", first.label, "emergency", text());
    await done(await send(correction.tx, correction.sidecar));

    const needles = [first.sidecar, correction.sidecar as Sidecar].map(({ salt, body }) =>
      [salt, body.slice(0, 32), body.slice(2000, 2032), body.slice(3968, 4000)].map((part) => Buffer.from(part)),
    ) as [Buffer[], Buffer[]];
    const where = async (parts: Buffer[], chainDir?: string) => {
      const files = [...(await bytesOf(home, chainDir)), ["log", Buffer.from(net.logs(0))] as const];
      return files.filter(([, bytes]) => parts.some((part) => bytes.includes(part))).map(([name]) => name);
    };
    const inRecords = (names: string[]) => names.length === 1 && names[0]?.startsWith("data/records/");
    for (const parts of needles) assert.ok(inRecords(await where(parts)), "in its file, and nowhere else");

    await again();
    await done(await send(custody.executeTx(correction.id, [0, 1])));
    assert.equal(await where(needles[0]), [], "the original, once it is corrected");
    assert.ok(inRecords(await where(needles[1])), "what came in its place");
    await again("SIGKILL");
    const erasure = custody.request("gus", first.label, "emergency");
    await done(await send(erasure.tx));
    await again();
    await done(await send(custody.executeTx(erasure.id, [0, 1])));
    for (const parts of needles) assert.equal(await where(parts), [], "while it runs");
    await reload("SIGKILL");
    for (const parts of needles) assert.equal(await where(parts, paths.chain), [], "after it was killed");
    assert.is(chain.state.find("records", first.label)?.record.version, 2);
    assert.equal(readdirSync(join(paths.data, "records")), []);
  } finally {
    await net.close();
  }
});

test.run();
