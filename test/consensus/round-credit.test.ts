import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  agreements,
  beyondChance,
  type Claim,
  moved,
  NO_STANDING,
  payments,
  type Standing,
} from "../../consensus/round/credit.ts";
import { lcg } from "./round-fixture.ts";

/** Credit and pay on vectors small enough to check by hand, and on crowds. */

const ONE = 65_536;

type Past = { readonly v: readonly number[]; readonly coefficient?: bigint };

/** Agreements as numbers of 1.0, rounded to three places, and variances as fractions. */
function agree(updates: readonly (readonly number[])[], past: readonly Past[] = []) {
  const all = [...updates, ...past.map((p) => p.v)];
  const geometry = { inner: (i: number, j: number) => BigInt(all[i]!.reduce((s, x, k) => s + x * all[j]![k]!, 0)) };
  return agreements(
    updates.map((_, i) => i),
    past.map(({ coefficient }, i) => ({ at: updates.length + i, coefficient: coefficient ?? 1n })),
    geometry,
    updates[0]!.length,
  ).map(({ agreement, variance }) => ({
    c: Math.round((Number(agreement) / ONE) * 1000) / 1000,
    v: Number(variance) / ONE ** 2,
  }));
}

test("without a record, the trimmed mean of the cosines with the others", () => {
  const found = agree([
    [10, 0, 0],
    [3, 4, 0],
    [0, 5, 0],
    [-7, 0, 0],
  ]);
  // With the first: .6, 0, −1. With the second: .6, .8, −.6. Of three, the middle one is left.
  assert.equal(
    found.map((a) => a.c),
    [0, 0.6, 0, -0.6],
  );
  for (const { v } of found) assert.ok(Math.abs(v - 1 / 3) < 1e-9, "a random direction in three dimensions");
});

test("alone, or with nothing but zero, nothing is said", () => {
  assert.equal(agree([[1, 2]]), [{ c: 0, v: 0 }]);
  assert.equal(agree([[1, 2]], [{ v: [1, 2] }]), [{ c: 0, v: 0 }]);
});

test("norms count for nothing: ten times as long, the same agreement for everyone", () => {
  const updates = [
    [10, 5, 3],
    [8, 9, -2],
    [7, 1, 6],
  ];
  const longer = updates.map((u, i) => (i === 1 ? u.map((x) => 10 * x) : u));
  assert.equal(agree(longer), agree(updates));
});

test("what the record explains is worth nothing: the step, an update of the last round, a mean of them", () => {
  const honest = [
    [400, 90, 70, 300, 10],
    [380, 120, 40, 290, -30],
    [410, 80, 90, 310, 50],
    [395, 100, 60, 280, 20],
  ];
  const past: Past[] = [{ v: [300, 40, 200, -30, 5] }, { v: [310, -60, 210, 20, 9] }];
  const sum = past[0]!.v.map((x, k) => x + past[1]!.v[k]!);
  for (const copy of [sum, past[0]!.v, past[1]!.v.map((x) => 3 * x)]) {
    const [own] = agree([copy, ...honest], past);
    assert.is(own!.c, 0, String(copy));
  }
  // Those who trained go on agreeing.
  const fresh = agree(honest, past);
  for (const { c, v } of fresh) {
    assert.ok(c > 0.5, String(c));
    assert.ok(Math.abs(v - 1 / 3) < 1e-9, "five dimensions less two");
  }
});

test("colluders that agree with one another are trimmed away", () => {
  const next = lcg(4);
  const d = 40;
  const noise = () => Array.from({ length: d }, () => Math.round((next() - 0.5) * 400));
  const base = noise();
  const honest = Array.from({ length: 5 }, () => base.map((b, k) => b + noise()[k]!));
  const direction = noise();
  const ring = Array.from({ length: 3 }, () => direction.map((x, k) => x + Math.round(noise()[k]! / 8)));
  const found = agree([...honest, ...ring]);
  console.log(`a ring of three among eight: ${found.map((a) => a.c).join(" ")}`);
  // Within a standard deviation of chance, 1/√40, though their cosines with one another are .98.
  for (const { c } of found.slice(5)) assert.ok(c < 0.16, `ring ${c}`);
  for (const { c } of found.slice(0, 5)) assert.ok(c > 0.1, `honest ${c}`);
});

test("a standing fades by an eighth a round and counts beyond 1.5 standard deviations", () => {
  const round = { agreement: 40_000n, variance: 2n ** 32n / 14n };
  const once = moved(NO_STANDING, round);
  assert.equal(once, { credit: 40_000n, variance: 306_783_378n });
  // 1.5 · ⌊√306783378⌋ = 1.5 · 17515.
  assert.is(beyondChance(once), 40_000n - 26_272n);
  const later = moved(once, { agreement: 0n, variance: 0n });
  assert.equal(later, { credit: 35_000n, variance: (49n * 306_783_378n) / 64n });
  assert.is(moved({ credit: -7n, variance: 0n }, { agreement: 0n, variance: 0n }).credit, -6n);
  assert.is(beyondChance({ credit: -40_000n, variance: 0n }), 0n);
});

test("ten that send nothing but chance are paid two parts in a hundred together", () => {
  const next = lcg(9);
  const normal = () => Array.from({ length: 12 }, next).reduce((a, b) => a + b, -6);
  let standings: Standing[] = Array.from({ length: 10 }, () => NO_STANDING);
  let paid = 0n;
  const rounds = 3000;
  for (let r = 0; r < rounds; r++) {
    const round = standings.map(() => BigInt(Math.round((normal() * ONE) / 5)));
    standings = standings.map((s, i) => moved(s, { agreement: round[i]!, variance: 2n ** 32n / 25n }));
    const claims = standings.map((standing, i) => ({ agreement: round[i]!, standing, votes: none, rejected: false }));
    paid += payments(claims, 1_000_000n, 3).reduce((a, b) => a + b, 0n);
  }
  const share = Number(paid) / 1e6 / rounds;
  console.log(`ten that send noise are paid ${(100 * share).toFixed(2)} % of the pool together`);
  assert.ok(share < 0.03 && share > 0, String(share));
});

const none = { harmful: 0, neutral: 0, helpful: 0 };
const claim = (agreement: number, more: Partial<Claim> = {}): Claim => ({
  agreement: BigInt(agreement),
  // 40 of 100 are chance.
  standing: { credit: 100n, variance: 729n },
  votes: { harmful: 0, neutral: 0, helpful: 6 },
  rejected: false,
  ...more,
});

test("pay: shares of all agreements; what a vote takes goes to no rival; never more than the pool", () => {
  const pay = (claims: Claim[]) => payments(claims, 16_000n, 2);
  const four = [claim(300), claim(100), claim(0), claim(-80)];
  // 300 and 100 of 480, of which 60 in a hundred count.
  assert.equal(pay(four), [6_000n, 2_000n, 0n, 0n]);
  const doubted = [claim(300, { votes: { harmful: 3, neutral: 0, helpful: 3 } }), ...four.slice(1)];
  assert.equal(pay(doubted), [3_000n, 2_000n, 0n, 0n]);
  assert.equal(pay([claim(300, { rejected: true }), ...four.slice(1)]), [0n, 2_000n, 0n, 0n]);
  const newcomer = { standing: { credit: 30n, variance: 729n } };
  assert.equal(pay([claim(300, newcomer), ...four.slice(1)]), [0n, 2_000n, 0n, 0n], "within chance");
  assert.equal(pay([claim(0), claim(-5)]), [0n, 0n]);
  assert.equal(pay([]), []);
  assert.equal(pay([claim(7, { standing: { credit: 7n, variance: 0n } })]), [16_000n]);
});

test.run();
