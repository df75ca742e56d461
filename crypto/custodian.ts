import type { Type } from "@chainsafe/ssz";
import { Consent, DealBody, KeyStatement } from "../types/ceremony.ts";
import { SessionAsk, SessionOffer } from "../types/custodian.ts";
import type { Hash } from "../types/primitives.ts";
import { Approval } from "../types/record.ts";
import { type Domain, signMessage, verifyMessage } from "./domain.ts";

/** What a custodian signs with its custodian key (Ed25519), each under a domain of its own. Shares of the key are dealt in dealing.ts. */

type Signed<T> = {
  /** @throws PoflError BAD_KEY */
  readonly sign: (genesisHash: Hash, custodianSecret: Uint8Array, message: T) => Uint8Array;
  readonly verify: (genesisHash: Hash, custodianKey: Uint8Array, message: T, signature: Uint8Array) => boolean;
};

function signed<T>(domain: Domain, type: Type<T>): Signed<T> {
  return {
    sign: (genesisHash, secret, message) => signMessage(domain, genesisHash, secret, type.hashTreeRoot(message)),
    verify: (genesisHash, key, message, signature) =>
      verifyMessage(domain, genesisHash, key, type.hashTreeRoot(message), signature),
  };
}

/** Its part in a ceremony. */
export const dealSigning = signed("deal", DealBody);
/** That the ceremony gave this key, and that it holds its share. */
export const statementSigning = signed("keyStatement", KeyStatement);
/** That this opening is for this request. */
export const approvalSigning = signed("approval", Approval);
/** A word to its own node: take part. */
export const consentSigning = signed("consent", Consent);
/** That it begins a session. */
export const sessionAskSigning = signed("sessionAsk", SessionAsk);
/** That these nonce commitments are its own, for that session. */
export const sessionOfferSigning = signed("sessionOffer", SessionOffer);
