import { z } from "zod";
import { REDACTION_REASONS } from "../../types/record.ts";
import { CEREMONY_STATUS } from "../../types/state.ts";
import { hash, whole } from "./scalars.ts";

/** Results about custodians: what the chain says, and what this node's custodian is doing. Nothing secret is among it. */

export const custodianEpoch = z.strictObject({
  epoch: whole,
  publicKey: hash,
  /** Times that it was handed to new custodians. */
  generation: whole,
  threshold: whole,
  /** Custodian keys of those in office, in the order of their numbers. */
  keys: z.array(hash),
  registeredAt: whole,
  /** Height since which these custodians hold it. */
  since: whole,
  /** Whether this node holds a share of it. */
  share: z.boolean(),
});
export const custodianCeremony = z.strictObject({
  id: hash,
  epoch: whole,
  generation: whole,
  attempt: whole,
  keys: z.array(hash),
  threshold: whole,
  /** Places of those custodians of the key who deal, where it is handed over; empty where a key is made: everyone does. */
  dealers: z.array(whole),
  /** `joining`: this node takes part, the chain knows nothing of it yet. */
  status: z.enum(["joining", ...CEREMONY_STATUS]),
  /** Heights; 0 = not yet. */
  startedAt: whole,
  endedAt: whole,
  /** Custodian keys of those whose first round is on the chain. */
  dealt: z.array(hash),
  /** Those of whom the chain still waits for it. */
  awaited: z.array(hash),
  /** Who is proven to have dealt a bad share. */
  culprit: hash.nullable(),
  /** What this node is doing in it. */
  here: z.string().nullable(),
});
export const custodianRequest = z.strictObject({
  id: hash,
  /** The record's label. */
  record: hash,
  /** Of the custodians' key. */
  epoch: whole,
  reason: z.enum(REDACTION_REASONS),
  /** Nothing comes in the payload's place. */
  erases: z.boolean(),
  opensAt: whole,
  lapsesAt: whole,
  /** Approvals that it takes. */
  threshold: whole,
  approvedHere: z.boolean(),
  /** Custodians in office of whose approval this node knows. */
  approvals: whole,
  state: z.string(),
});
export const custodianStatus = z.strictObject({
  /** This node's custodian key; null = it is none. */
  custodian: hash.nullable(),
  epochs: z.array(custodianEpoch),
  ceremonies: z.array(custodianCeremony),
  /** Those that can still be executed. */
  requests: z.array(custodianRequest),
});
export const custodianJoined = z.strictObject({ ceremony: hash });
export const custodianApproved = z.strictObject({ request: hash });

export type CustodianStatus = z.output<typeof custodianStatus>;
export type CustodianJoined = z.output<typeof custodianJoined>;
export type CustodianApproved = z.output<typeof custodianApproved>;
