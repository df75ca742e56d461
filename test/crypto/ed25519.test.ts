import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkPublicKey, keyPair, sign, verify, verifyPortable } from "../../crypto/ed25519.ts";
import { isPoflError } from "../../types/errors.ts";

const { Point } = ed25519;
const L = Point.Fn.ORDER;
const P = 2n ** 255n - 19n;
type CurvePoint = InstanceType<typeof Point>;

const bytesOf = (n: bigint): Uint8Array =>
  new Uint8Array(Buffer.from(n.toString(16).padStart(64, "0"), "hex").reverse());
const intOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
const withSign = (bytes: Uint8Array): Uint8Array => {
  const copy = bytes.slice();
  copy[31] = (copy[31] as number) | 0x80;
  return copy;
};
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** The eight points of small order: multiples of one of order 8. */
const T8 = Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
const TORSION: CurvePoint[] = [Point.ZERO];
for (let i = 1; i < 8; i++) TORSION.push((TORSION[i - 1] as CurvePoint).add(T8));

const challenge = (r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint =>
  intOf(createHash("sha512").update(r).update(a).update(message).digest()) % L;

/** A signature whose S fits the secret scalar, for any encodings of R and A that one likes. */
const forge = (a: bigint, A: Uint8Array, r: bigint, R: Uint8Array, message: Uint8Array): Uint8Array =>
  join(R, bytesOf((r + challenge(R, A, message) * a) % L));

/** The bare equation, A decoded as loosely as OpenSSL does: what a verifier without the prechecks would say. */
const equation = (key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean => {
  const [R, S] = [signature.subarray(0, 32), intOf(signature.subarray(32))];
  const kA = Point.fromBytes(key, true).multiplyUnsafe(challenge(R, key, message));
  return (
    Buffer.compare(
      Point.BASE.multiplyUnsafe(S % L)
        .subtract(kA)
        .toBytes(),
      R,
    ) === 0
  );
};

const both = (A: Uint8Array, message: Uint8Array, signature: Uint8Array, id: string): boolean => {
  const native = verify(A, message, signature);
  assert.is(verifyPortable(A, message, signature), native, `${id}: native says ${native}, portable the opposite`);
  return native;
};

const a = 7_654_321_987_654_321n;
const A = Point.BASE.multiply(a);
const r = 1_234_567_890_123n;
const R = Point.BASE.multiply(r);

test("RFC 8032 section 7.1, tests 1 to 3", () => {
  for (const [id, sk, pk, message, signature] of [
    [
      "test 1",
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "test 2",
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "test 3",
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ] as const) {
    const hex = (s: string) => new Uint8Array(Buffer.from(s, "hex"));
    const keys = keyPair(hex(sk));
    assert.equal(keys.publicKey, hex(pk), id);
    assert.equal(sign(keys.secret, hex(message)), hex(signature), id);
    assert.ok(both(hex(pk), hex(message), hex(signature), id), id);
    assert.ok(checkPublicKey(hex(pk)), id);
  }
});

/** All encodings of small order; non-canonical are y = p and p + 1, and x = 0 with the sign bit. */
const SMALL: Uint8Array[] = TORSION.map((point) => point.toBytes());
for (const y of [P, P + 1n]) SMALL.push(bytesOf(y), withSign(bytesOf(y)));
for (const y of [1n, P - 1n]) SMALL.push(withSign(bytesOf(y)));

test("small-order A: refused in every encoding, where the equation alone would take forgeries", () => {
  const encodings = SMALL;
  assert.is(new Set(encodings.map((e) => Buffer.from(e).toString("hex"))).size, 14, "all 14 encodings");
  let taken = 0;
  for (const [i, key] of encodings.entries()) {
    assert.not.ok(checkPublicKey(key), `key ${i}`);
    for (let m = 0; m < 16; m++) {
      const message = text(`message ${m}`);
      // With R = identity and S = 0 the equation holds whenever k is a multiple of the order of A.
      const signature = join(bytesOf(1n), bytesOf(0n));
      assert.not.ok(both(key, message, signature, `key ${i}, message ${m}`));
      taken += equation(key, message, signature) ? 1 : 0;
    }
  }
  assert.ok(taken > 14, "the vectors must be such that the precheck decides");
});

test("A off the curve, y ≥ p, of a wrong length: false, never an exception", () => {
  const message = text("m");
  const signature = forge(a, A.toBytes(), r, R.toBytes(), message);
  const wrong: [string, Uint8Array][] = [
    ["off the curve", bytesOf(2n)],
    ["short", A.toBytes().slice(1)],
    ["long", join(A.toBytes(), Uint8Array.of(0))],
    ["empty", new Uint8Array()],
  ];
  for (let y = P; y < 2n ** 255n; y++)
    wrong.push([`y = p + ${y - P}`, bytesOf(y)], [`-${y - P}`, withSign(bytesOf(y))]);
  for (const [id, key] of wrong) {
    assert.not.ok(both(key, message, signature, id), id);
    assert.not.ok(checkPublicKey(key), id);
  }
});

test("S: exactly the values below L", () => {
  const message = text("m");
  const good = forge(a, A.toBytes(), r, R.toBytes(), message);
  assert.ok(both(A.toBytes(), message, good, "good"));
  for (let s = intOf(good.subarray(32)) + L; s < 2n ** 256n; s += L) {
    assert.not.ok(both(A.toBytes(), message, join(R.toBytes(), bytesOf(s)), `S = ${s}`));
  }
  assert.not.ok(both(A.toBytes(), message, join(R.toBytes(), bytesOf(L)), "S = L"));
  assert.not.ok(both(A.toBytes(), message, join(R.toBytes(), bytesOf(0n)), "S = 0"));
  for (const length of [0, 63, 65, 128]) {
    const signature = new Uint8Array(length);
    signature.set(good.subarray(0, Math.min(64, length)));
    assert.not.ok(both(A.toBytes(), message, signature, `${length} bytes`));
  }
});

test("small-order R: refused in every encoding, though Node 20 and 22 take it and Node 24 does not", () => {
  let taken = 0;
  for (let m = 0; m < 3; m++) {
    const message = text(`message ${m}`);
    for (const [i, encoded] of SMALL.entries()) {
      for (const [j, torsion] of TORSION.entries()) {
        // With r = 0 the signer's S is k·a: sB − kA is the identity, or a torsion point if A has a torsion component.
        const key = A.add(torsion).toBytes();
        const signature = forge(a, key, 0n, encoded, message);
        taken += equation(key, message, signature) ? 1 : 0;
        assert.not.ok(both(key, message, signature, `R ${i}, A + ${j}T, ${m}`));
      }
    }
  }
  assert.ok(taken > 10, "the vectors must be such that the precheck decides");
});

test("R with a torsion component fails, though cofactored verification takes it", () => {
  for (let m = 0; m < 8; m++) {
    const message = text(`message ${m}`);
    for (const [i, torsion] of TORSION.entries()) {
      const signature = forge(a, A.toBytes(), r, R.add(torsion).toBytes(), message);
      assert.is(both(A.toBytes(), message, signature, `R + ${i}T`), i === 0);
      assert.ok(
        ed25519.verify(signature, message, A.toBytes(), { zip215: false }),
        "a vector that tells the rules apart",
      );
    }
  }
});

test("non-canonical R: false", () => {
  const message = text("m");
  for (let y = P; y < 2n ** 255n; y++) {
    for (const encoded of [bytesOf(y), withSign(bytesOf(y))]) {
      assert.not.ok(both(A.toBytes(), message, forge(a, A.toBytes(), r, encoded, message), `y = p + ${y - P}`));
    }
  }
});

test("A with a torsion component, and R too: both paths agree on each, and such keys can't be registered", () => {
  const seen = { accepted: 0, refused: 0 };
  for (let i = 1; i < 8; i++) {
    const key = A.add(TORSION[i] as CurvePoint).toBytes();
    assert.not.ok(checkPublicKey(key), `A + ${i}T`);
    for (let j = 0; j < 8; j++) {
      const encoded = R.add(TORSION[j] as CurvePoint).toBytes();
      for (let m = 0; m < 4; m++) {
        const message = text(`message ${m}`);
        const k = challenge(encoded, key, message);
        const verdict = both(key, message, forge(a, key, r, encoded, message), `A + ${i}T, R + ${j}T, ${m}`);
        // sB − kA' = R − k·iT, which is R + jT when j + k·i is a multiple of 8.
        assert.is(verdict, (BigInt(j) + k * BigInt(i)) % 8n === 0n);
        seen[verdict ? "accepted" : "refused"]++;
      }
    }
  }
  assert.ok(seen.accepted > 10 && seen.refused > 10, JSON.stringify(seen));
  assert.ok(checkPublicKey(A.toBytes()));
});

test("random signatures verify, and no single bit of key, message or signature can change", () => {
  const bytes = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
  fc.assert(
    fc.property(bytes(32), fc.uint8Array({ maxLength: 100 }), fc.nat(), (seed, message, where) => {
      const { publicKey, secret } = keyPair(seed);
      const signature = sign(secret, message);
      assert.ok(both(publicKey, message, signature, "valid"));
      const all = join(publicKey, signature, message);
      const bit = where % (8 * all.length);
      all[bit >> 3] = (all[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.not.ok(both(all.slice(0, 32), all.slice(96), all.slice(32, 96), `bit ${bit}`), `bit ${bit}`);
    }),
    { numRuns: 150 },
  );
  fc.assert(
    fc.property(bytes(32), bytes(64), (key, signature) => {
      assert.not.ok(both(key, text("m"), signature, "noise"));
    }),
    { numRuns: 100 },
  );
});

test("the signer follows the seed in the array, not the array; a seed of another length is refused", () => {
  const secret = new Uint8Array(32).fill(1);
  const first = sign(secret, text("m"));
  secret.fill(2);
  const second = sign(secret, text("m"));
  assert.not.equal(second, first);
  assert.ok(verify(keyPair(new Uint8Array(32).fill(2)).publicKey, text("m"), second));
  for (const length of [0, 31, 33, 64]) {
    assert.throws(
      () => keyPair(new Uint8Array(length)),
      (e: unknown) => isPoflError(e, "BAD_KEY"),
    );
  }
});

test("more keys than the cache holds change no verdict", () => {
  const message = text("m");
  const good = keyPair(new Uint8Array(32).fill(9));
  const signature = sign(good.secret, message);
  for (let i = 0; i < 5000; i++) {
    const key = bytesOf(BigInt(i) + 100n);
    verify(key, message, signature);
    if (i % 1000 === 0) assert.ok(verify(good.publicKey, message, signature));
  }
  assert.ok(verify(good.publicKey, message, signature));
});

test.run();
