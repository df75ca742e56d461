import { test } from "uvu";
import * as assert from "uvu/assert";
import { coarseMetrics, evaluate, meanLoss } from "../../learning/evaluate.ts";
import { judge } from "../../learning/judge.ts";
import { Random } from "../../learning/random.ts";
import { pick, type Samples } from "../../learning/samples.ts";
import { DenseTrainer } from "../../learning/trainers/dense.ts";
import { NO_VOTE } from "../../types/round.ts";
import { type Equation, fitPatients, gradientByVotes, patientByMetrics, patientsByVotes } from "./probing-attacks.ts";
import {
  COLUMNS,
  cosine,
  D,
  distance,
  gaussian,
  Member,
  norm,
  patients,
  plain,
  plus,
  probedTask,
  shares,
  signed,
  type Vector,
} from "./probing-member.ts";

/**
 * Everybody else in the network against one member's validation rows: they move the model where they like and see what the member
 * says. Each attack is run against answers without the judge's noise, where it must succeed, and against the judge, where it must not.
 */

const task = probedTask(6);
const trainer = new DenseTrainer(task);
const SEEDS = [1, 2, 3];
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const show = (values: readonly number[], digits = 2) => values.map((v) => v.toFixed(digits)).join(" ");

/** A member as it is. */
const judging = (rows: Samples) => new Member(task, (request) => judge(trainer, rows, "a secret", request));
/** One whose votes and metrics are of all its rows, as they are: as coarse as the judge's, without its noise. */
const candid = (rows: Samples) =>
  new Member(task, async (request) => {
    const at = Float32Array.from(request.model, (v) => v / 2 ** task.model.scaleBits);
    if (request.updates.length > 0) return { ...(await plain(trainer, rows, request)), metrics: undefined };
    return { votes: [], metrics: coarseMetrics(evaluate(await trainer.logits(at, rows), rows.y)) };
  });
/** One that publishes losses. */
const loss = async (rows: Samples, w: Vector) => meanLoss(await trainer.logits(Float32Array.from(w), rows), rows.y);
const ill = (rows: Samples) => rows.y.reduce((a, b) => a + b, 0);
/** Of each patient, how far the nearest found one is. */
const missed = (rows: Samples, found: readonly Vector[]) =>
  signed(rows).map((t) => Math.min(...found.map((f) => distance(f, t))));
/** Columns and outcome without the loss's sign. */
const unsigned = (rows: Samples) => signed(rows).map((v) => v.map((x) => x * v[COLUMNS]!));
const sum = (vectors: readonly Vector[]) => vectors.reduce((a, b) => plus(a, b));
/** How near a guess comes that knows nothing but the mean patient. */
function ignorance(rows: Samples): number {
  const all = unsigned(rows);
  const mean = all.reduce((a, b) => plus(a, b, 1 / rows.n), new Float64Array(D));
  return Math.min(...all.map((v) => distance(v, mean)));
}

test("exact losses: 28 probes give the gradient of six patients, 300 the patients", async () => {
  for (const seed of SEEDS) {
    const rows = patients(6, seed);
    const random = new Random("exact", seed);
    const at = gaussian(random, 0.5);
    const truth = sum(shares(signed(rows), at));
    const found = new Float64Array(D);
    for (let j = 0; j < D; j++) {
      const step = Float64Array.from({ length: D }, (_, i) => (i === j ? 2 ** -5 : 0));
      found[j] = ((await loss(rows, plus(at, step))) - (await loss(rows, plus(at, step, -1)))) / 2 ** -4;
    }
    const error = norm(plus(found, truth, -1)) / norm(truth);
    const equations: Equation[] = [];
    for (let k = 0; k < 300; k++) {
      const to = Float64Array.from(Float32Array.from(gaussian(random, 4 * random.uniform())));
      equations.push({ to, value: await loss(rows, to), weight: 1 });
    }
    const misses = missed(rows, fitPatients(equations, 6, ill(rows), random, 6));
    console.log(`exact losses, six patients: gradient off by ${error.toExponential(1)}, columns by ${show(misses, 5)}`);
    assert.ok(error <= 1e-3, `${error}`);
    assert.ok(Math.max(...misses) <= 0.01, show(misses, 4));
  }
});

test("a split smaller than the task's minimum says nothing", async () => {
  const rows = patients(49, 1);
  const model = new Int32Array(D);
  const updates = [{ miner: 0, blob: new Uint8Array(2 * D).fill(1) }];
  const request = { task: probedTask(50), model, exponent: 0, medianNorm: 1n << 30n, updates };
  assert.equal(await judge(trainer, rows, "s", request), { votes: [NO_VOTE], metrics: undefined });
});

/** Distance of the direction found from the true gradient, in units of what one patient adds to it. */
function inPatients(found: Vector, of: readonly Vector[]): number {
  const truth = sum(of);
  const sine = Math.sqrt(Math.max(0, 1 - cosine(found, truth) ** 2));
  return (norm(truth) * sine) / (of.reduce((total, v) => total + norm(v), 0) / of.length);
}

for (const [n, long, floor] of [
  [6, [28, 140, 280], 0.5],
  [60, [28, 140, 280, 2800], 2],
] as const) {
  test(`votes on ${n} patients: without noise 140 probes give the gradient to a fraction of a patient, with it they don't`, async () => {
    for (const seed of SEEDS) {
      const all = patients(n + 140, seed);
      const rows = pick(
        all,
        Uint32Array.from({ length: n }, (_, i) => i),
      );
      const at = gaussian(new Random("at", seed), 0.3);
      const of = shares(signed(rows), at).map((v) => v.map((x) => -x));
      const run = async (member: Member, probes: readonly number[]) => {
        const found: { cosine: number; patients: number }[] = [];
        await gradientByVotes(member, at, new Random("probe", seed), probes, (estimate) =>
          found.push({ cosine: cosine(estimate, sum(of)), patients: inPatients(estimate, of) }),
        );
        return found;
      };
      const without = await run(candid(rows), [28, 140]);
      // The long run takes seconds: once is enough.
      const against = await run(judging(rows), seed === 1 ? long : [28, 140, 280]);
      // The step that the hospital itself would send, from its training rows.
      const training = pick(
        all,
        Uint32Array.from({ length: 140 }, (_, i) => n + i),
      );
      const own = cosine(sum(shares(signed(training), at)), sum(shares(signed(rows), at)));
      const text = (f: typeof against) => f.map((x) => `${x.cosine.toFixed(3)} (${x.patients.toFixed(2)})`).join(", ");
      console.log(
        `votes on ${n} patients, cosine with the gradient (error in patients) after 28, 140 probes: ${text(without)}; ` +
          `of the judge, after ${long.slice(0, against.length)}: ${text(against)}; the hospital's own update ${own.toFixed(3)}`,
      );
      // One patient's gradient is a multiple of (x, 1). Of the mean over several, even known exactly, the quotient is nobody.
      const mean = sum(of);
      const quotient = mean.map((v) => v / mean[COLUMNS]!);
      assert.ok(Math.min(...unsigned(rows).map((t) => distance(t, quotient))) >= 0.2);
      assert.ok(without[1]!.cosine >= 0.999 && without[1]!.patients <= 0.3, text(without));
      assert.ok(against[2]!.cosine <= 0.99 && against[2]!.patients >= floor, text(against));
      assert.ok(against.at(-1)!.patients >= 2 * without[1]!.patients, text(against));
    }
  });
}

test("votes on six patients: without noise 3,000 probes find them all, with it none", async () => {
  for (const seed of [2, 3]) {
    const rows = patients(6, seed);
    const find = async (member: Member, starts: number) => {
      const found = await patientsByVotes(member, 6, ill(rows), new Random("pairs", seed), 150, starts);
      console.log(
        `votes on six patients, ${member.rounds} probes: columns off by ${show(missed(rows, found), 3)}; ` +
          `the mean patient is off by ${ignorance(rows).toFixed(2)} from the nearest`,
      );
      return missed(rows, found);
    };
    assert.ok(Math.max(...(await find(candid(rows), 6))) <= 0.02);
    assert.ok(Math.min(...(await find(judging(rows), 1))) >= 0.2);
  }
});

test("metrics of 60 patients: without noise 140 models read one out, with it they don't", async () => {
  const find = async (name: string, of: (rows: Samples) => Member, reach: number) => {
    const misses: number[] = [];
    const rounds: number[] = [];
    for (let seed = 1; seed <= 5; seed++) {
      const rows = patients(60, seed);
      const member = of(rows);
      const found = await patientByMetrics(member, 60, new Random("metrics", seed), 1, reach);
      misses.push(Math.min(...unsigned(rows).map((t) => distance(t, found))));
      rounds.push(member.rounds);
    }
    console.log(`metrics of 60 patients, ${name}: ${median(rounds)} models, columns of one off by ${show(misses, 3)}`);
    return median(misses);
  };
  assert.ok((await find("without noise", candid, 0.05)) <= 0.02);
  // Of what this attacker can do with one answer to each question, the farther reading is the better: less is drowned.
  assert.ok((await find("judge", judging, 0.5)) >= 0.2);
});

test.run();
