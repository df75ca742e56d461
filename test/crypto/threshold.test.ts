import type { DKG_Round2, Key, NonceCommitments } from "@noble/curves/abstract/frost.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chameleonDigest, chameleonOpens, scalarBytes } from "../../crypto/chameleon.ts";
import { taggedHash, u64Bytes } from "../../crypto/hash.ts";
import { custodians, openingFrom, type Redaction, redactionMessage } from "../../crypto/threshold.ts";
import type { Hash } from "../../types/primitives.ts";

/** Three of five custodians open a digest anew; nobody ever holds the trapdoor. */

const bytes = (name: string, i = 0): Hash => taggedHash(`test/${name}`, u64Bytes(i));
const signers = { min: 3, max: 5 };
const ids = [1, 2, 3, 4, 5].map((n) => custodians.Identifier.fromNumber(n));

function generate(): Key[] {
  const first = ids.map((id) => custodians.DKG.round1(id, signers));
  const others = (i: number) => first.filter((_, j) => j !== i).map((f) => f.public);
  const second = first.map((f, i) => custodians.DKG.round2(f.secret, others(i)));
  return first.map((f, i) => {
    const received = second.flatMap((sent, j): DKG_Round2[] => (j === i ? [] : [sent[ids[i]!]!]));
    return custodians.DKG.round3(f.secret, others(i), received);
  });
}

const keys = generate();
const shared = keys[0]!.public;
const publicKey = shared.commitments[0]!;
const label = bytes("label");
const original = { cm: bytes("cm"), version: 0, r: scalarBytes(5n), s: scalarBytes(7n) };
const digest = chameleonDigest(publicKey, label, original)!;
const redaction: Redaction = {
  genesis: bytes("genesis"),
  epoch: 0,
  publicKey,
  label,
  version: 1,
  digest,
  cm: bytes("erased"),
  request: bytes("request"),
};

/** Shares of a session of these custodians, by identifier. */
function session(who: readonly number[], message: Uint8Array) {
  const nonces = who.map((i) => custodians.commit(keys[i]!.secret));
  const list: NonceCommitments[] = nonces.map((n) => n.commitments);
  const shares = Object.fromEntries(
    who.map((i, at) => [ids[i]!, custodians.signShare(keys[i]!.secret, shared, nonces[at]!.nonces, list, message)]),
  );
  return { nonces, list, shares };
}

test("all five come out of the ceremony with one key, and each with a share of its own", () => {
  for (const key of keys) assert.equal(key.public.commitments[0], publicKey);
  assert.is(new Set(keys.map((k) => Buffer.from(k.secret.signingShare).toString("hex"))).size, 5);
});

test("any three open the digest to another commitment; the opening verifies without them", () => {
  for (const who of [
    [0, 1, 2],
    [1, 3, 4],
    [0, 2, 4],
  ]) {
    const message = redactionMessage(redaction);
    const { list, shares } = session(who, message);
    const opening = openingFrom(redaction, custodians.aggregate(shared, list, message, shares));
    assert.equal([opening.cm, opening.version], [redaction.cm, 1]);
    assert.ok(chameleonOpens(publicKey, label, digest, opening));
  }
});

test("two can't", () => {
  const message = redactionMessage(redaction);
  assert.throws(() => session([0, 1], message));
});

test("a bad share is found, and named", () => {
  const message = redactionMessage(redaction);
  const { list, shares } = session([0, 1, 2], message);
  shares[ids[1]!] = scalarBytes(9n);
  assert.ok(custodians.verifyShare(shared, list, message, ids[0]!, shares[ids[0]!]!));
  assert.not(custodians.verifyShare(shared, list, message, ids[1]!, shares[ids[1]!]!));
  try {
    custodians.aggregate(shared, list, message, shares);
    assert.unreachable();
  } catch (error) {
    assert.equal((error as { cheaters?: string[] }).cheaters, [ids[1]]);
  }
});

test("nonces are used once: a second share from them is refused", () => {
  const message = redactionMessage(redaction);
  const { nonces, list } = session([0, 1, 2], message);
  const other = redactionMessage({ ...redaction, version: 2 });
  assert.throws(() => custodians.signShare(keys[0]!.secret, shared, nonces[0]!.nonces, list, other), /already used/);
});

test("shares of one redaction make no opening of another", () => {
  const { list, shares } = session([0, 1, 2], redactionMessage(redaction));
  for (const change of [
    { cm: bytes("forged") },
    { version: 2 },
    { label: bytes("other") },
    { request: bytes("other") },
  ]) {
    const other = redactionMessage({ ...redaction, ...change });
    assert.throws(() => custodians.aggregate(shared, list, other, shares));
  }
});

test("parts of other lengths have no encoding", () => {
  assert.throws(
    () => redactionMessage({ ...redaction, cm: new Uint8Array(31) }),
    (e: { code?: string }) => e.code === "BAD_REDACTION",
  );
});

test.run();
