import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeMessage, encodeMessage, type Message } from "../../consensus/messages.ts";
import { computeRound, type RoundInput } from "../../consensus/round/compute.ts";
import { signAttestation, signClosing, signProposal, signVote } from "../../crypto/domain.ts";
import { Block, blockId } from "../../types/block.ts";
import type { Tx } from "../../types/tx.ts";
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

/** What round `round` of the height in progress at `a` is proposed with, by whoever has the turn. */
function proposalAt(world: World, round: number, block: Uint8Array) {
  const { ctx } = world.engines.get("a")!.run;
  const proposer = ctx.proposer(round);
  const key = ctx.validators[proposer]!.consensusKey;
  const name = NAMES.find((n) => Buffer.compare(testKeys(n).consensus.publicKey, key) === 0) as string;
  const id = blockId(Block.deserialize(block).header);
  const message = { height: ctx.height, round, blockId: id, validRound: 0, proposer };
  return { id, proposer, proposal: signProposal(world.hash, testKeys(name).consensus.secret, message) };
}

/** A block of the height in progress at `a` that decodes; nobody has to find it valid. */
function someBlock(world: World, time: number, bytes = 0): Uint8Array {
  const made = world.certified("a", 2)!.block;
  const { height } = world.engines.get("a")!.run.ctx;
  const spec = new Uint8Array(48 * 1024);
  const payload = { selector: 4, value: { spec, escrow: 0n } };
  const body = { sender: new Uint8Array(20), nonce: 0, fee: 0n, expires: 0, payload };
  const tx = { body, publicKey: new Uint8Array(32), signature: new Uint8Array(64) } as unknown as Tx;
  const txs = new Array<Tx>(Math.floor(bytes / spec.length)).fill(tx);
  return Block.serialize({ ...made, txs, header: { ...made.header, height, time } });
}

for (const { what, block } of [
  { what: "without its block", block: () => new Uint8Array(0) },
  { what: "with bytes that are no block", block: (i: number) => Uint8Array.of(i) },
  { what: "with another block", block: (i: number, world: World) => someBlock(world, 1000 + i) },
]) {
  test(`copies of a correct proposer's proposal ${what} use up nothing of its share, and are not passed on`, async () => {
    const world = await network();
    const run = world.engines.get("a")!.run;
    const whole = someBlock(world, 77);
    const { id, proposal, proposer } = proposalAt(world, 0, whole);
    const before = logged(world);
    for (let i = 0; i < 300; i++) send(world, { kind: "proposal", value: { proposal, block: block(i, world) } });
    assert.ok(run.bft.proposal(0), "the first one is taken in");
    assert.ok(logged(world) - before < 1024, `${logged(world) - before} bytes of log`);
    send(world, { kind: "proposal", value: { proposal, block: whole } });
    assert.equal(run.blocks.bytes(id), whole, "and the block when it comes");
    for (let i = 0; i < 20; i++) assert.ok(run.admits(proposer));
  });
}

test("a peer that repeats proposals before their blocks come does not hold up the chain", async () => {
  const world = await network();
  const until = world.now + 4000;
  world.filter = (from, to, frame) => {
    const message = decodeMessage(frame);
    if (world.now > until || (message.kind !== "proposal" && message.kind !== "block")) return true;
    // Whatever carries a block is on its way for four seconds; copies without it are faster.
    world.at(4000, () => world.engines.get(to)?.onFrame(from, frame));
    if (message.kind === "block") return false;
    const { proposal } = message.value;
    const bare = encodeMessage({ kind: "proposal", value: { proposal, block: new Uint8Array(0) } });
    for (let i = 0; i < 100; i++) world.engines.get(to)?.onFrame("stranger", bare);
    return false;
  };
  await world.run(4000, () => false);
  await goesOn(world);
});

test("blocks that a proposer proposes in rounds far away are not kept before anybody needs them", async () => {
  const world = await network();
  const run = world.engines.get("a")!.run;
  const before = logged(world);
  const d = run.ctx.validators.findIndex(
    (v) => Buffer.compare(v.consensusKey, testKeys("d").consensus.publicKey) === 0,
  );
  const rounds = Array.from({ length: 300 }, (_, r) => r).filter(
    (r) => r > run.bft.round + 1 && run.ctx.proposer(r) === d,
  );
  for (const round of rounds.slice(0, 30)) {
    const block = someBlock(world, round, 1024 * 1024);
    const { proposal } = proposalAt(world, round, block);
    send(world, { kind: "proposal", value: { proposal, block } });
  }
  assert.ok(logged(world) - before < 64 * 1024, `${logged(world) - before} bytes of log`);
  await goesOn(world);
});

test("a block whose round is over is not asked for before the vote needs it, and then it is", async () => {
  const world = await network();
  world.kill("b");
  world.kill("c");
  const { run } = world.engines.get("a")!;
  const isD = (r: number) => {
    const key = run.ctx.validators[run.ctx.proposer(r)]!.consensusKey;
    return Buffer.compare(key, testKeys("d").consensus.publicKey) === 0;
  };
  const round = Array.from({ length: 100 }, (_, r) => r).find(isD) as number;
  // Alone it gets no further than its first round: others take it along.
  for (const name of ["b", "c"]) {
    const { publicKey, secret } = testKeys(name).consensus;
    const validator = run.ctx.validators.findIndex((v) => Buffer.compare(v.consensusKey, publicKey) === 0);
    const blockId = new Uint8Array(32);
    const { height } = run.ctx;
    const message = { type: PREVOTE, height, round: round + 3, blockId, validRound: 0, time: 0, validator };
    send(world, { kind: "vote", value: signVote(world.hash, secret, message) });
  }
  await world.run(60_000, () => run.bft.round >= round + 3);
  assert.ok(run.bft.round > round + 1);
  const block = someBlock(world, 5);
  const { proposal, id } = proposalAt(world, round, block);
  send(world, { kind: "proposal", value: { proposal, block } });
  assert.is(run.blocks.bytes(id), undefined);
  const told = () =>
    world.engines
      .get("a")!
      .status()
      .rounds.find((r) => r.round === round)?.proposal;
  assert.is(told(), true, "nobody sends it again and again");
  for (const name of ["b", "c"]) {
    const { publicKey, secret } = testKeys(name).consensus;
    const validator = run.ctx.validators.findIndex((v) => Buffer.compare(v.consensusKey, publicKey) === 0);
    const { height } = run.ctx;
    const message = { type: PREVOTE, height, round, blockId: id, validRound: 0, time: 0, validator };
    send(world, { kind: "vote", value: signVote(world.hash, secret, message) });
  }
  assert.is(told(), false, "more than a third has seen it");
  send(world, { kind: "proposal", value: { proposal, block } });
  assert.equal(run.blocks.bytes(id), block);
});

test("copies of a vote for a round far away use up nothing of its validator's share", async () => {
  const world = await network();
  const run = world.engines.get("a")!.run;
  const { height, validators } = run.ctx;
  const key = testKeys("b").consensus;
  const validator = validators.findIndex((v) => Buffer.compare(v.consensusKey, key.publicKey) === 0);
  const vote = (round: number) => {
    const blockId = new Uint8Array(32);
    const message = { type: PREVOTE, height, round, blockId, validRound: 0, time: 0, validator };
    return signVote(world.hash, key.secret, message);
  };
  const votes = [5, 6, 7, 8].map(vote);
  for (let i = 0; i < 100; i++) for (const value of votes) send(world, { kind: "vote", value });
  for (let i = 0; i < 20; i++) assert.ok(run.admits(validator));
  await goesOn(world);
});

test("copies of a final block are not all computed", async () => {
  let computing = 0;
  let most = 0;
  const compute = async (input: RoundInput) => {
    most = Math.max(most, ++computing);
    await new Promise((resolve) => setImmediate(resolve));
    computing--;
    return computeRound(input);
  };
  const genesis = testGenesis(NAMES, TASK);
  const world = new World({
    names: NAMES,
    genesis,
    seed: 21,
    rounds: (name) => (name === "d" ? { compute } : undefined),
  });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 1));
  for (const [root, bytes] of world.disks.get("a")!.blobs) world.disks.get("d")!.blobs.set(root, bytes);
  world.filter = (_from, to) => to !== "d";
  world.start("d");
  const final = encodeMessage({ kind: "final", value: world.certified("a", 1)! });
  for (let i = 0; i < 500; i++) world.engines.get("d")?.onFrame("stranger", final);
  assert.ok(await world.run(10_000, () => world.height("d") >= 1));
  assert.is(most, 1);
});

test("statuses are answered though the clock was put back", async () => {
  const world = await network();
  const engine = world.engines.get("a")!;
  let answers = 0;
  world.filter = (from, to) => {
    if (from === "a" && to === "stranger") answers++;
    return true;
  };
  const ask = async () => {
    send(world, { kind: "status", value: { ...engine.status(), height: engine.run.ctx.height - 1 } });
    await new Promise((resolve) => setImmediate(resolve));
  };
  await ask();
  assert.is(answers, 1);
  world.now -= 3_600_000;
  await ask();
  assert.is(answers, 2);
});

/** Six validators, each connected to four. */
async function ring(committeeSeats: number) {
  const names = ["a", "b", "c", "d", "e", "f", "g"];
  const running = names.slice(0, 6);
  const world = new World({
    names,
    genesis: testGenesis(names, TASK, { committeeSeats }),
    seed: 3,
    net: (_name, net) => ({ ...net, peers: () => 4 }),
  });
  const linked = (x: string, y: string) => Math.abs(running.indexOf(x) - running.indexOf(y)) !== 3;
  world.filter = (from, to) => linked(from, to);
  for (const name of running) world.start(name);
  assert.ok(await world.run(120_000, () => world.height("a") >= 1));
  const { ctx } = world.engines.get("a")!.run;
  const copiesOf = async (message: Message) => {
    const frame = encodeMessage(message);
    let copies = 0;
    world.filter = (from, to, sent) => {
      if (linked(from, to) && Buffer.compare(sent, frame) === 0) copies++;
      return linked(from, to) && copies < 1000;
    };
    world.engines.get("a")?.onFrame("stranger", frame);
    await world.run(400, () => copies >= 1000);
    return copies;
  };
  return { world, ctx, names, copiesOf };
}

test("what a validator without a seat closes or attests goes round among nobody", async () => {
  for (const kind of ["closing", "attestation"] as const) {
    const { world, ctx, names, copiesOf } = await ring(4);
    const member = ctx.validators.findIndex((_, i) => !ctx.committee.includes(i));
    const key = ctx.validators[member]!.consensusKey;
    const name = names.find((n) => Buffer.compare(testKeys(n).consensus.publicKey, key) === 0) as string;
    const { secret } = testKeys(name).consensus;
    const said = { height: ctx.height, task: ctx.task!.id, member };
    const message: Message =
      kind === "closing"
        ? { kind, value: signClosing(world.hash, secret, { ...said, commitments: [] }) }
        : { kind, value: signAttestation(world.hash, secret, { ...said, updates: [], metrics: [] }) };
    assert.is(await copiesOf(message), 0, kind);
  }
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
