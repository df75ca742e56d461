import { randomBytes } from "node:crypto";
import type { DKG_Round2, Key, NonceCommitments } from "@noble/curves/abstract/frost.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chameleonDigest, chameleonOpens, scalarBytes } from "../../crypto/chameleon.ts";
import { weightsAtZero } from "../../crypto/dealing.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { taggedHash, u64Bytes } from "../../crypto/hash.ts";
import {
  custodians,
  frostPublic,
  frostSecret,
  MAX_NONCES,
  NonceBox,
  openingFrom,
  type Redaction,
  redactionMessage,
  sessionId,
  shareIsBad,
  signSignatureShare,
  verifySignatureShare,
} from "../../crypto/threshold.ts";
import type { SignatureShare } from "../../types/custodian.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import { generate as deal, publicOf, reshare, secretsOf } from "./ceremony.ts";

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

const genesisHash = redaction.genesis;
const keyOf = (custodian: number) => keyPair(bytes("custodian", custodian));
const refuses = (code: string) => (e: unknown) => isPoflError(e, code);
const boxes = (secrets = keys.map((k) => k.secret)) => secrets.map((secret) => new NonceBox(secret, randomBytes));
const commitTo = (from: readonly NonceBox[], ...who: number[]) => who.map((i) => from[i]!.commit());
const signed = (custodian: number, share: SignatureShare) =>
  signSignatureShare(genesisHash, keyOf(custodian).secret, share);

/** As anybody judges who knows the sharing, and is shown the list and the message. */
function judge(
  custodian: number,
  share: ReturnType<typeof signed>,
  list: NonceCommitments[],
  of = redaction,
  in_ = shared,
) {
  const message = redactionMessage(of);
  return shareIsBad({
    genesisHash,
    custodianKey: keyOf(custodian).publicKey,
    shared: in_,
    list,
    message,
    custodian,
    signed: share,
  });
}

test("a custodian's wrong share is proven, by whoever sees it; an honest one's never", () => {
  const message = redactionMessage(redaction);
  const all = boxes();
  const list = commitTo(all, 0, 1, 2);
  const share = all[0]!.sign(shared, list, message);
  assert.is(share.custodian, 0);
  assert.ok(verifySignatureShare(genesisHash, keyOf(0).publicKey, signed(0, share)));
  assert.not(judge(0, signed(0, share), list));
  const wrong: [string, Uint8Array][] = [
    ["another scalar", scalarBytes(9n)],
    ["0", new Uint8Array(32)],
    ["no scalar", new Uint8Array(32).fill(255)],
  ];
  for (const [what, bad] of wrong) assert.ok(judge(0, signed(0, { ...share, share: bad }), list), what);

  const bad = { ...share, share: scalarBytes(9n) };
  assert.not(judge(0, signed(1, bad), list), "signed by another");
  assert.not(judge(1, signed(0, bad), list), "another accused");
  assert.not(judge(1, signed(1, bad), list), "in another's name");
  assert.not(judge(3, signed(3, { ...bad, custodian: 3 }), list), "one who is not in the session");
  assert.not(judge(0, signed(0, bad), commitTo(all, 0, 1, 2)), "another list");
  assert.not(judge(0, signed(0, bad), list, { ...redaction, version: 2 }), "another redaction");
  const edited = { ...signed(0, share), message: bad };
  assert.not(judge(0, edited, list), "what it has not signed");
  const { signature } = signed(0, bad);
  assert.not(
    verifySignatureShare(bytes("other chain"), keyOf(0).publicKey, { message: bad, signature }),
    "another chain",
  );
});

test("a coordinator that shows its signers different lists frames nobody, and gets no opening", () => {
  const message = redactionMessage(redaction);
  const all = boxes();
  const [a, b, c, again] = commitTo(all, 0, 1, 2, 2) as [NonceCommitments, ...NonceCommitments[]];
  const [one, other] = [
    [a, b!, c!],
    [a, b!, again!],
  ];
  const shares = [
    all[0]!.sign(shared, one, message),
    all[1]!.sign(shared, other, message),
    all[2]!.sign(shared, one, message),
  ];
  const byId = Object.fromEntries(shares.map((share, i) => [ids[i]!, share.share]));
  assert.throws(() => custodians.aggregate(shared, one, message, byId), /aggregation failed/);
  assert.not(
    custodians.verifyShare(shared, one, message, ids[1]!, shares[1]!.share),
    "it looks bad under the other list",
  );
  for (const list of [one, other]) {
    shares.forEach((share, custodian) => assert.not(judge(custodian, signed(custodian, share), list), `${custodian}`));
  }
});

test("nor does a resharing frame anybody, which keeps key and epoch: a session names its sharing", () => {
  const before = deal(3, 5);
  const after = reshare(before, [0, 1, 2], weightsAtZero([0, 1, 2]), 3, 5);
  assert.equal(after.commitments[0], before.commitments[0]);
  const all = boxes(secretsOf(before));
  const list = commitTo(all, 0, 1, 2);
  const message = redactionMessage(redaction);
  const share = all[0]!.sign(publicOf(before), list, message);
  assert.not(judge(0, signed(0, share), list, redaction, publicOf(before)));
  assert.not(custodians.verifyShare(publicOf(after), list, message, ids[0]!, share.share), "it looks bad to the next");
  assert.not(judge(0, signed(0, share), list, redaction, publicOf(after)));
});

test("a session has one id in whatever order its nonces come, another with anything changed", () => {
  const message = redactionMessage(redaction);
  const [a, b, c, d] = commitTo(boxes(), 0, 1, 2, 3) as [
    NonceCommitments,
    NonceCommitments,
    NonceCommitments,
    NonceCommitments,
  ];
  const id = sessionId(message, [a, b, c], shared);
  assert.equal(sessionId(message, [c, a, b], shared), id);
  const others = [
    sessionId(message, [a, b, d], shared),
    sessionId(message, [a, b, c, d], shared),
    sessionId(message, [a, b, { ...c, hiding: d.hiding }], shared),
    sessionId(message, [a, b, { ...c, binding: d.binding }], shared),
    sessionId(redactionMessage({ ...redaction, request: bytes("other") }), [a, b, c], shared),
    sessionId(message, [a, b, c], publicOf(deal(3, 5))),
  ];
  assert.is(new Set([id, ...others].map((h) => Buffer.from(h).toString("hex"))).size, 7);
  assert.throws(() => sessionId(message, [a, b, a], shared), refuses("BAD_SESSION"), "one twice");
  const sixth = { ...c, identifier: custodians.Identifier.fromNumber(6) };
  assert.throws(() => sessionId(message, [a, b, sixth], shared), refuses("BAD_SESSION"), "a stranger");
  assert.throws(() => sessionId(message.slice(1), [a, b, c], shared), refuses("BAD_REDACTION"));
});

test("nonces are single use: a second share from them is refused, whatever became of the first", () => {
  const message = redactionMessage(redaction);
  const all = boxes();
  const list = commitTo(all, 0, 1, 2);
  all[0]!.sign(shared, list, message);
  assert.throws(() => all[0]!.sign(shared, list, message), refuses("NONCE_USED"), "for the same session");
  const next = commitTo(all, 1, 2);
  assert.throws(() => all[0]!.sign(shared, [list[0]!, ...next], message), refuses("NONCE_USED"), "for another");
  assert.throws(() => all[1]!.sign(shared, list.slice(0, 2), message), refuses("BAD_SESSION"), "too few signers");
  assert.throws(() => all[1]!.sign(shared, list, message), refuses("NONCE_USED"), "after a session that failed");
  assert.throws(() => all[3]!.sign(shared, list, message), refuses("BAD_SESSION"), "not in the session");
  const foreign = commitTo(boxes(), 2)[0]!;
  assert.throws(() => all[2]!.sign(shared, [...next.slice(0, 1), foreign, list[0]!], message), refuses("NONCE_USED"));
});

test("unanswered nonces are bounded: the oldest are forgotten", () => {
  const message = redactionMessage(redaction);
  const all = boxes();
  const oldest = commitTo(all, 0, 1, 2);
  const kept = all[0]!.commit();
  for (let i = 2; i <= MAX_NONCES; i++) all[0]!.commit();
  assert.throws(() => all[0]!.sign(shared, oldest, message), refuses("NONCE_USED"));
  assert.ok(all[0]!.sign(shared, [kept, ...oldest.slice(1)], message));
});

test("what is no sharing is none to FROST either", () => {
  const { commitments, verifyingShares, shares } = deal(2, 3);
  assert.is(frostPublic(commitments, verifyingShares, 2, 3).signers.max, 3);
  const cases: [string, () => unknown][] = [
    ["a threshold of 1", () => frostPublic(commitments.slice(1), verifyingShares, 1, 3)],
    ["more than there are", () => frostPublic([...commitments, ...commitments], verifyingShares, 4, 3)],
    ["a verifying share too few", () => frostPublic(commitments, verifyingShares.slice(1), 2, 3)],
    ["a commitment too few", () => frostPublic(commitments.slice(1), verifyingShares, 2, 3)],
    ["a share of 0", () => frostSecret(0, new Uint8Array(32))],
    ["half a share", () => frostSecret(0, shares[0]!.slice(16))],
  ];
  for (const [what, make] of cases) assert.throws(make, refuses("BAD_DEALING"), what);
});

test("parts of other lengths have no encoding", () => {
  assert.throws(
    () => redactionMessage({ ...redaction, cm: new Uint8Array(31) }),
    (e: { code?: string }) => e.code === "BAD_REDACTION",
  );
});

test.run();
