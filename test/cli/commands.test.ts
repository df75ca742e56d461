import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cohortTask } from "../../learning/cohort.ts";
import { lockHome, openHome, readGenesis } from "../../node/home.ts";
import { toHex } from "../../types/primitives.ts";
import { withNode } from "./fakenode.ts";
import { cli, inFolder } from "./support.ts";

/** Commands that need no node, from the words typed to what stands on disk and on the terminal. */

async function ok(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await cli(args, env);
  assert.is(code, 0, `pofl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function json<T>(args: readonly string[], env: Record<string, string> = {}): Promise<T> {
  return JSON.parse(await ok([...args, "--json"], env)) as T;
}

test("krum: the vector of PROTOCOL.md section 6", () =>
  inFolder(async (dir) => {
    const file = join(dir, "updates.json");
    const updates = [
      [5, 3],
      [1, 0],
      [1, 5],
      [-2, 3],
      [2, -5],
      [-1, 4],
      [1, -5],
    ]; // prettier-ignore
    writeFileSync(file, JSON.stringify({ f: 2, updates }));
    assert.equal(JSON.parse(await ok(["krum", "--in", file])), {
      scores: ["82", "63", "38", "33", "100", "27", "99"],
      selected: [5, 3, 2, 1, 0],
      // Means of the five best: 4/5 and 15/5.
      aggregate: [1, 3],
    });
  }));

test("testnet: N homes that share one genesis, each with keys and ports of its own", () =>
  inFolder(async (dir) => {
    const out = join(dir, "net");
    type Made = {
      genesisHash: string;
      nodes: { home: string; peerId: string; ports: { rpc: number } }[];
      faucet: { file: string };
    };
    const made = await json<Made>(["testnet", "--nodes", "3", "--out", out]);
    const homes = await Promise.all(made.nodes.map((n) => openHome(n.home)));
    const text = readFileSync(join(out, "genesis.json"), "utf8");
    for (const home of homes) assert.is(readFileSync(home.paths.genesis, "utf8"), text);
    assert.is(new Set(homes.map((h) => Buffer.from(h.keys.consensus.publicKey).toString("hex"))).size, 3);
    assert.equal(
      made.nodes.map((n) => n.ports.rpc),
      [26657, 26667, 26677],
    );
    const genesis = homes[0]?.genesis;
    assert.is(genesis?.validators.length, 3);
    assert.equal(
      genesis?.bootnodes.map((b) => b.split("/").at(-1)),
      made.nodes.map((n) => n.peerId),
    );
    assert.is(
      (await json<{ genesisHash: string }>(["genesis", "hash", join(out, "genesis.json")])).genesisHash,
      made.genesisHash,
    );
    assert.is(statSync(made.faucet.file).mode & 0o777, 0o600);
    const [faucet] = await json<{ name: string; address: string }[]>(["keys", "list", "--home", out]);
    assert.is(faucet?.name, "faucet");
    assert.ok(BigInt(genesis?.accounts.find((a) => a.address === faucet?.address)?.balance ?? 0) > 0n);
    const again = await cli(["testnet", "--out", out]);
    assert.match(again.stderr, /\[ALREADY_EXISTS\]/);
  }));

test("testnet --data: one node per file, named after it; other files are ignored", () =>
  inFolder(async (dir) => {
    const data = join(dir, "hospitals");
    mkdirSync(data);
    for (const name of ["b.csv", "processed.a.data", "c.tsv", "README.md", "split.json"])
      writeFileSync(join(data, name), "x\n1\n");
    const task = join(dir, "task.json");
    writeFileSync(task, JSON.stringify(cohortTask()));
    const made = await json<{ nodes: { moniker: string }[] }>([
      "testnet",
      "--data",
      data,
      "--task",
      task,
      "--out",
      join(dir, "net"),
    ]);
    assert.equal(
      made.nodes.map((n) => n.moniker),
      ["b", "c", "a"],
    );
    const many = await cli(["testnet", "--nodes", "4", "--data", data, "--task", task, "--out", join(dir, "net2")]);
    assert.is(many.code, 2);
    assert.match(many.stderr, /--nodes 4 needs as many hospitals.*3 files/);
  }));

test("a network by hand: init twice, build, validate, show, install", () =>
  inFolder(async (dir) => {
    for (const name of ["north", "south"]) await ok(["init", "--home", join(dir, name), "--moniker", name]);
    const file = join(dir, "genesis.json");
    const validators = ["north", "south"].flatMap((n) => ["--validator", join(dir, n, "config", "validator.json")]);
    const account = `0x${"ab".repeat(20)}`;
    type Built = { genesisHash: string };
    const built = await json<Built>([
      "genesis",
      "build",
      "--chain-id",
      "ward-1",
      "--out",
      file,
      "--account",
      `${account}=5`,
      ...validators,
    ]);
    assert.is((await json<Built>(["genesis", "validate", file])).genesisHash, built.genesisHash);
    type Shown = { validators: { moniker: string }[]; accounts: unknown[] };
    const shown = await json<Shown>(["genesis", "show", file]);
    assert.equal(
      shown.validators.map((v) => v.moniker),
      ["north", "south"],
    );
    assert.equal(shown.accounts, [{ address: account, balance: "5" }]);
    assert.match(await ok(["genesis", "show", file]), /ward-1/);
    const joined = await json<{ home: string; genesisHash: string }>([
      "init",
      "--home",
      join(dir, "west"),
      "--genesis",
      file,
    ]);
    assert.is(joined.genesisHash, built.genesisHash);
    assert.is(readFileSync(join(joined.home, "config", "genesis.json"), "utf8"), readFileSync(file, "utf8"));
    const twice = await cli(["init", "--home", join(dir, "west"), "--genesis", file]);
    assert.match(twice.stderr, /\[ALREADY_EXISTS\]/);
  }));

test("a network with custodians by hand: keygen, build, show", () =>
  inFolder(async (dir) => {
    type Made = { publicKey: string; file: string; encrypted: boolean };
    const custodians: Made[] = [];
    for (const name of ["north", "south"]) {
      await ok(["init", "--home", join(dir, name), "--moniker", name]);
      custodians.push(await json<Made>(["custodian", "keygen", "--home", join(dir, name)]));
    }
    const file = join(dir, "genesis.json");
    const regulator = `0x${"ab".repeat(20)}`;
    await ok([
      ...["genesis", "build", "--chain-id", "ward-1", "--out", file, "--threshold", "2", "--regulator", regulator],
      ...["north", "south"].flatMap((n) => ["--validator", join(dir, n, "config", "validator.json")]),
      ...custodians.flatMap(({ publicKey }) => ["--custodian", publicKey]),
    ]);
    const { custodians: named, regulators } = readGenesis(file);
    assert.equal(named, { keys: custodians.map((c) => c.publicKey), threshold: 2 });
    assert.equal(regulators, [regulator]);
    const shown = await ok(["genesis", "show", file]);
    assert.match(shown, /2 of 2 custodians/);
    for (const { publicKey } of custodians) assert.ok(shown.includes(publicKey));
  }));

test("custodian keygen: sealed on request, never overwritten, never printed", () =>
  inFolder(async (dir) => {
    const home = join(dir, "home");
    await ok(["init", "--home", home]);
    const password = { POFL_PASSWORD: "correct horse" };
    const printed = await ok(["custodian", "keygen", "--encrypt", "--home", home], password);
    const opened = await openHome(home, () => "correct horse");
    assert.ok(printed.startsWith(`${toHex(opened.custodian?.publicKey ?? new Uint8Array())}\n`), printed);
    assert.not.ok(printed.includes(Buffer.from(opened.custodian?.secret ?? []).toString("hex")));
    const again = await cli(["custodian", "keygen", "--home", home]);
    assert.is(again.code, 1);
    assert.match(again.stderr, /custodian_key: exists already.*\[ALREADY_EXISTS\]/);
    assert.equal((await openHome(home, () => "correct horse")).custodian, opened.custodian);
    const none = await cli(["custodian", "keygen", "--home", join(dir, "none")]);
    assert.match(none.stderr, /pofl init.*\[NO_HOME\]/);
    assert.is((await cli(["custodian", "keygen", "--encrypt", "--home", home], { POFL_PASSWORD: "" })).code, 2);
  }));

test("testnet --custodians: into genesis and the table", () =>
  inFolder(async (dir) => {
    type Made = { nodes: { home: string; custodian: string | null }[] };
    const out = join(dir, "net");
    const flags = [
      "--custodians",
      "2",
      "--threshold",
      "2",
      "--redaction-delay",
      "5",
      "--regulator",
      `0x${"cd".repeat(20)}`,
    ];
    const made = await json<Made>(["testnet", "--empty", "--nodes", "3", "--out", out, ...flags]);
    const genesis = readGenesis(join(out, "genesis.json"));
    assert.equal(
      made.nodes.map((n) => n.custodian),
      [...genesis.custodians.keys, null],
    );
    assert.is(genesis.custodians.threshold, 2);
    assert.is(genesis.consensus.redaction.delay, 5);
    assert.equal(genesis.regulators, [`0x${"cd".repeat(20)}`]);
  }));

test("keys: new, list, show, export, delete, import; encrypted, and secrets are never printed", () =>
  inFolder(async (dir) => {
    const home = ["--home", join(dir, "home")];
    const password = { POFL_PASSWORD: "correct horse" };
    type Account = { name: string; address: string; publicKey: string; encrypted: boolean };
    const made = await json<Account>(["keys", "new", "lab", ...home], password);
    assert.is(made.encrypted, true);
    assert.equal(
      (await json<Account[]>(["keys", "list", ...home])).map((a) => a.address),
      [made.address],
    );
    assert.is((await json<Account>(["keys", "show", "lab", ...home])).publicKey, made.publicKey);
    const backup = join(dir, "backup.json");
    await ok(["keys", "export", "lab", "--out", backup, ...home]);
    const open = join(dir, "open.json");
    const printed = await ok(["keys", "export", "lab", "--out", open, "--plain", ...home], password);
    const { secret } = JSON.parse(readFileSync(open, "utf8")) as { secret: string };
    for (const text of [printed, readFileSync(backup, "utf8")]) assert.not.ok(text.includes(secret.slice(2)));
    assert.is(statSync(open).mode & 0o777, 0o600);
    assert.is((await cli(["keys", "delete", "lab", ...home])).code, 2);
    await ok(["keys", "delete", "lab", "--yes", ...home]);
    assert.equal(await json(["keys", "list", ...home]), []);
    assert.is((await json<Account>(["keys", "import", "again", backup, ...home], password)).address, made.address);
    writeFileSync(join(dir, "seed"), `${secret.slice(2)}\n`);
    assert.is(
      (await json<Account>(["keys", "import", "seed", join(dir, "seed"), "--plain", ...home])).address,
      made.address,
    );
    const file = join(dir, "password");
    writeFileSync(file, "correct horse\n");
    await ok(["keys", "export", "again", "--out", join(dir, "o2.json"), "--plain", "--password-file", file, ...home]);
    for (const [args, code] of [
      [["keys", "new", "seed", "--plain"], "ALREADY_EXISTS"],
      [["keys", "new", "noask"], "PASSWORD_NEEDED"],
      [["keys", "show", "nobody"], "NO_ACCOUNT"],
      [
        ["keys", "export", "again", "--out", join(dir, "o3.json"), "--plain", "--password-file", join(dir, "seed")],
        "WRONG_PASSWORD",
      ],
      [["keys", "import", "x", join(dir, "nothing")], "KEY_UNREADABLE"],
    ] as const) {
      const { code: exit, stderr } = await cli([...args, ...home]);
      assert.is(exit, 1, args.join(" "));
      assert.match(stderr, new RegExp(`\\[${code}\\]\\n$`), args.join(" "));
    }
    assert.is((await cli(["keys", "new", "../evil", ...home])).code, 2);
  }));

/** Every kind of bad input that needs no running node: exit code 1, a stable code, the place, one line. */
const HEADER = cohortTask()
  .schema.features.map((f) => f.name)
  .concat("died")
  .join(","); // prettier-ignore
const ROW = "60,1,90,120,20,37.5,95,15,2,90,12,220,0,lung,1";
const bad: [id: string, file: string, text: string, args: (file: string) => string[], code: string, says: RegExp][] = [
  [
    "genesis cut short",
    "g.json",
    '{"chainId":',
    (f) => ["genesis", "validate", f],
    "BAD_JSON",
    /g\.json: genesis: not JSON/,
  ],
  [
    "genesis of another shape",
    "g.json",
    '{"chainId":"A B"}',
    (f) => ["genesis", "hash", f],
    "BAD_GENESIS",
    /g\.json: genesis: \$\.chainId/,
  ],
  [
    "genesis to init from",
    "g.json",
    "[]",
    (f) => ["init", "--home", `${f}.home`, "--genesis", f],
    "BAD_GENESIS",
    /g\.json/,
  ],
  [
    "validator file",
    "v.json",
    '{"moniker":"x"}',
    (f) => ["genesis", "build", "--chain-id", "c", "--validator", f],
    "BAD_VALIDATOR",
    /v\.json.*address/,
  ],
  [
    "task: unknown field",
    "t.json",
    JSON.stringify({ ...cohortTask(), colour: 1 }),
    (f) => ["data", "check", f, "--task", f],
    "BAD_TASK",
    /t\.json: task: \$.*colour/,
  ],
  [
    "task: unknown rule",
    "t.json",
    JSON.stringify({ ...cohortTask(), aggregation: { rule: "magic" } }),
    (f) => ["data", "check", f, "--task", f],
    "BAD_TASK",
    /\$\.aggregation\.rule/,
  ],
  [
    "krum: n too small",
    "u.json",
    '{"f":1,"updates":[[1],[2]]}',
    (f) => ["krum", "--in", f],
    "BAD_UPDATES",
    /u\.json.*2f \+ 3 = 5/,
  ],
  ["krum: unknown field", "u.json", '{"f":0,"updates":[],"g":1}', (f) => ["krum", "--in", f], "BAD_UPDATES", /"g"/],
  [
    "krum: a fraction",
    "u.json",
    '{"f":0,"updates":[[1],[0.5],[1]]}',
    (f) => ["krum", "--in", f],
    "BAD_UPDATES",
    /updates\[1\]\[0\]/,
  ],
  [
    "account file",
    "a.json",
    '{"secret":"0x12"}',
    (f) => ["keys", "import", "x", f, "--plain"],
    "BAD_KEY_FILE",
    /a\.json/,
  ],
]; // prettier-ignore
for (const [id, name, text, args, code, says] of bad) {
  test(`bad input: ${id}`, () =>
    inFolder(async (dir) => {
      const file = join(dir, name);
      writeFileSync(file, text);
      const { code: exit, stdout, stderr } = await cli([...args(file), "--home", join(dir, "home")]);
      assert.is(exit, 1, stderr);
      assert.is(stdout, "");
      assert.match(stderr, says);
      assert.match(stderr, new RegExp(`^pofl: .*\\[${code}\\]\\n$`));
      assert.equal(readdirSync(dir), [name], "nothing was made");
    }));
}

const csv: [id: string, text: string, code: string, says: RegExp][] = [
  [
    "missing column",
    `${HEADER.replace("lactate", "lac")}\n${ROW}\n`,
    "DATA_NO_COLUMN",
    /north\.csv: column "lactate" is missing/,
  ],
  [
    "not a number",
    `${HEADER}\n${ROW}\n${ROW.replace("37.5", "warm")}\n`,
    "DATA_DOES_NOT_FIT",
    /line 3, column 6 \(temperature\): "warm" is not a number/,
  ],
  [
    "unknown category",
    `${HEADER}\n${ROW.replace("lung", "knee")}\n`,
    "DATA_DOES_NOT_FIT",
    /line 2, column 14 \(source\).*"knee"/,
  ],
  ["no rows", `${HEADER}\n`, "DATA_NO_ROWS", /north\.csv: a header line but no rows/],
  ["a cell too many", `${HEADER}\n${ROW},7\n`, "DATA_RAGGED", /north\.csv: line 2/],
]; // prettier-ignore
for (const [id, text, code, says] of csv) {
  test(`a hospital's file: ${id}`, () =>
    inFolder(async (dir) => {
      const [file, task] = [join(dir, "north.csv"), join(dir, "task.json")];
      writeFileSync(file, text);
      writeFileSync(task, JSON.stringify(cohortTask()));
      const { code: exit, stdout, stderr } = await cli(["data", "check", file, "--task", task]);
      assert.is(exit, 1);
      assert.match(stdout + stderr, says);
      assert.match(stderr, new RegExp(`\\[${code}\\]\\n$`));
      const report = JSON.parse((await cli(["data", "check", file, "--task", task, "--json"])).stdout) as {
        ok: boolean;
      };
      assert.is(report.ok, false);
    }));
}

test("a home that is in use, and one that is none", () =>
  inFolder(async (dir) => {
    const home = join(dir, "home");
    await ok(["init", "--home", home]);
    const unlock = lockHome((await openHome(home)).paths);
    const locked = await cli(["start", "--home", home]);
    unlock();
    assert.is(locked.code, 1);
    assert.match(locked.stderr, new RegExp(`process ${process.pid} uses this home.*\\[HOME_LOCKED\\]`));
    assert.match((await cli(["start", "--home", join(dir, "none")])).stderr, /config\.toml.*pofl init.*\[NO_HOME\]/);
    // A wrong flag is usage, a wrong file or variable is not.
    for (const [flag, value, says] of [
      ["--sync-mode", "nosuch", /flags: sync\.mode: .*"full"/],
      ["--sync-trusted", "500", /flags: sync\.trusted: must be HEIGHT:0xHASH/],
      ["--node-archive", "perhaps", /--node-archive: "perhaps" is neither/],
    ] as const) {
      const wrong = await cli(["start", "--home", home, flag, value]);
      assert.is(wrong.code, 2);
      assert.match(wrong.stderr, says);
      assert.match(wrong.stderr, /\[USAGE\]\n$/);
    }
    const zero = await cli(["snapshot", "import", "x", "--home", home, "--trust", `0:0x${"00".repeat(32)}`]);
    assert.is(zero.code, 2);
    assert.match(zero.stderr, /--trust 0:0x0+: must be HEIGHT:0xHASH.*heights begin at 1/);
    const port = await cli(["start", "--home", home], { POFL_RPC_LISTEN: "here" });
    assert.match(port.stderr, /environment: rpc\.listen: must be HOST:PORT.*\[BAD_CONFIG\]/);
  }));

test("status says that a node is jailed, and what brings it back", async () => {
  for (const [state, says] of [
    [{ validator: true, jailed: null }, /^Validator +yes$/m],
    [{ validator: false, jailed: null }, /^Validator +no$/m],
    [
      { validator: false, jailed: { since: 12, until: 612 } },
      /^Validator +no: jailed since height 12; from height 612 on: pofl tx unjail$/m,
    ],
  ] as const) {
    await withNode({ node_status: () => ({ height: 20, headTime: 0, ...state }) }, async (url) => {
      assert.match((await cli(["status", "--rpc", url])).stdout, says);
    });
  }
});

test("exit code 3 where nobody listens, 1 where it is not a node", () =>
  inFolder(async (dir) => {
    const silent = createServer((_, response) => void setTimeout(() => response.end("<html>"), 200)).listen(
      0,
      "127.0.0.1",
    );
    await new Promise((done) => silent.once("listening", done));
    const { port } = silent.address() as AddressInfo;
    const other = await cli(["status", "--rpc", `http://127.0.0.1:${port}`]);
    assert.is(other.code, 1);
    assert.match(other.stderr, /\[RPC_BAD_ANSWER\]/);
    silent.close();
    silent.closeAllConnections();
    const gone = await cli(["status", "--rpc", `http://127.0.0.1:${port}`, "--home", dir]);
    assert.is(gone.code, 3);
    assert.match(gone.stderr, /is the node running there\?.*\[RPC_UNREACHABLE\]/);
  }));

test.run();
