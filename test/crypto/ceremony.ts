import { randomBytes } from "node:crypto";
import type { FrostPublic, FrostSecret, NonceCommitments } from "@noble/curves/abstract/frost.js";
import { chameleonDigest, scalarBytes } from "../../crypto/chameleon.ts";
import {
  combineCommitments,
  combineShares,
  commitmentsOf,
  type Dealing,
  dealingFrom,
  shareOf,
  verifyingSharesOf,
} from "../../crypto/dealing.ts";
import { taggedHash, u64Bytes } from "../../crypto/hash.ts";
import { custodians, frostPublic, frostSecret, type Redaction } from "../../crypto/threshold.ts";
import type { Hash } from "../../types/primitives.ts";

/** Whole ceremonies in one hand, for tests: what all custodians hold afterwards, and what is public. */

export const named = (name: string, i = 0): Hash => taggedHash(`test/${name}`, u64Bytes(i));

export type Sharing = {
  readonly threshold: number;
  readonly dealings: readonly Dealing[];
  /** Commitments to the key's polynomial. */
  readonly commitments: readonly Uint8Array[];
  readonly verifyingShares: readonly Uint8Array[];
  readonly shares: readonly Uint8Array[];
};

function finish(threshold: number, count: number, dealings: readonly Dealing[], weights?: readonly bigint[]): Sharing {
  const commitments = combineCommitments(dealings.map(commitmentsOf), weights);
  return {
    threshold,
    dealings,
    commitments,
    verifyingShares: verifyingSharesOf(commitments, count),
    shares: Array.from({ length: count }, (_, receiver) =>
      combineShares(
        dealings.map((d) => shareOf(d, receiver)),
        weights,
      ),
    ),
  };
}

/** Every custodian deals a secret of its own. */
export function generate(threshold: number, count: number, ceremony = named("ceremony")): Sharing {
  const dealings = Array.from({ length: count }, () => dealingFrom(randomBytes(32), ceremony, threshold));
  return finish(threshold, count, dealings);
}

/** These old custodians deal their shares of `old` to `count` new ones. */
export function reshare(
  old: Sharing,
  dealers: readonly number[],
  weights: readonly bigint[],
  threshold: number,
  count: number,
): Sharing {
  const ceremony = named("ceremony", 1);
  const dealings = dealers.map((d) => dealingFrom(randomBytes(32), ceremony, threshold, old.shares[d]));
  return finish(threshold, count, dealings, weights);
}

export function publicOf({ commitments, verifyingShares, threshold, shares }: Sharing): FrostPublic {
  return frostPublic(commitments, verifyingShares, threshold, shares.length);
}

export function secretsOf({ shares }: Sharing): FrostSecret[] {
  return shares.map((share, receiver) => frostSecret(receiver, share));
}

/** A record under this key, and the redaction that erases it. */
export function redactionUnder(publicKey: Uint8Array, epoch = 0): Redaction {
  const label = named("label");
  const original = { cm: named("cm"), version: 0, r: scalarBytes(5n), s: scalarBytes(7n) };
  return {
    genesis: named("genesis"),
    epoch,
    publicKey,
    label,
    version: 1,
    digest: chameleonDigest(publicKey, label, original) as Uint8Array,
    cm: named("erased"),
    request: named("request"),
  };
}

/** Nonces and shares of a session of these secrets, by identifier; nobody looks whether they belong together. */
export function session(secrets: readonly FrostSecret[], shared: FrostPublic, message: Uint8Array) {
  const nonces = secrets.map((secret) => custodians.commit(secret));
  const list: NonceCommitments[] = nonces.map((n) => n.commitments);
  const shares = Object.fromEntries(
    secrets.map((secret, at) => [
      secret.identifier,
      custodians.signShare(secret, shared, (nonces[at] as (typeof nonces)[number]).nonces, list, message),
    ]),
  );
  return { list, shares };
}
