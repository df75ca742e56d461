import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { SEALED_SHARE_BYTES, SealedShare, type SignedShare } from "../types/custodian.ts";
import { PoflError } from "../types/errors.ts";
import { HASH_BYTES, type Hash } from "../types/primitives.ts";
import {
  CHAMELEON_BYTES,
  chameleonKey,
  elementOf,
  type GroupElement,
  hashToScalar,
  scalarBytes,
  scalarOf,
} from "./chameleon.ts";
import { commitmentsAreValid, shareFits } from "./dealing.ts";
import { signMessage, verifyMessage } from "./domain.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/**
 * A dealt share on its way to one receiver: encrypted under the Diffie–Hellman point of two keys that live for one ceremony, and signed
 * by the dealer's custodian key. What a dealer sent can be shown to everybody afterwards: the receiver publishes that point with a proof
 * that it is that point, and anybody decrypts.
 *
 * Keys and commitments are arguments: whoever calls looks them up under the ceremony, dealer and receiver that the *message* names. An
 * envelope opened with the keys of another ceremony does not decrypt, and proves nothing against its dealer.
 */

const { Point } = ristretto255;

export const COMPLAINT_PROOF_BYTES = 64;
const SEED_BYTES = 32;

/** As fresh as its key: a key encrypts one message, so that a fixed nonce never meets it twice. */
const NONCE = new Uint8Array(24);

/**
 * What a receiver publishes against a dealer: the Diffie–Hellman point of the two envelope keys, and a Chaum–Pedersen proof (c ‖ z) that
 * it is that point. Not the receiver's envelope secret: that would open what honest dealers sent as well, and in a resharing their shares
 * follow from enough of it.
 */
export type Complaint = { readonly share: SignedShare; readonly point: Uint8Array; readonly proof: Uint8Array };

/**
 * A key pair on ristretto255 for one ceremony, from its seed under a tag of its own.
 * @param seed 32 fresh random bytes per ceremony
 * @throws PoflError BAD_KEY
 */
export function envelopeKeys(
  seed: Uint8Array,
  ceremony: Hash,
): { readonly secret: Uint8Array; readonly publicKey: Uint8Array } {
  if (seed.length !== SEED_BYTES || ceremony.length !== HASH_BYTES) {
    throw new PoflError("BAD_KEY", "an envelope key comes from a seed of 32 bytes and a ceremony's id of 32");
  }
  const secret = hashToScalar("pofl/envelope/secret/1", seed, ceremony);
  return { secret: scalarBytes(secret), publicKey: Point.BASE.multiply(secret).toBytes() };
}

/** A canonical point, not the identity. Never throws. */
export function envelopeKeyIsValid(publicKey: Uint8Array): boolean {
  return elementOf(publicKey) !== undefined;
}

/** @throws PoflError BAD_KEY */
function secretScalar(secret: Uint8Array): bigint {
  const scalar = scalarOf(secret);
  if (!scalar) throw new PoflError("BAD_KEY", "an envelope secret is a canonical scalar, not 0");
  return scalar;
}

/** @throws PoflError BAD_KEY: on the identity, or on anything that is no point, the shared point would say nothing */
function sharedPoint(secret: Uint8Array, publicKey: Uint8Array): GroupElement {
  return chameleonKey(publicKey).multiply(secretScalar(secret));
}

type Addressed = Pick<SealedShare, "ceremony" | "dealer" | "receiver">;

/** One key per ceremony, pair and direction: the point is that of the pair, dealer and receiver say which way. */
function cipher({ ceremony, dealer, receiver }: Addressed, point: Uint8Array) {
  return xchacha20poly1305(
    taggedHash("pofl/envelope/cipher/1", ceremony, u64Bytes(dealer), u64Bytes(receiver), point),
    NONCE,
  );
}

function decrypt(message: SealedShare, point: Uint8Array): Uint8Array | undefined {
  try {
    return cipher(message, point).decrypt(message.ciphertext);
  } catch {
    return undefined;
  }
}

/**
 * Encrypts and signs a share. At most one share per ceremony, dealer and receiver: the cipher's nonce is fixed.
 * @param args.share 32 bytes, from `shareOf`
 * @throws PoflError BAD_KEY, BAD_ENVELOPE when the share is no 32 bytes
 */
export function sealShare(args: {
  readonly genesisHash: Hash;
  readonly custodianSecret: Uint8Array;
  readonly envelopeSecret: Uint8Array;
  readonly receiverKey: Uint8Array;
  readonly ceremony: Hash;
  readonly dealer: number;
  readonly receiver: number;
  readonly share: Uint8Array;
}): SignedShare {
  const { ceremony, dealer, receiver, share } = args;
  if (share.length !== CHAMELEON_BYTES) {
    throw new PoflError("BAD_ENVELOPE", `a share has ${CHAMELEON_BYTES} bytes, not ${share.length}`);
  }
  const point = sharedPoint(args.envelopeSecret, args.receiverKey).toBytes();
  const ciphertext = cipher({ ceremony, dealer, receiver }, point).encrypt(share);
  const message: SealedShare = { ceremony, dealer, receiver, ciphertext };
  const root = SealedShare.hashTreeRoot(message);
  return { message, signature: signMessage("dealtShare", args.genesisHash, args.custodianSecret, root) };
}

/** Never throws: a ciphertext of another length is signed by nobody. */
function signedByDealer(genesisHash: Hash, custodianKey: Uint8Array, { message, signature }: SignedShare): boolean {
  if (message.ciphertext.length !== SEALED_SHARE_BYTES || message.ceremony.length !== HASH_BYTES) return false;
  return verifyMessage("dealtShare", genesisHash, custodianKey, SealedShare.hashTreeRoot(message), signature);
}

/**
 * The share, or undefined when the signature holds and what is inside does not decrypt: then `complain`. So if `shareFits` says no to what
 * it returns.
 * @throws PoflError BAD_ENVELOPE when the dealer's custodian key has not signed it, so that it proves nothing; BAD_KEY
 */
export function openShare(args: {
  readonly genesisHash: Hash;
  readonly custodianKey: Uint8Array;
  readonly envelopeSecret: Uint8Array;
  readonly dealerKey: Uint8Array;
  readonly signed: SignedShare;
}): Uint8Array | undefined {
  if (!signedByDealer(args.genesisHash, args.custodianKey, args.signed)) {
    throw new PoflError("BAD_ENVELOPE", "this share is not signed by its dealer: ask the dealer itself for it");
  }
  return decrypt(args.signed.message, sharedPoint(args.envelopeSecret, args.dealerKey).toBytes());
}

/** Of the proof that log_G(receiver's key) = log_(dealer's key)(point), for this envelope. */
function complaintChallenge(
  message: SealedShare,
  receiverKey: Uint8Array,
  dealerKey: Uint8Array,
  point: Uint8Array,
  ...nonces: readonly GroupElement[]
): bigint {
  const root = SealedShare.hashTreeRoot(message);
  return hashToScalar(
    "pofl/envelope/complaint/1",
    root,
    receiverKey,
    dealerKey,
    point,
    ...nonces.map((nonce) => nonce.toBytes()),
  );
}

/**
 * Shows what a dealer sent: Chaum and Pedersen 1992, "Wallet Databases with Observers". Deterministic in its arguments.
 * @param args.seed the ceremony's: the proof's nonce is derived from it, bound to all that its challenge is bound to
 * @throws PoflError BAD_KEY
 */
export function complain(args: {
  readonly envelopeSecret: Uint8Array;
  readonly dealerKey: Uint8Array;
  readonly signed: SignedShare;
  readonly seed: Uint8Array;
}): Complaint {
  const { envelopeSecret, dealerKey, signed, seed } = args;
  if (seed.length !== SEED_BYTES) throw new PoflError("BAD_KEY", "a ceremony's seed has 32 bytes");
  const secret = secretScalar(envelopeSecret);
  const base = chameleonKey(dealerKey);
  const receiverKey = Point.BASE.multiply(secret).toBytes();
  const point = base.multiply(secret).toBytes();
  const root = SealedShare.hashTreeRoot(signed.message);
  const nonce = hashToScalar("pofl/envelope/nonce/1", seed, envelopeSecret, root, receiverKey, dealerKey, point);
  const c = complaintChallenge(
    signed.message,
    receiverKey,
    dealerKey,
    point,
    Point.BASE.multiply(nonce),
    base.multiply(nonce),
  );
  const proof = Buffer.concat([scalarBytes(c), scalarBytes(nonce + c * secret)]);
  return { share: signed, point, proof: new Uint8Array(proof) };
}

/** Whether the complaint's point is the Diffie–Hellman point of the two keys. */
function pointIsProven(receiverKey: Uint8Array, dealerKey: Uint8Array, { share, point, proof }: Complaint): boolean {
  const [receiver, dealer, shared] = [receiverKey, dealerKey, point].map(elementOf);
  if (!receiver || !dealer || !shared || proof.length !== COMPLAINT_PROOF_BYTES) return false;
  const c = scalarOf(proof.subarray(0, 32));
  const z = scalarOf(proof.subarray(32));
  if (c === undefined || z === undefined) return false;
  // Everything here is public. T₁ = zG − cB, T₂ = zA − cP.
  const first = Point.BASE.multiplyUnsafe(z).subtract(receiver.multiplyUnsafe(c));
  const second = dealer.multiplyUnsafe(z).subtract(shared.multiplyUnsafe(c));
  return c === complaintChallenge(share.message, receiverKey, dealerKey, point, first, second);
}

/**
 * Whether the complaint proves that this dealer sent a share that can't be decrypted or does not fit its commitments. Never throws. Pure
 * and public: the chain judges it.
 * @param args.custodianKey, args.dealerKey, args.commitments of the dealer that the message names, in the ceremony that it names
 * @param args.receiverKey of the receiver that the message names, in that ceremony
 */
export function complaintHolds(args: {
  readonly genesisHash: Hash;
  readonly custodianKey: Uint8Array;
  readonly dealerKey: Uint8Array;
  readonly receiverKey: Uint8Array;
  readonly commitments: readonly Uint8Array[];
  readonly complaint: Complaint;
}): boolean {
  const { commitments, complaint } = args;
  const { message } = complaint.share;
  try {
    // Against what are no commitments every share would be wrong.
    if (!commitmentsAreValid(commitments, commitments.length)) return false;
    if (!signedByDealer(args.genesisHash, args.custodianKey, complaint.share)) return false;
    if (!pointIsProven(args.receiverKey, args.dealerKey, complaint)) return false;
  } catch {
    return false;
  }
  const share = decrypt(message, complaint.point);
  return share === undefined || !shareFits(commitments, message.receiver, share);
}
