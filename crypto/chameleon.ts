import { createHash } from "node:crypto";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash } from "../types/primitives.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/**
 * The chameleon hash of editable records, over ristretto255: Ateniese and de Medeiros 2004, "On the Key Exposure Problem in
 * Chameleon Hashes", the construction from Schnorr signatures. With the trapdoor x of Y = xG, C can be opened to another commitment;
 * from openings x can't be computed, since each is a Schnorr signature with a nonce of its own. The label is unique to a record and the
 * version counts its edits, and both are under the challenge: no opening fits another record, or an earlier state of its own.
 *
 *   e = H(Y, label, version, cm, r);  C = r − f(eY + sG) mod q
 *
 * f is a hash to scalars. With the group element C = R − (eY + sG) in place of it, (R, s + δ) would open C − δG: a published edit could
 * be moved onto another digest.
 */

const { Point } = ristretto255;
const q = Point.Fn.ORDER;
export type GroupElement = InstanceType<typeof Point>;

/** Bytes of a digest, and of each of r and s: scalars, little-endian, below the group's order. */
export const CHAMELEON_BYTES = 32;

/** What a digest is opened with. */
export type ChameleonOpening = {
  /** Salted commitment to the payload. */
  readonly cm: Hash;
  /** Edits before it; 0 = the original. */
  readonly version: number;
  readonly r: Uint8Array;
  readonly s: Uint8Array;
};

/** The element that 32 canonical bytes stand for; undefined for any others, and for the identity, which is never a key. */
export function elementOf(bytes: Uint8Array): GroupElement | undefined {
  try {
    const point = Point.fromBytes(bytes);
    return point.is0() ? undefined : point;
  } catch {
    return undefined;
  }
}

/**
 * A public key as a point.
 * @throws PoflError BAD_KEY when it is no canonical encoding, or the identity, under which everybody knows the trapdoor
 */
export function chameleonKey(publicKey: Uint8Array): GroupElement {
  const point = elementOf(publicKey);
  if (!point) {
    throw new PoflError(
      "BAD_KEY",
      "the redaction key is no element of the group, or its identity: take it from the ceremony",
    );
  }
  return point;
}

/** The scalar that 32 canonical bytes stand for; undefined for any others, so that an opening has one form. */
export function scalarOf(bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== CHAMELEON_BYTES) return undefined;
  const value = BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
  return value < q ? value : undefined;
}

export function scalarBytes(value: bigint): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Point.Fn.toBytes(Point.Fn.create(value)));
}

/** 512 bits of hash modulo q: uniform but for 2^-259. The parts have fixed lengths, as in `taggedHash`. */
export function hashToScalar(tag: string, ...parts: readonly Uint8Array[]): bigint {
  const seed = taggedHash(tag, ...parts);
  const wide = createHash("sha512").update(seed).digest();
  return BigInt(`0x${wide.toString("hex")}`) % q;
}

/** f: of a group element. */
export function elementToScalar(point: GroupElement): bigint {
  return hashToScalar("pofl/chameleon/element/1", point.toBytes());
}

/** e: binds key, record, version and commitment. All parts have fixed lengths. */
export function chameleonChallenge(
  publicKey: Uint8Array,
  label: Hash,
  { version, cm, r }: Omit<ChameleonOpening, "s">,
): bigint {
  return hashToScalar("pofl/chameleon/challenge/1", publicKey, label, u64Bytes(version), cm, r);
}

/**
 * The digest that an opening opens: of random r and s, that of a new record.
 * @returns undefined when r or s is not canonical
 * @throws PoflError BAD_KEY
 */
export function chameleonDigest(publicKey: Uint8Array, label: Hash, opening: ChameleonOpening): Uint8Array | undefined {
  const key = chameleonKey(publicKey);
  const r = scalarOf(opening.r);
  const s = scalarOf(opening.s);
  if (r === undefined || s === undefined) return undefined;
  const e = chameleonChallenge(publicKey, label, opening);
  // Everything here is public: no constant time is needed, and noble's unsafe product takes zero.
  const commitment = key.multiplyUnsafe(e).add(Point.BASE.multiplyUnsafe(s));
  return scalarBytes(r - elementToScalar(commitment));
}

/** Whether the opening opens the digest of the record. @throws PoflError BAD_KEY */
export function chameleonOpens(
  publicKey: Uint8Array,
  label: Hash,
  digest: Uint8Array,
  opening: ChameleonOpening,
): boolean {
  const found = chameleonDigest(publicKey, label, opening);
  return found !== undefined && bytesEqual(found, digest);
}
