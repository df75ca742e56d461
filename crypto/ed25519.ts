import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  createHash as nodeHash,
  sign as nodeSign,
  verify as nodeVerify,
} from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "../types/primitives.ts";

/**
 * Ed25519 (RFC 8032) under exactly one verification rule; libraries differ on unusual input, and a difference splits a chain.
 *
 * The rule: A and R are canonical encodings (y < p) and not of small order; S < L; R equals, byte for byte, the encoding of
 * sB − kA with k = SHA-512(R ‖ A ‖ M) mod L.
 *
 * Why `verify` (Node's OpenSSL) and `verifyPortable` (noble's points) are equal on every input:
 * - OpenSSL computes that same equation, cofactorless, with k reduced mod L, and compares bytes. R is never decoded: one with a
 *   torsion component fails for a torsion-free A because sB − kA has none.
 * - OpenSSL decodes A loosely: it takes y ≥ p, and x = 0 with the sign bit. noble is strict. A point with x = 0 has y = ±1 and
 *   is of small order, so y < p and the list of small-order y close this difference before either is asked.
 * - Node 24 refuses A and R of small order (nodejs/node#64026), Node 20 and 22 don't. The same check settles that as well;
 *   no honest signer ever makes such an R.
 * - OpenSSL checks S < L itself; both paths check it before, so that nothing hangs on a library's version.
 * - A with a torsion component: both compute kA with the same integer k < L, so they agree; but whether it verifies depends
 *   on k, so such keys are refused where keys are registered (`checkPublicKey`).
 */

export type KeyPair = {
  readonly publicKey: Uint8Array;
  /** The 32-byte seed of RFC 8032 section 5.1.5. */
  readonly secret: Uint8Array;
};

const SEED_BYTES = 32;
const P = 2n ** 255n - 19n;
const L = ed25519.Point.Fn.ORDER;
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/** Every y of the eight points whose order divides 8: identity, order 2, order 4, and the two of order 8. */
const SMALL_ORDER_Y: readonly bigint[] = (() => {
  const y8 = BigInt("0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7");
  return [1n, P - 1n, 0n, y8, P - y8];
})();

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

/** The checks of A and R that need no curve arithmetic: length, y < p, not of small order. */
function proper(point: Uint8Array): boolean {
  if (point.length !== PUBLIC_KEY_BYTES) return false;
  const y = littleEndian(point) & ((1n << 255n) - 1n);
  return y < P && !SMALL_ORDER_Y.includes(y);
}

/** Those of a signature; an S of L or more would make every signature malleable (RFC 8032 section 8.4). */
function wellFormed(signature: Uint8Array): boolean {
  return (
    signature.length === SIGNATURE_BYTES &&
    proper(signature.subarray(0, 32)) &&
    littleEndian(signature.subarray(32)) < L
  );
}

type Known = { readonly key: KeyObject | undefined; registrable: boolean | undefined };

/** What is known of a public key. Bounded: transactions may carry any number of keys; the oldest entry goes first. */
const known = new Map<string, Known>();
const MAX_KNOWN = 4096;

function lookUp(publicKey: Uint8Array): Known {
  const id = Buffer.from(publicKey).toString("latin1");
  const found = known.get(id);
  if (found) return found;
  const entry: Known = { key: proper(publicKey) ? importKey(publicKey) : undefined, registrable: undefined };
  if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value as string);
  known.set(id, entry);
  return entry;
}

function importKey(publicKey: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: "der", type: "spki" });
  } catch {
    // Not on the curve: some versions of OpenSSL say so here, others when verifying.
    return undefined;
  }
}

/** Importing a seed costs several signatures. The copy beside the key notices when the array was changed meanwhile. */
const signers = new WeakMap<Uint8Array, { readonly seed: Uint8Array; readonly key: KeyObject }>();

function signerOf(secret: Uint8Array): KeyObject {
  const cached = signers.get(secret);
  if (cached && bytesEqual(cached.seed, secret)) return cached.key;
  if (secret.length !== SEED_BYTES) {
    throw new PoflError("BAD_KEY", `an Ed25519 secret is a seed of ${SEED_BYTES} bytes, not ${secret.length}`);
  }
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: "der", type: "pkcs8" });
  signers.set(secret, { seed: secret.slice(), key });
  return key;
}

/**
 * The key pair of a 32-byte seed.
 * @throws PoflError BAD_KEY when the seed is not 32 bytes
 */
export function keyPair(seed: Uint8Array): KeyPair {
  const secret = seed.slice();
  const spki = createPublicKey(signerOf(secret)).export({ format: "der", type: "spki" });
  return { publicKey: new Uint8Array(spki.subarray(SPKI.length)), secret };
}

/**
 * Signs bytes (deterministic, RFC 8032 section 5.1.6). Messages of the protocol are signed through `domain.ts` only.
 * @throws PoflError BAD_KEY when the secret is not 32 bytes
 */
export function sign(secret: Uint8Array, message: Uint8Array): Uint8Array {
  return new Uint8Array(nodeSign(null, message, signerOf(secret)));
}

/** Verifies by the rule above with OpenSSL. Never throws: malformed input is false. */
export function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || !wellFormed(signature)) return false;
  const { key } = lookUp(publicKey);
  return key !== undefined && nodeVerify(null, message, key, signature);
}

/** Verifies by the rule above in portable code, ten times slower: for places without OpenSSL, and to check `verify`. */
export function verifyPortable(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!proper(publicKey) || !wellFormed(signature)) return false;
  const { Point } = ed25519;
  let a: InstanceType<typeof Point>;
  try {
    a = Point.fromBytes(publicKey);
  } catch {
    return false;
  }
  const r = signature.subarray(0, 32);
  const digest = nodeHash("sha512").update(r).update(publicKey).update(message).digest();
  const k = littleEndian(digest) % L;
  const s = littleEndian(signature.subarray(32));
  // Not noble's verify: that multiplies by the cofactor, and so accepts an R with a torsion component.
  return bytesEqual(Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k)).toBytes(), r);
}

/**
 * Whether a key may be registered: a canonical encoding of a point of the prime-order subgroup, and not the identity.
 * Costs a scalar multiplication the first time; the answer is cached.
 */
export function checkPublicKey(publicKey: Uint8Array): boolean {
  if (!proper(publicKey)) return false;
  const entry = lookUp(publicKey);
  entry.registrable ??= torsionFree(publicKey);
  return entry.registrable;
}

function torsionFree(publicKey: Uint8Array): boolean {
  try {
    return ed25519.Point.fromBytes(publicKey).isTorsionFree();
  } catch {
    return false;
  }
}
