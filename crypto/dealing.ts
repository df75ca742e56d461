import { mulAddUnsafe } from "@noble/curves/abstract/curve.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { PoflError } from "../types/errors.ts";
import { HASH_BYTES, type Hash } from "../types/primitives.ts";
import { elementOf, type GroupElement, hashToScalar, scalarBytes, scalarOf } from "./chameleon.ts";
import { u64Bytes } from "./hash.ts";

/**
 * Verifiable secret sharing over ristretto255 (Feldman 1987, "A Practical Scheme for Non-interactive Verifiable Secret Sharing").
 * One code for two ceremonies:
 * - key generation (Pedersen 1991): every custodian deals a random secret; the key's polynomial is the sum, all weights 1;
 * - resharing under the same key (Desmedt and Jajodia 1997): t old custodians deal their shares; the weights are the Lagrange
 *   coefficients at 0 of their indices, so that the sum's constant term is the old one. Whoever judges a deal of this kind also
 *   compares its first commitment with the dealer's verifying share: nothing here knows the old sharing.
 *
 * Dealers and receivers are numbered from 0; number i has x = i + 1, which is its FROST identifier, and never 0, where the secret is.
 */

const { Point } = ristretto255;
const { Fn } = Point;

export const PROOF_BYTES = 64;
const SEED_BYTES = 32;

/** A dealer's polynomial, secret; its degree is threshold − 1, its constant term what is dealt. */
export type Dealing = { readonly coefficients: readonly bigint[] };

function bad(message: string): PoflError {
  return new PoflError("BAD_DEALING", message);
}

function isIndex(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < 2 ** 32;
}

/** @throws PoflError BAD_DEALING: −1 would have x = 0, and its share would be the secret */
function abscissa(index: number): bigint {
  if (!isIndex(index)) throw bad(`${index} is no index of a custodian`);
  return BigInt(index) + 1n;
}

function checkContext(seed: Uint8Array, ceremony: Hash): void {
  if (seed.length !== SEED_BYTES) throw bad(`a ceremony's seed has ${SEED_BYTES} bytes, not ${seed.length}`);
  if (ceremony.length !== HASH_BYTES) throw bad(`a ceremony's id has ${HASH_BYTES} bytes, not ${ceremony.length}`);
}

/**
 * Deterministic in its arguments, so that a restart in mid-ceremony deals the same again. Ceremony, threshold and secret all enter the
 * coefficients: two dealings from one seed by mistake share none, where equal ones would give the difference of their secrets away.
 * @param seed 32 fresh random bytes per ceremony
 * @param ceremony its id
 * @param secret a scalar, 32 bytes little-endian, not 0: the old share, in a resharing
 * @throws PoflError BAD_DEALING
 */
export function dealingFrom(seed: Uint8Array, ceremony: Hash, threshold: number, secret?: Uint8Array): Dealing {
  checkContext(seed, ceremony);
  if (!Number.isInteger(threshold) || threshold < 1 || threshold >= 2 ** 32) throw bad(`${threshold} is no threshold`);
  const given = secret && scalarOf(secret);
  if (secret && !given) throw bad("the secret to deal is no canonical scalar, or is 0");
  const tag = secret ? "pofl/dealing/reshare/1" : "pofl/dealing/generate/1";
  const bound = scalarBytes(given ?? 0n);
  const drawn = Array.from({ length: threshold }, (_, power) =>
    hashToScalar(tag, seed, ceremony, u64Bytes(threshold), u64Bytes(power), bound),
  );
  return { coefficients: given ? [given, ...drawn.slice(1)] : drawn };
}

/** Commitments to the coefficients: as many points of 32 bytes as the threshold. */
export function commitmentsOf(dealing: Dealing): Uint8Array[] {
  return dealing.coefficients.map((a) => Point.BASE.multiply(a).toBytes());
}

/** The receiver's share f(receiver + 1): a scalar, 32 bytes little-endian. @throws PoflError BAD_DEALING for no index */
export function shareOf(dealing: Dealing, receiver: number): Uint8Array {
  const x = abscissa(receiver);
  return scalarBytes(dealing.coefficients.reduceRight((sum, a) => Fn.create(sum * x + a), 0n));
}

/** The polynomial in the exponent at a receiver's x: Horner, since x is small and public. */
function evaluate(commitments: readonly GroupElement[], x: bigint): GroupElement {
  return commitments.reduceRight((sum, c) => sum.multiplyUnsafe(x).add(c), Point.ZERO);
}

/** All of them, or undefined if one is malformed or the identity, or there is none. */
function elementsOf(encoded: readonly Uint8Array[]): GroupElement[] | undefined {
  const elements: GroupElement[] = [];
  for (const bytes of encoded) {
    const element = elementOf(bytes);
    if (!element) return undefined;
    elements.push(element);
  }
  return elements.length > 0 ? elements : undefined;
}

/**
 * Whether the share is the receiver's under these commitments. Never throws: false for anything malformed, for identity points and for
 * scalars that are not canonical. False for 0 too, whose verifying share would be the identity: an honest dealer never meets it.
 */
export function shareFits(commitments: readonly Uint8Array[], receiver: number, share: Uint8Array): boolean {
  const scalar = scalarOf(share);
  const elements = elementsOf(commitments);
  if (!scalar || !elements || !isIndex(receiver)) return false;
  // The share is secret where a receiver asks this: the product takes constant time.
  return Point.BASE.multiply(scalar).equals(evaluate(elements, abscissa(receiver)));
}

/** Well-formed: `threshold` canonical points, none the identity, so that the degree is what it should be. Never throws. */
export function commitmentsAreValid(commitments: readonly Uint8Array[], threshold: number): boolean {
  return commitments.length === threshold && elementsOf(commitments) !== undefined;
}

function proofChallenge(ceremony: Hash, dealer: number, commitment: Uint8Array, R: Uint8Array): bigint {
  return hashToScalar("pofl/dealing/proof/1", ceremony, u64Bytes(dealer), commitment, R);
}

/**
 * Schnorr proof of knowledge of the dealt secret, R ‖ μ, bound to the ceremony, the dealer and its first commitment. Without it the last
 * to deal could commit to its own secret less the others' sum, and the key would be its own.
 * @param seed that of the dealing: the nonce is derived from it, bound to all that the challenge is bound to, so that no nonce serves
 * two challenges
 * @throws PoflError BAD_DEALING
 */
export function proveDealt(dealing: Dealing, seed: Uint8Array, ceremony: Hash, dealer: number): Uint8Array {
  checkContext(seed, ceremony);
  abscissa(dealer);
  const secret = dealing.coefficients[0];
  if (!secret) throw bad("a dealing has at least one coefficient, and its first is not 0");
  const commitment = Point.BASE.multiply(secret).toBytes();
  const nonce = hashToScalar("pofl/dealing/nonce/1", seed, ceremony, u64Bytes(dealer), commitment, scalarBytes(secret));
  const R = Point.BASE.multiply(nonce).toBytes();
  const response = scalarBytes(nonce + proofChallenge(ceremony, dealer, commitment, R) * secret);
  return new Uint8Array(Buffer.concat([R, response]));
}

/** Whether the proof is one of this dealer in this ceremony for its first commitment. Never throws. */
export function provesDealt(commitment: Uint8Array, ceremony: Hash, dealer: number, proof: Uint8Array): boolean {
  if (ceremony.length !== HASH_BYTES || proof.length !== PROOF_BYTES || !isIndex(dealer)) return false;
  const element = elementOf(commitment);
  const nonce = elementOf(proof.subarray(0, 32));
  const response = scalarOf(proof.subarray(32));
  if (!element || !nonce || response === undefined) return false;
  const c = proofChallenge(ceremony, dealer, commitment, proof.subarray(0, 32));
  return Point.BASE.multiplyUnsafe(response).equals(nonce.add(element.multiplyUnsafe(c)));
}

/**
 * Lagrange coefficients at 0 for dealers numbered from 0, the old custodians' indices, in their order.
 * @throws PoflError BAD_DEALING unless they are distinct, and at least one
 */
export function weightsAtZero(dealers: readonly number[]): bigint[] {
  if (dealers.length === 0 || new Set(dealers).size !== dealers.length) throw bad("dealers are distinct, and some");
  const xs = dealers.map(abscissa);
  return xs.map((x) => {
    const others = xs.filter((other) => other !== x);
    const over = others.reduce((product, other) => Fn.mul(product, other), 1n);
    const under = others.reduce((product, other) => Fn.mul(product, Fn.sub(other, x)), 1n);
    return Fn.div(over, under);
  });
}

function weightOf(weights: readonly bigint[] | undefined, dealer: number): bigint {
  return weights ? Fn.create(weights[dealer] as bigint) : 1n;
}

function checkWeights(dealers: number, weights: readonly bigint[] | undefined): void {
  if (dealers === 0) throw bad("nothing was dealt");
  if (weights && weights.length !== dealers) throw bad(`${weights.length} weights for ${dealers} dealers`);
}

/**
 * Commitments to the polynomial of the sum: per coefficient Σ weight · commitment; [0] is the key. Everything here is public.
 * @param dealt of each dealer, all of one length
 * @param weights one per dealer; left out = all 1, as in key generation
 * @throws PoflError BAD_DEALING when something is malformed, when lengths differ, and when a sum is the identity: as the first it would
 * be a key whose trapdoor everybody knows, as a later one it would lower the threshold
 */
export function combineCommitments(
  dealt: readonly (readonly Uint8Array[])[],
  weights?: readonly bigint[],
): Uint8Array[] {
  checkWeights(dealt.length, weights);
  const elements = dealt.map((commitments, dealer) => {
    const own = elementsOf(commitments);
    if (!own || own.length !== dealt[0]?.length) throw bad(`the commitments of dealer ${dealer} are malformed`);
    return own;
  });
  const scalars = dealt.map((_, dealer) => weightOf(weights, dealer));
  return (elements[0] as GroupElement[]).map((_, power) => {
    const terms = elements.map((own) => own[power] as GroupElement);
    const sum = weights ? mulAddUnsafe(Point, terms, scalars) : terms.reduce((a, b) => a.add(b));
    if (sum.is0()) throw bad(`coefficient ${power} of the sum is the identity: begin a new ceremony`);
    return sum.toBytes();
  });
}

/**
 * The receiver's share of the key: Σ weight · share, 32 bytes little-endian.
 * @param weights as in `combineCommitments`
 * @throws PoflError BAD_DEALING when a share is not canonical or lengths differ
 */
export function combineShares(shares: readonly Uint8Array[], weights?: readonly bigint[]): Uint8Array {
  checkWeights(shares.length, weights);
  const sum = shares.reduce((total, share, dealer) => {
    const scalar = scalarOf(share);
    if (scalar === undefined) throw bad(`the share of dealer ${dealer} is no canonical scalar`);
    return Fn.add(total, Fn.mul(scalar, weightOf(weights, dealer)));
  }, 0n);
  return scalarBytes(sum);
}

/**
 * The verifying share of each of `count` receivers. One that is the identity is returned as it is, and FROST refuses that custodian: only
 * the last to deal can arrange it, for a custodian whose other shares it knows.
 * @throws PoflError BAD_DEALING when the commitments are malformed
 */
export function verifyingSharesOf(commitments: readonly Uint8Array[], count: number): Uint8Array[] {
  const elements = elementsOf(commitments);
  if (!elements) throw bad("the commitments are malformed");
  return Array.from({ length: count }, (_, receiver) => evaluate(elements, abscissa(receiver)).toBytes());
}
