import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeMessage, type Message } from "../../consensus/messages.ts";
import { signProposal, signVote } from "../../crypto/domain.ts";
import { Block } from "../../types/block.ts";
import { PREVOTE } from "../../types/vote.ts";
import { TASK, testGenesis, testKeys, World } from "./world.ts";

/** What one faulty validator or peer sends to a live node: it costs bounded memory and disk, and the chain goes on. */

const NAMES = ["a", "b", "c", "d"];

async function network(): Promise<World> {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 21 });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 2));
  return world;
}

const goesOn = async (world: World) => {
  const target = world.height("a") + 3;
  assert.ok(await world.run(120_000, () => ["a", "b", "c"].every((n) => world.height(n) >= target)));
};

/** What `a` has written of the height in progress, in bytes. */
const logged = (world: World) => (world.disks.get("a")?.wal.entries ?? []).reduce((n, e) => n + e.length, 0);

function send(world: World, message: Message): void {
  world.engines.get("a")?.onFrame("stranger", encodeMessage(message));
}

test("a validator that signs thousands of votes: its messages are counted, the log stays small", async () => {
  const world = await network();
  const run = world.engines.get("a")?.run;
  assert.ok(run);
  const { height } = run.ctx;
  const validator = run.ctx.validators.findIndex(
    (v) => Buffer.compare(v.consensusKey, testKeys("d").consensus.publicKey) === 0,
  );
  const before = logged(world);
  for (let i = 0; i < 2000; i++) {
    const blockId = new Uint8Array(32).fill(7);
    new DataView(blockId.buffer).setUint32(0, i);
    const message = { type: PREVOTE, height, round: i % 50, blockId, validRound: 0, time: 0, validator };
    send(world, { kind: "vote", value: signVote(world.hash, testKeys("d").consensus.secret, message) });
  }
  assert.ok(logged(world) - before < 64 * 1024, `${logged(world) - before} bytes`);
  await goesOn(world);
});

test("a flood does not use up what a proof-of-lock needs: the vote that completes it is taken", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES), seed: 22 });
  const run = world.start("a").run;
  const { height, validators } = run.ctx;
  const blockId = new Uint8Array(32).fill(9);
  const prevote = (name: string, id: Uint8Array) => {
    const { publicKey, secret } = testKeys(name).consensus;
    const validator = validators.findIndex((v) => Buffer.compare(v.consensusKey, publicKey) === 0);
    const message = { type: PREVOTE, height, round: 0, blockId: id, validRound: 0, time: 0, validator };
    send(world, { kind: "vote", value: signVote(world.hash, secret, message) });
  };
  for (let i = 0; i < 200; i++) prevote("d", new Uint8Array(32).fill(i + 10));
  prevote("b", blockId);
  prevote("c", blockId);
  assert.is(run.bft.proofOfLock(0).length, 0);
  prevote("d", blockId);
  assert.is(run.bft.proofOfLock(0).length, 3);
});

test("a proposer that proposes many blocks, and blocks that nobody asked for", async () => {
  const world = await network();
  const run = world.engines.get("a")?.run;
  const made = world.certified("a", 2)?.block;
  assert.ok(run && made);
  const { height } = run.ctx;
  const key = testKeys("d").consensus;
  const proposer = run.ctx.validators.findIndex((v) => Buffer.compare(v.consensusKey, key.publicKey) === 0);
  const round = Array.from({ length: 100 }, (_, r) => r).find((r) => run.ctx.proposer(r) === proposer) as number;
  const before = logged(world);
  const size = Block.serialize(made).length;
  for (let i = 0; i < 500; i++) {
    const block = Block.serialize({ ...made, header: { ...made.header, height, time: i } });
    send(world, { kind: "block", value: { height, block } });
    const message = { height, round, blockId: new Uint8Array(32).fill(i & 255), validRound: 0, proposer };
    const proposal = signProposal(world.hash, key.secret, message);
    // The block is not the one that is proposed.
    send(world, { kind: "proposal", value: { proposal, block } });
  }
  assert.ok(logged(world) - before < 20 * size, `${logged(world) - before} bytes for blocks of ${size}`);
  await goesOn(world);
});

test("a peer that asks with an empty status again and again gets few answers", async () => {
  const world = await network();
  const engine = world.engines.get("a");
  assert.ok(engine);
  let answers = 0;
  world.filter = (from, to) => {
    if (from === "a" && to === "stranger") answers++;
    return true;
  };
  const empty = { ...engine.status(), rounds: [] };
  const none = new Uint8Array(0);
  const value = { ...empty, pledges: none, closings: none, reveals: none, attestations: none };
  for (let i = 0; i < 1000; i++) send(world, { kind: "status", value });
  const each = answers;
  assert.ok(each < 30, `${each} frames`);
  await goesOn(world);
});

test("frames that are no messages are reported, early ones are kept within bounds", async () => {
  const world = await network();
  const engine = world.engines.get("a");
  assert.ok(engine);
  for (const bad of [[], [255], [1], [2, 1, 2, 3]]) engine.onFrame("stranger", Uint8Array.from(bad));
  assert.is(world.reports.filter((r) => r.startsWith("a on stranger: reject")).length, 4);
  const block = new Uint8Array(1024 * 1024);
  const heap = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) {
    send(world, { kind: "block", value: { height: engine.run.ctx.height + 1, block: block.slice() } });
  }
  assert.ok(process.memoryUsage().arrayBuffers - heap < 400 * 1024 * 1024);
  await goesOn(world);
});

test.run();
