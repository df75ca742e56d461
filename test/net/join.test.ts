import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { txId } from "../../crypto/domain.ts";
import { genesisHash } from "../../genesis/genesis.ts";
import { DEFAULT_CONFIG } from "../../node/config.ts";
import { type Home, homePaths, writeGenesis } from "../../node/home.ts";
import { createLogger } from "../../node/logger.ts";
import { type RunningNode, startNode } from "../../node/node.ts";
import { openDatabase } from "../../node/store/database.ts";
import { layout } from "../../node/store/layout.ts";
import { openStore } from "../../node/store/store.ts";
import { checkHome } from "../../node/upkeep.ts";
import { verifyHome } from "../../node/verify.ts";
import type { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { CertifiedChain } from "../light/chains.ts";
import { consensusOf, keys, seedOf } from "../vm/support.ts";
import { freePorts, rpc, type Status, until } from "./testnet.ts";

/** Whole nodes with real sockets: two that have a chain, and one that joins. */

const LENGTH = 530;
const BEHIND = 520;

class Nodes {
  readonly folder = mkdtempSync(join(tmpdir(), "pofl-join-"));
  readonly running: RunningNode[] = [];
  readonly chain: CertifiedChain;

  constructor(chain: CertifiedChain) {
    this.chain = chain;
  }

  /** A home of `name`, whose chain has been stored up to `height`. */
  async home(name: string, height: number): Promise<Home> {
    const { genesis } = this.chain;
    const paths = homePaths(join(this.folder, name));
    mkdirSync(join(paths.dir, "config"), { recursive: true });
    mkdirSync(paths.data);
    writeGenesis(paths, genesis);
    writeFileSync(paths.config, "");
    if (height > 0) {
      const store = await openStore(await openDatabase(paths.chain), {
        genesisHash: this.chain.hash,
        genesisState: () => State.genesis(genesis),
        path: paths.chain,
      });
      for (const { certified, receipts, head } of this.chain.blocks.slice(0, height)) {
        await store.append(certified, receipts, head.state.changes(), head.validators);
      }
      await store.close();
    }
    return {
      paths,
      genesis,
      genesisHash: genesisHash(genesis),
      nodeKey: seedOf(`network/${name}`),
      keys: { account: keys(name), consensus: consensusOf(name), vrf: keys(`${name}/vrf`) },
      custodian: undefined,
    };
  }

  /** Starts it; gives the URL of its RPC and its address. */
  async start(home: Home, bootnodes: string[], sync: Partial<typeof DEFAULT_CONFIG.sync> = {}) {
    const [p2p, port] = (await freePorts(2)) as [number, number];
    const listen = `/ip4/127.0.0.1/tcp/${p2p}`;
    const node = await startNode({
      home,
      log: createLogger({ level: "silent", format: "json", moniker: "test" }),
      config: {
        ...DEFAULT_CONFIG,
        p2p: { ...DEFAULT_CONFIG.p2p, listen, bootnodes },
        rpc: { listen: `127.0.0.1:${port}` },
        metrics: { listen: "" },
        sync: { ...DEFAULT_CONFIG.sync, ...sync },
      },
    });
    this.running.push(node);
    return { node, listen, url: `http://127.0.0.1:${port}` };
  }

  async close(): Promise<void> {
    await Promise.all(this.running.map((n) => n.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const heightOf = (url: string) => rpc<Status>(url, "node_status").then((s) => Number(s.height));

test("a node joins by a snapshot, fetches what was before, and is then as good as one that replayed all", async () => {
  const chain = CertifiedChain.of();
  const tx = chain.accounts.transfer("emil", "fay", 5n);
  const sent = txId(tx.body);
  chain.make([tx]);
  chain.grow(LENGTH);
  const nodes = new Nodes(chain);
  try {
    // Two of four validators decide nothing: the chain stands still.
    const anna = await nodes.start(await nodes.home("anna", LENGTH), []);
    const ben = await nodes.start(await nodes.home("ben", BEHIND), [anna.listen]);
    await until("ben has all", 60_000, async () => (await heightOf(ben.url)) === LENGTH);

    const home = await nodes.home("fay", 0);
    const fay = await nodes.start(home, [anna.listen, ben.listen]);
    await until("fay has the head", 60_000, async () => (await heightOf(fay.url)) === LENGTH);
    const status = await rpc<Status>(fay.url, "node_status");
    assert.is(status.headHash, toHex(chain.head.id));
    const { receipt } = await rpc<{ receipt: unknown }>(anna.url, "tx_get", { hash: toHex(sent) });
    assert.ok(receipt, "a replay has receipts");
    await until("blocks before the snapshot", 60_000, () =>
      rpc(fay.url, "chain_getBlock", { height: 1 }).then(
        () => true,
        () => false,
      ),
    );
    const found = await rpc<{ status: string; receipt: unknown }>(fay.url, "tx_get", { hash: toHex(sent) });
    assert.equal([found.status, found.receipt], ["final", null], "a snapshot has none, and makes none up");
    await fay.node.stop();
    const checked = await checkHome(home.paths.dir);
    assert.equal(checked.damages, []);
    const report = await verifyHome(home.paths.dir);
    assert.is(report.height, LENGTH);
    assert.is(report.headHash, toHex(chain.head.id));
    assert.is(report.transactions, 1);

    // A node that starts again with another trusted block refuses its own home.
    try {
      await nodes.start(home, [], { trusted: `5:0x${"11".repeat(32)}` });
      assert.unreachable();
    } catch (error) {
      assert.is((error as PoflError).code, "NOT_TRUSTED");
    }

    // One that trusts another chain takes nothing from these, by snapshot or by blocks.
    for (const mode of ["snapshot", "full"] as const) {
      const gus = await nodes.start(await nodes.home(`gus-${mode}`, 0), [anna.listen], {
        mode,
        trusted: `300:0x${"22".repeat(32)}`,
      });
      await until(`${mode}: anna is refused`, 60_000, async () => {
        const peers = await rpc<{ score: number }[]>(gus.url, "net_peers");
        return peers.length > 0 && peers.every((p) => p.score < -5);
      });
      assert.is(await heightOf(gus.url), 0);
      await gus.node.stop();
    }
  } finally {
    await nodes.close();
  }
});

test("blocks that a disk has lost come back from peers, byte for byte", async () => {
  const chain = CertifiedChain.of();
  chain.grow(60);
  const nodes = new Nodes(chain);
  try {
    const whole = await nodes.home("anna", 60);
    const home = await nodes.home("ben", 60);
    const db = await openDatabase(home.paths.chain);
    const record = await db.get(layout.block(20));
    for (let height = 20; height < 45; height++) await db.del(layout.block(height));
    await db.close();
    assert.is((await checkHome(home.paths.dir)).damages.length, 25);

    const anna = await nodes.start(whole, []);
    const ben = await nodes.start(home, [anna.listen]);
    const get = (height: number) => rpc<unknown>(ben.url, "chain_getBlock", { height });
    await until("the lowest is back", 60_000, () =>
      get(20).then(
        () => true,
        () => false,
      ),
    );
    for (const height of [20, 33, 44]) {
      assert.equal(await get(height), await rpc(anna.url, "chain_getBlock", { height }));
    }
    await ben.node.stop();
    assert.equal((await checkHome(home.paths.dir)).damages, []);
    assert.is((await verifyHome(home.paths.dir)).height, 60);
    const again = await openDatabase(home.paths.chain);
    assert.equal(await again.get(layout.block(20)), record);
    await again.close();
  } finally {
    await nodes.close();
  }
});

test.run();
