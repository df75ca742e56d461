import type { CeremonyPlan } from "../../types/ceremony.ts";
import type { Hash } from "../../types/primitives.ts";

/** What RPC sees of this node's custodian, and what a custodian tells its node. */
export type CustodyView = {
  /** Custodian key. */
  readonly key: Hash;
  /** Whether the share of the key of this epoch, as it is held at the head, is here. */
  holds(epoch: number): boolean;
  /** Ceremonies that this node takes part in, on the chain or not yet. */
  joined(): readonly { readonly id: Hash; readonly plan: CeremonyPlan }[];
  /** What this node is doing in a ceremony, in words; null = nothing. */
  doing(ceremony: Hash): string | null;
  /** Custodians in office of whose approval this node knows, its own included. */
  approvals(request: Hash): number;
  approved(request: Hash): boolean;
  /** What this node is doing for a request that it has approved, in words; null = nothing. */
  working(request: Hash): string | null;
  /**
   * Takes part in a ceremony.
   * @param signature of Consent {CONSENT_CEREMONY, id of the plan} by this node's custodian key
   * @returns the ceremony's id
   * @throws PoflError BAD_CONSENT, BAD_PLAN, NOT_IN_PLAN, CEREMONY_OVER, TOO_MANY_CEREMONIES, disk errors
   */
  join(plan: CeremonyPlan, signature: Uint8Array): Hash;
  /**
   * Takes part in the redaction of a request.
   * @param signature of Consent {CONSENT_REDACTION, id of the request} by this node's custodian key
   * @throws PoflError BAD_CONSENT, NOT_FOUND, REQUEST_OVER, NOT_IN_OFFICE, NO_SHARE, CATCHING_UP, TOO_MANY_CONSENTS, disk errors
   */
  approve(request: Hash, signature: Uint8Array): void;
};
