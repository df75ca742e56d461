import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Played, play } from "../../bench/attacks/simulate.ts";
import { type Site, world } from "../../bench/attacks/worlds.ts";
import type { Attack } from "../../learning/attacks/index.ts";
import { pick } from "../../learning/samples.ts";

/** What dishonesty pays: seven hospitals of the embedded cohort, eight rounds of real training and votes. Pay in % of the trainers' pool. */

const cohort = world("cohort")!;
const sites = cohort.sites(1).slice(0, 7);
const SEEDS = [1, 2];

async function pay(
  attack?: Attack,
  attackers: readonly number[] = [],
  of: readonly Site[] = sites,
): Promise<number[][]> {
  const runs: Played[] = [];
  for (const seed of SEEDS) {
    runs.push(await play({ world: cohort, spec: cohort.task, seed, sites: of, rounds: 8, attack, attackers }));
  }
  return runs.map((r) => r.pay.map((p) => 100 * p));
}
const mean = (runs: number[][], who: readonly number[]) =>
  runs.reduce((sum, run) => sum + who.reduce((s, i) => s + run[i]!, 0), 0) / runs.length;
const honest = await pay();

for (const attack of [
  "free-rider",
  "free-rider-noise",
  "free-rider-replay",
  "copycat-noise",
  "averaging-copier",
  "noise-ring",
] as const) {
  const who = attack === "noise-ring" ? [0, 4] : [0];
  test(`${attack}: at most 1 % of the pool`, async () => {
    const got = mean(await pay(attack, who), who);
    console.log(`${attack}: ${got.toFixed(2)} % where honest work gets ${mean(honest, who).toFixed(2)} %`);
    assert.ok(got <= 1, `${got}`);
  });
}

test("scaling: twice the update earns no more than chance moves", async () => {
  const got = mean(await pay("doubling", [0]), [0]);
  console.log(`doubling: ${got.toFixed(2)} % in place of ${mean(honest, [0]).toFixed(2)} %`);
  assert.ok(got <= 1.15 * mean(honest, [0]), `${got}`);
});

test("lying about rivals: what they lose goes to nobody in that round, and the liar is no better off than chance moves it", async () => {
  const got = await pay("lying-voters", [4]);
  const others = [0, 1, 2, 3, 5, 6];
  console.log(
    `one liar: it gets ${mean(got, [4]).toFixed(2)} % in place of ${mean(honest, [4]).toFixed(2)} %, the others ${mean(got, others).toFixed(2)} % in place of ${mean(honest, others).toFixed(2)} %`,
  );
  assert.ok(mean(got, [4]) <= 1.15 * mean(honest, [4]));
  assert.ok(mean(got, others) <= mean(honest, others));
});

test("splitting: two names for halves of one hospital's rows would earn more, so that a name must be certified", async () => {
  const half = (part: number): Site => {
    const [first] = sites;
    const rows = pick(
      first!.rows,
      Array.from({ length: first!.rows.n }, (_, i) => i).filter((i) => i % 2 === part),
    );
    return { ...first!, rows };
  };
  const got = mean(await pay(undefined, [], [half(0), half(1), ...sites.slice(1)]), [0, 1]);
  console.log(`two names: ${got.toFixed(2)} % in place of ${mean(honest, [0]).toFixed(2)} %`);
  // The honest statement of a limit: were it gone, docs/robustness.md would be wrong.
  assert.ok(got > mean(honest, [0]));
});

test.run();
