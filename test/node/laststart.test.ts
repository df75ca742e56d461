import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { loadConfig } from "../../node/config.ts";
import { createCustodianKey, createHome, homePaths, openHome, writeGenesis } from "../../node/home.ts";
import { compareWithLastStart, lastStart } from "../../node/laststart.ts";
import { openJournal } from "../../node/store/journal.ts";
import { openStored } from "../../node/stored.ts";
import { makeHome } from "../chaos/corruption/home.ts";
import { inFolder, refused } from "../cli/support.ts";
import { testGenesis } from "../consensus/world.ts";

async function made(dir: string) {
  const { paths } = await createHome(dir, { node: { moniker: "north" }, learning: { seed: "a secret" } });
  writeGenesis(paths, testGenesis(["a", "b", "c", "d"]));
  const start = async () => {
    const home = await openHome(dir);
    return compareWithLastStart(home, loadConfig(paths.config, {}), lastStart(home));
  };
  return { paths, start, startAll: () => startAll(dir) };
}

/** All that a start opens, and what it warns of. */
async function startAll(dir: string): Promise<string[]> {
  const said: string[] = [];
  const closing: (() => unknown)[] = [];
  const warn = (...given: unknown[]) => void said.push(given.map(String).join(" "));
  const config = loadConfig(homePaths(dir).config, {});
  try {
    await openStored({ home: await openHome(dir), config, log: { warn } }, (_, part, close) => {
      closing.unshift(() => close(part));
      return part;
    });
  } finally {
    for (const close of closing) await close();
  }
  return said;
}

test("an exchanged key, genesis file or setting is said once, with file and remedy, and no secret is shown", () =>
  inFolder(async (dir) => {
    const { paths, start } = await made(dir);
    assert.equal(await start(), []);
    assert.equal(await start(), []);
    const other = await createHome(join(dir, "other"), {});
    const config = readFileSync(paths.config, "utf8");
    const genesis = readFileSync(paths.genesis, "utf8");
    const table: [string, string, RegExp][] = [
      [
        paths.nodeKey,
        readFileSync(other.paths.nodeKey, "utf8"),
        /^config\/node_key: key\.network is 0x\w+, was 0x\w+ .*restore it from its backup$/,
      ],
      [paths.validatorKey, readFileSync(other.paths.validatorKey, "utf8"), /^config\/validator_key: key\.account is/],
      [paths.genesis, genesis.replace('"test"', '"tost"'), /^config\/genesis\.json: genesis hash is/],
      [
        paths.genesis,
        genesis.replace('"bootnodes": []', '"bootnodes": ["/ip4/192.0.2.1/tcp/1"]'),
        /^config\/genesis\.json: genesis bootnodes is/,
      ],
      [
        paths.config,
        config.replace("26657", "26656"),
        /^config\/config\.toml: rpc\.listen is "127\.0\.0\.1:26656", was "127\.0\.0\.1:26657"/,
      ],
      [paths.config, config.replace("a secret", "a sacret"), /^config\/config\.toml: learning\.seed is another than/],
      [paths.config, "", /^config\/config\.toml: node\.moniker is "node", was "north"/],
    ];
    for (const [file, text, says] of table) {
      const before = readFileSync(file, "utf8");
      assert.is.not(text, before, file);
      writeFileSync(file, text);
      const said = await start();
      assert.match(said[0] ?? "", says);
      assert.not(said.join().includes("sacret"));
      assert.equal(await start(), [], "once");
      writeFileSync(file, before);
      await start();
    }
  }));

test("its own damage is said where a node has run", () =>
  inFolder(async (dir) => {
    const { paths, start } = await made(dir);
    await start();
    const file = join(paths.data, "last_start.json");
    const text = readFileSync(file, "utf8");
    writeFileSync(join(paths.data, "signer.state"), "");
    for (const bad of [undefined, "", text.slice(0, 50), text.replace("north", "nurth"), "{}"]) {
      if (bad === undefined) rmSync(file);
      else writeFileSync(file, bad);
      assert.match((await start()).join(), /last_start\.json is missing or damaged/);
      assert.equal(await start(), []);
    }
  }));

test("a custodian's key that is gone while its vault is there stops the start", () =>
  inFolder(async (dir) => {
    const { paths, start } = await made(dir);
    await createCustodianKey(paths);
    await start();
    mkdirSync(join(paths.data, "custodian"));
    writeFileSync(join(paths.data, "custodian", "share-0-0"), "sealed");
    rmSync(paths.custodianKey);
    await refused(start, "KEY_MISSING");
    rmSync(join(paths.data, "custodian"), { recursive: true });
    assert.match((await start()).join(), /^config\/custodian_key: key\.custodian is none, was 0x/);
  }));

test("the first start of a home says nothing, with a chain from a file neither", () =>
  inFolder(async (dir) => {
    const { paths, startAll } = await made(dir);
    assert.equal(await startAll(), []);
    assert.equal(await startAll(), []);
    // As `pofl snapshot import` leaves it.
    for (const name of ["signer.state", "consensus.wal", "last_start.json"]) rmSync(join(paths.data, name));
    assert.equal(await startAll(), []);
    rmSync(join(paths.data, "last_start.json"));
    assert.match((await startAll()).join(), /last_start\.json is missing or damaged/);
  }));

test("a signer's file that is gone stops the start as long as anything shows that this key has run here", () =>
  inFolder(async (dir) => {
    const { paths, startAll } = await made(dir);
    const file = (name: string) => join(paths.data, name);
    await startAll();
    rmSync(file("signer.state"));
    assert.match(
      (await refused(startAll, "SIGNER_STATE_MISSING")).message,
      /signer\.state: is missing.*move .*wal and .*last_start\.json away/,
    );
    rmSync(file("consensus.wal"));
    assert.match((await refused(startAll, "SIGNER_STATE_MISSING")).message, /then move [^ ]*last_start\.json away/);
    rmSync(paths.chain, { recursive: true });
    await refused(startAll, "SIGNER_STATE_MISSING");
    const facts = readFileSync(file("last_start.json"), "utf8");
    writeFileSync(file("last_start.json"), facts.slice(0, 50));
    await refused(startAll, "SIGNER_STATE_MISSING");
    assert.not(existsSync(file("signer.state")));

    // Another key has signed nothing here.
    writeFileSync(file("last_start.json"), facts);
    const other = await createHome(join(dir, "other"), {});
    writeFileSync(paths.validatorKey, readFileSync(other.paths.validatorKey, "utf8"));
    assert.match((await startAll()).join(), /config\/validator_key: key\.consensus is/);

    // As the remedy says.
    for (const name of ["signer.state", "consensus.wal", "last_start.json"]) rmSync(file(name));
    assert.equal(await startAll(), []);
  }));

test("a chain in which the key is bonded, without a trace of what the key has signed: a warning, once", () =>
  inFolder(async (dir) => {
    const home = join(dir, "home");
    await makeHome(home);
    assert.equal(await startAll(home), []);
    const { data } = homePaths(home);
    // A home of an earlier build, or a chain put beside a key from a backup.
    for (const name of ["signer.state", "consensus.wal", "last_start.json"]) rmSync(join(data, name));
    const said = await startAll(home);
    assert.is(said.length, 1, said.join());
    assert.match(said[0] ?? "", /signer\.state: is new, though .* bonded at height \d+: .*stop this node.* rest until/);
    assert.equal(await startAll(home), []);
  }));

test("a journal that holds another's entries is refused with its name and what to do", () =>
  inFolder(async (dir) => {
    const { paths, startAll } = await made(dir);
    await startAll();
    const put = (name: string, entry: Uint8Array) => {
      const path = join(paths.data, name);
      rmSync(path);
      const journal = openJournal(path);
      journal.append(entry, { sync: true });
      journal.close();
    };
    put("consensus.wal", Uint8Array.of(0, 1));
    assert.match(
      (await refused(startAll, "CORRUPT_JOURNAL")).message,
      /consensus\.wal: .*can't be read\. Move it away and start again/,
    );
    put("signer.state", Uint8Array.of(0, 1));
    assert.match(
      (await refused(startAll, "CORRUPT_JOURNAL")).message,
      /signer\.state: .*can't be read\. Do not delete it .*rest.*then move .*last_start\.json away/,
    );
  }));

test("a flipped digit of a seed is found by the public key beside it, whichever digit and whichever file", () =>
  inFolder(async (dir) => {
    const { paths } = await made(dir);
    await createCustodianKey(paths);
    for (const file of [paths.nodeKey, paths.validatorKey, paths.custodianKey]) {
      const text = readFileSync(file, "utf8");
      for (const at of text.matchAll(/[0-9a-f](?=[0-9a-f]*")/g)) {
        if (text[at.index - 1] === '"' || !/0x[0-9a-f]*$/.test(text.slice(0, at.index))) continue;
        if (at.index % 9 !== 0) continue;
        const digit = ((Number.parseInt(at[0], 16) ^ 1) & 15).toString(16);
        writeFileSync(file, text.slice(0, at.index) + digit + text.slice(at.index + 1));
        await refused(() => openHome(dir), "BAD_KEY_FILE");
      }
      writeFileSync(file, text);
    }
    await openHome(dir);
  }));

test.run();
