import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash, type Height, PUBLIC_KEY_BYTES, VRF_PROOF_BYTES } from "../types/primitives.ts";
import { checkPublicKey } from "./ed25519.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/**
 * ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381 section 5.5, suite 0x03). Section numbers below are the RFC's. The curve's points are
 * noble's. Verification takes registered keys only (section 5.4.5 and more: canonical and torsion-free), which gives
 * full uniqueness: one output per key and input, whatever the holder of the key does.
 */

const { Point } = ed25519;
const q = Point.Fn.ORDER;
type CurvePoint = InstanceType<typeof Point>;

const SUITE = Uint8Array.of(3);
const ENCODE = Uint8Array.of(1);
const CHALLENGE = Uint8Array.of(2);
const OUTPUT = Uint8Array.of(3);
const END = Uint8Array.of(0);

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function toInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

function toBytes(value: bigint, length: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * length, "0"), "hex").reverse());
}

/** RFC 8032 section 5.1.3, strict. */
function toPoint(bytes: Uint8Array): CurvePoint | undefined {
  try {
    return Point.fromBytes(bytes);
  } catch {
    return undefined;
  }
}

/** Section 5.4.1.1, try and increment. Its time depends on alpha, which is public here. */
function encodeToCurve(publicKey: Uint8Array, alpha: Uint8Array): CurvePoint {
  for (let counter = 0; counter < 256; counter++) {
    const digest = sha512(SUITE, ENCODE, publicKey, alpha, Uint8Array.of(counter), END);
    const point = toPoint(digest.subarray(0, 32))?.clearCofactor();
    if (point && !point.is0()) return point;
  }
  // Half of the tries succeed: 2^-256.
  throw new PoflError("VRF_FAILED", "no point of the curve within 256 tries");
}

/** Section 5.4.3. */
function challenge(...points: readonly Uint8Array[]): Uint8Array {
  return sha512(SUITE, CHALLENGE, ...points, END).subarray(0, 16);
}

/** Section 5.2. The torsion of gamma is multiplied away, so it can't change the output. */
function output(gamma: CurvePoint): Uint8Array {
  return new Uint8Array(sha512(SUITE, OUTPUT, gamma.clearCofactor().toBytes(), END));
}

/**
 * The proof (80 bytes) of the key's output on `alpha` (section 5.1); the same each time.
 * @param secret 32-byte seed
 * @throws PoflError BAD_KEY when the secret is not 32 bytes
 */
export function vrfProve(secret: Uint8Array, alpha: Uint8Array): Uint8Array {
  if (secret.length !== 32) throw new PoflError("BAD_KEY", `a VRF secret is a seed of 32 bytes, not ${secret.length}`);
  const { scalar: x, prefix, pointBytes: publicKey } = ed25519.utils.getExtendedPublicKey(secret);
  const h = encodeToCurve(publicKey, alpha);
  const hBytes = h.toBytes();
  const gamma = h.multiply(x);
  // Section 5.4.2.2: the nonce of RFC 8032.
  const k = toInt(sha512(prefix, hBytes)) % q;
  const u = Point.BASE.multiply(k).toBytes();
  const c = challenge(publicKey, hBytes, gamma.toBytes(), u, h.multiply(k).toBytes());
  const s = (k + toInt(c) * x) % q;
  return new Uint8Array([...gamma.toBytes(), ...c, ...toBytes(s, 32)]);
}

/**
 * The output (64 bytes) if the proof is valid (section 5.3, with validation of the key), else undefined. Never throws.
 */
export function vrfVerify(publicKey: Uint8Array, alpha: Uint8Array, proof: Uint8Array): Uint8Array | undefined {
  if (publicKey.length !== PUBLIC_KEY_BYTES || proof.length !== VRF_PROOF_BYTES) return undefined;
  if (!checkPublicKey(publicKey)) return undefined;
  const y = toPoint(publicKey);
  const gamma = toPoint(proof.subarray(0, 32));
  const c = proof.subarray(32, 48);
  const s = toInt(proof.subarray(48));
  if (!y || !gamma || s >= q) return undefined;
  const h = encodeToCurve(publicKey, alpha);
  const cInt = toInt(c);
  const u = Point.BASE.multiplyUnsafe(s).subtract(y.multiplyUnsafe(cInt));
  const v = h.multiplyUnsafe(s).subtract(gamma.multiplyUnsafe(cInt));
  const expected = challenge(publicKey, h.toBytes(), gamma.toBytes(), u.toBytes(), v.toBytes());
  return bytesEqual(expected, c) ? output(gamma) : undefined;
}

/** What the proposer of `height` proves over: `seed` is that of height − 1. */
export function beaconAlpha(seed: Hash, height: Height): Uint8Array {
  return taggedHash("pofl/beacon/alpha/1", seed, u64Bytes(height));
}

/** seed(h) from seed(h − 1) and the output of the decided block's proof. */
export function nextSeed(seed: Hash, beta: Uint8Array): Hash {
  return taggedHash("pofl/beacon/seed/1", seed, beta);
}
