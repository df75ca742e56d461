import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeMessage } from "../../consensus/messages.ts";
import { computeRound } from "../../consensus/round/compute.ts";
import { parameterCount } from "../../genesis/model.ts";
import { parseTask } from "../../genesis/task.ts";
import { blockId } from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { fakeTrainer, TASK, testGenesis, World } from "./world.ts";

const NAMES = ["a", "b", "c", "d"];

/** Every height that two nodes have is the same block with the same state. */
function assertAgreement(world: World): void {
  const names = world.options.names;
  const top = Math.max(...names.map((n) => world.height(n)));
  for (let h = 1; h <= top; h++) {
    const ids = names.flatMap((n) => {
      const block = world.certified(n, h);
      return block ? [toHex(blockId(block.block.header))] : [];
    });
    assert.is(new Set(ids).size, 1, `height ${h}`);
  }
}

const all = (world: World, height: number, names = world.options.names) =>
  names.every((n) => world.height(n) >= height);

test("four nodes finalise empty blocks at the idle interval", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES), seed: 1 });
  for (const name of NAMES) world.start(name);
  const begun = world.now;
  assert.ok(await world.run(60_000, () => all(world, 10)));
  assert.ok(world.now - begun > 9_000, "at most one idle block per second");
  assertAgreement(world);
});

test("four nodes train: every block carries learning, no window is waited for", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 2 });
  for (const name of NAMES) world.start(name);
  const begun = world.now;
  assert.ok(await world.run(60_000, () => all(world, 10)));
  assert.ok(world.now - begun < 10 * 300, `${world.now - begun} ms for 10 rounds`);
  assertAgreement(world);
  for (let h = 1; h <= 10; h++) {
    const learning = world.certified("a", h)?.block.learning[0];
    assert.is(learning?.result.updates.filter((u) => u.weight > 0n).length, 4, `height ${h}`);
  }
});

test("a node that follows a certificate computes the model from the updates that it has: others may have none to give", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 5 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 2)));
  // It holds updates and block of height 3, and hears of no vote.
  world.filter = (_from, to, frame) => to !== "d" || decodeMessage(frame).kind !== "vote";
  const others = NAMES.filter((n) => n !== "d");
  assert.ok(await world.run(60_000, () => all(world, 3, others)));
  const root = world.certified("a", 3)?.block.learning[0]?.result.modelRoot as Uint8Array;
  for (const n of others) assert.ok(world.disks.get(n)?.blobs.delete(toHex(root)));
  world.filter = () => true;
  assert.ok(await world.run(60_000, () => world.height("d") >= 3));
  assert.ok(world.disks.get("d")?.blobs.has(toHex(root)));
  assertAgreement(world);
});

test("a star: what two peers can't send each other is passed on at once", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 8, hub: "b" });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 3)));
  const begun = world.now;
  assert.ok(await world.run(60_000, () => all(world, 13)));
  assert.ok(world.now - begun < 10 * 300, `${world.now - begun} ms for 10 rounds`);
  assertAgreement(world);
});

test("a dead node costs windows while it is expected, then nothing; back again it catches up and takes part", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 3 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 3)));
  world.kill("c");
  const alive = ["a", "b", "d"];
  assert.ok(await world.run(120_000, () => all(world, 14, alive)));
  world.start("c");
  assert.ok(await world.run(60_000, () => all(world, 20)));
  assertAgreement(world);
  const last = world.certified("a", 20)?.block.learning[0];
  assert.is(last?.result.updates.length, 4, "the node trains again");
});

test("two of four dead: the chain halts, and goes on when one returns", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 4 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 3)));
  world.kill("a");
  world.kill("b");
  const halted = Math.max(world.height("c"), world.height("d"));
  assert.not(await world.run(60_000, () => world.height("c") > halted + 1));
  world.start("a");
  assert.ok(await world.run(120_000, () => all(world, halted + 5, ["a", "c", "d"])));
  assertAgreement(world);
});

for (const seed of [11, 12, 13]) {
  test(`loss, delay and crashes at any time: nothing final changes (seed ${seed})`, async () => {
    const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed, delay: 30, loss: 0.15 });
    for (const name of NAMES) world.start(name);
    for (let i = 0; i < 8; i++) {
      const victim = NAMES[Math.floor(world.rand() * 4)] as string;
      await world.run(200 + world.rand() * 1500, () => false);
      world.kill(victim);
      await world.run(world.rand() * 3000, () => false);
      world.start(victim);
    }
    const target = Math.max(...NAMES.map((n) => world.height(n))) + 3;
    assert.ok(await world.run(300_000, () => all(world, target)), "goes on afterwards");
    assertAgreement(world);
    assert.equal(
      world.reports.filter((r) => r.includes("reject")),
      [],
      "no correct node is punished",
    );
  });
}

test("a node that catches up does not train for every block that it follows", async () => {
  let jobs = 0;
  const counting = (name: string) => {
    const trainer = fakeTrainer(name);
    if (name !== "d") return trainer;
    const train: typeof trainer.train = (job) => {
      jobs++;
      return trainer.train(job);
    };
    return { ...trainer, train };
  };
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 10, trainer: counting });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(120_000, () => world.height("a") >= 40));
  world.start("d");
  assert.ok(await world.run(60_000, () => all(world, 45)));
  assert.ok(jobs <= 10, `${jobs} jobs for 45 heights`);
  assert.is(world.certified("a", 45)?.block.learning[0]?.result.updates.length, 4, "it trains in the end");
});

test("the optimiser's moments travel with the model; trainers and judges see the parameters alone", async () => {
  const file = { ...TASK, aggregation: { rule: "nnm+trimmed-mean", optimiser: "fedadam", tau: 0.01 } };
  const lengths = new Set<number>();
  const watching = (name: string) => {
    const trainer = fakeTrainer(name);
    const train: typeof trainer.train = (job) => trainer.train(note(job));
    const judge: typeof trainer.judge = (job) => trainer.judge(note(job));
    return { ...trainer, train, judge };
  };
  const note = <J extends { model: Int32Array }>(job: J): J => {
    lengths.add(job.model.length);
    return job;
  };
  const task = parseTask(JSON.stringify(file));
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, task), seed: 14, trainer: watching });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 4));
  world.start("d");
  assert.ok(await world.run(60_000, () => all(world, 8)), "the late one has pulled what is stored");
  assertAgreement(world);
  const stored = await world.engines.get("d")?.model();
  const d = parameterCount(task);
  assert.is(stored?.length, 3 * d);
  assert.ok(stored?.subarray(d).some((m) => m !== 0));
  assert.equal([...lengths], [d]);
});

test("a forged block is refused: bad certificate, changed content, wrong set", async () => {
  const genesis = testGenesis(NAMES, TASK);
  const world = new World({ names: NAMES, genesis, seed: 5 });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 2, ["a", "b", "c"])));
  world.cut.add("d");
  const engine = world.start("d");
  const good = world.certified("a", 1);
  assert.ok(good);
  const refused = async (what: string, forged: typeof good, code: string) => {
    try {
      await engine.applyCertified([forged]);
      assert.unreachable(what);
    } catch (error) {
      assert.ok(isPoflError(error, code), `${what}: ${error}`);
    }
  };
  const few = { ...good.commit, signatures: good.commit.signatures.slice(0, 2) };
  await refused("two of four signatures", { ...good, commit: few }, "BAD_COMMIT");
  const twice = { ...good.commit, signatures: [good.commit.signatures[0], ...good.commit.signatures] as never };
  await refused("one signature twice", { ...good, commit: twice }, "BAD_COMMIT");
  const header = { ...good.block.header, time: good.block.header.time + 1 };
  await refused("another header", { ...good, block: { ...good.block, header } }, "BAD_COMMIT");
  const learning = structuredClone(good.block.learning);
  (learning[0] as (typeof learning)[0]).result.updates[0]!.pay += 1n;
  await refused(
    "a result that its header does not name",
    { ...good, block: { ...good.block, learning } },
    "INVALID_BLOCK",
  );
  assert.is(await engine.applyCertified([good]), 1);
  assert.is(world.height("d"), 1);
});

test("rounds may be computed elsewhere and take their time: the same blocks", async () => {
  const genesis = testGenesis(NAMES, TASK);
  const blocks = async (slow: boolean) => {
    const world: World = new World({
      names: NAMES,
      genesis,
      seed: 4,
      steady: true,
      rounds: (name) => ({
        compute: async (input) => {
          const ms = slow ? 10 * (1 + NAMES.indexOf(name)) : 0;
          if (slow) await new Promise<void>((resolve) => world.at(ms, resolve));
          return computeRound(input);
        },
      }),
    });
    for (const name of NAMES) world.start(name);
    assert.ok(await world.run(60_000, () => all(world, 4)));
    assertAgreement(world);
    assert.equal(world.faults, []);
    return world.certified("a", 1)?.block.learning[0]?.result;
  };
  assert.equal(await blocks(true), await blocks(false));
});

test("a round that could not be computed says nothing about the block", async () => {
  const world = new World({
    names: NAMES,
    genesis: testGenesis(NAMES, TASK),
    seed: 9,
    broken: "d",
    rounds: (name) => {
      if (name !== "d") return undefined;
      return { compute: () => Promise.reject(new PoflError("INVALID_BLOCK", "the thread is confused")) };
    },
  });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(120_000, () => all(world, 6)), "the others go on, and it follows");
  assertAgreement(world);
  assert.ok(world.warnings.some((w) => w.includes("judging a block failed")));
  assert.equal(
    world.warnings.filter((w) => w.includes("refused")),
    [],
  );
  assert.equal(
    world.reports.filter((r) => r.includes("reject")),
    [],
  );
});

test("twenty validators, seven seats: draw, quorums and votes work when the committee is not everyone", async () => {
  const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
  const world = new World({ names, genesis: testGenesis(names, TASK, { committeeSeats: 7 }), seed: 6 });
  for (const name of names) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 4)));
  assertAgreement(world);
  const committees = new Set<string>();
  for (let h = 1; h <= 4; h++) {
    const learning = world.certified("n0", h)?.block.learning[0];
    assert.ok(learning);
    const members = learning.attestations.map((a) => a.message.member);
    committees.add(members.join());
    assert.ok(members.length >= 5 && members.length <= 7, `${members.length} attestations`);
    for (const u of learning.result.updates.filter((r) => r.weight > 0n)) {
      const owner = members.includes(u.miner) ? 1 : 0;
      assert.is(u.helpful, members.length - owner, "every included member votes on all but its own");
    }
    assert.ok(learning.result.updates.filter((u) => u.weight > 0n).length >= 18);
  }
  assert.ok(committees.size > 1, "the seats move");
});

test("members without data attest without votes; a miner without data holds nobody up for long", async () => {
  const world = new World({
    names: NAMES,
    genesis: testGenesis(NAMES, TASK),
    seed: 7,
    trainer: (name) => (name === "d" ? undefined : fakeTrainer(name)),
  });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => all(world, 8)));
  assertAgreement(world);
  const counts = [5, 6, 7, 8].map((h) => world.certified("a", h)?.block.learning[0]?.attestations.length ?? 0);
  assert.ok(
    counts.every((n) => n >= 3),
    `attestations: ${counts}`,
  );
});

test.run();
