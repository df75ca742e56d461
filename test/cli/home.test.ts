import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { makeTestnet } from "../../cli/testnet.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { CONSORTIUM, devnetGenesis } from "../../genesis/presets.ts";
import { loadConfig } from "../../node/config.ts";
import {
  createCustodianKey,
  createHome,
  genesisValidator,
  homePaths,
  lockHome,
  openHome,
  writeGenesis,
} from "../../node/home.ts";
import { accountText, readAccount, readAccountKey } from "../../node/keyfiles.ts";
import { toHex } from "../../types/primitives.ts";
import { inFolder, refused } from "./support.ts";

async function newHome(dir: string, password = "") {
  const home = await createHome(dir, { node: { moniker: "north" } }, password);
  const validator = genesisValidator("north", home.keys, "10000000000");
  const genesis = devnetGenesis({
    chainId: "home-test",
    genesisTime: "2026-01-01T00:00:00.000Z",
    validators: [validator],
    accounts: [],
  });
  writeGenesis(home.paths, genesis);
  return { ...home, genesis };
}

test("a home reads back what was made; secrets are for their owner only", () =>
  inFolder(async (dir) => {
    const made = await newHome(join(dir, "home"));
    const home = await openHome(join(dir, "home"));
    assert.equal(home.keys, made.keys);
    assert.equal(home.nodeKey, made.nodeKey);
    assert.equal(home.genesis, made.genesis);
    for (const file of [home.paths.nodeKey, home.paths.validatorKey]) assert.is(statSync(file).mode & 0o777, 0o600);
    const seeds = [home.keys.account, home.keys.consensus, home.keys.vrf].map((k) =>
      Buffer.from(k.secret).toString("hex"),
    );
    assert.is(new Set([...seeds, Buffer.from(home.nodeKey).toString("hex")]).size, 4);
  }));

test("a testnet's attackers know one another by their numbers in genesis", () =>
  inFolder(async (dir) => {
    const attack = (i: number, nodes: number) => (i >= nodes - 2 ? ("ipm+lies" as const) : undefined);
    const { nodes, genesis } = await makeTestnet({ out: join(dir, "net"), nodes: 4, empty: true, attack });
    assert.equal(
      nodes.map(({ home }) => loadConfig(homePaths(home).config, {}).learning).map((l) => [l.attack, l.accomplices]),
      [
        ["", []],
        ["", []],
        ["ipm+lies", ["3"]],
        ["ipm+lies", ["2"]],
      ],
    );
    assert.equal(
      nodes.map((n) => n.address),
      genesis.validators.map((v) => v.address),
    );
  }));

test("a testnet's custodians are its first nodes, in the order of genesis", () =>
  inFolder(async (dir) => {
    const regulators = [`0x${"ab".repeat(20)}`];
    const redaction = { custodians: 3, threshold: 2, redactionDelay: 20, regulators };
    const { nodes, genesis } = await makeTestnet({ out: join(dir, "net"), nodes: 4, empty: true, ...redaction });
    const homes = await Promise.all(nodes.map(({ home }) => openHome(home)));
    const keys = homes.map(({ custodian }) => custodian && toHex(custodian.publicKey));
    assert.equal(
      nodes.map(({ custodian }) => custodian),
      keys,
    );
    assert.is(keys[3], undefined);
    assert.equal(genesis.custodians, { keys: keys.slice(0, 3), threshold: 2 });
    assert.equal(genesis.regulators, regulators);
    assert.equal(genesis.consensus, {
      ...CONSORTIUM.consensus,
      redaction: { ...CONSORTIUM.consensus.redaction, delay: 20, emergencyDelay: 20 },
    });
    assert.equal(homes[0]?.genesis, genesis);
  }));

test("an emergency waits no longer than other requests, and not longer than the preset says", () =>
  inFolder(async (dir) => {
    const { genesis } = await makeTestnet({ out: dir, nodes: 1, empty: true, redactionDelay: 1_000 });
    assert.equal(genesis.consensus.redaction, { ...CONSORTIUM.consensus.redaction, delay: 1_000 });
    assert.equal(genesis.custodians, { keys: [], threshold: 0 });
  }));

test("nothing is ever overwritten", () =>
  inFolder(async (dir) => {
    const { paths } = await newHome(dir);
    const before = readFileSync(paths.validatorKey, "utf8");
    await refused(() => createHome(dir, {}), "ALREADY_EXISTS");
    assert.is(readFileSync(paths.validatorKey, "utf8"), before);
    const custodian = await createCustodianKey(paths);
    await refused(() => createCustodianKey(paths, "other"), "ALREADY_EXISTS");
    assert.equal((await openHome(dir)).custodian, custodian);
  }));

test("a custodian's key is of its home, and only there when it was made", () =>
  inFolder(async (dir) => {
    await refused(() => createCustodianKey(homePaths(join(dir, "none"))), "NO_HOME");
    const { paths } = await newHome(dir);
    assert.is((await openHome(dir)).custodian, undefined);
    const made = await createCustodianKey(paths);
    assert.is(statSync(paths.custodianKey).mode & 0o777, 0o600);
    assert.equal((await openHome(dir)).custodian, made);
  }));

test("a sealed custodian's key opens with its password and no other, asked for each sealed file", () =>
  inFolder(async (dir) => {
    const { paths } = await newHome(dir, "correct horse");
    const made = await createCustodianKey(paths, "correct horse");
    assert.not.match(readFileSync(paths.custodianKey, "utf8"), Buffer.from(made.secret).toString("hex"));
    const asked: string[] = [];
    const home = await openHome(dir, (what) => {
      asked.push(what);
      return "correct horse";
    });
    assert.equal(home.custodian, made);
    assert.equal(asked, [paths.validatorKey, paths.custodianKey]);
    const wrong = (what: string) => (what === paths.custodianKey ? "wrong" : "correct horse");
    assert.match((await refused(() => openHome(dir, wrong), "WRONG_PASSWORD")).message, /custodian_key/);
  }));

for (const name of ["account", "consensus", "vrf", "network"] as const) {
  test(`a custodian's key that is the ${name} key too is refused`, () =>
    inFolder(async (dir) => {
      const { paths, keys, nodeKey } = await newHome(dir);
      const secret = name === "network" ? nodeKey : keys[name].secret;
      writeFileSync(paths.custodianKey, JSON.stringify({ custodian: toHex(secret) }));
      const { message } = await refused(() => openHome(dir), "BAD_KEY_FILE");
      assert.match(message, new RegExp(`custodian_key: is the ${name} key of this home too.*custodian keygen`));
      assert.not.match(message, Buffer.from(secret).toString("hex"));
    }));
}

test("sealed keys open with their password and no other", () =>
  inFolder(async (dir) => {
    const { keys, paths } = await newHome(dir, "correct horse");
    assert.not.match(readFileSync(paths.validatorKey, "utf8"), Buffer.from(keys.account.secret).toString("hex"));
    assert.equal((await openHome(dir, () => "correct horse")).keys, keys);
    assert.match((await refused(() => openHome(dir, () => "wrong"), "WRONG_PASSWORD")).message, /validator_key/);
    await refused(() => openHome(dir), "PASSWORD_NEEDED");
  }));

type File = "genesis" | "nodeKey" | "validatorKey" | "custodianKey";
const damage: [id: string, file: File, text: string, code: string, says: RegExp][] = [
  ["genesis cut short", "genesis", '{"chainId": "x"', "BAD_JSON", /genesis\.json.*not JSON/],
  ["genesis with a field unknown", "genesis", '{"chain": 1}', "BAD_GENESIS", /genesis\.json: genesis: \$/],
  ["node key not JSON", "nodeKey", "0x00", "BAD_KEY_FILE", /node_key: not JSON/],
  ["node key too short", "nodeKey", '{"network":"0x00"}', "BAD_KEY_FILE", /node_key: field network/],
  ["validator key without vrf", "validatorKey", '{"account":"0x00"}', "BAD_KEY_FILE", /validator_key/],
  ["validator key empty", "validatorKey", "", "BAD_KEY_FILE", /validator_key: not JSON/],
  ["custodian key not JSON", "custodianKey", "0x00", "BAD_KEY_FILE", /custodian_key: not JSON/],
  ["custodian key too short", "custodianKey", '{"custodian":"0x00"}', "BAD_KEY_FILE", /custodian_key: field custodian/],
  ["another key in its place", "custodianKey", `{"network":"0x${"11".repeat(32)}"}`, "BAD_KEY_FILE", /custodian_key/],
  ["keystore of a custodian, damaged", "custodianKey", '{"version":9}', "BAD_KEYSTORE", /custodian_key/],
  ["keystore of another version", "validatorKey", '{"version":9}', "BAD_KEYSTORE", /validator_key/],
];
for (const [id, file, text, code, says] of damage) {
  test(`a damaged file is named: ${id}`, () =>
    inFolder(async (dir) => {
      const { paths } = await newHome(dir);
      writeFileSync(paths[file], text);
      assert.match((await refused(() => openHome(dir, () => "x"), code)).message, says);
    }));
}

test("what is wrong with a key file is said without quoting it", () =>
  inFolder(async (dir) => {
    const { paths, keys } = await newHome(dir);
    const secret = Buffer.from(keys.vrf.secret).toString("hex");
    writeFileSync(paths.validatorKey, readFileSync(paths.validatorKey, "utf8").replace(`0x${secret}`, `0y${secret}`));
    const error = await refused(() => openHome(dir), "BAD_KEY_FILE");
    assert.not.match(error.message, secret);
    assert.match(error.message, /field vrf/);
  }));

test("no home, no genesis, an account's file of other keys", () =>
  inFolder(async (dir) => {
    await refused(() => openHome(join(dir, "none")), "NO_HOME");
    await createHome(dir, {});
    await refused(() => openHome(dir), "NO_GENESIS");
    const [one, two] = [keyPair(new Uint8Array(32).fill(1)), keyPair(new Uint8Array(32).fill(2))];
    const file = join(dir, "a.json");
    writeFileSync(file, await accountText(one, ""));
    assert.equal(await readAccountKey(file), one);
    const text = await accountText(two, "");
    writeFileSync(
      file,
      JSON.stringify({ ...JSON.parse(text), address: JSON.parse(await accountText(one, "")).address }),
    );
    await refused(() => readAccountKey(file), "BAD_KEY_FILE");
    writeFileSync(file, await accountText(one, "pw"));
    assert.is(readAccount(file).secret, undefined);
    assert.equal(await readAccountKey(file, () => "pw"), one);
  }));

test("one process per home: the living one is named, a dead one's lock is taken over", () =>
  inFolder(async (dir) => {
    const { paths } = await newHome(dir);
    const unlock = lockHome(paths);
    assert.match((await refused(() => lockHome(paths), "HOME_LOCKED")).message, new RegExp(`process ${process.pid} `));
    unlock();
    unlock();
    lockHome(paths)();
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "close");
    // And the same id, started at another time: a container in which every node is process 1.
    for (const pid of [child.pid, process.pid]) {
      writeFileSync(`${paths.lock}.${pid}.1.0123456789abcdef`, "");
      lockHome(paths)();
      assert.equal(readdirSync(paths.data), []);
    }
  }));

test.run();
