import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { install } from "./install.ts";
import type { Peeked } from "./peek.ts";
import { PLANTS } from "./plants.ts";

/** The small share of the simulation that every test run has. The rest: `npm run test:sim`, docs/assurance.md. */

install({ keyed: true });
const { runSeed } = await import("./run.js");
const { paramsOf, HABITS, MAX_POWER_PERMILLE, PARROT, TRICKS } = await import("./params.js");
const { peek } = await import("./peek.js");
const { powerCap } = await import("../../vm/validators.js");
const { encodeMessage } = await import("../../consensus/messages.js");
const { VirtualClock, Chance } = await import("./clock.js");
const { SimLog } = await import("./disk.js");

for (const { n, from, seeds } of [
  { n: 4, from: 1, seeds: 16 },
  { n: 7, from: 1, seeds: 5 },
  { n: undefined, from: 1, seeds: 5 },
]) {
  test(`every invariant holds: ${seeds} seeds, ${n ?? "1 to 10"} validators`, async () => {
    let heights = 0;
    for (let seed = from; seed < from + seeds; seed++) {
      const outcome = await runSeed(seed, n === undefined ? {} : { n });
      assert.is(outcome.violation, undefined, `seed ${seed}: npm run test:sim -- --seeds 1 --from ${seed} --n ${n}`);
      heights += outcome.heights;
    }
    assert.ok(heights >= 4 * seeds);
  });
}

test("a seed gives the same trace, whatever ran before it and whether or not it is written down", async () => {
  const first = await runSeed(5, { n: 4 });
  const other = await runSeed(6, { n: 4 });
  const again = await runSeed(5, { n: 4, trace: true });
  assert.is(again.digest, first.digest);
  assert.is(again.events, first.events);
  assert.is.not(other.digest, first.digest);
  assert.ok((again.trace?.length ?? 0) > 100);
});

test("seeds draw every habit and every trick, and never a third of the power", () => {
  const habits = new Set<string>();
  const tricks = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const p = paramsOf(seed);
    for (const h of p.habits) habits.add(h);
    for (const t of p.tricks) tricks.add(t);
    const cap = powerCap(p.stakes.map(BigInt), MAX_POWER_PERMILLE);
    const powers = p.stakes.map((stake) => (BigInt(stake) < cap ? BigInt(stake) : cap));
    const sum = (all: readonly bigint[]) => all.reduce((a, b) => a + b, 0n);
    assert.ok(3n * sum(p.faulty.map((i) => powers[i] as bigint)) < sum(powers));
    assert.equal(paramsOf(seed), p);
  }
  assert.equal([...habits].sort(), [...HABITS, PARROT].sort());
  assert.equal([...tricks].sort(), [...TRICKS].sort());
});

test("every planted bug still finds its place in the compiled program", () => {
  const root = join(import.meta.dirname, "../..");
  assert.ok(PLANTS.length >= 25);
  assert.is(new Set(PLANTS.map((p) => p.name)).size, PLANTS.length);
  for (const { name, edits } of PLANTS) {
    for (const { file, find, replace } of edits) {
      assert.is(readFileSync(join(root, file), "utf8").split(find).length, 2, `${name}: ${file}: ${find}`);
      assert.is.not(find, replace);
    }
  }
});

test("what the adversary reads of a frame is what the decoder reads", () => {
  const blockId = new Uint8Array(32).fill(171);
  const id = "ab".repeat(32);
  const signature = new Uint8Array(64);
  const proposal = {
    message: { height: 2 ** 40, round: 7, blockId, validRound: 3, proposer: 9 },
    signature,
  };
  const cases: [Parameters<typeof encodeMessage>[0], Peeked][] = [
    [
      {
        kind: "vote",
        value: { message: { type: 2, height: 5, round: 6, blockId, validRound: 0, time: 8, validator: 3 }, signature },
      },
      { kind: "precommit", height: 5, round: 6, validRound: 0, validator: 3, blockId: id },
    ],
    [
      {
        kind: "vote",
        value: { message: { type: 1, height: 5, round: 6, blockId, validRound: 4, time: 0, validator: 3 }, signature },
      },
      { kind: "prevote", height: 5, round: 6, validRound: 4, validator: 3, blockId: id },
    ],
    [
      { kind: "proposal", value: { proposal, block: new Uint8Array(3) } },
      { kind: "proposal", height: 2 ** 40, round: 7, validRound: 3, validator: 9, blockId: id },
    ],
  ];
  for (const [message, expected] of cases) assert.equal(peek(encodeMessage(message)), expected);
});

test("the clock runs in order of time, then of scheduling; what is cancelled does not run", () => {
  const clock = new VirtualClock(100);
  const ran: string[] = [];
  const chance = new Chance(3);
  const times = Array.from({ length: 200 }, () => chance.whole(0, 20));
  const cancels = times.map((t, i) => clock.at(t, () => ran.push(`${t}/${i}`)));
  cancels[7]?.();
  for (let act = clock.next(200); act; act = clock.next(200)) act();
  const expected = times
    .map((t, i) => ({ t, i }))
    .filter(({ i }) => i !== 7)
    .sort((a, b) => a.t - b.t || a.i - b.i)
    .map(({ t, i }) => `${t}/${i}`);
  assert.equal(ran, expected);
  assert.is(clock.now, 200);
});

test("a crash keeps what was synced, and at most what was written", () => {
  const lengths = new Set<number>();
  for (let seed = 0; seed < 50; seed++) {
    const log = new SimLog(() => true);
    for (let i = 0; i < 6; i++) log.append(Uint8Array.of(i), { sync: i === 2 });
    log.crash(new Chance(seed));
    assert.equal(
      log.entries.map((e) => e[0]),
      [0, 1, 2, 3, 4, 5].slice(0, log.entries.length),
    );
    lengths.add(log.entries.length);
  }
  assert.equal([...lengths].sort(), [3, 4, 5, 6]);
});

test.run();
