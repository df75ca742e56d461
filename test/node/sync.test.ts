import { test } from "uvu";
import * as assert from "uvu/assert";
import { computeRound, type RoundInput } from "../../consensus/round/compute.ts";
import { Sync } from "../../node/sync.ts";
import type { Network, RequestHandler } from "../../p2p/types.ts";
import { CertifiedBlock } from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { TASK, testGenesis, World } from "../consensus/world.ts";

const NAMES = ["a", "b", "c", "d"];
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** A network that has decided some blocks without `d`, and `d` cut off from it. */
async function behind(): Promise<World> {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 9 });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(120_000, () => world.height("a") >= 8));
  world.cut.add("d");
  world.start("d");
  return world;
}

/**
 * The sync of `d` against peers of which each serves what `serve` makes of the true block; one that needs `pause` ms for each fails if
 * that is more than it may be.
 */
function syncOf(
  world: World,
  serve: Record<string, (block: CertifiedBlock) => CertifiedBlock>,
  pause: Record<string, number> = {},
) {
  const reports: string[] = [];
  const asked: string[] = [];
  let clock = 0;
  const network = {
    serve: async (_name: string, _handler: RequestHandler) => {},
    report: (peer: string, verdict: string) => reports.push(`${peer} ${verdict}`),
    request: async function* (peer: string, _protocol: string, request: Uint8Array) {
      const from = Number(new DataView(request.buffer, request.byteOffset).getBigUint64(0, true));
      asked.push(peer);
      for (let height = from; height <= 8; height++) {
        clock += Math.min(10_000, pause[peer] ?? 1);
        if ((pause[peer] ?? 0) > 10_000) throw new PoflError("TIMEOUT", "nothing came");
        const block = world.certified("a", height) as CertifiedBlock;
        yield CertifiedBlock.serialize(serve[peer]?.(structuredClone(block)) ?? block);
      }
    },
  } as unknown as Network;
  const engine = world.engines.get("d");
  assert.ok(engine);
  const sync = new Sync({
    network,
    engine: () => engine,
    certified: async () => undefined,
    log: quiet,
    now: () => clock,
  });
  return { sync, reports, asked };
}

test("a peer that serves a forged block is refused and reported, another one is asked, and the chain is whole", async () => {
  const world = await behind();
  const { sync, reports } = syncOf(world, {
    liar: (b) => {
      // From the fourth on: more pay for itself, under the true certificate.
      if (b.block.header.height >= 4) b.block.learning[0]!.result.updates[0]!.pay += 1000n;
      return b;
    },
    honest: (b) => b,
  });
  sync.claim("liar", 9_000);
  sync.claim("honest", 8);
  assert.ok(await world.run(60_000, () => world.height("d") >= 8));
  assert.equal(reports, ["liar reject"]);
  for (let h = 1; h <= 8; h++) {
    const mine = CertifiedBlock.serialize(world.certified("d", h) as CertifiedBlock);
    assert.equal(mine, CertifiedBlock.serialize(world.certified("a", h) as CertifiedBlock), `height ${h}`);
  }
  await sync.stop();
});

test("a source that claims most and drips is left for another after two blocks, and comes last from then on", async () => {
  const world = await behind();
  const { sync, asked, reports } = syncOf(world, {}, { drip: 9_000 });
  sync.claim("drip", Number.MAX_SAFE_INTEGER);
  sync.claim("honest", 8);
  assert.ok(await world.run(60_000, () => world.height("d") >= 2));
  sync.claim("drip", Number.MAX_SAFE_INTEGER);
  assert.ok(await world.run(60_000, () => world.height("d") >= 8));
  await sync.stop();
  assert.equal(asked.slice(0, 2), ["drip", "honest"], "and drip again only for what nobody else claims");
  assert.equal(reports, []);
});

test("mute sources that claim again and again don't keep those that serve from their turn", async () => {
  const world = await behind();
  const { sync, asked } = syncOf(world, {}, { mute: 10_001, silent: 10_001 });
  for (const peer of ["mute", "silent"]) sync.claim(peer, 9_000);
  sync.claim("honest", 8);
  for (let i = 0; i < 20 && world.height("d") < 8; i++) {
    await world.run(50, () => world.height("d") >= 8);
    for (const peer of ["mute", "silent"]) sync.claim(peer, 9_000);
  }
  assert.is(world.height("d"), 8);
  assert.equal(asked.slice(0, 3), ["mute", "silent", "honest"]);
  await sync.stop();
});

test("a fresh node waits a moment for others to speak before it takes the first one's height for the chain's", async () => {
  const world = await behind();
  const engine = world.engines.get("d");
  assert.ok(engine);
  const joins: string[][] = [];
  const network = { serve: async () => {}, report: () => {}, request: async function* () {} } as unknown as Network;
  const sync = new Sync({
    network,
    engine: () => engine,
    certified: async () => undefined,
    log: quiet,
    join: async (claims) => joins.push([...claims().keys()]) < 0,
  });
  sync.claim("young", 300);
  await new Promise((resolve) => setTimeout(resolve, 50));
  sync.claim("old", 90_000);
  while (sync.catchingUp) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(joins, [["young", "old"]]);
  await sync.stop();
});

test("a node that learns that its own chain is the forged one stops, and blames nobody", async () => {
  const world = await behind();
  const engine = world.engines.get("d");
  assert.ok(engine);
  const fatal: unknown[] = [];
  const reports: string[] = [];
  const network = { report: (peer: string) => reports.push(peer) } as unknown as Network;
  const lead = async () => {
    throw new PoflError("FORGED_HOME", "block 3 of this node is not below the trusted one");
  };
  const deps = { network, engine: () => engine, certified: async () => undefined, log: quiet, lead };
  const sync = new Sync({ ...deps, fatal: (error) => fatal.push(error) });
  sync.claim("honest", 8);
  await world.run(1_000, () => !sync.catchingUp);
  assert.is(fatal.length, 1);
  assert.ok(isPoflError(fatal[0], "FORGED_HOME"));
  assert.equal(reports, []);
  await sync.stop();
});

test("of a peer that gives the same bad answer again and again one line is logged, with what may be the cause", async () => {
  const world = await behind();
  const engine = world.engines.get("d");
  assert.ok(engine);
  const lines: string[] = [];
  const log = { ...quiet, warn: (_data: object, text: string) => lines.push(text) };
  const lead = async () => {
    throw new PoflError("NOT_HELD", "the trusted block of height 900: the peer has not got it");
  };
  const network = { report: () => {} } as unknown as Network;
  const sync = new Sync({ network, engine: () => engine, certified: async () => undefined, log, lead });
  for (let i = 0; i < 10; i++) {
    sync.claim("honest", 8 + i);
    await world.run(20, () => false);
  }
  await sync.stop();
  assert.is(lines.length, 1);
  assert.match(lines[0] as string, /height 900.*ask again for height and hash of sync\.trusted$/);
});

test("certificates of too little power, of another height and of another block are refused", async () => {
  const forgeries: Record<string, (b: CertifiedBlock) => CertifiedBlock> = {
    "too few signatures": (b) => ({ ...b, commit: { ...b.commit, signatures: b.commit.signatures.slice(0, 2) } }),
    "another block's certificate": (b) => ({ ...b, commit: { ...b.commit, blockId: new Uint8Array(32).fill(1) } }),
    "a block of one's own": (b) => ({ ...b, block: { ...b.block, txs: [], evidence: [], learning: [] } }),
  };
  for (const [id, forge] of Object.entries(forgeries)) {
    const world = await behind();
    const { sync, reports } = syncOf(world, { liar: forge });
    sync.claim("liar", 9_000);
    await world.run(2_000, () => !sync.catchingUp);
    assert.is(world.height("d"), 0, id);
    assert.equal(reports, ["liar reject"], id);
    await sync.stop();
  }
});

test("what has come is applied together, within the limits, and each round that can be computed is, though it begins with the model of the one before", async () => {
  for (const whole of [false, true]) {
    let computed = 0;
    const genesis = testGenesis(NAMES, TASK);
    const compute = async (input: RoundInput) => {
      computed++;
      return computeRound(input);
    };
    const counting = (name: string) => (name === "d" ? { compute } : undefined);
    const world = new World({ names: NAMES, genesis, seed: 9, rounds: counting });
    for (const name of ["a", "b", "c"]) world.start(name);
    assert.ok(await world.run(120_000, () => world.height("a") >= 8));
    world.cut.add("d");
    // All updates, and the first model: the later ones follow.
    const models = new Set(world.disks.get("a")!.blocks.map(({ head }) => toHex(head.header!.modelRoot)));
    for (const [root, bytes] of world.disks.get("a")!.blobs)
      if (whole && !models.has(root)) world.disks.get("d")!.blobs.set(root, bytes);
    const engine = world.start("d");
    const groups: number[] = [];
    const apply = engine.applyCertified.bind(engine);
    engine.applyCertified = async (blocks) => {
      const taken = await apply(blocks);
      if (taken > 0) groups.push(taken);
      return taken;
    };
    const { sync } = syncOf(world, { a: (b) => b });
    sync.claim("a", 8);
    assert.ok(await world.run(60_000, () => world.height("d") >= 8 && !sync.catchingUp));
    await sync.stop();
    assert.is(
      groups.reduce((a, b) => a + b, 0),
      8,
    );
    assert.is(computed, whole ? 8 : 0);
    if (whole)
      assert.ok(
        groups.every((n) => n === 1),
        "a model is in its file before anybody needs it",
      );
    else assert.ok(groups.length < 8, `groups of ${groups}`);
    const { modelRoot } = engine.head.header!;
    assert.is(world.disks.get("d")!.blobs.has(toHex(modelRoot)), whole);
  }
});

test("a peer that claims blocks and serves none is forgotten, without blame", async () => {
  const world = await behind();
  const reports: string[] = [];
  const network = {
    serve: async () => {},
    report: (peer: string, verdict: string) => reports.push(`${peer} ${verdict}`),
    request: async function* () {},
  } as unknown as Network;
  const engine = world.engines.get("d");
  assert.ok(engine);
  const sync = new Sync({ network, engine: () => engine, certified: async () => undefined, log: quiet });
  sync.claim("empty", 1000);
  await world.run(1_000, () => !sync.catchingUp);
  assert.not(sync.catchingUp);
  assert.equal(reports, []);
  await sync.stop();
});

test.run();
