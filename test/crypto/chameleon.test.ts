import { ristretto255 } from "@noble/curves/ed25519.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  CHAMELEON_BYTES,
  type ChameleonOpening,
  chameleonChallenge,
  chameleonDigest,
  chameleonOpens,
  elementToScalar,
  scalarBytes,
  scalarOf,
} from "../../crypto/chameleon.ts";
import { taggedHash, u64Bytes } from "../../crypto/hash.ts";
import type { Hash } from "../../types/primitives.ts";

/** The algebra of editable records: what opens, what leaks, what can be moved. The trapdoor in one hand exists in tests only. */

const { Point } = ristretto255;
const { Fn } = Point;
const q = Fn.ORDER;
const mod = (x: bigint) => Fn.create(x);
const bytes = (name: string, i = 0): Hash => taggedHash(`test/${name}`, u64Bytes(i));
const scalar = (name: string, i = 0): bigint => BigInt(`0x${Buffer.from(bytes(name, i)).toString("hex")}`) % q;

const x = scalar("trapdoor");
const Y = Point.BASE.multiply(x);
const key = Y.toBytes();
const label = bytes("label");

function original(i = 0): { digest: Uint8Array; opening: ChameleonOpening } {
  const opening = { cm: bytes("cm", i), version: 0, r: scalarBytes(scalar("r", i)), s: scalarBytes(scalar("s", i)) };
  return { digest: chameleonDigest(key, label, opening)!, opening };
}

/** The trapdoor's work: r' = C + f(kG), s' = k − e'x. */
function collide(digest: Uint8Array, cm: Hash, version: number, k: bigint, of: Hash = label): ChameleonOpening {
  const r = scalarBytes(scalarOf(digest)! + elementToScalar(Point.BASE.multiply(k)));
  const e = chameleonChallenge(key, of, { version, cm, r });
  return { cm, version, r, s: scalarBytes(k - e * x) };
}

test("an opening opens its digest, and with anything changed it does not", () => {
  const { digest, opening } = original();
  assert.ok(chameleonOpens(key, label, digest, opening));
  const changed: [string, Partial<ChameleonOpening>][] = [
    ["commitment", { cm: bytes("other") }],
    ["version", { version: 1 }],
    ["r", { r: scalarBytes(scalarOf(opening.r)! + 1n) }],
    ["s", { s: scalarBytes(scalarOf(opening.s)! + 1n) }],
  ];
  for (const [what, change] of changed) assert.not(chameleonOpens(key, label, digest, { ...opening, ...change }), what);
  assert.not(chameleonOpens(key, bytes("label", 1), digest, opening), "label");
  assert.not(chameleonOpens(Point.BASE.multiply(5n).toBytes(), label, digest, opening), "key");
});

test("scalars have one form, and the key is no identity", () => {
  const { digest, opening } = original();
  const plusOrder = (s: Uint8Array) => {
    const value = scalarOf(s)! + q;
    return new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex").reverse());
  };
  assert.not(chameleonOpens(key, label, digest, { ...opening, s: plusOrder(opening.s) }));
  assert.not(chameleonOpens(key, label, digest, { ...opening, r: plusOrder(opening.r) }));
  assert.not(chameleonOpens(key, label, digest, { ...opening, s: opening.s.slice(1) }));
  assert.is(scalarOf(scalarBytes(q - 1n)), q - 1n);
  assert.is(scalarBytes(0n).length, CHAMELEON_BYTES);
  for (const bad of [Point.ZERO.toBytes(), new Uint8Array(32).fill(255), new Uint8Array(31)]) {
    assert.throws(
      () => chameleonOpens(bad, label, digest, opening),
      (e: { code?: string }) => e.code === "BAD_KEY",
    );
  }
});

test("the trapdoor opens a digest to another commitment, time after time", () => {
  const { digest, opening } = original();
  for (let version = 1; version <= 5; version++) {
    const edit = collide(digest, bytes("edit", version), version, scalar("k", version));
    assert.ok(chameleonOpens(key, label, digest, edit));
  }
  assert.ok(
    chameleonOpens(key, label, digest, opening),
    "the original opening stays true: the state says which one counts",
  );
});

test("on the classic form m·G + r·Y one edit gives the trapdoor away", () => {
  const [m, m2, r] = [scalar("m"), scalar("m", 1), scalar("classic r")];
  const hash = Point.BASE.multiply(m).add(Y.multiply(r));
  const r2 = mod(r + (m - m2) * Fn.inv(x));
  assert.ok(Point.BASE.multiply(m2).add(Y.multiply(r2)).equals(hash), "an edit");
  assert.is(mod((m - m2) * Fn.inv(mod(r2 - r))), x, "and the trapdoor");
});

test("on ours a thousand edits don't: the differences that give it away there give nothing here", () => {
  const { digest } = original();
  const edits = Array.from({ length: 1000 }, (_, i) => {
    const edit = collide(digest, bytes("edit", i), i + 1, scalar("nonce", i));
    return { e: chameleonChallenge(key, label, edit), s: scalarOf(edit.s)!, r: scalarOf(edit.r)! };
  });
  const found = new Set<bigint>();
  edits.forEach((a, i) => {
    const b = edits[(i + 1) % edits.length]!;
    const quotient = (up: bigint, down: bigint) => found.add(mod(up * Fn.inv(mod(down))));
    // Two responses to one nonce, one nonce of zero, and the classic quotient.
    quotient(a.s - b.s, b.e - a.e);
    quotient(-a.s, a.e);
    quotient(a.e - b.e, b.r - a.r);
    quotient(a.s - b.s, b.r - a.r);
  });
  assert.not(found.has(x));
  assert.is(new Set(edits.map((a) => a.s)).size, 1000);
});

test("two edits with one nonce do give it away: a nonce is used once", () => {
  const { digest } = original();
  const [a, b] = [1, 2].map((v) => collide(digest, bytes("edit", v), v, 77n)) as [ChameleonOpening, ChameleonOpening];
  const e = (o: ChameleonOpening) => chameleonChallenge(key, label, o);
  assert.is(mod((scalarOf(a.s)! - scalarOf(b.s)!) * Fn.inv(mod(e(b) - e(a)))), x);
});

test("a published edit can be moved onto another digest where the digest is a group element; not here", () => {
  const delta = scalar("delta");
  // C = R − (eY + sG), e = H(cm, R), no label: both openings of C, shifted, open C − δG.
  const challenge = (cm: Hash, R: Uint8Array) =>
    BigInt(`0x${Buffer.from(taggedHash("test/e", cm, R)).toString("hex")}`) % q;
  const digestOf = (cm: Hash, R: InstanceType<typeof Point>, s: bigint) =>
    R.subtract(Y.multiply(challenge(cm, R.toBytes())).add(Point.BASE.multiply(mod(s))));
  const [R, s] = [Point.BASE.multiply(scalar("R")), scalar("group s")];
  const C = digestOf(bytes("before"), R, s);
  const k = scalar("group k");
  const R2 = C.add(Point.BASE.multiply(k));
  const s2 = mod(k - challenge(bytes("after"), R2.toBytes()) * x);
  assert.ok(digestOf(bytes("after"), R2, s2).equals(C), "an edit");
  const moved = C.subtract(Point.BASE.multiply(delta));
  assert.ok(digestOf(bytes("before"), R, s + delta).equals(moved), "republished");
  assert.ok(digestOf(bytes("after"), R2, s2 + delta).equals(moved), "and swapped, without the trapdoor");

  const { digest, opening } = original();
  const edit = collide(digest, bytes("edit"), 1, k);
  const shift = (o: ChameleonOpening, by: bigint) => ({ ...o, s: scalarBytes(scalarOf(o.s)! + by) });
  const again = chameleonDigest(key, label, shift(opening, delta))!;
  assert.not(chameleonOpens(key, label, again, shift(edit, delta)));
  // Shifting r and the digest together does nothing either: r is under the challenge.
  const lifted = scalarBytes(scalarOf(digest)! + delta);
  assert.not(chameleonOpens(key, label, lifted, { ...edit, r: scalarBytes(scalarOf(edit.r)! + delta) }));
});

test("an edit fits its record and its version only", () => {
  const { digest } = original();
  const edit = collide(digest, bytes("edit"), 1, scalar("k"));
  assert.not(chameleonOpens(key, bytes("label", 1), digest, edit), "another record with the same digest");
  assert.not(chameleonOpens(key, label, digest, { ...edit, version: 2 }), "a later version");
});

test.run();
