import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { MAX_CUSTODIANS, MAX_TXS_PER_BLOCK } from "./limits.ts";
import { Bytes20, Bytes32, Bytes64, U8, U32 } from "./primitives.ts";

/**
 * Editable records. What the chain holds of a record is its leaf; payload and salt travel beside the block and can be erased
 * (docs/redaction.md).
 */

/** A record, as its transaction carries it: everything of the leaf but the label, which follows from sender and nonce. */
export const RecordTx = new ContainerType(
  {
    /** Of the custodians' key. */
    epoch: U32,
    /** C: chameleon digest of cm under the label. */
    digest: Bytes32,
    /** Commitment to salt and padded payload. */
    cm: Bytes32,
    r: Bytes32,
    s: Bytes32,
    /** Of the padded payload, a multiple of RECORD_STEP_BYTES. */
    length: U32,
    /** Account of the person that the record is about: may ask for redaction as the sender may. All zero = nobody. */
    subject: Bytes20,
  },
  { typeName: "RecordTx" },
);

/** The leaf of the header's recordRoot. It stays for ever: without the salt, cm tells nothing. */
export const RecordLeaf = new ContainerType(
  {
    label: Bytes32,
    epoch: U32,
    digest: Bytes32,
    cm: Bytes32,
    r: Bytes32,
    s: Bytes32,
    length: U32,
  },
  { typeName: "RecordLeaf" },
);
/** The records that a block made, in the order of its transactions. */
export const RecordLeaves = new ListCompositeType(RecordLeaf, MAX_TXS_PER_BLOCK);

/** Why a redaction is asked for; the code is the place here, never renumbered. */
export const REDACTION_REASONS = ["erasure", "correction", "unlawful", "emergency"] as const;
export type RedactionReason = (typeof REDACTION_REASONS)[number];

export const RedactRequest = new ContainerType(
  {
    label: Bytes32,
    /** Version of the record that is to be replaced: a request does not outlive another edit. */
    version: U32,
    reason: U8,
    /** Commitment to what comes in the payload's place. */
    cm: Bytes32,
    /** Of that, padded; 0 = erased: nothing comes in its place, and cm is the one that says so. */
    length: U32,
  },
  { typeName: "RedactRequest" },
);
export const RedactObject = new ContainerType({ request: Bytes32 }, { typeName: "RedactObject" });

/** What a custodian signs: this opening, for this request. */
export const Approval = new ContainerType(
  { request: Bytes32, cm: Bytes32, r: Bytes32, s: Bytes32 },
  { typeName: "Approval" },
);
export const CustodianApproval = new ContainerType(
  {
    /** Place among the current custodians of the record's key. */
    custodian: U32,
    signature: Bytes64,
  },
  { typeName: "CustodianApproval" },
);
export const RedactExecute = new ContainerType(
  {
    request: Bytes32,
    r: Bytes32,
    s: Bytes32,
    /** Custodians strictly ascending. */
    approvals: new ListCompositeType(CustodianApproval, MAX_CUSTODIANS),
  },
  { typeName: "RedactExecute" },
);

export type RecordTx = ValueOf<typeof RecordTx>;
export type RecordLeaf = ValueOf<typeof RecordLeaf>;
export type RedactRequest = ValueOf<typeof RedactRequest>;
export type RedactObject = ValueOf<typeof RedactObject>;
export type Approval = ValueOf<typeof Approval>;
export type RedactExecute = ValueOf<typeof RedactExecute>;
