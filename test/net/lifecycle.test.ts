import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sha256 } from "../../crypto/hash.ts";
import { cohortTask, writeCohort } from "../../learning/cohort.ts";
import type { VerifyReport } from "../../node/verify.ts";
import { toHex } from "../../types/primitives.ts";
import { cli } from "../cli/support.ts";
import { recheckChain } from "../independent/chain.ts";
import { pofl, TestNet, until } from "./testnet.ts";

/** Four hospitals by hand, a fifth that joins, kills, halts: what an operator would try. Real processes throughout. */

type MinerJson = { address: string; moniker: string; earned: string; accepted: number; stake: string };

/** A network that trains for as long as the test lasts; the cohort's fifth file is left for the one that joins. */
async function training(): Promise<{ net: TestNet; spare: string }> {
  const { tmpdir } = await import("node:os");
  const { mkdtempSync } = await import("node:fs");
  const dir = mkdtempSync(join(tmpdir(), "pofl-cohort-"));
  const files = writeCohort(join(dir, "all"), { hospitals: 5, seed: 3 });
  const four = join(dir, "four");
  mkdirSync(four);
  for (const file of files.slice(0, 4)) copyFileSync(file, join(four, file.split("/").at(-1) as string));
  const task = cohortTask();
  const { target: _none, ...rounds } = task.rounds;
  const windows = { pledgeMs: 2000, revealMs: 1000, attestMs: 1000 };
  const endless = { ...task, windows, rounds: { ...rounds, maximum: 100_000 } };
  const taskFile = join(dir, "task.json");
  writeFileSync(taskFile, JSON.stringify(endless));
  const net = await TestNet.create(["--data", four, "--task", taskFile]);
  net.extra.push(dir);
  return { net, spare: files[4] as string };
}

function digests(home: string): Map<string, string> {
  const folder = join(home, "data", "blobs");
  // Others are still being written: they have no name yet.
  const files = readdirSync(folder).filter((f) => /^[0-9a-f]{64}$/.test(f));
  return new Map(files.map((f) => [f, toHex(sha256(readFileSync(join(folder, f))))]));
}

test("four nodes, a fifth that joins, kill -9, halt and resume; every model recomputed independently", async () => {
  const { net, spare } = await training();
  try {
    for (const i of [0, 1, 2, 3]) net.start(i);
    await net.reach(5, 60_000);

    // A fifth, with only the genesis file and a bootnode.
    const home = join(net.dir, "fifth");
    const genesis = join(net.dir, "net", "genesis.json");
    const made = await pofl(["init", "--home", home, "--genesis", genesis, "--moniker", "fifth", "--data", spare]);
    assert.is(made.code, 0, made.stderr);
    const fifth = await net.adopt(home);
    net.start(fifth);
    await net.reach(6, 60_000);

    const rpcUrl = net.nodes[0]?.rpcUrl as string;
    const { address } = JSON.parse(readFileSync(join(home, "config", "validator.json"), "utf8")) as { address: string };
    const faucet = join(net.dir, "net", "accounts", "faucet.json");
    const sent = await pofl([
      "tx",
      "transfer",
      "--from",
      faucet,
      "--to",
      address,
      "--amount",
      "20000000000",
      "--rpc",
      rpcUrl,
    ]);
    assert.is(sent.code, 0, sent.stderr);
    const bonded = await pofl(["tx", "bond", "--home", home, "--amount", "10000000000", "--rpc", rpcUrl]);
    assert.is(bonded.code, 0, bonded.stderr);
    await until("the fifth trains and earns", 90_000, async () => {
      const miners = await net.call<MinerJson[]>(0, "miner_list");
      const mine = miners.find((m) => m.address === address);
      return mine !== undefined && mine.accepted > 0 && BigInt(mine.earned) > 0n;
    });

    // Any one of them: the others go on, and it comes back to the same chain with the same files.
    const before = digests(net.nodes[1]?.home as string);
    await net.stop(1, "SIGKILL");
    const at = await net.height(0);
    await net.reach(at + 3, 90_000, [0, 2, 3, fifth]);
    net.start(1);
    await net.reach(at + 4, 60_000);
    const common = at + 3;
    const hashes = await Promise.all([0, 1, 2, 3, fifth].map((i) => net.hashAt(i, common)));
    assert.is(new Set(hashes).size, 1);
    const after = digests(net.nodes[1]?.home as string);
    for (const [file, digest] of before) assert.is(after.get(file), digest, `${file} is served as before the kill`);

    // Two of five are too many.
    const final = await net.height(0);
    const finalHash = await net.hashAt(0, final);
    await net.stop(2, "SIGKILL");
    await net.stop(3, "SIGKILL");
    const halted = await settledHeight(net, 0);
    await new Promise((r) => setTimeout(r, 4000));
    assert.ok((await net.height(0)) <= halted + 1, "halts without a quorum");
    net.start(2);
    await net.reach(halted + 3, 120_000, [0, 1, 2, fifth]);
    assert.is(await net.hashAt(0, final), finalHash, "nothing final has changed");
    net.start(3);
    await net.reach(halted + 4, 60_000);

    for (const i of [0, 1, 2, 3, fifth]) assert.is(await net.stop(i), 0, net.logs(i).slice(-2000));
    // One that was there all the time, and one that followed the first heights by their certificates.
    for (const i of [0, fifth]) {
      const { code, stdout, stderr } = await cli(["verify", "--home", net.nodes[i]?.home as string, "--json"]);
      assert.is(code, 0, stderr);
      const { height, rounds } = JSON.parse(stdout) as VerifyReport;
      assert.ok(height > halted && rounds.recomputed > 10, stdout);
    }
    for (const i of [0, 1, 2, 3]) {
      const { rounds, wrong } = await recheckChain(net.nodes[i]?.home as string, [net.nodes[0]?.home as string]);
      assert.equal(wrong, []);
      assert.ok(rounds > 10);
    }
  } finally {
    await net.close();
  }
});

/** The height after which nothing more has come for a second. */
async function settledHeight(net: TestNet, i: number): Promise<number> {
  for (let last = await net.height(i); ; ) {
    await new Promise((r) => setTimeout(r, 1000));
    const now = await net.height(i);
    if (now === last) return now;
    last = now;
  }
}

test.run();
