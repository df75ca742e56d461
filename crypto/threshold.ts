import { createHash } from "node:crypto";
import {
  createFROST,
  type FrostPublic,
  type FrostSecret,
  type NonceCommitments,
  type Nonces,
} from "@noble/curves/abstract/frost.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { SignatureShare, type SignedSignatureShare } from "../types/custodian.ts";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash } from "../types/primitives.ts";
import {
  CHAMELEON_BYTES,
  type ChameleonOpening,
  chameleonChallenge,
  elementToScalar,
  type GroupElement,
  scalarBytes,
  scalarOf,
} from "./chameleon.ts";
import { commitmentsAreValid } from "./dealing.ts";
import { signMessage, verifyMessage } from "./domain.ts";
import { taggedHash, u64Bytes } from "./hash.ts";

/**
 * A collision of the chameleon hash by t of n custodians, of whom none ever holds the trapdoor: a FROST session (RFC 9591) whose
 * challenge is −e' of the opening that is made. Its response s' = k − e'x is the opening's s, and its nonce point R gives r' = C + f(R).
 * RFC 9591's proof is for its own challenge: none is known for this one.
 */

/** What is signed. Each custodian takes it from its own final state, never from whoever coordinates. */
export type Redaction = {
  readonly genesis: Hash;
  /** Of the custodians' key. */
  readonly epoch: number;
  readonly publicKey: Uint8Array;
  readonly label: Hash;
  /** Of the opening that is made. */
  readonly version: number;
  /** C. */
  readonly digest: Uint8Array;
  /** Commitment to what comes in the place of the payload. */
  readonly cm: Hash;
  /** The request on the chain. */
  readonly request: Hash;
};

const PARTS = [32, 8, 32, 32, 8, CHAMELEON_BYTES, 32, 32] as const;
const MESSAGE_BYTES = PARTS.reduce((a, b) => a + b, 0);

/** All parts have fixed lengths: no two redactions have one encoding. @throws PoflError BAD_REDACTION */
export function redactionMessage(r: Redaction): Uint8Array {
  const parts = [r.genesis, u64Bytes(r.epoch), r.publicKey, r.label, u64Bytes(r.version), r.digest, r.cm, r.request];
  parts.forEach((part, i) => {
    if (part.length !== PARTS[i]) {
      throw new PoflError("BAD_REDACTION", `part ${i} of a redaction has ${part.length} bytes, not ${PARTS[i]}`);
    }
  });
  return new Uint8Array(Buffer.concat(parts));
}

function slice(message: Uint8Array, part: number): Uint8Array {
  const from = PARTS.slice(0, part).reduce((a, b) => a + b, 0);
  return message.slice(from, from + (PARTS[part] as number));
}

/** The opening that a session with nonce point R makes, but for its s. */
function openingAt(message: Uint8Array, R: GroupElement): Omit<ChameleonOpening, "s"> {
  const digest = message.length === MESSAGE_BYTES ? scalarOf(slice(message, 5)) : undefined;
  if (digest === undefined) throw new PoflError("BAD_REDACTION", "it is no redaction, or its digest is no scalar");
  const version = Number(new DataView(slice(message, 4).buffer).getBigUint64(0, true));
  return { cm: slice(message, 6), version, r: scalarBytes(digest + elementToScalar(R)) };
}

const { Point } = ristretto255;

/** Key generation, shares, nonces, signing: RFC 9591 under a suite name of its own, so that no share of another protocol fits. */
export const custodians = createFROST({
  name: "POFL-CHAMELEON-RISTRETTO255-SHA512-v1",
  Point,
  validatePoint: (p) => p.assertValidity(),
  hash: (message) => new Uint8Array(createHash("sha512").update(message).digest()),
  challenge: (R, key, message) => {
    const e = chameleonChallenge(key.toBytes(), slice(message, 3), openingAt(message, R));
    return Point.Fn.neg(e);
  },
});

/** The opening in an aggregated signature, R ‖ s. @throws PoflError BAD_REDACTION */
export function openingFrom(redaction: Redaction, signature: Uint8Array): ChameleonOpening {
  if (signature.length !== 2 * CHAMELEON_BYTES) {
    throw new PoflError("BAD_REDACTION", `a signature of ${signature.length} bytes: it has ${2 * CHAMELEON_BYTES}`);
  }
  const R = Point.fromBytes(signature.slice(0, CHAMELEON_BYTES));
  return { ...openingAt(redactionMessage(redaction), R), s: signature.slice(CHAMELEON_BYTES) };
}

/** FROST's name for the custodian of this index, from 0. */
function identifierOf(custodian: number): string {
  return custodians.Identifier.fromNumber(custodian + 1);
}

/** The index, from 0, that an identifier stands for. */
function custodianOf(identifier: string): number {
  return Number(scalarOf(Buffer.from(identifier, "hex")) ?? 0n) - 1;
}

/**
 * What FROST knows of a sharing.
 * @param commitments to the key's polynomial: `combineCommitments`
 * @param verifyingShares of the custodians in their order: `verifyingSharesOf`
 * @throws PoflError BAD_DEALING when they don't fit the numbers; FROST needs 2 ≤ threshold ≤ count
 */
export function frostPublic(
  commitments: readonly Uint8Array[],
  verifyingShares: readonly Uint8Array[],
  threshold: number,
  count: number,
): FrostPublic {
  if (threshold < 2 || threshold > count || verifyingShares.length !== count) {
    throw new PoflError("BAD_DEALING", `${threshold} of ${count} with ${verifyingShares.length} verifying shares`);
  }
  if (!commitmentsAreValid(commitments, threshold)) {
    throw new PoflError("BAD_DEALING", `the key's polynomial is not ${threshold} points other than the identity`);
  }
  return {
    signers: { min: threshold, max: count },
    commitments: commitments.map((c) => c.slice()),
    verifyingShares: Object.fromEntries(verifyingShares.map((v, custodian) => [identifierOf(custodian), v.slice()])),
  };
}

/** What FROST signs with. @param share of `combineShares` @throws PoflError BAD_DEALING when it is no scalar, or 0 */
export function frostSecret(receiver: number, share: Uint8Array): FrostSecret {
  if (!scalarOf(share)) throw new PoflError("BAD_DEALING", "a custodian's share is a canonical scalar, not 0");
  return { identifier: identifierOf(receiver), signingShare: share.slice() };
}

/**
 * What a share is made for: the sharing, the redaction, and all nonce commitments in the order of their custodians. The sharing is there
 * because a resharing keeps key and epoch: a share judged under another's verifying shares would look bad.
 * @throws PoflError BAD_SESSION when the list names one custodian twice, or another than the sharing's; BAD_REDACTION
 */
export function sessionId(message: Uint8Array, list: readonly NonceCommitments[], shared: FrostPublic): Hash {
  if (message.length !== MESSAGE_BYTES) throw new PoflError("BAD_REDACTION", "it is no redaction");
  const named = list.map((c) => ({ ...c, custodian: custodianOf(c.identifier) }));
  named.sort((a, b) => a.custodian - b.custodian);
  named.forEach(({ identifier, custodian, hiding, binding }, i) => {
    const known = Object.hasOwn(shared.verifyingShares, identifier) && custodian !== named[i - 1]?.custodian;
    if (!known || hiding.length !== 32 || binding.length !== 32) {
      throw new PoflError(
        "BAD_SESSION",
        `the nonce commitments of custodian ${custodian} are twice there, or misplaced`,
      );
    }
  });
  return taggedHash(
    "pofl/session/1",
    u64Bytes(shared.commitments.length),
    ...shared.commitments,
    message,
    u64Bytes(named.length),
    ...named.flatMap((c) => [u64Bytes(c.custodian), c.hiding, c.binding]),
  );
}

/** @throws PoflError BAD_KEY */
export function signSignatureShare(
  genesisHash: Hash,
  custodianSecret: Uint8Array,
  message: SignatureShare,
): SignedSignatureShare {
  const root = SignatureShare.hashTreeRoot(message);
  return { message, signature: signMessage("signatureShare", genesisHash, custodianSecret, root) };
}

export function verifySignatureShare(
  genesisHash: Hash,
  custodianKey: Uint8Array,
  { message, signature }: SignedSignatureShare,
): boolean {
  const root = SignatureShare.hashTreeRoot(message);
  return verifyMessage("signatureShare", genesisHash, custodianKey, root, signature);
}

/**
 * Whether a custodian signed a wrong share for exactly this sharing, list and message. Never throws. A coordinator that shows its signers
 * different lists frames nobody: an honest share names the list that it was made for, and fits that one.
 */
export function shareIsBad(args: {
  readonly genesisHash: Hash;
  readonly custodianKey: Uint8Array;
  readonly shared: FrostPublic;
  readonly list: readonly NonceCommitments[];
  readonly message: Uint8Array;
  readonly custodian: number;
  readonly signed: SignedSignatureShare;
}): boolean {
  const { shared, list, message, custodian, signed } = args;
  try {
    if (signed.message.custodian !== custodian) return false;
    if (!bytesEqual(signed.message.session, sessionId(message, list, shared))) return false;
    if (!verifySignatureShare(args.genesisHash, args.custodianKey, signed)) return false;
    // FROST throws at a share that is no canonical scalar, and at a list that no honest custodian answers: only the first is a fault.
    const canonical = scalarOf(signed.message.share) !== undefined;
    const share = canonical ? signed.message.share : new Uint8Array(CHAMELEON_BYTES);
    const holds = custodians.verifyShare(shared, [...list], message, identifierOf(custodian), share);
    return !canonical || !holds;
  } catch {
    return false;
  }
}

/** Unanswered nonces that a custodian keeps: whoever asks for more makes it forget the oldest. */
export const MAX_NONCES = 256;

/**
 * A custodian's nonces. Two shares from one nonce give the custodian's share of the key away, so they live in memory only and leave the
 * box before anything is computed from them.
 */
export class NonceBox {
  readonly #secret: FrostSecret;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #unused = new Map<string, Nonces>();

  /** @param random cryptographically secure */
  constructor(secret: FrostSecret, random: (bytes: number) => Uint8Array) {
    this.#secret = secret;
    this.#random = random;
  }

  /** Commitments to fresh nonces, for one session. */
  commit(): NonceCommitments {
    const { nonces, commitments } = custodians.commit(
      this.#secret,
      (bytes = 32) => new Uint8Array(this.#random(bytes)),
    );
    const oldest = this.#unused.keys().next().value;
    if (this.#unused.size >= MAX_NONCES && oldest !== undefined) this.#take(oldest);
    this.#unused.set(nameOf(commitments), nonces);
    return commitments;
  }

  /**
   * This custodian's share for the list, which holds commitments of `commit`. Whatever comes of it, they are used.
   * @throws PoflError NONCE_USED when they have signed before, were forgotten, or are not from here; BAD_SESSION when the list lacks this
   * custodian or FROST refuses it; BAD_REDACTION
   */
  sign(shared: FrostPublic, list: readonly NonceCommitments[], message: Uint8Array): SignatureShare {
    const own = list.find((c) => c.identifier === this.#secret.identifier);
    if (!own) throw new PoflError("BAD_SESSION", "this custodian is not in the session");
    const nonces = this.#take(nameOf(own));
    if (!nonces) throw new PoflError("NONCE_USED", "these nonces have signed, or are forgotten: begin a new session");
    const session = sessionId(message, list, shared);
    try {
      const share = custodians.signShare(this.#secret, shared, nonces, [...list], message);
      return { session, custodian: custodianOf(this.#secret.identifier), share };
    } catch (cause) {
      throw new PoflError("BAD_SESSION", `no share for this session: ${(cause as Error).message}`, {}, { cause });
    }
  }

  #take(name: string): Nonces | undefined {
    const nonces = this.#unused.get(name);
    this.#unused.delete(name);
    return nonces;
  }
}

function nameOf({ hiding, binding }: NonceCommitments): string {
  return Buffer.concat([hiding, binding]).toString("hex");
}
