import { createHash } from "node:crypto";
import type * as real from "../../../crypto/ed25519.ts";
import { PoflError } from "../../../types/errors.ts";
import { bytesEqual, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "../../../types/primitives.ts";

/**
 * Stands for `crypto/ed25519.ts` in a simulation: a signature is a hash keyed with the secret, some forty times cheaper. Whoever verifies
 * looks the secret up, so nobody can forge without it; nothing here may leave a test process.
 */

export type KeyPair = real.KeyPair;

/** Secrets by public key: all keys of a simulation are made in its process. */
const secrets = new Map<string, Uint8Array>();

const idOf = (publicKey: Uint8Array) => Buffer.from(publicKey).toString("latin1");

function digest(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

export const keyPair: typeof real.keyPair = (seed) => {
  if (seed.length !== 32) throw new PoflError("BAD_KEY", "a secret is 32 bytes");
  const secret = seed.slice();
  const publicKey = digest(secret).slice(0, PUBLIC_KEY_BYTES);
  secrets.set(idOf(publicKey), secret);
  return { publicKey, secret };
};

export const sign: typeof real.sign = (secret, message) => digest(secret, message);

export const verify: typeof real.verify = (publicKey, message, signature) => {
  const secret = secrets.get(idOf(publicKey));
  return secret !== undefined && signature.length === SIGNATURE_BYTES && bytesEqual(digest(secret, message), signature);
};

export const verifyPortable: typeof real.verifyPortable = verify;

export const checkPublicKey: typeof real.checkPublicKey = (publicKey) => secrets.has(idOf(publicKey));

/** The secret behind a public key: the keyed VRF verifies with it. */
export function secretOf(publicKey: Uint8Array): Uint8Array | undefined {
  return secrets.get(idOf(publicKey));
}
