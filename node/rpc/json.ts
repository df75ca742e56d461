import { txId } from "../../crypto/domain.ts";
import { decodeTask } from "../../genesis/task.ts";
import { Block, type Header, type Receipt } from "../../types/block.ts";
import { offenceOf } from "../../types/evidence.ts";
import { bytesEqual, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { REDACTION_REASONS } from "../../types/record.ts";
import type { Metrics } from "../../types/round.ts";
import { type Miner, REPUTATION_ONE, type Task } from "../../types/state.ts";
import { type Tx, type TypedPayload, typedPayload } from "../../types/tx.ts";
import type { Commit } from "../../types/vote.ts";
import { failureName } from "../../vm/failures.ts";
import { offenceHeight, offenceRound } from "../../vm/offences.ts";
import { statusOf } from "../../vm/view.ts";
import type {
  BlockJson,
  CommitJson,
  HeaderJson,
  Metrics as MetricsJson,
  MinerJson,
  ReceiptJson,
  TaskSummary,
  TxJson,
} from "./types.ts";

/** The chain's containers as the RPC shows them. */

const text = new TextDecoder();

export const orNull = (hash: Hash): string | null => (bytesEqual(hash, ZERO_HASH) ? null : toHex(hash));

/** Thousandths to units: exact in the shortest decimal form that JSON prints. */
export function metricsJson({ n, loss, accuracy, auroc }: Metrics): MetricsJson | null {
  if (n === 0) return null;
  return { n, loss: loss / 1000, accuracy: accuracy / 1000, auroc: auroc === 0 ? null : auroc / 1000 };
}

export function headerJson(header: Header): HeaderJson {
  // Not Header.toJson: it writes every number as a string.
  const json = Object.entries(header).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? toHex(value) : value,
  ]);
  return {
    ...Object.fromEntries(json),
    task: orNull(header.task),
    metrics: metricsJson(header.metrics),
    modelRoot: orNull(header.modelRoot),
  };
}

export function commitJson({ height, round, blockId, signatures }: Commit): CommitJson {
  return {
    height,
    round,
    blockHash: toHex(blockId),
    signatures: signatures.map((s) => ({ validator: s.validator, time: s.time, signature: toHex(s.signature) })),
  };
}

function payloadJson(payload: TypedPayload): TxJson["payload"] {
  switch (payload.kind) {
    case "transfer":
      return { to: toHex(payload.value.to), amount: String(payload.value.amount) };
    case "bond": {
      const { amount, moniker, ...keys } = payload.value;
      const hex = Object.fromEntries(Object.entries(keys).map(([name, bytes]) => [name, toHex(bytes)]));
      return { amount: String(amount), moniker: text.decode(moniker), ...hex };
    }
    case "unbond":
      return { amount: String(payload.value.amount) };
    case "unjail":
      return { height: payload.value.height };
    case "task-publish":
      return { spec: text.decode(payload.value.spec), escrow: String(payload.value.escrow) };
    case "task-fund":
      return { task: toHex(payload.value.task), amount: String(payload.value.amount) };
    case "task-cancel":
      return { task: toHex(payload.value.task) };
    case "custodian-deal": {
      const { plan, custodian, commitments } = payload.value.body;
      return { epoch: plan.epoch, generation: plan.generation, custodian: toHex(custodian), deals: commitments.length };
    }
    case "custodian-complain": {
      const { ceremony, dealer, receiver } = payload.value.share.message;
      return { ceremony: toHex(ceremony), dealer, receiver };
    }
    case "redact-request": {
      const { reason, ...rest } = payload.value;
      return { reason: REDACTION_REASONS[reason] ?? String(reason), ...plainFields(rest) };
    }
    case "redact-execute":
      return { ...plainFields(payload.value), approvals: payload.value.approvals.length };
    case "custodian-register":
    case "custodian-rotate":
      return { ...plainFields(payload.value), signatures: payload.value.signatures.length };
    case "record":
    case "redact-object":
      return plainFields(payload.value);
  }
}

/** Numbers as they are, bytes as hex; what is neither is left out. */
function plainFields(value: object): Record<string, string | number> {
  const plain: Record<string, string | number> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field instanceof Uint8Array) plain[name] = toHex(field);
    else if (typeof field === "number") plain[name] = field;
  }
  return plain;
}

export function txJson({ body, publicKey, signature }: Tx): TxJson {
  const payload = typedPayload(body.payload);
  return {
    hash: toHex(txId(body)),
    sender: toHex(body.sender),
    nonce: body.nonce,
    fee: String(body.fee),
    expires: body.expires,
    kind: payload.kind,
    payload: payloadJson(payload),
    publicKey: toHex(publicKey),
    signature: toHex(signature),
  };
}

export function blockJson(block: Block, id: Hash): BlockJson {
  const learning = block.learning[0];
  return {
    hash: toHex(id),
    header: headerJson(block.header),
    txs: block.txs.map(txJson),
    learning: learning
      ? {
          task: toHex(learning.task),
          updates: learning.result.updates.length,
          attestations: learning.attestations.length,
          modelRoot: toHex(learning.result.modelRoot),
        }
      : null,
    evidence: block.evidence.map((evidence) => {
      const offence = offenceOf(evidence);
      return {
        kind: offence.kind,
        consensusKey: toHex(evidence.consensusKey),
        height: offenceHeight(offence),
        round: offenceRound(offence) ?? null,
      };
    }),
    lastCommit: commitJson(block.lastCommit),
    size: Block.value_serializedSize(block),
  };
}

export function receiptJson({ tx, code, fee }: Receipt): ReceiptJson {
  const failed = failureName(code);
  return { tx: toHex(tx), status: code === 0 ? "done" : "failed", code: failed ?? null, fee: String(fee) };
}

export function minerJson(m: Readonly<Miner>, contribution: bigint | undefined): MinerJson {
  return {
    address: toHex(m.address),
    moniker: text.decode(m.moniker),
    institution: toHex(m.institution),
    consensusKey: toHex(m.consensusKey),
    vrfKey: toHex(m.vrfKey),
    stake: String(m.stake),
    unbonding: String(m.unbonding),
    unbondingHeight: m.unbondingHeight,
    bondedAt: m.bondedAt,
    reputation: m.reputation / REPUTATION_ONE,
    contribution: contribution === undefined ? null : String(contribution),
    jailed: m.jailed,
    jailedUntil: m.jailedUntil,
    missed: m.missed,
    lastReveal: m.lastReveal,
    accepted: m.accepted,
    rejected: m.rejected,
    blocksProposed: m.blocksProposed,
    earned: String(m.earned),
  };
}

export function taskJson(t: Readonly<Task>): TaskSummary {
  const { name, bounty } = decodeTask(t.spec);
  return {
    id: toHex(t.id),
    name,
    publisher: toHex(t.publisher),
    status: statusOf(t),
    escrow: String(t.escrow),
    bounty,
    publishedAt: t.publishedAt,
    round: t.round,
    failed: t.failed,
    modelRoot: toHex(t.modelRoot),
    exponent: t.exponent,
    medianNorm: String(t.medianNorm),
    lastLearning: t.lastLearning,
    endedAt: t.endedAt,
  };
}

export function monikerOf(miner: Readonly<Miner> | undefined): string {
  return miner ? text.decode(miner.moniker) : "";
}
