import { ContainerType, ListBasicType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { SignedShare } from "./custodian.ts";
import { MAX_CUSTODIANS } from "./limits.ts";
import { Bytes32, Bytes64, bytesUpTo, U8, U32 } from "./primitives.ts";

/**
 * How custodians come to a key, or hand it to others. Each deals shares of a secret (crypto/dealing.ts): what all must see alike goes
 * through the chain, the shares themselves go from node to node, sealed.
 */

const Keys = new ListCompositeType(Bytes32, MAX_CUSTODIANS);

/**
 * What a ceremony is for; its root is the ceremony's id. Generation 0 makes the key of a new epoch; later ones hand the key of `epoch`
 * from its custodians to `keys`.
 */
export const CeremonyPlan = new ContainerType(
  {
    epoch: U32,
    generation: U32,
    /** Any number: a ceremony that failed is tried again under another. */
    attempt: U32,
    /** Custodian keys of those who will hold shares, in the order of their numbers. */
    keys: Keys,
    threshold: U32,
    /**
     * Where a key is handed over: the places of those among its custodians, as many as its threshold, who deal; strictly ascending. Named, so
     * that one who cheats or keeps silent can be left out of the next attempt. Empty where a key is made: there everyone deals.
     */
    dealers: new ListBasicType(U32, MAX_CUSTODIANS),
  },
  { typeName: "CeremonyPlan" },
);

/** One custodian's first round, signed with its custodian key. */
export const DealBody = new ContainerType(
  {
    plan: CeremonyPlan,
    /** Custodian key of who deals, or only receives. */
    custodian: Bytes32,
    /** Its key of this ceremony, for sealed shares. */
    envelopeKey: Bytes32,
    /** Commitments to its polynomial; none from one who only receives. */
    commitments: new ListCompositeType(Bytes32, MAX_CUSTODIANS),
    /** Of knowledge of the dealt secret, 64 bytes where a key is made; empty else: there the secret is the share that is known. */
    proof: bytesUpTo(64),
  },
  { typeName: "DealBody" },
);
export const CustodianDeal = new ContainerType({ body: DealBody, signature: Bytes64 }, { typeName: "CustodianDeal" });

/** A dealer's share, and what lets everyone open it and see that it is bad. */
export const CustodianComplain = new ContainerType(
  {
    share: SignedShare,
    /** Shared point of the two envelope keys, and the proof that it is. */
    point: Bytes32,
    proof: Bytes64,
  },
  { typeName: "CustodianComplain" },
);

/** What everyone who holds a share signs in the end. */
export const KeyStatement = new ContainerType(
  {
    ceremony: Bytes32,
    publicKey: Bytes32,
    /** Root of all deals. */
    transcript: Bytes32,
  },
  { typeName: "KeyStatement" },
);
const outcome = {
  ceremony: Bytes32,
  publicKey: Bytes32,
  transcript: Bytes32,
  /** Of the KeyStatement, by every key of the plan in its order. */
  signatures: new ListCompositeType(Bytes64, MAX_CUSTODIANS),
};
/** Puts a new key on the chain. */
export const CustodianRegister = new ContainerType(outcome, { typeName: "CustodianRegister" });
/** Puts new custodians of a key on the chain. */
export const CustodianRotate = new ContainerType(outcome, { typeName: "CustodianRotate" });

/** A custodian tells its own node to take part in a ceremony, or in the redaction of a request. */
export const Consent = new ContainerType(
  {
    what: U8,
    /** Of the plan, or of the request. */
    id: Bytes32,
  },
  { typeName: "Consent" },
);
export const CONSENT_CEREMONY = 1;
export const CONSENT_REDACTION = 2;

export type CeremonyPlan = ValueOf<typeof CeremonyPlan>;
export type DealBody = ValueOf<typeof DealBody>;
export type CustodianDeal = ValueOf<typeof CustodianDeal>;
export type CustodianComplain = ValueOf<typeof CustodianComplain>;
export type KeyStatement = ValueOf<typeof KeyStatement>;
export type CustodianRegister = ValueOf<typeof CustodianRegister>;
export type Consent = ValueOf<typeof Consent>;
