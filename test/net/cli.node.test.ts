import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cli } from "../cli/support.ts";
import { TestNet } from "./testnet.ts";

/** The command line against a living node: a network of one, with empty blocks. */

type TxFound = { status: string; height: number; receipt: { status: string; code: string | null; fee: string } };

test("queries equal plain JSON-RPC; transactions are built, sent, waited for; a restart resumes", async () => {
  const net = await TestNet.create(["--nodes", "1", "--empty"]);
  try {
    const node = net.nodes[0] as (typeof net.nodes)[number];
    const common = ["--home", node.home, "--rpc", node.rpcUrl];
    const json = async <T>(...args: string[]): Promise<T> => {
      const { code, stdout, stderr } = await cli([...args, ...common, "--json"]);
      assert.is(code, 0, `pofl ${args.join(" ")}: ${stderr}`);
      assert.is(stderr, "");
      return JSON.parse(stdout) as T;
    };
    net.start(0);
    await net.reach(2, 30_000);

    const { address } = JSON.parse(readFileSync(join(node.home, "config", "validator.json"), "utf8")) as {
      address: string;
    };
    const questions: [args: string[], method: string, params: object][] = [
      [["block", "1"], "chain_getBlock", { height: 1 }],
      [["validators", "1"], "validator_set", { height: 1 }],
      [["params"], "chain_params", {}],
      [["peers"], "net_peers", {}],
      [["task"], "task_list", {}],
      [["rpc", "chain_getHeader", '{"height":1}'], "chain_getHeader", { height: 1 }],
    ];
    for (const [args, method, params] of questions) {
      assert.equal(await json(...args), await net.call(0, method, params), args.join(" "));
    }
    const [miner] = await json<{ address: string; stake: string }[]>("miners");
    assert.is(miner?.address, address);
    assert.match(miner?.stake ?? "", /^\d+$/);
    assert.is((await json<{ validator: boolean }>("status")).validator, true);
    type Proven = { account: { address: string }; headHash: string; height: number; verified: { trusted: string } };
    const proven = await json<Proven>("account", address, "--prove", "--home", node.home);
    assert.is(proven.account.address, address);
    assert.match(proven.verified.trusted, /^genesis 0x/);
    const block = `1:${await net.hashAt(0, 1)}`;
    assert.is((await json<Proven>("account", address, "--prove", "--trust", block)).verified.trusted, block);
    const human = await cli(["status", ...common]);
    assert.match(human.stdout, /^Node .*\nChain /);

    const to = `0x${"12".repeat(20)}`;
    const faucet = join(net.dir, "net", "accounts", "faucet.json");
    const transfer = (...args: string[]) => [
      "tx",
      "transfer",
      "--from",
      faucet,
      "--to",
      to,
      "--amount",
      "777",
      ...args,
    ];
    const dry = await json<{ hash: string; tx: string }>(...transfer("--dry-run"));
    assert.is((await json<{ balance: string }>("account", to)).balance, "0", "a dry run sends nothing");
    const sent = await json<TxFound>(...transfer());
    assert.is(sent.receipt.status, "done");
    assert.is((await json<{ balance: string }>("account", to)).balance, "777");
    // The same body as the dry run: the same hash, and the very bytes are refused now.
    assert.equal(await json("tx", dry.hash), sent);
    const twice = await cli(["rpc", "tx_send", JSON.stringify({ tx: dry.tx }), ...common]);
    assert.is(twice.code, 1);
    assert.match(twice.stderr, /\[TX_[A-Z_]+\]\n$/);
    const named = await json<{ hash: string }>(...transfer("--no-wait"));
    assert.match(named.hash, /^0x[0-9a-f]{64}$/);

    const refused: [args: string[], code: string][] = [
      [transfer("--fee", "1"), "TX_FEE_TOO_LOW"],
      [["tx", "task-cancel", "--task", `0x${"00".repeat(32)}`], "TX_UNKNOWN_TASK"],
      [["tx", `0x${"00".repeat(32)}`], "NOT_FOUND"],
      [["round"], "NOT_FOUND"],
      [["model", "info"], "NOT_FOUND"],
      [["block", "999999"], "NOT_FOUND"],
    ];
    for (const [args, code] of refused) {
      const { code: exit, stdout, stderr } = await cli([...args, ...common, "--json"]);
      assert.is(exit, 1, args.join(" "));
      assert.match(stderr, new RegExp(`^pofl: .*\\[${code}[A-Z_]*\\]\\n$`), args.join(" "));
      if (stdout !== "") JSON.parse(stdout);
    }
    // A transaction that can't be next stays out of blocks: the wait ends with exit code 4.
    const late = await cli([...transfer("--nonce", "9", "--timeout", "1"), ...common]);
    assert.is(late.code, 4, late.stderr);
    assert.match(late.stderr, /is not final after 1 s.*\[TIMED_OUT\]\n$/);

    for (const command of ["start", "verify"]) {
      const taken = await cli([command, "--home", node.home]);
      assert.match(taken.stderr, /\[HOME_LOCKED\]\n$/, command);
    }

    const height = await net.height(0);
    const hash = await net.hashAt(0, height);
    assert.is(await net.stop(0, "SIGINT"), 0, net.logs(0));
    const gone = await cli(["status", ...common]);
    assert.is(gone.code, 3, gone.stderr);
    net.start(0);
    await net.reach(height + 1, 30_000);
    assert.is(await net.hashAt(0, height), hash);
    assert.is(await net.stop(0, "SIGTERM"), 0, net.logs(0));
    const verified = await json<{ ok: boolean; height: number; transactions: number }>("verify");
    assert.ok(verified.ok && verified.height > height);
    assert.is(verified.transactions, 2);
  } finally {
    await net.close();
  }
});

test("a taken port, another chain's genesis, a damaged key: one line, and the home starts again once it is mended", async () => {
  const net = await TestNet.create(["--nodes", "1", "--empty"]);
  const squatter = createServer();
  try {
    const node = net.nodes[0] as (typeof net.nodes)[number];
    net.start(0);
    await net.reach(1, 30_000);
    await net.stop(0);

    await new Promise<void>((done) => squatter.listen(Number(new URL(node.rpcUrl).port), "127.0.0.1", done));
    const port = await cli(["start", "--home", node.home, "--log-level", "silent"]);
    assert.is(port.code, 1);
    assert.match(port.stderr, new RegExp(`^pofl: .*${new URL(node.rpcUrl).port}.*\\[PORT_TAKEN\\]\\n$`));
    await new Promise((done) => squatter.close(done));

    const damage: [file: string, text: (was: string) => string, code: string][] = [
      ["genesis.json", (was) => was.replace(/"chainId": "[^"]*"/, '"chainId": "another"'), "FOREIGN_DATABASE"],
      ["genesis.json", (was) => was.slice(0, 100), "BAD_JSON"],
      ["validator_key", (was) => was.slice(10), "BAD_KEY_FILE"],
      ["config.toml", (was) => `${was}\nunknown = 1\n`, "BAD_CONFIG"],
    ];
    for (const [name, change, code] of damage) {
      const file = join(node.home, "config", name);
      const was = readFileSync(file, "utf8");
      writeFileSync(file, change(was));
      const { code: exit, stderr } = await cli(["start", "--home", node.home, "--log-level", "silent"]);
      writeFileSync(file, was);
      assert.is(exit, 1, `${name} ${code}`);
      assert.match(stderr, new RegExp(`^pofl: .*\\[${code}\\]\\n$`));
    }
    net.start(0);
    await net.reach(2, 30_000);
  } finally {
    squatter.close();
    await net.close();
  }
});

test.run();
