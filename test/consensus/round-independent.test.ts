import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { computeRound, type RoundInput, type RoundUpdate } from "../../consensus/round/compute.ts";
import { NO_STANDING, type Standing } from "../../consensus/round/credit.ts";
import { lanesOf } from "../../consensus/round/model.ts";
import { AGGREGATION_RULES, MOMENTS, WEIGHTED_RULES } from "../../genesis/aggregation.ts";
import { packSquare } from "../../genesis/moments.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import { UPDATE_STATUS } from "../../types/round.ts";
import { independentRound, type PlainResult } from "../independent/round.ts";
import { blobOf, hash, lcg, learned, round, SEED, task, update } from "./round-fixture.ts";

/** Two implementations of the sum agree bit for bit: model, root, status, score, contribution, weight, pay, exponent, median. */

function independent({ spec, ...input }: RoundInput): PlainResult | undefined {
  return independentRound({
    aggregation: spec.aggregation,
    scaleBits: spec.model.scaleBits,
    minimumUpdates: spec.rounds.minimumUpdates,
    ...input,
    updates: input.updates.map((u) => ({ ...u, ...u.standing })),
    past: [...input.past],
  });
}

const seen = new Map<string, number>();
const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);

function compare(input: RoundInput): void {
  const theirs = independent(input);
  const ours = computeRound(input);
  if (ours.failure !== undefined) {
    note(ours.failure);
    assert.is(theirs, undefined, ours.why);
    return;
  }
  assert.ok(theirs, "the independent sum finds no learning block");
  const { result, model } = ours;
  // Not by assert.equal: its difference of two long arrays takes for ever.
  const differs = model.findIndex((v, k) => v !== theirs.model[k]);
  assert.is(differs, -1, `parameter ${differs}: ${model[differs]} against ${theirs.model[differs]}`);
  assert.equal(Buffer.from(result.modelRoot).toString("hex"), Buffer.from(theirs.modelRoot).toString("hex"));
  assert.equal(
    [result.fKrum, result.medianNorm, result.nextExponent, result.exponent],
    [theirs.f, theirs.medianNorm, theirs.nextExponent, input.exponent],
  );
  const lines = result.updates.map((u) => ({
    miner: u.miner,
    status: UPDATE_STATUS[u.status] as string,
    norm2: u.norm2,
    score: u.krumScore,
    contribution: BigInt.asIntN(64, u.contribution),
    credit: BigInt.asIntN(64, u.credit),
    variance: u.variance,
    weight: u.weight,
    scale: BigInt(u.scale),
    pay: u.pay,
  }));
  // A malformed update has no norm in either.
  assert.equal(lines, theirs.lines);
  assert.ok(lines.reduce((s, l) => s + l.pay, 0n) <= input.pool, "more was paid than there is");
  for (const l of lines) {
    note(l.status);
    if (l.pay > 0n) note("paid");
    if (l.status !== "accepted" && l.status !== "accepted-clipped") assert.is(l.pay, 0n);
  }
  if (result.nextExponent !== input.exponent) note("exponent moved");
  const { rule } = input.spec.aggregation;
  const entered = result.updates.filter((u) => u.weight > 0n).length;
  note(`${rule}: ${entered === 0 ? "nobody" : entered < 5 ? "few" : "five or more"}`);
  if (result.fKrum > 1) note(`${rule}: f > 1`);
  if (lines.some((l) => l.status === "suspect")) note(`${rule}: suspects`);
}

const permille = (min: number, max: number) => fc.integer({ min, max });
const settingsArb: fc.Arbitrary<Partial<TaskSpec["aggregation"]>> = fc.record({
  rule: fc.oneof(fc.constant("multi-krum" as const), fc.constantFrom(...AGGREGATION_RULES)),
  f: fc.oneof({ weight: 4, arbitrary: fc.constant("auto" as const) }, fc.integer({ min: 0, max: 3 })),
  maxF: fc.constantFrom(62, 1, 2),
  weights: fc.constantFrom("equal" as const, "samples" as const),
  weightCapPermille: fc.oneof(fc.constantFrom(1000, 2000, 1_000_000), permille(1000, 5000)),
  normBoundPermille: permille(1000, 6000),
  normFloorPermille: permille(0, 1000),
  firstNormBound: fc.oneof(
    fc.constantFrom(0.001, 64, 1_000_000, 1e-7),
    fc.double({ min: 1e-4, max: 100, noNaN: true }),
  ),
  duplicateCosinePermille: permille(500, 1000),
  duplicateDistancePermille: permille(0, 300),
});

/** What a rule has no use for is refused by the schema. */
const aggregationArb = settingsArb.map((a): typeof a => ({
  ...a,
  weights: WEIGHTED_RULES.some((r) => r === a.rule) ? (a.weights ?? "equal") : "equal",
  f: a.rule === "fedavg" ? "auto" : (a.f ?? "auto"),
}));

/** Updates around a common direction, with every kind of misfit. */
const updatesArb = fc
  .record({
    n: fc.integer({ min: 0, max: 11 }),
    d: fc.integer({ min: 1, max: 24 }),
    seed: fc.nat(),
    spread: fc.nat(40),
  })
  .map(({ n, d, seed, spread }) => {
    const next = lcg(seed);
    const size = [3, 60, 400, 1500][Math.floor(next() * 4)] as number;
    const base = Array.from({ length: d }, () => (next() - 0.5) * size);
    const clamp = (x: number) => Math.max(-2047, Math.min(2047, Math.round(x)));
    const updates: RoundUpdate[] = [];
    const committee = Math.floor(next() * 13);
    for (let i = 0; i < n; i++) {
      let lanes = base.map((b) => clamp(b + (next() - 0.5) * size * (spread / 10)));
      const kind = Math.floor(next() * 18);
      const other = updates[Math.floor(next() * updates.length)];
      if (kind === 0) lanes = lanes.map(() => 0);
      if (kind === 1) lanes = lanes.map((q) => clamp(q * 30));
      if (kind === 2) lanes = lanes.map((q) => clamp(-4 * q));
      if (kind === 3) lanes = lanes.map((q) => clamp(q / 20));
      if (kind === 4) lanes = lanes.map((_, k) => (k % 2 === 0 ? 2047 : -2047));
      if (kind === 5) lanes[0] = next() < 0.5 ? 2048 : -2048;
      if (kind === 6) lanes = [...lanes, 1];
      let blob = blobOf(lanes);
      if (kind === 7) blob = blob.slice(1);
      if ((kind === 8 || kind === 9) && other) blob = other.blob;
      const [a, b, c] = [next(), next(), next()].map((x) => x ** 3) as [number, number, number];
      const cast = Math.floor(next() * (committee + 1));
      const harmful = Math.floor((cast * a) / (a + b + c + 1e-9));
      const neutral = Math.floor((cast * b) / (a + b + c + 1e-9));
      updates.push(
        update(i, [], {
          blob,
          institution: kind === 10 && other ? other.institution : hash(i),
          samples: Math.floor(2 ** (32 * next()) - 1),
          standing: standing(next),
          ...{ harmful, neutral, helpful: cast - harmful - neutral },
        }),
      );
    }
    // What was recorded: near what is sent now, some of it sent again, or nothing.
    const past = Array.from({ length: Math.floor(next() * 6) }, () => {
      const other = updates[Math.floor(next() * updates.length)];
      const lanes = base.map((b) => clamp(b + (next() - 0.5) * size));
      const again = next() < 0.3 && other && other.blob.length === 2 * d;
      return { blob: again ? other.blob : blobOf(lanes), coefficient: BigInt(Math.floor(next() * 3) * 40_000) };
    }).filter((p) => lanesOf(p.blob).every((q) => q >= -2047 && q <= 2047));
    return { updates, past, d, committee, next };
  });

function standing(next: () => number): Standing {
  if (next() < 0.3) return NO_STANDING;
  return {
    credit: BigInt(Math.round((next() - 0.4) * 500_000)),
    variance: BigInt(Math.round(next() ** 4 * 2 ** 34)),
  };
}

test("on random rounds of every kind", () => {
  const arb = fc.record({
    made: updatesArb,
    aggregation: aggregationArb,
    exponent: fc.integer({ min: 0, max: 15 }),
    median: fc.oneof(fc.constant(0), fc.integer({ min: -40, max: 40 })),
    start: fc.constantFrom(0, 1, 2),
    minimumUpdates: fc.constantFrom(1, 1, 3),
    pool: fc.constantFrom(0n, 1n, 999_999_937n, 2n ** 63n),
  });
  fc.assert(
    fc.property(arb, ({ made, aggregation, exponent, median, start, minimumUpdates, pool }) => {
      const { updates, past, d, committee } = made;
      const extremes = [0, 2 ** 31 - 1 - 3 * 2 ** exponent, -(2 ** 31) + 3 * 2 ** exponent];
      const model = new Int32Array(d).fill(Math.max(-(2 ** 31), extremes[start] as number));
      // A median near the norms of the round, so that bound and floor matter.
      const norm = Math.max(1, ...updates.map((u) => u.blob.length)) * 20 * 2 ** exponent;
      const medianNorm = median === 0 ? 0n : BigInt(Math.max(1, Math.round(norm * 2 ** (median / 10))));
      const spec = task(aggregation, minimumUpdates);
      compare(round(updates, { spec, model, exponent, medianNorm, committeeSize: committee, pool, past }));
    }),
    { numRuns: 2000, seed: 42, endOnFailure: true },
  );
  // The generator reaches everything; else agreement would say little.
  const wanted = ["accepted", "accepted-clipped", "malformed", "too-large", "too-small", "duplicate", "harmful"];
  for (const what of [...wanted, "paid", "too-few", "overflow", "exponent moved"]) {
    assert.ok((seen.get(what) ?? 0) >= 20, `${what}: ${seen.get(what) ?? 0} times`);
  }
});

/** Sound updates in one to three camps, some of them condemned by the votes: what the rules are about. */
const campsArb = fc
  .record({ n: fc.integer({ min: 1, max: 13 }), d: fc.integer({ min: 1, max: 9 }), seed: fc.nat(), camps: fc.nat(2) })
  .map(({ n, d, seed, camps }) => {
    const next = lcg(seed);
    const size = [4, 50, 1000][Math.floor(next() * 3)] as number;
    const vector = (of: number) => Array.from({ length: d }, () => Math.round((next() - 0.5) * of));
    const centres = Array.from({ length: camps + 1 }, () => vector(2 * size));
    const condemned = next() * next();
    const updates = Array.from({ length: n }, (_, i) => {
      const centre = centres[Math.floor(next() * centres.length)] as number[];
      const noise = vector(size / (1 + 3 * next()));
      const lanes = centre.map((c, k) => Math.max(-2047, Math.min(2047, c + (noise[k] as number))));
      const votes = next() < condemned ? { harmful: 13 } : { helpful: 13 };
      return update(i, lanes, { ...votes, samples: Math.floor(2 ** (34 * next())) % 2 ** 32 });
    });
    return { updates, d };
  });

for (const rule of AGGREGATION_RULES) {
  test(`on sound updates in camps: ${rule}`, () => {
    const arb = fc.record({
      made: campsArb,
      settings: fc.record({
        f: fc.constantFrom("auto" as const, "auto" as const, 0, 1, 2),
        maxF: fc.constantFrom(62, 62, 1),
        weights: fc.constantFrom("equal" as const, "samples" as const),
        weightCapPermille: fc.constantFrom(2000, 1_000_000),
      }),
      exponent: fc.integer({ min: 0, max: 12 }),
    });
    fc.assert(
      fc.property(arb, ({ made: { updates, d }, settings, exponent }) => {
        const weights = WEIGHTED_RULES.includes(rule) ? settings.weights : "equal";
        const f = rule === "fedavg" ? "auto" : settings.f;
        const spec = task({ ...settings, rule, weights, f, firstNormBound: 1_000_000 });
        compare(round(updates, { spec, exponent, model: new Int32Array(d).fill(7), committeeSize: 14 }));
      }),
      { numRuns: 250, seed: 3, endOnFailure: true },
    );
    const wanted = ["nobody", "few", "five or more"].map((what) => `${rule}: ${what}`);
    if (rule !== "fedavg") wanted.push(`${rule}: f > 1`);
    if (rule === "nnm+multi-krum") wanted.push(`${rule}: suspects`);
    for (const what of wanted) assert.ok((seen.get(what) ?? 0) >= 8, `${what}: ${seen.get(what) ?? 0} times`);
  });
}

/** Moments as rounds leave them, and at their ends. */
function storedModel(spec: TaskSpec, d: number, next: () => number): Int32Array {
  const { optimiser = "fedavg" } = spec.aggregation;
  const kind = Math.floor(next() * 4);
  const bits = kind === 0 ? 8 : kind === 1 ? 31 : 24;
  const signed = () => Math.floor((2 * next() - 1) * 2 ** Math.min(bits, optimiser === "fedadam" ? 30 : 31));
  const square = () => packSquare(Math.floor(2 ** (52 * next())) * (kind === 0 ? 0 : 1));
  return Int32Array.from({ length: d * (1 + MOMENTS[optimiser]) }, (_, i) => {
    if (i < d) return Math.floor((2 * next() - 1) * 2 ** 20);
    return i < 2 * d ? signed() : square();
  });
}

test("through every rule and server optimiser, over several rounds", () => {
  const rate = fc.oneof(fc.constantFrom(1, 16, 0.0001), fc.double({ min: 0.0001, max: 2, noNaN: true }));
  const decay = fc.oneof(fc.constantFrom(0, 0.9, 0.99, 0.9999), fc.double({ min: 0, max: 0.9999, noNaN: true }));
  const arb = fc.record({
    made: campsArb,
    rule: fc.constantFrom(...AGGREGATION_RULES),
    optimiser: fc.constantFrom("fedavgm" as const, "fedadam" as const),
    serverRate: rate,
    momentum: decay,
    secondMomentum: decay,
    tau: fc.constantFrom(0.25, 1, 0.4),
    scaleBits: fc.constantFrom(8, 18, 20, 22, 24),
    exponent: fc.integer({ min: 0, max: 15 }),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(arb, ({ made: { updates, d }, rule, scaleBits, exponent, seed, ...all }) => {
      const { secondMomentum, tau, ...common } = all;
      const settings = all.optimiser === "fedadam" ? { ...common, secondMomentum, tau } : common;
      const spec = task({ rule, ...settings, firstNormBound: 1_000_000 });
      const of = { ...spec, model: { ...spec.model, scaleBits } };
      const next = lcg(seed);
      let input = round(updates, { spec: of, exponent, model: storedModel(of, d, next), committeeSize: 14 });
      for (let r = 0; r < 3; r++) {
        compare(input);
        const outcome = computeRound(input);
        if (outcome.failure !== undefined) break;
        const turned = updates.map((u) => ({ ...u, blob: blobOf([...lanesOf(u.blob)].map((q) => -q)) }));
        input = { ...input, model: outcome.model, updates: r === 0 ? turned : updates };
        note(`${settings.optimiser} after ${r + 1}`);
      }
    }),
    { numRuns: 600, seed: 5, endOnFailure: true },
  );
  for (const optimiser of ["fedavgm", "fedadam"])
    for (const r of [1, 3]) assert.ok((seen.get(`${optimiser} after ${r}`) ?? 0) > 200, `${optimiser} after ${r}`);
});

for (const rule of AGGREGATION_RULES) {
  test(`on a model of several chunks, with extreme lanes and weights: ${rule}`, () => {
    const d = rule === "multi-krum" ? 150_000 : 20_000;
    const next = lcg(3);
    const updates = Array.from({ length: 5 }, (_, i) =>
      update(
        i,
        Array.from({ length: d }, () => (next() < 0.5 ? 2047 : -2047)),
        { samples: 2 ** 32 - 1 - i },
      ),
    );
    const weights = WEIGHTED_RULES.includes(rule) ? "samples" : "equal";
    const spec = task({ rule, weights, weightCapPermille: 1_000_000, firstNormBound: 1_000_000 });
    compare(round(updates, { spec, exponent: 12, model: new Int32Array(d).fill(-5) }));
  });
}

test("the order of the input changes nothing", () => {
  fc.assert(
    fc.property(
      updatesArb,
      fc.nat(),
      fc.constantFrom(...AGGREGATION_RULES),
      ({ updates, past, d, committee }, seed, rule) => {
        const model = new Int32Array(d);
        const input = round(updates, { spec: task({ rule }), model, committeeSize: committee, exponent: 4, past });
        const next = lcg(seed);
        const shuffled = updates.map((u) => ({ u, key: next() })).sort((a, b) => a.key - b.key);
        assert.equal(computeRound({ ...input, updates: shuffled.map((s) => s.u) }), computeRound(input));
      },
    ),
    { numRuns: 700, seed: 7 },
  );
});

test("n = 20, d = 50,000 takes well under a second", () => {
  const d = 50_000;
  const next = lcg(5);
  const updates = Array.from({ length: 20 }, (_, i) =>
    update(
      i,
      Array.from({ length: d }, () => Math.floor(next() * 400) - 200),
    ),
  );
  const input = round(updates, { seed: SEED, exponent: 8 });
  learned(input);
  const started = performance.now();
  learned(input);
  const ms = performance.now() - started;
  console.log(`n = 20, d = 50,000: ${ms.toFixed(0)} ms`);
  // A generous bound on a shared machine: something quadratic in d would take minutes.
  assert.ok(ms < 5000);
});

test.run();
