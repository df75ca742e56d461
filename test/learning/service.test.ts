import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parameterCount } from "../../genesis/model.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { ATTACKS, type Attack, SIGN_FLIP_FACTOR } from "../../learning/attacks/index.ts";
import { dequantise, norm } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import { createLearningService } from "../../learning/service.ts";
import { LearningSession, type TrainRequest } from "../../learning/session.ts";
import { isPoflError } from "../../types/errors.ts";
import { HARMFUL, HELPFUL, NO_VOTE } from "../../types/round.ts";
import { withFiles } from "./support.ts";

function task(more: object = {}): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: "t",
      schema: {
        features: ["a", "b"].map((name) => ({ name, kind: "number", unit: "", min: -4, max: 4 })),
        label: { name: "y" },
      },
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
      training: { epochs: 2, batch: 8, learningRate: 0.1 },
      rounds: { maximum: 9 },
      split: { test: 0.2, validation: 0.3, seed: 1 },
      ...more,
    }),
  );
}

function csv(seed: string, n = 240): string {
  const random = new Random("service", seed);
  const rows = Array.from({ length: n }, () => {
    const [a, b] = [random.normal(), random.normal()];
    return `${a.toFixed(3)},${b.toFixed(3)},${a - b + random.normal() > 0 ? 1 : 0}`;
  });
  return `a,b,y\n${rows.join("\n")}\n`;
}

const t = task();
const request: TrainRequest = { task: t, model: new Int32Array(parameterCount(t)), exponent: 11, height: 3 };

test("the thread answers what the session computes, byte for byte, and leaves the caller's buffers alone", async () => {
  await withFiles({ "north.csv": csv("a") }, async (folder) => {
    const options = { file: join(folder, "north.csv"), seed: "1" };
    const lines: string[] = [];
    const service = await createLearningService({ ...options, task: t, log: (line) => lines.push(line) });
    try {
      const session = new LearningSession(options);
      const [mine, theirs] = [await session.train(request), await service.train(request)];
      assert.equal(theirs, mine);
      assert.is(mine.samples, 120);
      assert.is(mine.blob.length, 2 * request.model.length);
      assert.is(request.model.length, 3);
      assert.equal(lines, ["north.csv: 120 training, 72 validation, 48 test rows; typed arrays"]);
      // Another height means other batches, another seed too.
      assert.not.equal((await service.train({ ...request, height: 4 })).blob, mine.blob);
      assert.not.equal((await new LearningSession({ ...options, seed: "2" }).train(request)).blob, mine.blob);

      const reversed = dequantise(mine.blob, 0, 0).map((v) => SIGN_FLIP_FACTOR * v);
      const flipped = new Uint8Array(Int16Array.from(reversed).buffer);
      const big = new Uint8Array(1000);
      big.set(mine.blob, 100);
      const updates = [mine.blob, flipped, big.subarray(100, 106), new Uint8Array(4)].map((blob, miner) => ({
        miner,
        blob,
      }));
      const judged = await service.judge({ ...request, medianNorm: 0n, updates });
      assert.equal(judged.votes, [HELPFUL, HARMFUL, HELPFUL, NO_VOTE]);
      assert.equal(judged, await session.judge({ ...request, medianNorm: 0n, updates }));
      assert.is(judged.metrics?.n, 64);
      assert.is(judged.metrics?.loss, 690);
      assert.is(big.length, 1000);
    } finally {
      await service.close();
    }
  });
});

test("too few validation rows: no votes and no metrics", async () => {
  await withFiles({ "small.csv": csv("b", 150) }, async (folder) => {
    const session = new LearningSession({ file: join(folder, "small.csv"), seed: "1" });
    const { blob } = await session.train(request);
    const judged = await session.judge({ ...request, medianNorm: 0n, updates: [{ miner: 0, blob }] });
    assert.equal(judged, { votes: [NO_VOTE], metrics: undefined });
  });
});

test("bad data stop the start with their own error; no thread stays behind", async () => {
  await withFiles({ "bad.csv": "a,b,y\n1,x,0\n" }, async (folder) => {
    const start = createLearningService({ file: join(folder, "bad.csv"), seed: "1", task: t });
    const error = await start.then(
      () => undefined,
      (e: unknown) => e,
    );
    assert.ok(isPoflError(error, "DATA_BAD_CELL"));
    assert.equal(error.data, { file: "bad.csv", line: 2, column: 2 });
  });
});

test("a call that kills the thread fails after a second try; those behind it are answered by the next thread", async () => {
  await withFiles({ "north.csv": csv("a") }, async (folder) => {
    const lines: string[] = [];
    const service = await createLearningService({
      file: join(folder, "north.csv"),
      seed: "1",
      log: (line) => lines.push(line),
    });
    try {
      const fatal = service.load({} as TaskSpec).catch((e: unknown) => e);
      const behind = service.train(request);
      assert.ok(isPoflError(await fatal, "LEARNING_CRASHED"));
      assert.is((await behind).samples, 120);
      assert.is(lines.filter((l) => l.startsWith("the learning thread died")).length, 2);
    } finally {
      await service.close();
    }
  });
});

test("close rejects what waits, and everything after", async () => {
  await withFiles({ "north.csv": csv("a") }, async (folder) => {
    const service = await createLearningService({ file: join(folder, "north.csv"), seed: "1" });
    const waiting = service.train(request).catch((e: unknown) => e);
    await service.close();
    assert.ok(isPoflError(await waiting, "LEARNING_CLOSED"));
    assert.ok(isPoflError(await service.train(request).catch((e: unknown) => e), "LEARNING_CLOSED"));
  });
});

test("each attack does what its name says, to the bytes that are sent", async () => {
  await withFiles({ "north.csv": csv("a") }, async (folder) => {
    const sent = async (attack?: Attack) => {
      const session = new LearningSession({ file: join(folder, "north.csv"), seed: "1", attack });
      return dequantise((await session.train(request)).blob, t.model.scaleBits, request.exponent);
    };
    const honest = await sent();
    const cosine = (u: Float32Array) => u.reduce((s, v, i) => s + v * honest[i]!, 0) / (norm(u) * norm(honest));
    const size = (u: Float32Array) => norm(u) / norm(honest);
    const by = new Map<Attack, Float32Array>();
    for (const attack of ATTACKS) by.set(attack, await sent(attack));
    assert.ok(cosine(by.get("sign-flip")!) < -0.99 && Math.abs(size(by.get("sign-flip")!) - 4) < 0.1);
    assert.ok(cosine(by.get("label-flip")!) < -0.9 && size(by.get("label-flip")!) < 1.5);
    assert.ok(size(by.get("gaussian")!) > 0.5);
    assert.is(norm(by.get("free-rider")!), 0);
  });
});

test("a live attacker copies what it was shown, lies for its accomplices, and forgets a task with it", async () => {
  await withFiles({ "north.csv": csv("a"), "south.csv": csv("b") }, async (folder) => {
    const south = await new LearningSession({ file: join(folder, "south.csv"), seed: "2" }).train(request);
    const judged = { ...request, medianNorm: 0n, updates: [4, 5].map((miner) => ({ miner, blob: south.blob })) };
    const moved = request.model.map((v, i) => v + new Int16Array(south.blob.buffer)[i]! * 2 ** request.exponent);
    const attack = "copycat+lies" as const;
    const service = await createLearningService({
      file: join(folder, "north.csv"),
      seed: "1",
      attack,
      accomplices: [5],
    });
    try {
      await service.train(request);
      assert.equal((await service.judge(judged)).votes, [HARMFUL, HELPFUL]);
      assert.equal((await service.train({ ...request, model: moved, height: 4 })).blob, south.blob);
      const wider = task({
        model: {
          layers: [
            { type: "dense", units: 2, activation: "tanh" },
            { type: "dense", units: 1, activation: "sigmoid" },
          ],
        },
      });
      const size = parameterCount(wider);
      const { blob } = await service.train({ task: wider, model: new Int32Array(size), exponent: 11, height: 5 });
      assert.is(blob.length, 2 * size);
    } finally {
      await service.close();
    }
  });
});

test("the update is clipped to the task's norm before it is quantised", async () => {
  await withFiles({ "north.csv": csv("a") }, async (folder) => {
    const { training } = t;
    const clipped = task({ training: { epochs: 2, batch: 8, learningRate: 0.1, clipNorm: 0.05 } });
    const session = new LearningSession({ file: join(folder, "north.csv"), seed: "1" });
    const update = async (of: TaskSpec) =>
      dequantise((await session.train({ ...request, task: of })).blob, 20, request.exponent);
    assert.is(training.clipNorm, undefined);
    assert.ok(norm(await update(t)) > 0.2);
    assert.ok(Math.abs(norm(await update(clipped)) - 0.05) < 0.002);
  });
});

test.run();
