import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { DevnetReport } from "../../cli/devnet/report.ts";
import { MAIN, pofl, until } from "./testnet.ts";

/** `pofl devnet` as a whole: its document, its exit codes, and that nothing of it is left behind. */

/** Runs `body` with a folder for temporary files of its own, where a devnet puts its homes. */
async function inTmp(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "pofl-devnet-test-"));
  try {
    await body(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Processes whose command line names the folder; only where /proc tells. */
function livingIn(dir: string): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${dir}/`);
    } catch {
      return false;
    }
  }).length;
}

function devnet(dir: string): ChildProcess {
  return spawn(process.execPath, [MAIN, "devnet"], { env: { ...process.env, TMPDIR: dir }, stdio: "ignore" });
}

test("two rounds of four nodes: the document of INTERFACES, exit 0, nothing left", () =>
  inTmp(async (dir) => {
    // The target is met by the model that the second round starts from: any model has a loss below 100.
    const args = ["devnet", "--rounds", "2", "--target", "loss=100", "--seed", "1", "--json"];
    const { code, stdout, stderr } = await pofl(args, { TMPDIR: dir });
    assert.is(code, 0, stderr);
    const r = JSON.parse(stdout) as DevnetReport;
    assert.is(r.ok, true);
    assert.is(r.reason, null);
    assert.match(r.chainId, /^pofl-local-/);
    assert.is(r.nodes.length, 4);
    for (const n of r.nodes) {
      assert.is(n.headHash, r.headHash);
      assert.is(n.honest, true);
      assert.match(n.address, /^0x[0-9a-f]{40}$/);
    }
    assert.is(r.task.reached, true);
    assert.is(r.task.metric, "loss");
    assert.equal([r.task.rule, r.task.fKrum, r.task.distinct], ["multi-krum", 0, 4]);
    assert.is(r.rounds.length, r.task.rounds);
    for (const round of r.rounds) assert.is(round.accepted + round.rejected, 4);
    const names = r.nodes.map((n) => n.moniker).sort();
    assert.equal(Object.keys(r.test?.federated.perHospital ?? {}).sort(), names);
    assert.equal(Object.keys(r.test?.localOnly ?? {}).sort(), names);
    assert.ok((r.test?.pooled.accuracy ?? 0) > 0.5);
    for (const m of r.miners) {
      assert.match(m.reward, /^\d+$/);
      assert.ok(BigInt(m.reward) >= BigInt(m.trainingPay));
    }
    assert.is(
      r.miners.reduce((n, m) => n + m.blocksProposed, 0),
      r.height,
    );
    assert.ok((r.finality.p50Ms ?? -1) >= 0 && (r.finality.p95Ms ?? -1) >= (r.finality.p50Ms ?? 0));
    assert.ok(r.bytes.disk > 0);
    assert.equal(readdirSync(dir), []);
    assert.is(livingIn(dir), 0);
  }));

test("a target that is missed, and a time that is over: the document says so, exit 1 and 4", () =>
  inTmp(async (dir) => {
    const missed = await pofl(["devnet", "--nodes", "2", "--rounds", "1", "--target", "auroc=1", "--json"], {
      TMPDIR: dir,
    });
    assert.is(missed.code, 1, missed.stderr);
    assert.match(missed.stderr, /auroc 1 \[TARGET_MISSED\]\n$/);
    const report = JSON.parse(missed.stdout) as DevnetReport;
    assert.equal([report.ok, report.code, report.task.rounds], [false, "TARGET_MISSED", 1]);
    assert.equal(readdirSync(dir), []);

    const late = await pofl(["devnet", "--nodes", "2", "--timeout", "1", "--json"], { TMPDIR: dir });
    assert.is(late.code, 4, late.stderr);
    assert.is((JSON.parse(late.stdout) as DevnetReport).code, "TIMED_OUT");
    assert.is(livingIn(dir), 0);
    assert.is(readdirSync(dir).length, 1, "the logs are kept");
  }));

test("an equivocator: jailed and slashed in the report, nobody else, and the target is met without it", () =>
  inTmp(async (dir) => {
    const args = [
      "devnet",
      "--nodes",
      "5",
      "--attack",
      "equivocate:1",
      "--rounds",
      "3",
      "--target",
      "loss=100",
      "--json",
    ];
    const { code, stdout, stderr } = await pofl(args, { TMPDIR: dir });
    assert.is(code, 0, stderr);
    const { miners } = JSON.parse(stdout) as DevnetReport;
    assert.equal(
      miners.map((m) => [m.honest, m.jailed]),
      [...new Array(4).fill([true, false]), [false, true]],
    );
    const [honest, liar] = [miners[0]?.stake ?? "0", miners[4]?.stake ?? "0"].map(BigInt) as [bigint, bigint];
    assert.is(liar, honest - honest / 20n);
    assert.equal(readdirSync(dir), []);
  }));

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  test(`${signal} while it runs: its nodes end too`, () =>
    inTmp(async (dir) => {
      const child = devnet(dir);
      const exited = once(child, "exit");
      try {
        await until("all four nodes run", 30_000, () => livingIn(dir) === 4);
        child.kill(signal);
        await exited;
        await until("all four nodes have ended", 20_000, () => livingIn(dir) === 0);
        if (signal === "SIGINT") assert.equal(readdirSync(dir), []);
      } finally {
        child.kill("SIGTERM");
        await exited;
      }
    }));
}

test("whoever reads its output goes away: it ends, its nodes with it, and nothing is left", () =>
  inTmp(async (dir) => {
    const child = spawn(process.execPath, [MAIN, "devnet"], {
      env: { ...process.env, TMPDIR: dir },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exited = once(child, "exit");
    try {
      await once(child.stdout, "data");
      child.stdout.destroy();
      assert.equal(await exited, [0, null]);
      await until("all nodes have ended", 20_000, () => livingIn(dir) === 0);
      assert.equal(readdirSync(dir), []);
    } finally {
      child.kill("SIGTERM");
      await exited;
    }
  }));

test.run();
