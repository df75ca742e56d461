import { createHash } from "node:crypto";
import { taggedHash, u64Bytes } from "../../../crypto/hash.ts";
import type * as real from "../../../crypto/vrf.ts";
import { bytesEqual, VRF_PROOF_BYTES } from "../../../types/primitives.ts";
import { secretOf } from "./ed25519.ts";

/** Stands for `crypto/vrf.ts` in a simulation: the proof is a hash keyed with the secret, unique and unpredictable like the real one. */

export const vrfProve: typeof real.vrfProve = (secret, alpha) => {
  const proof = new Uint8Array(VRF_PROOF_BYTES);
  proof.set(createHash("sha512").update("vrf").update(secret).update(alpha).digest());
  return proof;
};

export const vrfVerify: typeof real.vrfVerify = (publicKey, alpha, proof) => {
  const secret = secretOf(publicKey);
  if (!secret || !bytesEqual(vrfProve(secret, alpha), proof)) return undefined;
  return new Uint8Array(createHash("sha512").update("output").update(proof).digest());
};

export const beaconAlpha: typeof real.beaconAlpha = (seed, height) =>
  taggedHash("pofl/beacon/alpha/1", seed, u64Bytes(height));

export const nextSeed: typeof real.nextSeed = (seed, beta) => taggedHash("pofl/beacon/seed/1", seed, beta);
