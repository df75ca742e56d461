import { createHash } from "node:crypto";
import { createFROST } from "@noble/curves/abstract/frost.js";
import { ristretto255 } from "@noble/curves/ed25519.js";
import { PoflError } from "../types/errors.ts";
import type { Hash } from "../types/primitives.ts";
import {
  CHAMELEON_BYTES,
  type ChameleonOpening,
  chameleonChallenge,
  elementToScalar,
  type GroupElement,
  scalarBytes,
  scalarOf,
} from "./chameleon.ts";
import { u64Bytes } from "./hash.ts";

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
