import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Effect, HARMFUL_ERRORS, judge, levels } from "../../learning/judge.ts";
import { DenseTrainer } from "../../learning/trainers/dense.ts";
import { HARMFUL, HELPFUL, NEUTRAL, NO_VOTE, type UpdateVote } from "../../types/round.ts";
import { D, patients, probedTask } from "./probing-member.ts";

const effects = (raws: readonly (number | undefined)[], error = 0.01): (Effect | undefined)[] =>
  raws.map((raw) => (raw === undefined ? undefined : { raw, error }));

test("levels are relative to the round", () => {
  const table: [string, (number | undefined)[], UpdateVote[]][] = [
    ["early: all help, one reverses", [0.2, 0.18, -0.2, 0.22], [HELPFUL, HELPFUL, HARMFUL, HELPFUL]],
    [
      "near convergence: negative noise is not harm",
      [-0.004, 0.003, -0.006, 0.001],
      [HELPFUL, HELPFUL, HELPFUL, HELPFUL],
    ],
    ["all overshoot alike", [-0.3, -0.31, -0.305], [HELPFUL, HELPFUL, HELPFUL]],
    ["behind, but within six errors of the median", [0.03, 0.03, -0.02], [HELPFUL, HELPFUL, NEUTRAL]],
    ["far below the others, yet it helps", [0.5, 0.5, 0.01], [HELPFUL, HELPFUL, HELPFUL]],
    ["nobody is harmful alone", [-5], [HELPFUL]],
    ["nor of two", [-5, 0.1], [HELPFUL, HELPFUL]],
    ["what can't be applied gets no vote", [undefined, 0.1, 0.1], [NO_VOTE, HELPFUL, HELPFUL]],
    ["nothing", [], []],
  ];
  for (const [id, raws, votes] of table) assert.equal(levels(effects(raws)), votes, id);
});

test("the unit of the loss does not matter, and at most half are ever harmful", () => {
  const raw = fc.double({ min: -1, max: 1, noNaN: true });
  const error = fc.double({ min: 0.001, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.record({ raw, error }), { maxLength: 12 }), (es) => {
      const votes = levels(es);
      assert.equal(levels(es.map((e) => ({ raw: 4 * e.raw, error: 4 * e.error }))), votes);
      assert.ok(2 * votes.filter((v) => v === HARMFUL).length <= es.length);
    }),
  );
  assert.ok(HARMFUL_ERRORS > 0);
});

test("the same question has the same answer; to another secret, model or update other rows answer", async () => {
  const task = probedTask(50);
  const trainer = new DenseTrainer(task);
  const rows = patients(60, 1);
  const step = (lane: number) => ({ miner: 0, blob: new Uint8Array(new Int16Array(D).fill(lane).buffer) });
  const ask = async (secret: string, weight: number, ...lanes: number[]) => {
    const model = new Int32Array(D).fill(weight);
    const updates = lanes.map(step);
    return judge(trainer, rows, secret, { task, model, exponent: 6, medianNorm: 1n << 30n, updates });
  };
  assert.equal(await ask("a", 2 ** 20, 100, -90), await ask("a", 2 ** 20, 100, -90));
  const distinct = async (answers: readonly Promise<unknown>[]) =>
    new Set((await Promise.all(answers)).map((a) => JSON.stringify(a))).size;
  const ten = Array.from({ length: 10 }, (_, i) => i);
  // Between models as near as these no patient's prediction changes.
  assert.ok((await distinct(ten.map((i) => ask(`${i}`, 2 ** 20)))) > 2);
  assert.ok((await distinct(ten.map((i) => ask("a", 2 ** 20 + i)))) > 2);
  assert.ok((await distinct(ten.map(async (i) => (await ask("a", 2 ** 20, i)).metrics))) > 2);
});

test.run();
