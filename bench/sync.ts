import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { genesisAnchor } from "../consensus/light/chain.ts";
import { Follower } from "../consensus/light/follower.ts";
import { signingBytes } from "../crypto/domain.ts";
import { verify } from "../crypto/ed25519.ts";
import { beaconAlpha, vrfVerify } from "../crypto/vrf.ts";
import { genesisHash } from "../genesis/genesis.ts";
import { DEFAULT_CONFIG } from "../node/config.ts";
import { type Home, homePaths, writeGenesis } from "../node/home.ts";
import { createLogger } from "../node/logger.ts";
import { startNode } from "../node/node.ts";
import { openDatabase } from "../node/store/database.ts";
import { openStore } from "../node/store/store.ts";
import { verifyHome } from "../node/verify.ts";
import { CertifiedChain, type Made } from "../test/light/chains.ts";
import { freePorts, rpc, type Status } from "../test/net/testnet.ts";
import { consensusOf, genesisWith, keys, seedOf } from "../test/vm/support.ts";
import type { LightBlock } from "../types/block.ts";
import { TxBody } from "../types/tx.ts";
import { PRECOMMIT, Vote } from "../types/vote.ts";
import { State } from "../vm/state.ts";

/**
 * How fast a node joins a chain of four validators, one transfer in every block: by snapshot, from a node in a process of its own over loopback;
 * how many headers with their certificates are verified in a second; and how fast all blocks are replayed, against the time
 * that the signatures and VRF proofs of these blocks alone take on one thread, in the same run. Usage: npm run bench:sync [-- BLOCKS]
 */

const GOAL_SECONDS = 20;
const GOAL_HEADERS = 300;
const GOAL_SHARE = 0.8;
/** Of the whole chain, for what takes milliseconds a block. */
const REPLAYED = 2_000;
const BASELINE = 500;

const GENESIS = genesisWith({ task: undefined, consensus: { unbondingHeights: 1_000_000 } });

function homeOf(dir: string, name: string): Home {
  return {
    paths: homePaths(dir),
    genesis: GENESIS,
    genesisHash: genesisHash(GENESIS),
    nodeKey: seedOf(`network/${dir}`),
    keys: { account: keys(name), consensus: consensusOf(name), vrf: keys(`${name}/vrf`) },
    custodian: undefined,
  };
}

function makeHome(dir: string, name: string): Home {
  const home = homeOf(dir, name);
  mkdirSync(join(dir, "config"), { recursive: true });
  mkdirSync(home.paths.data);
  writeGenesis(home.paths, GENESIS);
  writeFileSync(home.paths.config, "");
  return home;
}

async function start(home: Home, bootnodes: string[], mode: "snapshot" | "full") {
  const [p2p, port] = (await freePorts(2)) as [number, number];
  const listen = `/ip4/127.0.0.1/tcp/${p2p}`;
  const level = process.env.BENCH_LOG === undefined ? "silent" : "info";
  const node = await startNode({
    home,
    log: createLogger({ level, format: "pretty", moniker: mode }),
    config: {
      ...DEFAULT_CONFIG,
      p2p: { ...DEFAULT_CONFIG.p2p, listen, bootnodes },
      rpc: { listen: `127.0.0.1:${port}` },
      metrics: { listen: "" },
      sync: { mode, trusted: "" },
    },
  });
  return { node, listen, url: `http://127.0.0.1:${port}` };
}

/** The other end, in a process of its own. */
async function serve(dir: string): Promise<void> {
  const { node, listen } = await start(homeOf(dir, "anna"), [], "full");
  process.send?.(listen);
  process.once("disconnect", () => void node.stop());
}

/** Makes the chain and stores it; keeps the first blocks for the baseline. */
async function make(home: Home, length: number): Promise<Made[]> {
  const chain = new CertifiedChain(GENESIS);
  const store = await openStore(await openDatabase(home.paths.chain), {
    genesisHash: chain.hash,
    genesisState: () => State.genesis(GENESIS),
    path: home.paths.chain,
  });
  const first: Made[] = [];
  while (chain.head.height < length) {
    const made = chain.make([chain.accounts.transfer("emil", "fay", 1n)]);
    await store.append(made.certified, made.receipts, made.head.state.changes(), made.head.validators);
    if (first.length < BASELINE) first.push(made);
    chain.blocks.length = 0;
    if (chain.head.height % 500 === 0) process.stderr.write(`\rmaking block ${chain.head.height} of ${length} `);
  }
  process.stderr.write("\r\u001b[2K");
  await store.close();
  return first;
}

const seconds = async (work: () => Promise<unknown> | unknown): Promise<number> => {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
};

/** All headers, as they lie in the database. */
async function headers(home: Home, length: number): Promise<number> {
  const store = await openStore(await openDatabase(home.paths.chain), {
    genesisHash: home.genesisHash,
    genesisState: () => State.genesis(GENESIS),
    path: home.paths.chain,
  });
  const blocks: LightBlock[] = [];
  for (let h = 1; h <= length; h++) {
    const { header, commit } = (await store.certificate(h)) ?? missing(h);
    blocks.push({ header, commit, next: [] });
  }
  await store.close();
  const follower = new Follower({ genesisHash: home.genesisHash }, genesisAnchor(GENESIS));
  const took = await seconds(() => {
    for (const block of blocks) follower.add(block);
  });
  return length / took;
}

function missing(height: number): never {
  throw new Error(`no block ${height}`);
}

/** Seconds per block for the signatures of its certificate and transactions, and its proof: nothing else. */
async function signaturesAlone(blocks: readonly Made[]): Promise<number> {
  const hash = genesisHash(GENESIS);
  let seed = State.genesis(GENESIS).seed;
  const took = await seconds(() => {
    for (const { certified, head } of blocks) {
      const { block, commit } = certified;
      for (const { validator, time, signature } of commit.signatures) {
        const message = {
          type: PRECOMMIT,
          height: commit.height,
          round: commit.round,
          blockId: commit.blockId,
          validRound: 0,
          time,
          validator,
        };
        const key = head.validators[validator]?.consensusKey ?? missing(head.height);
        good(verify(key, signingBytes("precommit", hash, Vote.hashTreeRoot(message)), signature));
      }
      for (const tx of block.txs) {
        good(verify(tx.publicKey, signingBytes("tx", hash, TxBody.hashTreeRoot(tx.body)), tx.signature));
      }
      const builder = head.state.miner(block.header.proposer)?.record ?? missing(head.height);
      good(vrfVerify(builder.vrfKey, beaconAlpha(seed, head.height), block.header.vrfProof) !== undefined);
      seed = block.header.seed;
    }
  });
  return took / blocks.length;
}

function good(ok: boolean): void {
  if (!ok) throw new Error("a signature of the bench is bad");
}

/** Seconds until the node that joins has this height, from its start. */
async function joins(home: Home, listen: string, mode: "snapshot" | "full", height: number): Promise<number> {
  const began = performance.now();
  const { node, url } = await start(home, [listen], mode);
  try {
    // Replaying is measured between two heights: finding a peer is not part of it.
    let from: { at: number; height: number } | undefined;
    for (;;) {
      const now = Number((await rpc<Status>(url, "node_status")).height);
      if (mode === "full" && now > 0) from ??= { at: performance.now(), height: now };
      if (now >= height) {
        const at = performance.now();
        return from ? ((at - from.at) / 1000) * (height / (now - from.height)) : (at - began) / 1000;
      }
      // Each question costs this process about as much as a quarter of a block.
      await new Promise((r) => setTimeout(r, mode === "full" ? 250 : 50));
    }
  } finally {
    await node.stop();
  }
}

async function main(length: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-sync-"));
  let server: ChildProcess | undefined;
  try {
    const served = makeHome(join(folder, "server"), "anna");
    const first = await make(served, length);
    const line = (what: string, figure: string, goal: string) =>
      process.stdout.write(`${what.padEnd(52)} ${figure.padStart(14)}   ${goal}\n`);

    const rate = await headers(served, length);
    line(
      "headers with certificates, verified",
      `${rate.toFixed(0)}/s`,
      `${(rate / GOAL_HEADERS).toFixed(2)} of the goal of ${GOAL_HEADERS}`,
    );

    server = fork(process.argv[1] as string, ["serve", served.paths.dir], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const [listen] = (await once(server, "message")) as [string];
    const took = await joins(makeHome(join(folder, "snapshot"), "fay"), listen, "snapshot", length);
    line(`a fresh node joins ${length} blocks by snapshot`, `${took.toFixed(1)} s`, `goal: below ${GOAL_SECONDS} s`);

    const replayed = Math.min(REPLAYED, length);
    const before = await signaturesAlone(first);
    const full = join(folder, "full");
    const replay = (await joins(makeHome(full, "gus"), listen, "full", replayed)) / replayed;
    const alone = (before + (await signaturesAlone(first))) / 2;
    line(
      "signatures and VRF proofs alone, one thread",
      `${(1 / alone).toFixed(0)} blocks/s`,
      `${(1000 * alone).toFixed(2)} ms a block`,
    );
    line(
      `full replay of ${replayed} blocks`,
      `${(1 / replay).toFixed(0)} blocks/s`,
      `${(alone / replay).toFixed(2)} of signatures and proofs alone; goal ${GOAL_SHARE}`,
    );
    const report = await verifyHome(full);
    const verified = report.seconds / report.blocks;
    line(
      "pofl verify of these",
      `${(1 / verified).toFixed(0)} blocks/s`,
      `${(alone / verified).toFixed(2)} of signatures and proofs alone`,
    );
  } finally {
    if (server) {
      server.disconnect();
      await once(server, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === "serve") await serve(process.argv[3] as string);
else await main(Number(process.argv[2] ?? 10_000));
