import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { genesisHead } from "../../consensus/block/context.ts";
import { modelBytes } from "../../consensus/round/model.ts";
import { initialModel } from "../../genesis/model.ts";
import { type HomePaths, homePaths, writeGenesis } from "../../node/home.ts";
import { RecordFiles } from "../../node/records/files.ts";
import { exportSnapshot, importSnapshot } from "../../node/snapshots/file.ts";
import { readSections, type Section, SectionWriter } from "../../node/snapshots/sections.ts";
import { openBlobStore, readBlob } from "../../node/store/blobs.ts";
import { openDatabase } from "../../node/store/database.ts";
import { openStore } from "../../node/store/store.ts";
import type { PoflError } from "../../types/errors.ts";
import { bytesEqual, toHex } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { cli, inFolder, refused } from "../cli/support.ts";
import { CertifiedChain, changingChain } from "../light/chains.ts";
import { withKey } from "../vm/custody-support.ts";
import { genesisWith, spec } from "../vm/support.ts";

const LENGTH = 14;

function emptyHome(dir: string, chain: CertifiedChain): HomePaths {
  const paths = homePaths(dir);
  mkdirSync(join(dir, "config"), { recursive: true });
  writeGenesis(paths, chain.genesis);
  return paths;
}

async function storeOf(paths: HomePaths, chain: CertifiedChain, state = State.genesis(chain.genesis)) {
  return openStore(await openDatabase(paths.chain), {
    genesisHash: chain.hash,
    genesisState: () => state,
    path: paths.chain,
  });
}

async function filledHome(dir: string, chain: CertifiedChain, state?: State): Promise<HomePaths> {
  const paths = emptyHome(dir, chain);
  mkdirSync(paths.data);
  const store = await storeOf(paths, chain, state);
  for (const { certified, receipts, head } of chain.blocks) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  await store.close();
  return paths;
}

test("a snapshot goes from one home into another by a file, verified from genesis or a trusted block", () =>
  inFolder(async (folder) => {
    const chain = changingChain(LENGTH);
    const from = await filledHome(join(folder, "from"), chain);
    const file = join(folder, "chain.snapshot");
    const said = await cli(["snapshot", "export", file, "--home", from.dir, "--json"]);
    assert.is(said.code, 0, said.stderr);
    assert.is(JSON.parse(said.stdout).height, LENGTH);
    await refused(() => exportSnapshot(from.dir, file), "ALREADY_EXISTS");

    const to = emptyHome(join(folder, "to"), chain);
    const taken = await cli(["snapshot", "import", file, "--home", to.dir]);
    assert.is(taken.code, 0, taken.stderr);
    assert.match(taken.stdout, /Imported .*headers from height 1\n$/);
    const store = await storeOf(to, chain);
    assert.equal((await store.loadState()).root(), chain.head.state.root());
    assert.is(store.base(), LENGTH);
    await store.close();
    const begun = await cli(["verify", "--home", to.dir]);
    assert.match(
      begun.stdout,
      /NOT ALL .* no blocks below height 14 yet\. Of what is here, certificates.*\n.*\nVerified {2}1 block,/,
    );
    const sparse = await cli(["db", "check", "--home", to.dir]);
    assert.is(sparse.code, 0, sparse.stderr);
    assert.match(
      sparse.stdout,
      /\nSnapshot {2}.* at height 14: .*receipts.*\n {10}13 blocks below it are missing still: .*\nNothing is damaged\.\n$/,
    );
    assert.not.match(sparse.stdout, /lost/);

    // With all blocks there, the receipts before the snapshot are missing still.
    const whole = homePaths(join(folder, "whole"));
    cpSync(to.dir, whole.dir, { recursive: true });
    const filling = await storeOf(whole, chain);
    for (let h = LENGTH - 1; h > 0; h--) await filling.fill(chain.blocks[h - 1]!.certified);
    await filling.close();
    const filled = await cli(["db", "check", "--home", whole.dir]);
    assert.match(filled.stdout, /\nSnapshot {2}.* at height 14: .*receipts.*\nNothing is damaged\.\n$/);
    const full = await refused(() => importSnapshot(to.dir, file, undefined), "NOT_EMPTY");
    assert.match(full.message, /`pofl reset --unsafe` takes it away/);
    const notOne = await refused(
      () => importSnapshot(emptyHome(join(folder, "dir"), chain).dir, folder, undefined),
      "FILE_UNREADABLE",
    );
    assert.match(notOne.message, /is no file/);

    // A file of that home has no headers from genesis: it takes a trusted block to begin with.
    const short = join(folder, "short.snapshot");
    assert.is((await exportSnapshot(to.dir, short)).from, LENGTH);
    const id = (h: number) => ({ height: h, id: chain.blocks[h - 1]!.head.id });
    const third = emptyHome(join(folder, "third"), chain);
    assert.match((await refused(() => importSnapshot(third.dir, short, undefined), "NO_TRUST")).message, /--trust/);
    await refused(() => importSnapshot(third.dir, short, id(3)), "NO_TRUST");
    await refused(() => importSnapshot(third.dir, short, { ...id(LENGTH), id: id(3).id }), "NOT_TRUSTED");
    assert.is((await importSnapshot(third.dir, short, id(LENGTH))).height, LENGTH);

    // A fork by the founders' keys is as good as the chain, but for whoever trusts a block.
    const fork = chain.fork(2);
    fork.make([fork.accounts.transfer("ben", "fay", 7n)]);
    fork.grow(LENGTH);
    const forged = join(folder, "forged.snapshot");
    await exportSnapshot((await filledHome(join(folder, "forger"), fork)).dir, forged);
    const fourth = emptyHome(join(folder, "fourth"), chain);
    await refused(() => importSnapshot(fourth.dir, forged, id(6)), "NOT_TRUSTED");
    const other = new CertifiedChain(genesisWith({ founders: ["anna"], task: undefined })).grow(1);
    const foreign = emptyHome(join(folder, "foreign"), other);
    await refused(() => importSnapshot(foreign.dir, file, undefined), "FOREIGN_SNAPSHOT");
  }));

test("any byte that is changed, and any end that is missing, is found, named by its place, and nothing is kept", () =>
  inFolder(async (folder) => {
    const chain = changingChain(8);
    const file = join(folder, "chain.snapshot");
    await exportSnapshot((await filledHome(join(folder, "from"), chain)).dir, file);
    const whole = readFileSync(file);
    const to = emptyHome(join(folder, "to"), chain);
    const bad = join(folder, "bad.snapshot");
    const step = Math.floor(whole.length / 23);
    for (let at = 0; at < whole.length; at += step) {
      const copy = Buffer.from(whole);
      copy[at]! ^= 0x41;
      writeFileSync(bad, copy);
      const error = await refused(() => importSnapshot(to.dir, bad, undefined), "SNAPSHOT_DAMAGED");
      assert.match(error.message, /bad\.snapshot: byte \d+: /, `${at}`);
      const found = (error as PoflError).data.at as number;
      assert.ok(found <= at, `said ${found}, changed ${at}`);
      writeFileSync(bad, whole.subarray(0, at));
      await refused(() => importSnapshot(to.dir, bad, undefined), "SNAPSHOT_DAMAGED");
    }
    writeFileSync(bad, Buffer.concat([whole, Buffer.alloc(1)]));
    await refused(() => importSnapshot(to.dir, bad, undefined), "SNAPSHOT_DAMAGED");
    await refused(() => importSnapshot(to.dir, join(folder, "none"), undefined), "FILE_UNREADABLE");
    const store = await storeOf(to, chain);
    assert.is(store.head().height, 0);
    await store.close();
    assert.is((await importSnapshot(to.dir, file, undefined)).height, 8);
  }));

/** Another file of the sections of `file`, which is made of `pick`. */
function remade(file: string, to: string, pick: (sections: Section[]) => Section[]): void {
  const writer = new SectionWriter(to);
  for (const { kind, bytes } of pick([...readSections(file)])) writer.add(kind, bytes);
  writer.finish();
}

test("each section comes once and in its place: block and state can't be of two heights", () =>
  inFolder(async (folder) => {
    const chain = changingChain(8);
    const shorter = changingChain(6);
    const [whole, short] = [join(folder, "whole.snapshot"), join(folder, "short.snapshot")];
    await exportSnapshot((await filledHome(join(folder, "from"), chain)).dir, whole);
    await exportSnapshot((await filledHome(join(folder, "before"), shorter)).dir, short);
    const before = [...readSections(short)];
    const to = emptyHome(join(folder, "to"), chain);
    const at = (sections: Section[], kind: string) => sections.findIndex((s) => s.kind === kind);
    const cases: Record<string, (sections: Section[]) => Section[]> = {
      "the state of 8 and the block of 6": (all) => [
        ...all.filter((s) => s.kind !== "block" && s.kind !== "end"),
        ...before.filter((s) => ["chain", "headers", "block"].includes(s.kind)),
        ...all.slice(-1),
      ],
      "the block of 8 and the state of 6": (all) => [
        ...all.slice(0, at(all, "state")),
        ...before.filter((s) => s.kind !== "block"),
      ],
    };
    for (const kind of ["chain", "block", "state"]) {
      cases[`${kind} twice`] = (all) => all.toSpliced(at(all, kind), 0, all[at(all, kind)] as Section);
    }
    for (const [id, pick] of Object.entries(cases)) {
      const bad = join(folder, `${id.replaceAll(" ", "-")}.snapshot`);
      remade(whole, bad, pick);
      const error = await refused(() => importSnapshot(to.dir, bad, undefined), "BAD_SNAPSHOT");
      assert.match(error.message, /\.snapshot: byte \d+, section "\w+": /, id);
      assert.ok(error.message.startsWith(bad), id);
    }
    const good = join(folder, "good.snapshot");
    remade(whole, good, (all) => all);
    assert.is((await importSnapshot(to.dir, good, undefined)).height, 8);
  }));

test("payloads and salts of records stay out of the file; the open task's model is in it", () =>
  inFolder(async (folder) => {
    const custody = withKey({ founders: ["anna"], task: { spec: spec(), escrow: "10000" } });
    const { singles, ...parts } = custody.chain.state.parts;
    const begin = new State({ ...parts, singles: { ...singles, height: 0 } });
    const chain = new CertifiedChain(custody.chain.genesis);
    chain.head = genesisHead(chain.hash, begin);
    custody.chain.state = begin;
    const secret = "patient 4711 withdraws her consent on the third of May";
    const { tx, label, sidecar, value } = custody.record("emil", secret);
    // No learning is needed where the block says round 2; an idle chain needs no task.
    const task = begin.activeTask()!.record;
    const made = chain.make([tx], 0, 2);
    assert.is(made.receipts[0]?.code, 0);
    const paths = await filledHome(join(folder, "from"), chain, begin);
    const files = await RecordFiles.open(join(paths.data, "records"));
    await files.put([{ place: { id: label, cm: value.cm }, sidecar }], () => true);
    assert.ok(existsSync(join(paths.data, "records")));
    const model = modelBytes(initialModel(spec(), task.id));
    await openBlobStore(paths.blobs, () => {}).put(model);

    const file = join(folder, "chain.snapshot");
    assert.is((await exportSnapshot(paths.dir, file)).models, 1);
    const bytes = readFileSync(file);
    assert.ok(bytes.includes(Buffer.from(value.cm)), "the commitment is in the state");
    for (const part of [
      Buffer.from(secret),
      Buffer.from(secret.slice(8, 24)),
      Buffer.from(sidecar.salt),
      Buffer.from(toHex(sidecar.salt).slice(2)),
    ]) {
      assert.not(bytes.includes(part));
    }
    const to = emptyHome(join(folder, "to"), chain);
    const twice = join(folder, "twice.snapshot");
    remade(file, twice, (all) => all.flatMap((s) => (s.kind === "model" ? [s, s] : [s])));
    const error = await refused(() => importSnapshot(to.dir, twice, undefined), "BAD_SNAPSHOT");
    assert.match(error.message, /twice\.snapshot: byte \d+, section "model": this model is there twice/);
    assert.is((await importSnapshot(to.dir, file, undefined)).models, 1);
    assert.ok(bytesEqual((await readBlob(to.blobs, task.modelRoot)) as Uint8Array, model));
    assert.not(existsSync(join(to.data, "records")));
  }));

test.run();
