import { test } from "uvu";
import * as assert from "uvu/assert";
import { messageHeight } from "../../consensus/engine/inbox.ts";
import { decodeMessage, encodeMessage, type Message } from "../../consensus/messages.ts";
import { signAttestation, signClosing, signPledge, signProposal, signVote } from "../../crypto/domain.ts";
import { evidenceOf, OFFENCE_KINDS, type OffenceKind, offenceOf } from "../../types/evidence.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import { accused, offenceHeight, voteOffence } from "../../vm/offences.ts";
import { validatorSet } from "../../vm/validators.ts";
import { TASK, testGenesis, testKeys, World } from "./world.ts";

/** What an equivocator signs reaches one node, and ends in a block of another: on the chain its stake burns, and it is jailed. */

const NAMES = ["a", "b", "c", "d"];
const LIAR = testKeys("d").consensus;
const other = (id: Hash): Hash => id.map((byte) => byte ^ 0xff);

/** What d signs besides `message` for an offence of this kind; undefined if the message is of no use for it. */
function contradiction(hash: Hash, kind: OffenceKind, message: Message): Message | undefined {
  const { secret } = LIAR;
  switch (message.kind) {
    case "vote": {
      const m = message.value.message;
      if (m.blockId.every((byte) => byte === 0)) return undefined;
      const blockId = other(m.blockId);
      if (kind === "double-vote") return { kind: "vote", value: signVote(hash, secret, { ...m, blockId }) };
      if (kind !== "amnesia" || m.type !== PRECOMMIT) return undefined;
      const forgets = { ...m, type: PREVOTE, round: m.round + 1, blockId, validRound: m.round, time: 0 };
      return { kind: "vote", value: signVote(hash, secret, forgets) };
    }
    case "proposal": {
      const m = message.value.proposal.message;
      if (kind !== "double-proposal") return undefined;
      const proposal = signProposal(hash, secret, { ...m, blockId: other(m.blockId) });
      return { kind: "proposal", value: { proposal, block: new Uint8Array(0) } };
    }
    case "pledge": {
      const m = message.value.message;
      if (kind !== "double-pledge") return undefined;
      return { kind: "pledge", value: signPledge(hash, secret, { ...m, commitment: other(m.commitment) }) };
    }
    case "closing": {
      const m = message.value.message;
      if (kind !== "double-closing") return undefined;
      return { kind: "closing", value: signClosing(hash, secret, { ...m, commitments: m.commitments.slice(1) }) };
    }
    case "attestation": {
      const m = message.value.message;
      if (kind !== "double-attestation") return undefined;
      return { kind: "attestation", value: signAttestation(hash, secret, { ...m, updates: m.updates.slice(1) }) };
    }
    default:
      return undefined;
  }
}

/** Four validators that train; "watcher" follows, so that it never proposes. */
async function network(seed: number, names = [...NAMES, "watcher"]): Promise<World> {
  const world = new World({ names, genesis: testGenesis(NAMES, TASK), seed });
  for (const name of names) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 2));
  return world;
}

function watching(world: World) {
  const engine = world.engines.get("watcher");
  assert.ok(engine);
  return { run: engine.run, onFrame: (frame: Uint8Array) => engine.onFrame("d", frame) };
}

/** The pieces of evidence on the chain of `name`. */
const punished = (world: World, name = "a") =>
  (world.disks.get(name)?.blocks ?? []).flatMap(({ certified }) => certified.block.evidence);

const isJailed = (world: World, name: string) => {
  const state = world.disks.get("a")?.blocks.at(-1)?.head.state;
  return state?.bondedBy("consensusKey", testKeys(name).consensus.publicKey)?.record.jailed;
};

async function assertPunished(world: World, kind: OffenceKind): Promise<void> {
  assert.ok(await world.run(60_000, () => punished(world).length > 0), "no block carries evidence");
  const [evidence] = punished(world);
  assert.ok(evidence && bytesEqual(evidence.consensusKey, LIAR.publicKey));
  assert.is(offenceOf(evidence).kind, kind);
  const state = world.disks.get("a")?.blocks.at(-1)?.head.state;
  const miner = state?.bondedBy("consensusKey", LIAR.publicKey)?.record;
  const full = BigInt(world.genesis.validators[3]?.stake ?? 0);
  assert.is(miner?.stake, full - (full * BigInt(world.genesis.economy.slashDoubleSignPermille)) / 1000n);
  assert.ok(miner?.jailed);
  assert.is(state && validatorSet(state, world.genesis).length, 3);
  const target = world.height("a") + 3;
  assert.ok(
    await world.run(60_000, () => ["a", "b", "c"].every((n) => world.height(n) >= target)),
    "goes on without it",
  );
  assert.is(punished(world).length, 1, "and it is punished once");
  assert.equal(
    NAMES.map((n) => isJailed(world, n)),
    [false, false, false, true],
  );
}

for (const kind of OFFENCE_KINDS) {
  test(`${kind}: seen by a node that never proposes, punished by the others`, async () => {
    const world = await network(31);
    let done = false;
    world.filter = (from, to, frame) => {
      if (done || from !== "d" || to !== "watcher") return true;
      const lie = contradiction(world.hash, kind, decodeMessage(frame));
      if (!lie) return true;
      const { run, onFrame } = watching(world);
      // Others' votes may be faster, and end the height there.
      if (messageHeight(lie) !== run.ctx.height || run.bft.step === "decided") return true;
      done = true;
      onFrame(frame);
      onFrame(encodeMessage(lie));
      return false;
    };
    await assertPunished(world, kind);
    assert.equal(
      world.reports.filter((r) => r.includes("reject")),
      [],
      "nobody is blamed for passing it on",
    );
  });
}

/** Each side hears one version only: what gives the liar away is the block that carries the other. */
const halves: { kind: OffenceKind; of: (m: Message) => boolean }[] = [
  { kind: "double-vote", of: (m) => m.kind === "vote" && m.value.message.type === PRECOMMIT },
  { kind: "double-pledge", of: (m) => m.kind === "pledge" },
  { kind: "double-attestation", of: (m) => m.kind === "attestation" },
];
for (const { kind, of } of halves) {
  test(`${kind}: one node is told something else than all others, and compares it with the block`, async () => {
    const world = await network(32);
    let height = 0;
    world.filter = (from, to, frame) => {
      if (to !== "watcher") return true;
      const message = decodeMessage(frame);
      if (!of(message)) return true;
      // Nobody else passes the true one on before the block is made.
      if (from !== "d") return false;
      const lie = contradiction(world.hash, kind, message);
      const at = lie ? messageHeight(lie) : 0;
      if (!lie || (height > 0 && height !== at)) return true;
      height = at;
      world.at(1, () => world.engines.get("watcher")?.onFrame("d", encodeMessage(lie)));
      return false;
    };
    await assertPunished(world, kind);
  });
}

test("a node that hears its own key say something else tells its operator", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 36, broken: "d" });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("d") >= 2));
  let told = false;
  world.filter = (from, _to, frame) => {
    const lie = from === "d" && !told ? contradiction(world.hash, "double-vote", decodeMessage(frame)) : undefined;
    if (!lie) return true;
    told = true;
    world.at(1, () => world.engines.get("d")?.onFrame("a", encodeMessage(lie)));
    return true;
  };
  const warned = () => world.warnings.some((w) => /^d: another process signs with the consensus key/.test(w));
  assert.ok(await world.run(60_000, warned));
  await assertPunished(world, "double-vote");
});

test("evidence that is made up counts against its sender, what is useless or known does not", async () => {
  const world = await network(33);
  const engine = world.engines.get("a");
  assert.ok(engine);
  const vote = (name: string, fill: number, height: number) =>
    signVote(world.hash, testKeys(name).consensus.secret, {
      type: PREVOTE,
      height,
      round: 7,
      blockId: new Uint8Array(32).fill(fill),
      validRound: 0,
      time: 0,
      validator: 0,
    });
  const evidence = (name: string, height: number, by = name) => {
    const offence = voteOffence(vote(by, 1, height), vote(by, 2, height));
    assert.ok(offence);
    return evidenceOf(testKeys(name).consensus.publicKey, offence);
  };
  const tell = (value: ReturnType<typeof evidence>) =>
    engine.onFrame("stranger", encodeMessage({ kind: "evidence", value }));
  tell(evidence("c", 1, "b"));
  assert.is(world.reports.length, 1);
  assert.match(world.reports[0] ?? "", /^a on stranger: reject: evidence: .*signature/);
  tell(evidence("nobody", 1));
  tell(evidence("c", 1000));
  let told = 0;
  world.filter = (from, _to, frame) => {
    if (from === "a" && decodeMessage(frame).kind === "evidence") told++;
    return true;
  };
  for (let i = 0; i < 5; i++) tell(evidence("d", 1));
  assert.is(told, 4, "passed on once to each other node");
  assert.is(world.reports.length, 1);
  await assertPunished(world, "double-vote");
  tell(evidence("d", 1));
  assert.is(world.reports.length, 1);
});

test("offences at many heights by one key: one a block, even where the first takes the whole stake", async () => {
  const genesis = testGenesis(NAMES, TASK);
  const ruinous = { ...genesis, economy: { ...genesis.economy, slashDoubleSignPermille: 1000 } };
  const world = new World({ names: NAMES, genesis: ruinous, seed: 34 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 4));
  for (const height of [1, 2, 3]) {
    const vote = (fill: number) =>
      signVote(world.hash, LIAR.secret, {
        type: PRECOMMIT,
        height,
        round: 0,
        blockId: new Uint8Array(32).fill(fill),
        validRound: 0,
        time: 0,
        validator: 3,
      });
    const offence = voteOffence(vote(1), vote(2));
    assert.ok(offence);
    const value = evidenceOf(LIAR.publicKey, offence);
    world.engines.get("b")?.onFrame("stranger", encodeMessage({ kind: "evidence", value }));
  }
  const target = world.height("a") + 5;
  assert.ok(await world.run(60_000, () => ["a", "b", "c"].every((n) => world.height(n) >= target)));
  assert.equal(
    punished(world).map((e) => offenceHeight(offenceOf(e))),
    [1],
  );
});

test("a node that is killed finds in its log what it found before", async () => {
  const world = await network(35, NAMES);
  world.kill("c");
  world.kill("d");
  // Two of four: the height can't end, and only a knows.
  assert.not(await world.run(3_000, () => false));
  world.filter = (from, _to, frame) => from !== "a" || decodeMessage(frame).kind !== "evidence";
  const engine = world.engines.get("a");
  assert.ok(engine);
  const { height, validators } = engine.run.ctx;
  const validator = validators.findIndex((v) => bytesEqual(v.consensusKey, LIAR.publicKey));
  for (const fill of [1, 2]) {
    const blockId = new Uint8Array(32).fill(fill);
    const message = { type: PREVOTE, height, round: engine.run.bft.round, blockId, validRound: 0, time: 0, validator };
    engine.onFrame("d", encodeMessage({ kind: "vote", value: signVote(world.hash, LIAR.secret, message) }));
  }
  assert.ok(world.warnings.some((w) => w.startsWith("a: a validator signed two messages")));
  assert.not(await world.run(20_000, () => false));
  world.kill("a");
  world.filter = () => true;
  world.start("a");
  world.start("c");
  assert.ok(await world.run(120_000, () => punished(world, "b").length > 0));
  const [evidence] = punished(world, "b");
  assert.is(evidence && accused(offenceOf(evidence)), validator);
});

test("evidence of an earlier height outlives a restart of everybody who knows it", async () => {
  const world = await network(37, NAMES);
  world.kill("c");
  world.kill("d");
  assert.not(await world.run(3_000, () => false));
  world.filter = (from, _to, frame) => from !== "a" || decodeMessage(frame).kind !== "evidence";
  const vote = (fill: number) => {
    const blockId = new Uint8Array(32).fill(fill);
    const message = { type: PRECOMMIT, height: 1, round: 9, blockId, validRound: 0, time: 0, validator: 3 };
    return signVote(world.hash, LIAR.secret, message);
  };
  const offence = voteOffence(vote(1), vote(2));
  assert.ok(offence);
  const value = evidenceOf(LIAR.publicKey, offence);
  world.engines.get("a")?.onFrame("stranger", encodeMessage({ kind: "evidence", value }));
  // What is signed next flushes the log.
  assert.not(await world.run(20_000, () => false));
  world.kill("a");
  world.kill("b");
  world.filter = () => true;
  for (const name of ["a", "b", "c"]) world.start(name);
  await assertPunished(world, "double-vote");
});

test("runs with loss, delay and crashes yield no evidence: one key, one voice", async () => {
  for (const seed of [41, 42, 43]) {
    const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed, loss: 0.2, delay: 60 });
    for (const name of NAMES) world.start(name);
    for (let i = 0; i < 6; i++) {
      const name = NAMES[Math.floor(world.rand() * 4)] as string;
      await world.run(400 + Math.floor(world.rand() * 3000), () => false);
      world.kill(name);
      await world.run(Math.floor(world.rand() * 2000), () => false);
      world.start(name);
    }
    const target = world.height("a") + 2;
    assert.ok(await world.run(240_000, () => NAMES.every((n) => world.height(n) >= target)), `seed ${seed}`);
    assert.equal(punished(world), []);
    assert.not(
      world.warnings.some((w) => w.includes("contradict")),
      world.warnings.join("; "),
    );
  }
});

test.run();
