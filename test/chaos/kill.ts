import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whole } from "../../cli/parse.ts";
import { SignGuard } from "../../consensus/signer.ts";
import { genesisHash } from "../../genesis/genesis.ts";
import { cohortTask, writeCohort } from "../../learning/cohort.ts";
import { homePaths, readGenesis } from "../../node/home.ts";
import { openDatabase } from "../../node/store/database.ts";
import { readJournal } from "../../node/store/journal.ts";
import { openStore } from "../../node/store/store.ts";
import { orExit, testProgram } from "../flags.ts";
import { pofl, TestNet, until } from "../net/testnet.ts";
import { Chance } from "../sim/clock.ts";
import { leaveNothing } from "./tidy.ts";

/**
 * Four real processes on loopback that train, and SIGKILLs at random moments, also while they start. After each wave the chain must go on and who was killed be back on
 * it; in the end all have the same blocks, nobody has evidence against anybody, and every home verifies.
 * `node dist/test/chaos/kill.js [--kills N] [--seed S]`, at least N kills; ends with exit code 1 and the reason when something does not hold.
 */

const { kills, seed } = orExit(() =>
  testProgram("kill.js", "Four real processes, and SIGKILLs at random moments.")
    .option("--kills <N>", "at least so many: the last wave is not cut short", whole(1), 100)
    .option("--seed <SEED>", "of the chance", whole(), 1)
    .parse()
    .opts<{ readonly kills: number; readonly seed: number }>(),
);
leaveNothing("pofl-kill-");
const chance = new Chance(seed);
/** For a killed node to be back and the chain two heights on, ms: a loaded machine is slow, a chain that stands is slower. */
const PATIENCE_MS = 180_000;
const ALL = [0, 1, 2, 3];

async function training(): Promise<TestNet> {
  const dir = mkdtempSync(join(tmpdir(), "task-"));
  const data = join(dir, "data");
  writeCohort(data, { hospitals: 4, seed: 3 });
  const task = cohortTask();
  const { target: _none, ...rounds } = task.rounds;
  const windows = { pledgeMs: 600, revealMs: 300, attestMs: 300 };
  const file = join(dir, "task.json");
  writeFileSync(file, JSON.stringify({ ...task, windows, rounds: { ...rounds, maximum: 1_000_000 } }));
  const net = await TestNet.create(["--data", data, "--task", file]);
  net.extra.push(dir);
  return net;
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** When a node is killed, ms after the start before; the first time, after the wave's beginning. */
type Victim = { readonly node: number; readonly kills: readonly number[]; readonly pauses: readonly number[] };

/** One node, now and then a second one, so that for a moment nobody can decide anything; some again while they are starting. */
function victims(): Victim[] {
  const first = chance.whole(0, 3);
  const nodes = chance.happens(0.3) ? [first, (first + chance.whole(1, 3)) % 4] : [first];
  return nodes.map((node) => {
    const kills = [chance.between(0, 1500)];
    while (kills.length < 8 && chance.happens(0.75)) kills.push(chance.between(0, 2000));
    return { node, kills, pauses: kills.map(() => (chance.happens(0.5) ? 0 : chance.between(0, 1000))) };
  });
}

/** Returns the number of kills. */
async function wave(net: TestNet, number: number): Promise<number> {
  const all = victims();
  const witness = ALL.find((i) => all.every(({ node }) => node !== i)) as number;
  const at = await net.height(witness);
  await Promise.all(
    all.map(async ({ node, kills: times, pauses }) => {
      for (const [i, ms] of times.entries()) {
        await sleep(ms);
        if (!net.nodes[node]?.process) throw new Error(`node ${node} ended by itself:\n${net.logs(node).slice(-2000)}`);
        await net.stop(node, "SIGKILL");
        await sleep(pauses[i] as number);
        net.start(node);
      }
    }),
  );
  const what = `kill ${number}: ${all.map(({ node }) => `node ${node}`).join(" and ")} after height ${at}`;
  await until(`${what}: everybody two heights on`, PATIENCE_MS, async () => {
    const statuses = await Promise.all(ALL.map((i) => net.status(i)));
    return statuses.every((s) => s !== undefined && Number(s.height) >= at + 2);
  });
  return all.reduce((sum, { kills: times }) => sum + times.length, 0);
}

async function judge(net: TestNet): Promise<number> {
  const chains: string[][] = [];
  for (const { home } of net.nodes) {
    const paths = homePaths(home);
    const genesis = readGenesis(paths.genesis);
    // Two messages for one slot would not open.
    const path = join(paths.data, "signer.state");
    const { entries } = readJournal(readFileSync(path), path);
    const refuse = () => {
      throw new Error("read only");
    };
    new SignGuard({ entries, append: refuse, sync: refuse, reset: refuse });
    const store = await openStore(await openDatabase(paths.chain), {
      genesisHash: genesisHash(genesis),
      genesisState: refuse,
      path: paths.chain,
      depth: Number.POSITIVE_INFINITY,
    });
    const ids: string[] = [];
    for (let height = 1; height <= store.head().height; height++) {
      const certified = await store.certified(height);
      ids.push(Buffer.from(certified?.commit.blockId ?? []).toString("hex"));
      if (certified?.block.evidence.length !== 0) throw new Error(`block ${height} of ${home} punishes somebody`);
    }
    await store.close();
    chains.push(ids);
    const { code, stderr } = await pofl(["verify", "--home", home, "--quiet"]);
    if (code !== 0) throw new Error(`pofl verify: ${stderr}`);
  }
  const common = Math.min(...chains.map((ids) => ids.length));
  for (const ids of chains) {
    if (ids.slice(0, common).join() !== chains[0]?.slice(0, common).join()) throw new Error("the chains differ");
  }
  return common;
}

const started = performance.now();
let done = 0;
const net = await training();
try {
  for (const i of ALL) net.start(i);
  await net.reach(3, PATIENCE_MS);
  while (done < kills) {
    const before = done;
    done += await wave(net, done + 1);
    if (Math.floor(done / 20) > Math.floor(before / 20)) {
      console.log(
        `${done} kills, height ${await net.height(0)}, ${Math.round((performance.now() - started) / 1000)} s`,
      );
    }
  }
  for (const i of ALL) {
    const code = await net.stop(i);
    if (code !== 0) throw new Error(`node ${i} ends with ${code}: ${net.logs(i).slice(-2000)}`);
  }
  const heights = await judge(net);
  console.log(
    `kills: ${done} SIGKILLs among 4 processes, ${heights} heights alike on all, no evidence against anybody, every home verified, ` +
      `${Math.round((performance.now() - started) / 1000)} s`,
  );
} catch (error) {
  console.error(error);
  for (const i of ALL) console.error(`node ${i}:\n${net.logs(i).slice(-1500)}`);
  process.exitCode = 1;
} finally {
  await net.close();
}
