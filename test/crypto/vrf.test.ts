import { readFileSync } from "node:fs";
import { ed25519 } from "@noble/curves/ed25519.js";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { keyPair } from "../../crypto/ed25519.ts";
import { beaconAlpha, nextSeed, vrfProve, vrfVerify } from "../../crypto/vrf.ts";
import { isPoflError } from "../../types/errors.ts";

const hex = (s: string): Uint8Array => new Uint8Array(Buffer.from(s, "hex"));
const { Point } = ed25519;

type Vector = { id: string; sk: string; pk: string; alpha: string; pi: string; beta: string };
const vectors = (): Vector[] =>
  JSON.parse(readFileSync("test/vectors/ecvrf-edwards25519-sha512-tai.json", "utf8")).vectors;

test("RFC 9381 appendix B.3", () => {
  assert.is(vectors().length, 3);
  for (const { id, sk, pk, alpha, pi, beta } of vectors()) {
    assert.equal(keyPair(hex(sk)).publicKey, hex(pk), id);
    assert.equal(vrfProve(hex(sk), hex(alpha)), hex(pi), id);
    assert.equal(vrfVerify(hex(pk), hex(alpha), hex(pi)), hex(beta), id);
  }
});

test("any other key, input or proof is refused", () => {
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(seed, fc.uint8Array({ maxLength: 40 }), fc.nat(80 * 8 - 1), (secret, alpha, bit) => {
      const { publicKey } = keyPair(secret);
      const proof = vrfProve(secret, alpha);
      assert.is(vrfVerify(publicKey, alpha, proof)?.length, 64);
      const bad = proof.slice();
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.is(vrfVerify(publicKey, alpha, bad), undefined, `bit ${bit}`);
      assert.is(vrfVerify(publicKey, new Uint8Array([...alpha, 0]), proof), undefined);
      assert.is(
        vrfVerify(keyPair(alpha.length === 32 ? proof.slice(48) : proof.slice(0, 32)).publicKey, alpha, proof),
        undefined,
      );
    }),
    { numRuns: 30 },
  );
});

test("the key is validated, lengths and s < q are checked, nothing throws", () => {
  const { sk, pk, alpha, pi } = vectors()[1] as Vector;
  const proof = hex(pi);
  const s = BigInt(`0x${Buffer.from(proof.slice(48)).reverse().toString("hex")}`) + Point.Fn.ORDER;
  const malleable = new Uint8Array([...proof.slice(0, 48), ...hex(s.toString(16).padStart(64, "0")).reverse()]);
  const torsion = Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
  const table: [string, Uint8Array, Uint8Array][] = [
    ["identity as key", Point.ZERO.toBytes(), proof],
    ["small-order key", torsion.toBytes(), proof],
    ["key plus torsion", Point.fromHex(pk).add(torsion).toBytes(), proof],
    ["non-canonical key", hex(`ee${"ff".repeat(30)}7f`), proof],
    ["short key", hex(pk).slice(1), proof],
    ["s + q", hex(pk), malleable],
    ["s = 2^256 − 1", hex(pk), new Uint8Array([...proof.slice(0, 48), ...new Uint8Array(32).fill(255)])],
    ["gamma off the curve", hex(pk), new Uint8Array([2, ...new Uint8Array(31), ...proof.slice(32)])],
    ["short proof", hex(pk), proof.slice(1)],
    ["long proof", hex(pk), new Uint8Array([...proof, 0])],
    ["empty proof", hex(pk), new Uint8Array()],
  ];
  for (const [id, key, bad] of table) assert.is(vrfVerify(key, hex(alpha), bad), undefined, id);
  assert.throws(
    () => vrfProve(hex(sk).slice(1), hex(alpha)),
    (e: unknown) => isPoflError(e, "BAD_KEY"),
  );
});

test("beacon: each height has an input of its own, each output a seed of its own", () => {
  const seed = new Uint8Array(32).fill(1);
  const inputs = [0, 1, 2, 255, 256, 2 ** 32, 2 ** 53 - 1].map((h) =>
    Buffer.from(beaconAlpha(seed, h)).toString("hex"),
  );
  assert.is(new Set(inputs).size, inputs.length);
  const [one, two] = [new Uint8Array(64).fill(1), new Uint8Array(64).fill(2)];
  assert.not.equal(nextSeed(seed, one), nextSeed(seed, two));
  assert.not.equal(nextSeed(seed, one), nextSeed(new Uint8Array(32), one));
  assert.is(nextSeed(seed, one).length, 32);
});

test.run();
