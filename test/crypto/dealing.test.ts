import { ristretto255 } from "@noble/curves/ed25519.js";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chameleonOpens, scalarBytes, scalarOf } from "../../crypto/chameleon.ts";
import {
  combineCommitments,
  combineShares,
  commitmentsAreValid,
  commitmentsOf,
  dealingFrom,
  proveDealt,
  provesDealt,
  shareFits,
  shareOf,
  verifyingSharesOf,
  weightsAtZero,
} from "../../crypto/dealing.ts";
import { custodians, openingFrom, redactionMessage } from "../../crypto/threshold.ts";
import { isPoflError } from "../../types/errors.ts";
import { generate, named, publicOf, redactionUnder, secretsOf, session } from "./ceremony.ts";

/** Key generation as the ceremonies do it: each deal can be checked, and what comes out is FROST's. */

const { Point } = ristretto255;
const q = Point.Fn.ORDER;
const refuses = (code: string) => (e: unknown) => isPoflError(e, code);
const seed = named("seed");
const ceremony = named("ceremony");
const IDENTITY = Point.ZERO.toBytes();
const OUT_OF_RANGE = new Uint8Array(32).fill(255);

test("key generation, 3 of 5: every share fits its dealer's commitments, every combined one the key's", () => {
  const { dealings, commitments, shares, verifyingShares } = generate(3, 5);
  dealings.forEach((dealing, dealer) => {
    const own = commitmentsOf(dealing);
    assert.ok(commitmentsAreValid(own, 3));
    for (let receiver = 0; receiver < 5; receiver++) {
      assert.ok(shareFits(own, receiver, shareOf(dealing, receiver)), `${dealer} to ${receiver}`);
      assert.not(shareFits(own, (receiver + 1) % 5, shareOf(dealing, receiver)), `${dealer}'s for ${receiver} moved`);
    }
  });
  shares.forEach((share, receiver) => {
    assert.ok(shareFits(commitments, receiver, share));
    assert.equal(Point.BASE.multiply(scalarOf(share)!).toBytes(), verifyingShares[receiver]);
  });
});

test("what comes out is FROST's: its own checks pass, any three shares are the key, and any three custodians open a digest", () => {
  const sharing = generate(3, 5);
  const [shared, secrets] = [publicOf(sharing), secretsOf(sharing)];
  const publicKey = sharing.commitments[0]!;
  const redaction = redactionUnder(publicKey);
  const message = redactionMessage(redaction);
  for (const secret of secrets) custodians.validateSecret(secret, shared);
  for (const who of [
    [0, 1, 2],
    [4, 2, 0],
    [1, 3, 4],
  ]) {
    const three = who.map((i) => secrets[i]!);
    const x = custodians.combineSecret(three, shared.signers);
    assert.equal(Point.BASE.multiply(scalarOf(x)!).toBytes(), publicKey);
    assert.equal(
      combineShares(
        who.map((i) => sharing.shares[i]!),
        weightsAtZero(who),
      ),
      x,
      "our weights are FROST's",
    );
    const { list, shares } = session(three, shared, message);
    for (const { identifier } of three) {
      assert.ok(custodians.verifyShare(shared, list, message, identifier, shares[identifier]!));
    }
    const opening = openingFrom(redaction, custodians.aggregate(shared, list, message, shares));
    assert.ok(chameleonOpens(publicKey, redaction.label, redaction.digest, opening));
  }
});

test("a dealing is a function of its arguments, and two of them have no coefficient in common", () => {
  assert.equal(dealingFrom(seed, ceremony, 3), dealingFrom(seed, ceremony, 3));
  const [a, b] = [scalarBytes(5n), scalarBytes(6n)];
  assert.is(dealingFrom(seed, ceremony, 3, a).coefficients[0], 5n);
  const dealings = [
    dealingFrom(seed, ceremony, 3),
    dealingFrom(named("seed", 1), ceremony, 3),
    dealingFrom(seed, named("ceremony", 1), 3),
    dealingFrom(seed, ceremony, 4),
    dealingFrom(seed, ceremony, 3, a),
    dealingFrom(seed, ceremony, 3, b),
  ];
  const all = dealings.flatMap((d) => d.coefficients);
  assert.is(all.length, 19);
  assert.is(new Set(all).size, 19);
});

test("what makes no dealing is refused", () => {
  const dealing = dealingFrom(seed, ceremony, 3);
  const cases: [string, () => unknown][] = [
    ["a seed of 31 bytes", () => dealingFrom(seed.slice(1), ceremony, 3)],
    ["an id of 31 bytes", () => dealingFrom(seed, ceremony.slice(1), 3)],
    ["no threshold", () => dealingFrom(seed, ceremony, 0)],
    ["half a threshold", () => dealingFrom(seed, ceremony, 1.5)],
    ["a secret of 0", () => dealingFrom(seed, ceremony, 3, new Uint8Array(32))],
    ["a secret out of range", () => dealingFrom(seed, ceremony, 3, OUT_OF_RANGE)],
    ["the share at 0, which is the secret", () => shareOf(dealing, -1)],
    ["the share between two", () => shareOf(dealing, 0.5)],
    ["a proof by no dealer", () => proveDealt(dealing, seed, ceremony, -1)],
    ["a proof of nothing", () => proveDealt({ coefficients: [] }, seed, ceremony, 0)],
    ["one dealer twice", () => weightsAtZero([0, 1, 0])],
    ["no dealer", () => weightsAtZero([])],
    ["commitments of two lengths", () => combineCommitments([commitmentsOf(dealing), commitmentsOf(dealing).slice(1)])],
    ["an identity among them", () => combineCommitments([[IDENTITY]])],
    ["no commitments", () => combineCommitments([])],
    ["a weight too few", () => combineCommitments([commitmentsOf(dealing), commitmentsOf(dealing)], [1n])],
    ["a share out of range", () => combineShares([OUT_OF_RANGE])],
    ["no shares", () => combineShares([])],
    ["a weight too many", () => combineShares([scalarBytes(1n)], [1n, 1n])],
    ["verifying shares of nothing", () => verifyingSharesOf([], 3)],
  ];
  for (const [what, make] of cases) assert.throws(make, refuses("BAD_DEALING"), what);
});

test("a sum whose key is the identity is refused, and one with fewer coefficients than the threshold", () => {
  const inverse = (points: readonly Uint8Array[]) => points.map((p) => Point.fromBytes(p).negate().toBytes());
  const own = commitmentsOf(dealingFrom(seed, ceremony, 2));
  const other = commitmentsOf(dealingFrom(named("seed", 1), ceremony, 2));
  assert.is(combineCommitments([own, other]).length, 2);
  assert.throws(() => combineCommitments([own, [inverse(own)[0]!, other[1]!]]), refuses("BAD_DEALING"));
  assert.throws(() => combineCommitments([own, [other[0]!, inverse(own)[1]!]]), refuses("BAD_DEALING"));
  assert.throws(() => combineCommitments([own, own], [1n, -1n]), refuses("BAD_DEALING"));
});

test("a share of 0 is none, and its verifying share, the identity, is told", () => {
  // f(x) = 1 − x: custodian 0 has x = 1.
  const zero = commitmentsOf({ coefficients: [1n, q - 1n] });
  assert.not(shareFits(zero, 0, new Uint8Array(32)));
  assert.ok(shareFits(zero, 1, scalarBytes(-1n)));
  assert.equal(verifyingSharesOf(zero, 2)[0], IDENTITY);
});

test("weights at 0 are Lagrange's: 3, −3, 1 for the first three", () => {
  assert.equal(weightsAtZero([0, 1, 2]), [3n, q - 3n, 1n]);
  assert.equal(weightsAtZero([2, 0, 1]), [1n, 3n, q - 3n], "in the order of the dealers");
});

test("a changed share fits nothing", () => {
  const dealing = dealingFrom(seed, ceremony, 3);
  const own = commitmentsOf(dealing);
  fc.assert(
    fc.property(fc.nat(6), fc.nat(31), fc.integer({ min: 1, max: 255 }), fc.nat(4), (receiver, at, mask, what) => {
      const share = shareOf(dealing, receiver);
      assert.ok(shareFits(own, receiver, share));
      const turned = (bytes: Uint8Array) => bytes.map((b, i) => (i === at ? b ^ mask : b));
      const plusOrder = Buffer.from((scalarOf(share)! + q).toString(16).padStart(64, "0"), "hex").reverse();
      const changed: boolean[] = [
        shareFits(own, receiver, turned(share)),
        shareFits(
          own.map((c, i) => (i === what % 3 ? turned(c) : c)),
          receiver,
          share,
        ),
        shareFits(own, receiver + mask, share),
        shareFits(own, receiver, new Uint8Array(plusOrder)),
        shareFits(own.slice(0, 2), receiver, share),
      ];
      assert.not(changed[what]);
    }),
    { numRuns: 150 },
  );
});

test("whatever comes, the checks answer and don't throw", () => {
  const bytes = fc.uint8Array({ maxLength: 70 });
  const points = fc.constantFrom(IDENTITY, OUT_OF_RANGE, ...commitmentsOf(dealingFrom(seed, ceremony, 3)));
  const index = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, 1, 2 ** 53, Number.NaN));
  const list = fc.array(fc.oneof(points, bytes), { maxLength: 4 });
  fc.assert(
    fc.property(list, index, bytes, fc.oneof(points, bytes), (commitments, number, some, commitment) => {
      assert.not(shareFits(commitments, number, some));
      assert.type(commitmentsAreValid(commitments, number), "boolean");
      assert.not(provesDealt(commitment, some, number, some));
      assert.not(provesDealt(commitment, ceremony, number, some));
    }),
    { numRuns: 150 },
  );
  assert.not(commitmentsAreValid([], 0));
  assert.not(commitmentsAreValid([IDENTITY], 1));
  assert.not(commitmentsAreValid(commitmentsOf(dealingFrom(seed, ceremony, 3)), 4));
});

test("a proof holds for its dealer, its ceremony and its commitment alone", () => {
  const dealing = dealingFrom(seed, ceremony, 3);
  const [commitment, next] = commitmentsOf(dealing) as [Uint8Array, Uint8Array];
  const proof = proveDealt(dealing, seed, ceremony, 2);
  assert.ok(provesDealt(commitment, ceremony, 2, proof));
  assert.not(provesDealt(commitment, ceremony, 1, proof), "another dealer");
  assert.not(provesDealt(commitment, named("ceremony", 1), 2, proof), "another ceremony");
  assert.not(provesDealt(next, ceremony, 2, proof), "another commitment");
  assert.not(provesDealt(IDENTITY, ceremony, 2, proof), "no commitment");
  const longer = scalarOf(proof.slice(32))! + q;
  const again = Buffer.from(longer.toString(16).padStart(64, "0"), "hex").reverse();
  assert.not(provesDealt(commitment, ceremony, 2, new Uint8Array([...proof.slice(0, 32), ...again])), "two forms");
});

test("no two proofs share a nonce", () => {
  const nonces = [
    proveDealt(dealingFrom(seed, ceremony, 3), seed, ceremony, 0),
    proveDealt(dealingFrom(seed, ceremony, 3), seed, ceremony, 1),
    proveDealt(dealingFrom(seed, ceremony, 3), seed, named("ceremony", 1), 0),
    proveDealt(dealingFrom(seed, ceremony, 3, scalarBytes(5n)), seed, ceremony, 0),
    proveDealt(dealingFrom(seed, ceremony, 3), named("seed", 1), ceremony, 0),
  ].map((proof) => Buffer.from(proof.slice(0, 32)).toString("hex"));
  assert.is(new Set(nonces).size, nonces.length);
});

test("a rogue commitment would make the key its dealer's own, and can't be proven", () => {
  const honest = [0, 1].map((i) => dealingFrom(named("honest", i), ceremony, 2));
  const wanted = dealingFrom(named("rogue"), ceremony, 2);
  const others = combineCommitments(honest.map(commitmentsOf));
  const minus = (a: Uint8Array, b: Uint8Array) => Point.fromBytes(a).subtract(Point.fromBytes(b)).toBytes();
  const rogue = commitmentsOf(wanted).map((c, i) => minus(c, others[i]!));
  assert.equal(combineCommitments([...honest.map(commitmentsOf), rogue]), commitmentsOf(wanted), "unproven: its own");
  const proofs = [
    proveDealt(wanted, named("rogue"), ceremony, 2),
    ...honest.map((dealing, i) => proveDealt(dealing, named("honest", i), ceremony, i)),
    ...honest.map((dealing, i) => proveDealt(dealing, named("honest", i), ceremony, 2)),
  ];
  for (const proof of proofs) assert.not(provesDealt(rogue[0]!, ceremony, 2, proof));
});

test.run();
