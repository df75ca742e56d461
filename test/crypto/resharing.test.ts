import type { FrostSecret } from "@noble/curves/abstract/frost.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chameleonOpens, scalarOf } from "../../crypto/chameleon.ts";
import { combineShares, commitmentsOf, shareFits, weightsAtZero } from "../../crypto/dealing.ts";
import { custodians, frostSecret, openingFrom, redactionMessage } from "../../crypto/threshold.ts";
import { generate, publicOf, redactionUnder, reshare, secretsOf, session } from "./ceremony.ts";

/** 3 of 5 deal the same key to 4 of 6, of whom some are old ones. What old and new shares give together, and what they don't. */

const { Point } = ristretto255;
const { Fn } = Point;
const DEALERS = [0, 2, 4];
const old = generate(3, 5);
const fresh = reshare(old, DEALERS, weightsAtZero(DEALERS), 4, 6);
const [oldPublic, newPublic] = [publicOf(old), publicOf(fresh)];
const publicKey = old.commitments[0]!;
const redaction = redactionUnder(publicKey);
const message = redactionMessage(redaction);
const x = scalarOf(
  combineShares(
    [0, 1, 2].map((i) => old.shares[i]!),
    weightsAtZero([0, 1, 2]),
  ),
)!;

type Held = { readonly index: number; readonly value: bigint };
const held = (shares: readonly Uint8Array[], ...who: number[]): Held[] =>
  who.map((index) => ({ index, value: scalarOf(shares[index]!)! }));
const interpolate = (points: readonly Held[]) =>
  Fn.create(weightsAtZero(points.map((p) => p.index)).reduce((sum, w, i) => sum + w * points[i]!.value, 0n));

/** Every choice of some of them that names no custodian twice. */
function subsets(points: readonly Held[]): Held[][] {
  const all = Array.from({ length: 2 ** points.length }, (_, mask) => points.filter((_, i) => (mask >> i) & 1));
  return all.filter((s) => s.length > 0 && new Set(s.map((p) => p.index)).size === s.length);
}

/** Whether a polynomial of degree below the threshold has this secret and these shares: Newton's divided differences from there on are 0. */
function consistent(points: readonly Held[], threshold: number, secret: bigint): boolean {
  const xs = [0n, ...points.map((p) => BigInt(p.index + 1))];
  let column = [secret, ...points.map((p) => p.value)];
  for (let order = 1; column.length > 1; order++) {
    column = column.slice(1).map((next, i) => Fn.div(Fn.sub(next, column[i]!), Fn.sub(xs[i + order]!, xs[i]!)));
    if (order >= threshold && column.some((d) => d !== 0n)) return false;
  }
  return true;
}

function opens(secrets: readonly FrostSecret[], shared = newPublic): boolean {
  const { list, shares } = session(secrets, shared, message);
  const opening = openingFrom(redaction, custodians.aggregate(shared, list, message, shares));
  return chameleonOpens(publicKey, redaction.label, redaction.digest, opening);
}

test("the key stays: the dealers commit to their verifying shares, the sum to the key; new shares fit and sign", () => {
  DEALERS.forEach((dealer, i) => {
    assert.equal(commitmentsOf(fresh.dealings[i]!)[0], old.verifyingShares[dealer]);
  });
  assert.equal(fresh.commitments[0], publicKey);
  assert.is(fresh.commitments.length, 4);
  fresh.shares.forEach((share, receiver) => assert.ok(shareFits(fresh.commitments, receiver, share)));
  for (const secret of secretsOf(fresh)) custodians.validateSecret(secret, newPublic);
  const secrets = secretsOf(fresh);
  for (const who of [
    [0, 1, 2, 3],
    [5, 3, 1, 0],
  ]) {
    assert.ok(opens(who.map((i) => secrets[i]!)));
  }
  assert.throws(() => opens(secrets.slice(0, 3)), /number of commitments/, "three of them no longer do");
});

test("another set of dealers, and more than the threshold, give the same key; wrong weights don't", () => {
  for (const dealers of [
    [3, 1, 0],
    [0, 1, 2, 3, 4],
  ]) {
    assert.equal(reshare(old, dealers, weightsAtZero(dealers), 2, 3).commitments[0], publicKey);
  }
  assert.not.equal(reshare(old, [0, 1, 2], weightsAtZero([0, 1, 3]), 2, 3).commitments[0], publicKey);
  assert.not.equal(reshare(old, [0, 1], weightsAtZero([0, 1]), 2, 3).commitments[0], publicKey, "nor too few dealers");
});

test("2 old shares and 3 new ones give nothing: no interpolation of any of them is the key", () => {
  for (const mixture of [
    [...held(old.shares, 0, 1), ...held(fresh.shares, 2, 3, 4)],
    [...held(old.shares, 0, 1), ...held(fresh.shares, 0, 1, 5)],
    [...held(old.shares, 3, 4), ...held(fresh.shares, 0, 1, 4)],
  ]) {
    for (const set of subsets(mixture)) assert.is.not(interpolate(set), x, set.map((p) => p.index).join());
  }
  assert.is(interpolate(held(old.shares, 0, 1, 3)), x, "where enough of one kind do");
  assert.is(interpolate(held(fresh.shares, 0, 1, 3, 5)), x);
});

test("and exclude nothing: for every guess of the key there are polynomials with exactly these shares", () => {
  const guesses = [x, 0n, 1n, Fn.create(x + 1n), Fn.neg(x), scalarOf(old.shares[0]!)!];
  for (const guess of guesses) {
    assert.ok(consistent(held(old.shares, 0, 1), 3, guess), "two old shares");
    assert.ok(consistent(held(fresh.shares, 0, 2, 3), 4, guess), "three new ones");
    // One share more of either kind, and only the key is left.
    assert.is(consistent(held(old.shares, 0, 1, 4), 3, guess), guess === x);
    assert.is(consistent(held(fresh.shares, 0, 2, 3, 5), 4, guess), guess === x);
  }
});

test("no session of old and new shares makes an opening, under the old verifying shares or the new", () => {
  const mixtures: FrostSecret[][] = [
    [...[0, 1].map((i) => frostSecret(i, old.shares[i]!)), ...[2, 3].map((i) => frostSecret(i, fresh.shares[i]!))],
    [...[2, 3, 4].map((i) => frostSecret(i, fresh.shares[i]!)), frostSecret(0, old.shares[0]!)],
  ];
  for (const secrets of mixtures) {
    assert.throws(() => opens(secrets), /aggregation failed/);
    assert.throws(() => opens(secrets, oldPublic), /aggregation failed/);
  }
  assert.ok(opens(secretsOf(old).slice(0, 3), oldPublic), "where three old ones do: they still know the key");
});

test("documented limit: three who kept their old shares still have the key; the chain asks for today's custodians besides", () => {
  const kept = [1, 3, 4];
  assert.is(interpolate(held(old.shares, ...kept)), x);
  assert.equal(Point.BASE.multiply(interpolate(held(old.shares, ...kept))).toBytes(), fresh.commitments[0]);
});

test.run();
