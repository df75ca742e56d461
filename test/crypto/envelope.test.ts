import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { scalarBytes, scalarOf } from "../../crypto/chameleon.ts";
import { commitmentsOf, dealingFrom, shareFits, shareOf } from "../../crypto/dealing.ts";
import { signMessage } from "../../crypto/domain.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import {
  type Complaint,
  complain,
  complaintHolds,
  envelopeKeyIsValid,
  envelopeKeys,
  openShare,
  sealShare,
} from "../../crypto/envelope.ts";
import { taggedHash, u64Bytes } from "../../crypto/hash.ts";
import { SealedShare, type SignedShare } from "../../types/custodian.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import { named } from "./ceremony.ts";

/** Four custodians of two ceremonies, and a chain that looks keys and commitments up under what a message names. */

const { Point } = ristretto255;
const genesisHash = named("genesis");
const IDENTITY = Point.ZERO.toBytes();

type Party = ReturnType<typeof partyOf>;
function partyOf(index: number, ceremony: Hash) {
  const seed = taggedHash("test/party", ceremony, u64Bytes(index));
  const dealing = dealingFrom(seed, ceremony, 3);
  const custodian = keyPair(named("custodian", index));
  return {
    index,
    seed,
    ceremony,
    dealing,
    commitments: commitmentsOf(dealing),
    custodian,
    keys: envelopeKeys(seed, ceremony),
  };
}
const [first, second] = [0, 1].map((c) => [0, 1, 2, 3].map((i) => partyOf(i, named("ceremony", c)))) as [
  Party[],
  Party[],
];
const [alice, bob, carol, dave] = first as [Party, Party, Party, Party];

function seal(from: Party, to: Party, share = shareOf(from.dealing, to.index)): SignedShare {
  return sealShare({
    genesisHash,
    custodianSecret: from.custodian.secret,
    envelopeSecret: from.keys.secret,
    receiverKey: to.keys.publicKey,
    ceremony: from.ceremony,
    dealer: from.index,
    receiver: to.index,
    share,
  });
}

/** Encrypts nothing: a dealer may sign any 48 bytes. */
function scribble(from: Party, to: Party, change: Partial<SealedShare>): SignedShare {
  const message = { ...seal(from, to).message, ...change };
  const root = SealedShare.hashTreeRoot(message);
  return { message, signature: signMessage("dealtShare", genesisHash, from.custodian.secret, root) };
}

const open = (to: Party, from: Party, signed: SignedShare) =>
  openShare({
    genesisHash,
    custodianKey: from.custodian.publicKey,
    envelopeSecret: to.keys.secret,
    dealerKey: from.keys.publicKey,
    signed,
  });

const accuse = (to: Party, from: Party, signed: SignedShare): Complaint =>
  complain({ envelopeSecret: to.keys.secret, dealerKey: from.keys.publicKey, signed, seed: to.seed });

/** As the chain judges: everything but the complaint comes from its state, found by what the message names. */
function holds(complaint: Complaint): boolean {
  const { ceremony, dealer, receiver } = complaint.share.message;
  const parties = [first, second].find((ps) => ps[0]!.ceremony.every((b, i) => b === ceremony[i]));
  const [from, to] = [parties?.[dealer], parties?.[receiver]];
  if (!from || !to) return false;
  return complaintHolds({
    genesisHash,
    custodianKey: from.custodian.publicKey,
    dealerKey: from.keys.publicKey,
    receiverKey: to.keys.publicKey,
    commitments: from.commitments,
    complaint,
  });
}

/** What anybody can do with a point that was published. */
function decryptWith(
  point: Uint8Array,
  { ceremony, dealer, receiver, ciphertext }: SealedShare,
): Uint8Array | undefined {
  const key = taggedHash("pofl/envelope/cipher/1", ceremony, u64Bytes(dealer), u64Bytes(receiver), point);
  try {
    return xchacha20poly1305(key, new Uint8Array(24)).decrypt(ciphertext);
  } catch {
    return undefined;
  }
}

test("a share arrives at its receiver and at nobody else", () => {
  for (const to of first) {
    const signed = seal(alice, to);
    const share = open(to, alice, signed)!;
    assert.ok(shareFits(alice.commitments, to.index, share));
    for (const other of first) if (other !== to) assert.is(open(other, alice, signed), undefined);
  }
});

test("a dealer is named for a wrong share, for another's share, for one out of range, and for noise", () => {
  const cases: [string, SignedShare][] = [
    ["a wrong share", seal(alice, bob, scalarBytes(5n))],
    ["the share of another", seal(alice, bob, shareOf(alice.dealing, carol.index))],
    ["no scalar", seal(alice, bob, new Uint8Array(32).fill(255))],
    ["0", seal(alice, bob, new Uint8Array(32))],
    ["noise", scribble(alice, bob, { ciphertext: new Uint8Array(48).fill(7) })],
    ["encrypted for another", scribble(alice, bob, { ciphertext: seal(alice, carol).message.ciphertext })],
  ];
  for (const [what, signed] of cases) {
    const share = open(bob, alice, signed);
    assert.not(share && shareFits(alice.commitments, bob.index, share), what);
    assert.ok(holds(accuse(bob, alice, signed)), what);
  }
});

test("no complaint holds against an honest dealer", () => {
  const signed = seal(alice, bob);
  const honest = accuse(bob, alice, signed);
  const wrong = accuse(bob, alice, seal(alice, bob, scalarBytes(5n)));
  const [c, z] = [honest.proof.slice(0, 32), honest.proof.slice(32)];
  const plusOne = (s: Uint8Array) => scalarBytes(scalarOf(s)! + 1n);
  const forged = Point.BASE.multiply(9n).toBytes();
  const edited = (change: Partial<SealedShare>): SignedShare => ({
    ...signed,
    message: { ...signed.message, ...change },
  });
  const moved = edited({ receiver: carol.index });
  const noise = edited({ ciphertext: new Uint8Array(48).fill(7) });
  const cases: [string, Complaint][] = [
    ["the truth", honest],
    ["a forged point", { ...honest, point: forged }],
    ["a forged point whose proof is for another base", accuse(bob, { ...alice, keys: carol.keys }, signed)],
    ["no point", { ...honest, point: IDENTITY }],
    ["another's point", accuse(carol, alice, signed)],
    ["a forged challenge", { ...honest, proof: new Uint8Array([...plusOne(c), ...z]) }],
    ["a forged response", { ...honest, point: forged, proof: new Uint8Array([...c, ...plusOne(z)]) }],
    ["no proof", { ...honest, point: forged, proof: new Uint8Array(64) }],
    ["half a proof", { ...honest, proof: c }],
    ["a proof about a wrong envelope", { ...wrong, share: signed }],
    ["a wrong receiver", accuse(carol, alice, moved)],
    ["an envelope that the dealer has not signed", accuse(bob, alice, noise)],
    ["signed by another", accuse(bob, alice, { ...noise, signature: scribble(carol, bob, noise.message).signature })],
    ["another ceremony's envelope with this one's keys", accuse(bob, alice, seal(second[0]!, second[1]!))],
    ["this ceremony's under another's name", accuse(bob, alice, edited({ ceremony: second[0]!.ceremony }))],
    ["a ceremony that nobody knows", accuse(bob, alice, edited({ ceremony: named("ceremony", 9) }))],
  ];
  for (const [what, complaint] of cases) assert.not(holds(complaint), what);
});

test("without a chain's checks: on another chain, under keys that are none, against no commitments, nothing holds", () => {
  const args = {
    genesisHash,
    custodianKey: alice.custodian.publicKey,
    dealerKey: alice.keys.publicKey,
    receiverKey: bob.keys.publicKey,
    commitments: alice.commitments,
    complaint: accuse(bob, alice, seal(alice, bob, scalarBytes(5n))),
  };
  assert.ok(complaintHolds(args));
  const changes: [string, Partial<typeof args>][] = [
    ["another chain", { genesisHash: named("genesis", 1) }],
    ["another custodian's key", { custodianKey: bob.custodian.publicKey }],
    ["another dealer's key", { dealerKey: carol.keys.publicKey }],
    ["no dealer's key", { dealerKey: IDENTITY }],
    ["another receiver's key", { receiverKey: carol.keys.publicKey }],
    ["about another envelope", { complaint: { ...args.complaint, share: seal(alice, bob, scalarBytes(6n)) } }],
    ["no commitments", { commitments: [] }],
    ["the identity among them", { commitments: [...alice.commitments, IDENTITY] }],
  ];
  for (const [what, change] of changes) assert.not(complaintHolds({ ...args, ...change }), what);
});

test("an envelope that its dealer has not signed proves nothing and is refused: so for a receiver it was not for", () => {
  const signed = seal(alice, bob);
  const moved = { ...signed, message: { ...signed.message, receiver: carol.index } };
  // 48 bytes that end in 0 have the root of the 47 before it.
  const ending = scribble(alice, bob, { ciphertext: new Uint8Array(48) });
  const short = { ...ending, message: { ...ending.message, ciphertext: new Uint8Array(47) } };
  for (const [to, from, bad] of [
    [carol, alice, moved],
    [bob, alice, { ...signed, signature: new Uint8Array(64) }],
    [bob, carol, signed],
    [bob, alice, short],
  ] as const) {
    assert.throws(
      () => open(to, from, bad),
      (e: unknown) => isPoflError(e, "BAD_ENVELOPE"),
    );
  }
});

test("a complaint opens no other envelope: not of others to its receiver, nor of its dealer to others", () => {
  const { point } = accuse(bob, alice, seal(alice, bob));
  assert.equal(
    decryptWith(point, seal(alice, bob).message),
    shareOf(alice.dealing, bob.index),
    "the one that it is about",
  );
  for (const [from, to] of [
    [carol, bob],
    [dave, bob],
    [bob, bob],
    [alice, carol],
    [carol, alice],
    [second[0]!, second[1]!],
  ] as const) {
    assert.is(decryptWith(point, seal(from, to).message), undefined, `${from.index} to ${to.index}`);
  }
  const withSecret = Point.fromBytes(carol.keys.publicKey).multiply(scalarOf(bob.keys.secret)!).toBytes();
  assert.ok(decryptWith(withSecret, seal(carol, bob).message), "where the receiver's secret would");
});

test("documented limit: one pair of keys for both directions opens what the complainer dealt to the accused; two pairs don't", () => {
  const { point } = accuse(bob, alice, seal(alice, bob));
  assert.equal(decryptWith(point, seal(bob, alice).message), shareOf(bob.dealing, alice.index));
  const dealing = (p: Party): Party => ({ ...p, keys: envelopeKeys(taggedHash("test/deals", p.seed), p.ceremony) });
  const apart = accuse(bob, dealing(alice), seal(dealing(alice), bob));
  assert.ok(decryptWith(apart.point, seal(dealing(alice), bob).message));
  assert.is(decryptWith(apart.point, seal(dealing(bob), alice).message), undefined);
});

test("keys: of their seed and ceremony, valid; the identity and what is no point are not", () => {
  assert.ok(envelopeKeyIsValid(alice.keys.publicKey));
  assert.equal(envelopeKeys(alice.seed, alice.ceremony), alice.keys);
  const keys = [alice, bob, second[0]!].map((p) => Buffer.from(p.keys.publicKey).toString("hex"));
  keys.push(Buffer.from(envelopeKeys(alice.seed, named("ceremony", 1)).publicKey).toString("hex"));
  assert.is(new Set(keys).size, 4);
  for (const bad of [IDENTITY, new Uint8Array(32).fill(255), new Uint8Array(31)]) {
    assert.not(envelopeKeyIsValid(bad));
    const refused = (e: unknown) => isPoflError(e, "BAD_KEY");
    assert.throws(() => seal(alice, { ...bob, keys: { ...bob.keys, publicKey: bad } }), refused);
    assert.throws(() => accuse(bob, { ...alice, keys: { ...alice.keys, publicKey: bad } }, seal(alice, bob)), refused);
  }
});

test("whatever comes as a complaint, the judgement is an answer: and no, if the dealer was honest", () => {
  const honest = accuse(bob, alice, seal(alice, bob));
  const bytes = fc.uint8Array({ maxLength: 70 });
  const part = fc.constantFrom("point", "proof", "signature", "ciphertext");
  fc.assert(
    fc.property(part, fc.oneof(bytes, fc.nat(63)), (what, how) => {
      const { message, signature } = honest.share;
      const was = { point: honest.point, proof: honest.proof, signature, ciphertext: message.ciphertext }[what];
      const now = typeof how === "number" ? was.map((b, i) => (i === how % was.length ? b ^ 1 : b)) : how;
      const is = { ...honest, signature, ciphertext: message.ciphertext, [what]: now };
      const share = { message: { ...message, ciphertext: is.ciphertext }, signature: is.signature };
      assert.not(holds({ share, point: is.point, proof: is.proof }));
    }),
    { numRuns: 150 },
  );
});

test.run();
