import { ContainerType, UnionType, type ValueOf } from "@chainsafe/ssz";
import { CustodianComplain, CustodianDeal, CustodianRegister, CustodianRotate } from "./ceremony.ts";
import { MAX_MONIKER_BYTES, MAX_TASK_BYTES } from "./limits.ts";
import { Bytes20, Bytes32, Bytes64, bytesUpTo, U53, U64 } from "./primitives.ts";
import { RecordTx, RedactExecute, RedactObject, RedactRequest } from "./record.ts";

export const Transfer = new ContainerType({ to: Bytes20, amount: U64 }, { typeName: "Transfer" });

/** Registers a miner, or adds stake to one (then every key must equal the registered one). */
export const Bond = new ContainerType(
  {
    amount: U64,
    consensusKey: Bytes32,
    vrfKey: Bytes32,
    /** Names the institution; one bonded miner each. */
    institution: Bytes32,
    /** A registrar's signature over an InstitutionCertificate of (institution, sender); empty where genesis names no registrar. */
    certificate: bytesUpTo(64),
    moniker: bytesUpTo(MAX_MONIKER_BYTES),
    /** Proof of possession: the consensus key signs the sender's address. */
    possession: Bytes64,
  },
  { typeName: "Bond" },
);
/** What a registrar signs for a bond. */
export const InstitutionCertificate = new ContainerType(
  { institution: Bytes32, address: Bytes20 },
  { typeName: "InstitutionCertificate" },
);
export const Unbond = new ContainerType({ amount: U64 }, { typeName: "Unbond" });
/** SSZ has no empty container: `height` is the head that the sender saw, and says nothing else. */
export const Unjail = new ContainerType({ height: U53 }, { typeName: "Unjail" });
/** `spec` is the canonical JSON of the task; `escrow` is moved from the sender to the task. */
export const TaskPublish = new ContainerType(
  { spec: bytesUpTo(MAX_TASK_BYTES), escrow: U64 },
  { typeName: "TaskPublish" },
);
export const TaskFund = new ContainerType({ task: Bytes32, amount: U64 }, { typeName: "TaskFund" });
export const TaskCancel = new ContainerType({ task: Bytes32 }, { typeName: "TaskCancel" });

/** Every kind with its payload. The selector in the union is the place here: the wire format, so never reordered. */
const PAYLOADS = {
  transfer: Transfer,
  bond: Bond,
  unbond: Unbond,
  unjail: Unjail,
  "task-publish": TaskPublish,
  "task-fund": TaskFund,
  "task-cancel": TaskCancel,
  record: RecordTx,
  "redact-request": RedactRequest,
  "redact-object": RedactObject,
  "redact-execute": RedactExecute,
  "custodian-deal": CustodianDeal,
  "custodian-complain": CustodianComplain,
  "custodian-register": CustodianRegister,
  "custodian-rotate": CustodianRotate,
} as const;
export type TxKind = keyof typeof PAYLOADS;
export const TX_KINDS = Object.keys(PAYLOADS) as TxKind[];
export const TxPayload = new UnionType(Object.values(PAYLOADS));

export const TxBody = new ContainerType(
  {
    sender: Bytes20,
    nonce: U53,
    fee: U64,
    /** Last height that may include it; 0 = no limit. */
    expires: U53,
    payload: TxPayload,
  },
  { typeName: "TxBody" },
);
/** A transaction's id is the SSZ root of its body: the signature is not part of it. */
export const Tx = new ContainerType({ body: TxBody, publicKey: Bytes32, signature: Bytes64 }, { typeName: "Tx" });

export type Transfer = ValueOf<typeof Transfer>;
export type Bond = ValueOf<typeof Bond>;
export type InstitutionCertificate = ValueOf<typeof InstitutionCertificate>;
export type Unbond = ValueOf<typeof Unbond>;
export type Unjail = ValueOf<typeof Unjail>;
export type TaskPublish = ValueOf<typeof TaskPublish>;
export type TaskFund = ValueOf<typeof TaskFund>;
export type TaskCancel = ValueOf<typeof TaskCancel>;
export type TxBody = ValueOf<typeof TxBody>;
export type Tx = ValueOf<typeof Tx>;

/** A payload as a discriminated union, so that a switch over it is exhaustive. */
export type TypedPayload = { [K in TxKind]: { kind: K; value: ValueOf<(typeof PAYLOADS)[K]> } }[TxKind];

export function typedPayload(payload: TxBody["payload"]): TypedPayload {
  return { kind: TX_KINDS[payload.selector], value: payload.value } as TypedPayload;
}

export function untypedPayload(payload: TypedPayload): TxBody["payload"] {
  return { selector: TX_KINDS.indexOf(payload.kind), value: payload.value } as TxBody["payload"];
}
