import { ristretto255 } from "@noble/curves/ed25519.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type ChameleonOpening,
  chameleonChallenge,
  chameleonDigest,
  chameleonOpens,
  elementToScalar,
  scalarBytes,
  scalarOf,
} from "../../crypto/chameleon.ts";
import { sha256, taggedHash } from "../../crypto/hash.ts";
import { erasedCommitment, padPayload, recordCommitment, type Sidecar } from "../../crypto/record.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { named } from "./ceremony.ts";

/**
 * An erased record whose payload was one of ten: whether somebody who has all that stays public can tell which. The same attacker is
 * let loose on records made carelessly, where it must win: or its failure would say nothing.
 */

const { Point } = ristretto255;
const DIAGNOSES = [
  "asthma",
  "melanoma",
  "depression",
  "hypertension",
  "breast cancer",
  "HIV infection, stage 1",
  "multiple sclerosis",
  "focal epilepsy",
  "diabetes mellitus",
  "schizophrenia, paranoid",
].map((d) => new TextEncoder().encode(`diagnosis: ${d}`));

const x = scalarOf(scalarBytes(BigInt(`0x${Buffer.from(named("trapdoor")).toString("hex")}`)))!;
const publicKey = Point.BASE.multiply(x).toBytes();

/** All that stays: the leaf, the edit log, and what came in the payload's place. */
type Remains = {
  readonly label: Hash;
  readonly digest: Uint8Array;
  readonly length: number;
  readonly original: ChameleonOpening;
  readonly edits: readonly ChameleonOpening[];
  /** Of a correction that followed the erasure: served to everybody. */
  readonly now: Sidecar;
};

function collide(digest: Uint8Array, label: Hash, cm: Hash, version: number): ChameleonOpening {
  const k = scalarOf(scalarBytes(BigInt(`0x${Buffer.from(named("nonce", version)).toString("hex")}`)))!;
  const r = scalarBytes(scalarOf(digest)! + elementToScalar(Point.BASE.multiply(k)));
  return { cm, version, r, s: scalarBytes(k - chameleonChallenge(publicKey, label, { cm, version, r }) * x) };
}

/** A record's life: written, erased, corrected. The label is public before the payload is committed to, and so are r and s. */
const label = named("label");
const [r, s] = [scalarBytes(5n), scalarBytes(7n)];
function live({ salt, body }: Sidecar): Remains {
  const original = { cm: recordCommitment({ salt, body }), version: 0, r, s };
  const digest = chameleonDigest(publicKey, label, original)!;
  const now = { salt: named("salt of the correction"), body: padPayload(new TextEncoder().encode("in remission")) };
  const edits = [
    collide(digest, label, erasedCommitment(label, 1), 1),
    collide(digest, label, recordCommitment(now), 2),
  ];
  for (const edit of edits) assert.ok(chameleonOpens(publicKey, label, digest, edit));
  return { label, digest, length: body.length, original, edits, now };
}

/** Salts to try: everything public, the differences of openings, and hashes of each. */
function salts({ label, digest, original, edits, now }: Remains): Uint8Array[] {
  const minus = (a: Uint8Array, b: Uint8Array) => scalarBytes(scalarOf(a)! - scalarOf(b)!);
  const openings = [original, ...edits];
  const plain = [
    new Uint8Array(32),
    label,
    publicKey,
    digest,
    now.salt,
    ...openings.flatMap((o) => [o.cm, o.r, o.s, elementOfOpening(o)]),
    ...openings.flatMap((a) => openings.flatMap((b) => [minus(a.r, b.r), minus(a.s, b.s)])),
    ...openings.map((o) => minus(o.r, digest)),
  ];
  return [...plain, ...plain.map((p) => sha256(p)), ...plain.map((p) => taggedHash("pofl/record/1", p))];
}

/** eY + sG, which anybody computes from an opening. */
function elementOfOpening(o: ChameleonOpening): Uint8Array {
  const e = chameleonChallenge(publicKey, label, o);
  return Point.fromBytes(publicKey)
    .multiplyUnsafe(e)
    .add(Point.BASE.multiplyUnsafe(scalarOf(o.s)!))
    .toBytes();
}

/**
 * Which of the ten it can have been. Comparing commitments is all that the digest allows as well: a payload enters it through cm alone, and
 * another cm opens it only by a collision.
 */
function guess(remains: Remains): number[] {
  const everything = [remains.original, ...remains.edits].flatMap((o) => [o.cm, o.r, o.s]).concat(remains.digest);
  const tried = salts(remains);
  const bodies = DIAGNOSES.map((payload) => [padPayload(payload), payload]);
  const confirmed = bodies.map((forms) =>
    forms.some((body) =>
      tried.some((salt) => {
        const cm = recordCommitment({ salt, body });
        return everything.some((known) => bytesEqual(known, cm));
      }),
    ),
  );
  const fits = bodies.map((forms) => forms.some((body) => body.length === remains.length));
  const by = confirmed.includes(true) ? confirmed : fits;
  return DIAGNOSES.flatMap((_, i) => (by[i] ? [i] : []));
}

const ALL = DIAGNOSES.map((_, i) => i);

test("after erasure neither (C, cm, r, s) nor the edit log lets a low-entropy original be guessed", () => {
  DIAGNOSES.forEach((payload, truth) => {
    assert.equal(guess(live({ salt: named("secret salt", truth), body: padPayload(payload) })), ALL, `it was ${truth}`);
  });
});

test("the same attacker finds it where the salt is none, or public, or made of what is", () => {
  const careless: [string, Uint8Array][] = [
    ["zeros", new Uint8Array(32)],
    ["the label", label],
    ["the key", publicKey],
    ["r", r],
    ["s", s],
    ["a hash of the label", sha256(label)],
    ["the salt of the correction", named("salt of the correction")],
  ];
  for (const [what, salt] of careless) {
    for (const truth of [0, 4, 9]) {
      assert.equal(guess(live({ salt, body: padPayload(DIAGNOSES[truth]!) })), [truth], what);
    }
  }
});

test("and where the length is that of the payload", () => {
  assert.is(new Set(DIAGNOSES.map((d) => d.length)).size, 10, "ten lengths");
  DIAGNOSES.forEach((payload, truth) => {
    assert.equal(guess(live({ salt: named("secret salt", truth), body: payload })), [truth]);
  });
});

test("whoever kept the salt finds it: erasing is erasing the salt", () => {
  const salt = named("secret salt");
  const { original } = live({ salt, body: padPayload(DIAGNOSES[3]!) });
  const found = ALL.filter((i) => bytesEqual(recordCommitment({ salt, body: padPayload(DIAGNOSES[i]!) }), original.cm));
  assert.equal(found, [3]);
});

test.run();
