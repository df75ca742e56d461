import type { ValueOf } from "@chainsafe/ssz";
import { PoflError } from "../types/errors.ts";
import {
  ADDRESS_BYTES,
  type Address,
  Bytes20,
  bytesEqual,
  HASH_BYTES,
  type Hash,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
} from "../types/primitives.ts";
import {
  Attestation,
  Closing,
  CommitmentPreimage,
  Pledge,
  type SignedAttestation,
  type SignedClosing,
  type SignedPledge,
} from "../types/round.ts";
import { InstitutionCertificate, type Tx, TxBody } from "../types/tx.ts";
import { PRECOMMIT, PREVOTE, Proposal, type SignedProposal, type SignedVote, Vote } from "../types/vote.ts";
import { type KeyPair, sign, verify } from "./ed25519.ts";
import { sha256, taggedHash } from "./hash.ts";

/**
 * What each key signs. Every signature covers: a fixed tag, the hash of genesis, the domain's type and version, and the SSZ root
 * of the message; so none holds for another chain, another kind of message or another encoding of it.
 * Callers use the helper of their message; `signMessage` and `verifyMessage` are for messages that live in other rooms.
 */
export const DOMAINS = {
  tx: { type: 1, version: 1 },
  pledge: { type: 2, version: 1 },
  closing: { type: 3, version: 1 },
  attestation: { type: 4, version: 1 },
  proposal: { type: 5, version: 1 },
  prevote: { type: 6, version: 1 },
  precommit: { type: 7, version: 1 },
  possession: { type: 8, version: 1 },
  certificate: { type: 9, version: 1 },
  dealtShare: { type: 10, version: 1 },
  deal: { type: 11, version: 1 },
  keyStatement: { type: 12, version: 1 },
  approval: { type: 13, version: 1 },
  signatureShare: { type: 14, version: 1 },
  consent: { type: 15, version: 1 },
  sessionAsk: { type: 16, version: 1 },
  sessionOffer: { type: 17, version: 1 },
} as const satisfies Record<string, { readonly type: number; readonly version: number }>;
export type Domain = keyof typeof DOMAINS;

const TAG = new TextEncoder().encode("pofl/signature");

/**
 * The bytes under a signature: 14 of tag, 32 of genesis hash, 1 of type, 1 of version, 32 of root. Every part has a fixed length.
 * @throws RangeError when a hash is not 32 bytes: a bug of the caller, since decoded messages have theirs
 */
export function signingBytes(domain: Domain, genesisHash: Hash, root: Hash): Uint8Array {
  if (genesisHash.length !== HASH_BYTES || root.length !== HASH_BYTES) throw new RangeError("a hash is 32 bytes");
  const { type, version } = DOMAINS[domain];
  const bytes = new Uint8Array(TAG.length + 2 * HASH_BYTES + 2);
  bytes.set(TAG, 0);
  bytes.set(genesisHash, TAG.length);
  bytes.set([type, version], TAG.length + HASH_BYTES);
  bytes.set(root, TAG.length + HASH_BYTES + 2);
  return bytes;
}

/** @throws PoflError BAD_KEY */
export function signMessage(domain: Domain, genesisHash: Hash, secret: Uint8Array, root: Hash): Uint8Array {
  return sign(secret, signingBytes(domain, genesisHash, root));
}

/**
 * Signatures found good lately. Each vote, pledge and attestation is met three times: when it comes, in the block that carries it, and in
 * the next block's certificate; the answer is a function of its input, so that remembering it changes nothing but time.
 */
const good = new Set<string>();
const MAX_GOOD = 8192;

export function verifyMessage(
  domain: Domain,
  genesisHash: Hash,
  publicKey: Uint8Array,
  root: Hash,
  signature: Uint8Array,
): boolean {
  // Fixed lengths, or a longer key beside a shorter signature could stand for another pair.
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const bytes = signingBytes(domain, genesisHash, root);
  const key = Buffer.from(sha256(bytes, publicKey, signature)).toString("latin1");
  if (good.has(key)) return true;
  if (!verify(publicKey, bytes, signature)) return false;
  if (good.size >= MAX_GOOD) good.delete(good.values().next().value as string);
  good.add(key);
  return true;
}

/** The domain of a vote by its type; undefined for a number that is no type. */
function voteDomain(vote: Vote): Domain | undefined {
  return vote.type === PREVOTE ? "prevote" : vote.type === PRECOMMIT ? "precommit" : undefined;
}

/** @throws PoflError BAD_VOTE for an unknown type, BAD_KEY */
export function signVote(genesisHash: Hash, secret: Uint8Array, message: Vote): SignedVote {
  const domain = voteDomain(message);
  if (!domain) throw new PoflError("BAD_VOTE", `vote type ${message.type} is neither prevote (1) nor precommit (2)`);
  return { message, signature: signMessage(domain, genesisHash, secret, Vote.hashTreeRoot(message)) };
}

export function verifyVote(genesisHash: Hash, publicKey: Uint8Array, { message, signature }: SignedVote): boolean {
  const domain = voteDomain(message);
  return domain !== undefined && verifyMessage(domain, genesisHash, publicKey, Vote.hashTreeRoot(message), signature);
}

export function signProposal(genesisHash: Hash, secret: Uint8Array, message: Proposal): SignedProposal {
  return { message, signature: signMessage("proposal", genesisHash, secret, Proposal.hashTreeRoot(message)) };
}

export function verifyProposal(genesisHash: Hash, publicKey: Uint8Array, signed: SignedProposal): boolean {
  const root = Proposal.hashTreeRoot(signed.message);
  return verifyMessage("proposal", genesisHash, publicKey, root, signed.signature);
}

export function signPledge(genesisHash: Hash, secret: Uint8Array, message: Pledge): SignedPledge {
  return { message, signature: signMessage("pledge", genesisHash, secret, Pledge.hashTreeRoot(message)) };
}

export function verifyPledge(genesisHash: Hash, publicKey: Uint8Array, signed: SignedPledge): boolean {
  const root = Pledge.hashTreeRoot(signed.message);
  return verifyMessage("pledge", genesisHash, publicKey, root, signed.signature);
}

export function signClosing(genesisHash: Hash, secret: Uint8Array, message: Closing): SignedClosing {
  return { message, signature: signMessage("closing", genesisHash, secret, Closing.hashTreeRoot(message)) };
}

export function verifyClosing(genesisHash: Hash, publicKey: Uint8Array, signed: SignedClosing): boolean {
  const root = Closing.hashTreeRoot(signed.message);
  return verifyMessage("closing", genesisHash, publicKey, root, signed.signature);
}

export function signAttestation(genesisHash: Hash, secret: Uint8Array, message: Attestation): SignedAttestation {
  return { message, signature: signMessage("attestation", genesisHash, secret, Attestation.hashTreeRoot(message)) };
}

export function verifyAttestation(genesisHash: Hash, publicKey: Uint8Array, signed: SignedAttestation): boolean {
  const root = Attestation.hashTreeRoot(signed.message);
  return verifyMessage("attestation", genesisHash, publicKey, root, signed.signature);
}

/** What a miner commits to before the closing: hides the update behind the 256-bit salt of the opening. */
export function commitmentOf(preimage: ValueOf<typeof CommitmentPreimage>): Hash {
  return taggedHash("pofl/commitment/1", CommitmentPreimage.hashTreeRoot(preimage));
}

/** First 20 bytes of the tagged hash of an account's public key. */
export function addressOf(publicKey: Uint8Array): Address {
  return taggedHash("pofl/address/1", publicKey).slice(0, ADDRESS_BYTES);
}

/** A transaction's id: the root of its body, so that nobody can change it by signing again. */
export function txId(body: TxBody): Hash {
  return TxBody.hashTreeRoot(body);
}

/** Signs for the sender, whose address the body must carry. @throws PoflError BAD_KEY */
export function signTx(genesisHash: Hash, keys: KeyPair, body: TxBody): Tx {
  if (!bytesEqual(addressOf(keys.publicKey), body.sender)) {
    throw new PoflError("BAD_KEY", "this key is not that of the transaction's sender");
  }
  return { body, publicKey: keys.publicKey, signature: signMessage("tx", genesisHash, keys.secret, txId(body)) };
}

/** Whether the key is the sender's and has signed the body for this chain. */
export function verifyTx(genesisHash: Hash, { body, publicKey, signature }: Tx): boolean {
  return (
    bytesEqual(addressOf(publicKey), body.sender) && verifyMessage("tx", genesisHash, publicKey, txId(body), signature)
  );
}

/** The consensus key's consent to validate for an account: without it, anyone could register another's key. */
export function signPossession(genesisHash: Hash, consensusSecret: Uint8Array, address: Address): Uint8Array {
  return signMessage("possession", genesisHash, consensusSecret, Bytes20.hashTreeRoot(address));
}

export function verifyPossession(
  genesisHash: Hash,
  consensusKey: Uint8Array,
  address: Address,
  signature: Uint8Array,
): boolean {
  return verifyMessage("possession", genesisHash, consensusKey, Bytes20.hashTreeRoot(address), signature);
}

/** A registrar's word that the account belongs to the institution. */
export function signCertificate(
  genesisHash: Hash,
  registrarSecret: Uint8Array,
  certificate: InstitutionCertificate,
): Uint8Array {
  const root = InstitutionCertificate.hashTreeRoot(certificate);
  return signMessage("certificate", genesisHash, registrarSecret, root);
}

export function verifyCertificate(
  genesisHash: Hash,
  registrarKey: Uint8Array,
  certificate: InstitutionCertificate,
  signature: Uint8Array,
): boolean {
  const root = InstitutionCertificate.hashTreeRoot(certificate);
  return verifyMessage("certificate", genesisHash, registrarKey, root, signature);
}
