import { z } from "zod";
import { REDACTION_REASONS } from "../../types/record.ts";
import { address, bytes, hash, whole } from "./scalars.ts";

/** Results about editable records: never what was erased or replaced, since no node has it. */

export const RECORD_STATUS = ["current", "edited", "erased"] as const;
/** `lapsed`: its window is over; `superseded`: another edit came first. Both follow from the state at the head. */
export const REDACTION_STATUS = ["open", "executed", "stopped", "lapsed", "superseded"] as const;

const reason = z.enum(REDACTION_REASONS);
const summaryFields = {
  /** Its label, unique for ever. */
  id: hash,
  sender: address,
  /** Account of whom it is about; null = nobody. */
  subject: address.nullable(),
  /** Of the custodians' key. */
  epoch: whole,
  /** Of the block that made it. */
  height: whole,
  /** Edits so far. */
  version: whole,
  status: z.enum(RECORD_STATUS),
  /** Of the padded payload as it is now; 0 = erased. */
  length: whole,
  /** Commitment to the payload as it is now. */
  cm: hash,
};
export const recordSummary = z.strictObject({ index: whole, ...summaryFields });
export const recordPage = z.strictObject({
  /** Records of the chain. */
  total: whole,
  records: z.array(recordSummary),
  /** `from` of the next page; null = that was all. */
  next: whole.nullable(),
});

/** An edit that was executed. */
export const recordEdit = z.strictObject({
  request: hash,
  reason,
  requester: address,
  askedAt: whole,
  executedAt: whole,
  /** Custodian keys. */
  approvals: z.array(hash),
  /** Of the record after it. */
  version: whole,
  erased: z.boolean(),
});
const payloadFields = {
  /** Whether this node has the payload; false for an erased one, and while the node can't know yet what was erased. */
  here: z.boolean(),
  payload: bytes.nullable(),
  /** The payload when it is UTF-8. */
  text: z.string().nullable(),
  /** Its sender did not pad it as it must be: there is a body here, but no payload can be told from it. */
  malformed: z.boolean(),
};
export const record = z.strictObject({
  ...summaryFields,
  /** The transaction that made it; null when this node does not have its block. */
  tx: hash.nullable(),
  /** Chameleon digest: never changes. */
  digest: bytes,
  ...payloadFields,
  /** What the block holds for ever: opening and length of the original. null when this node does not have the block. */
  leaf: z.strictObject({ cm: hash, r: bytes, s: bytes, length: whole }).nullable(),
  edits: z.array(recordEdit),
  /** The entry (SSZ) at its index in the state's list, and sibling hashes up to the state root in the header of `headHash`. */
  proof: z.strictObject({
    kind: z.literal("records"),
    index: whole,
    record: bytes,
    branch: z.array(hash),
    height: whole,
    headHash: hash,
    stateRoot: hash,
  }),
});

const redactionFields = {
  index: whole,
  /** Of the transaction that asked. */
  id: hash,
  record: hash,
  reason,
  requester: address,
  /** Of the record that it would replace. */
  version: whole,
  /** false = something comes in the payload's place: of this padded length, under this commitment. */
  erases: z.boolean(),
  length: whole,
  cm: hash,
  askedAt: whole,
  /** First and last height at which it can be executed. */
  opensAt: whole,
  lapsesAt: whole,
  status: z.enum(REDACTION_STATUS),
  /** Height at which it ceased to be open; null while it is. */
  endedAt: whole.nullable(),
  /** Miners that object, with their share of the power for the next height. */
  objections: z.array(z.strictObject({ miner: address, moniker: z.string(), permille: whole })),
  /** Of all of them: beyond two thirds of the power the request is stopped. */
  objectionsPermille: whole,
  /** Custodian keys that approved the edit; none before it is executed. */
  approvals: z.array(hash),
};
export const redaction = z.strictObject(redactionFields);
/** With the payload that would come in the place of another, while the request is open. */
export const redactionFull = z.strictObject({ ...redactionFields, ...payloadFields });
export const redactionPage = z.strictObject({
  /** Requests of the chain, of all records. */
  total: whole,
  requests: z.array(redaction),
  next: whole.nullable(),
});

export type RecordStatus = (typeof RECORD_STATUS)[number];
export type RedactionStatus = (typeof REDACTION_STATUS)[number];
export type RecordSummary = z.output<typeof recordSummary>;
export type RecordPage = z.output<typeof recordPage>;
export type RecordEdit = z.output<typeof recordEdit>;
export type RecordJson = z.output<typeof record>;
export type PayloadJson = Pick<RecordJson, keyof typeof payloadFields>;
export type RedactionFull = z.output<typeof redactionFull>;
export type Redaction = z.output<typeof redaction>;
export type RedactionPage = z.output<typeof redactionPage>;
