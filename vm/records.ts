import { type ChameleonOpening, chameleonOpens } from "../crypto/chameleon.ts";
import { approvalSigning } from "../crypto/custodian.ts";
import { txId } from "../crypto/domain.ts";
import { sha256, u64Bytes } from "../crypto/hash.ts";
import { erasedCommitment, isBodyLength, recordLabel } from "../crypto/record.ts";
import type { Receipt } from "../types/block.ts";
import { MAX_EDITS } from "../types/limits.ts";
import { type Address, bytesEqual, type Hash, toHex, ZERO_HASH } from "../types/primitives.ts";
import {
  REDACTION_REASONS,
  type RecordLeaf,
  type RecordTx,
  type RedactExecute,
  type RedactObject,
  type RedactRequest,
} from "../types/record.ts";
import {
  type KeyEpoch,
  REQUEST_STATUS,
  type RecordEntry,
  type RequestEntry,
  type RequestStatus,
} from "../types/state.ts";
import { type Tx, type TxBody, typedPayload } from "../types/tx.ts";
import type { Draft } from "./draft.ts";
import { failTx } from "./failures.ts";
import type { TxContext } from "./params.ts";
import { validatorsOf } from "./validators.ts";
import type { At, StateView } from "./view.ts";

/**
 * Editable records. Two keys are needed for an edit: the chain's order (a request that waits and that validators may stop) and a
 * collision by custodians, of whom t must hold the office now.
 */

export function requestStatus(request: Readonly<RequestEntry>): RequestStatus {
  return REQUEST_STATUS[request.status] as RequestStatus;
}

const statusCode = (status: RequestStatus): number => REQUEST_STATUS.indexOf(status);

/**
 * Openings found good lately. Each is met when its transaction comes, when a block is built and when it is judged, and costs two products of
 * the group; the answer is a function of its input, so that remembering it changes nothing but time.
 */
const good = new Set<string>();
const MAX_GOOD = 8192;

function opens(publicKey: Hash, label: Hash, digest: Hash, opening: ChameleonOpening): boolean {
  const { cm, version, r, s } = opening;
  // All parts have fixed lengths: they come from decoded containers.
  const key = Buffer.from(sha256(publicKey, label, digest, cm, u64Bytes(version), r, s)).toString("latin1");
  if (good.has(key)) return true;
  if (!chameleonOpens(publicKey, label, digest, opening)) return false;
  if (good.size >= MAX_GOOD) good.delete(good.values().next().value as string);
  good.add(key);
  return true;
}

/** The leaf of a record transaction in the header's recordRoot. */
export function leafOf(genesisHash: Hash, { sender, nonce }: TxBody, tx: RecordTx): RecordLeaf {
  const { epoch, digest, cm, r, s, length } = tx;
  return { label: recordLabel(genesisHash, sender, nonce), epoch, digest, cm, r, s, length };
}

/** The leaves of the records that a block made, in the order of its transactions. */
export function madeRecords(genesisHash: Hash, txs: readonly Tx[], receipts: readonly Receipt[]): RecordLeaf[] {
  return txs.flatMap(({ body }, i) => {
    const payload = typedPayload(body.payload);
    return payload.kind === "record" && receipts[i]?.code === 0 ? [leafOf(genesisHash, body, payload.value)] : [];
  });
}

/** What lies beside the chain under `id` (a record's label, or a request's id), and what opens it. */
export type Beside = { readonly id: Hash; readonly cm: Hash; readonly length: number };

/** What must be here beside a block before it is voted for: payloads of its records, and replacements that its requests name. */
export function besideBlock(genesisHash: Hash, txs: readonly Tx[], receipts: readonly Receipt[]): Beside[] {
  return txs.flatMap((tx, i) => (receipts[i]?.code === 0 ? besideTx(genesisHash, tx) : []));
}

export function besideTx(genesisHash: Hash, { body }: Tx): Beside[] {
  const payload = typedPayload(body.payload);
  if (payload.kind === "record") {
    const { label, cm, length } = leafOf(genesisHash, body, payload.value);
    return [{ id: label, cm, length }];
  }
  if (payload.kind !== "redact-request" || payload.value.length === 0) return [];
  return [{ id: txId(body), cm: payload.value.cm, length: payload.value.length }];
}

/** @throws PoflError of TX_FAILURES */
export function record(draft: Draft, body: TxBody, tx: RecordTx, { genesisHash, height }: TxContext): void {
  const latest = draft.count("epochs") - 1;
  const key = draft.entry("epochs", latest);
  if (!key) failTx("TX_NO_CUSTODIANS", "record: no custodians' key is registered yet; see `pofl custodian dkg`");
  if (tx.epoch !== latest)
    failTx("TX_WRONG_EPOCH", `record: under the key of epoch ${tx.epoch}, the latest is ${latest}`);
  if (!isBodyLength(tx.length)) failTx("TX_BAD_LEAF", `record: a padded payload can't have ${tx.length} bytes`);
  const { label } = leafOf(genesisHash, body, tx);
  if (!opens(key.publicKey, label, tx.digest, { cm: tx.cm, version: 0, r: tx.r, s: tx.s })) {
    failTx("TX_BAD_LEAF", "record: r and s don't open the digest under this label: was the nonce changed?");
  }
  draft.add("records", {
    label,
    sender: body.sender,
    subject: tx.subject,
    height,
    epoch: tx.epoch,
    digest: tx.digest,
    version: 0,
    cm: tx.cm,
    length: tx.length,
    edits: [],
  });
}

/** @param id of the transaction: names the request. @throws PoflError of TX_FAILURES */
export function request(draft: Draft, id: Hash, sender: Address, tx: RedactRequest, context: TxContext): void {
  const { genesis, height } = context;
  const { record: entry } = knownRecord(draft, "redact-request", tx.label);
  const reason = REDACTION_REASONS[tx.reason];
  if (reason === undefined) failTx("TX_BAD_REQUEST", `redact-request: there is no reason ${tx.reason}`);
  const erases = bytesEqual(tx.cm, erasedCommitment(tx.label, tx.version + 1));
  if (erases !== (tx.length === 0) || !(erases || isBodyLength(tx.length))) {
    failTx("TX_BAD_REQUEST", `redact-request: ${tx.length} bytes don't go with that commitment`);
  }
  const regulator = genesis.regulators.includes(toHex(sender));
  if (reason === "emergency" && !regulator) {
    failTx("TX_NOT_ENTITLED", "redact-request: only a regulator named in genesis may call it an emergency");
  }
  if (!regulator && !bytesEqual(sender, entry.sender) && !isSubject(entry, sender)) {
    failTx("TX_NOT_ENTITLED", "redact-request: only the record's sender, its subject or a regulator may ask");
  }
  sameVersion("redact-request", entry, tx.version);
  if (entry.edits.length >= MAX_EDITS) failTx("TX_STATE_FULL", `redact-request: ${MAX_EDITS} edits are the most`);
  const { delay, emergencyDelay, window } = genesis.consensus.redaction;
  const opensAt = height + (reason === "emergency" ? emergencyDelay : delay);
  draft.add("requests", {
    id,
    label: tx.label,
    requester: sender,
    version: tx.version,
    reason: tx.reason,
    cm: tx.cm,
    length: tx.length,
    askedAt: height,
    opensAt,
    lapsesAt: opensAt + window,
    status: statusCode("open"),
    endedAt: 0,
    objections: [],
    approvals: [],
  });
}

function isSubject(entry: Readonly<RecordEntry>, sender: Address): boolean {
  return bytesEqual(entry.subject, sender) && !bytesEqual(sender, ZERO_HASH.subarray(0, sender.length));
}

function sameVersion(kind: string, entry: Readonly<RecordEntry>, version: number): void {
  if (entry.version === version) return;
  failTx("TX_RECORD_CHANGED", `${kind}: for version ${version} of the record, which has version ${entry.version} now`);
}

/**
 * An objection counts with the power that the validator has for the next height; with more than two thirds of all power against it,
 * the same that makes a block final, a request is stopped. @throws PoflError of TX_FAILURES
 */
export function object(draft: Draft, sender: Address, tx: RedactObject, { genesis, height }: TxContext): void {
  const found = openRequest(draft, "redact-object", tx.request, height);
  const validators = validatorsOf(draft, genesis, height + 1);
  const miner = draft.miner(sender);
  if (!miner || !validators.some((v) => bytesEqual(v.address, sender))) {
    failTx("TX_NOT_VALIDATOR", "redact-object: only a validator may object");
  }
  if (found.record.objections.includes(miner.index)) failTx("TX_ALREADY_OBJECTED", "redact-object: it did so already");
  const objections = [...found.record.objections, miner.index];
  const against = new Set(objections.map((index) => toHex(draft.minerAt(index)?.address ?? ZERO_HASH)));
  const power = (set: typeof validators) => set.reduce((sum, v) => sum + v.power, 0n);
  const stopped = 3n * power(validators.filter((v) => against.has(toHex(v.address)))) > 2n * power(validators);
  draft.set("requests", found.index, {
    ...found.record,
    objections,
    ...(stopped && { status: statusCode("stopped"), endedAt: height }),
  });
}

/** @throws PoflError of TX_FAILURES: each way in which an edit can be wrong has its own */
export function execute(draft: Draft, tx: RedactExecute, { genesisHash, height }: TxContext): void {
  const { index, record: asked } = openRequest(draft, "redact-execute", tx.request, height);
  if (height < asked.opensAt) {
    failTx("TX_REQUEST_TOO_EARLY", `redact-execute: from height ${asked.opensAt} on, this one is ${height}`);
  }
  const { index: place, record: entry } = knownRecord(draft, "redact-execute", asked.label);
  sameVersion("redact-execute", entry, asked.version);
  const key = draft.entry("epochs", entry.epoch) as Readonly<KeyEpoch>;
  const approvals = checkApprovals(key, tx, asked, genesisHash);
  const version = entry.version + 1;
  const opening = { cm: asked.cm, version, r: tx.r, s: tx.s };
  if (!opens(key.publicKey, entry.label, entry.digest, opening)) {
    failTx("TX_BAD_OPENING", "redact-execute: r and s don't open this record's digest to what was asked for");
  }
  draft.set("records", place, {
    ...entry,
    version,
    cm: asked.cm,
    length: asked.length,
    edits: [...entry.edits, index],
  });
  draft.set("requests", index, { ...asked, status: statusCode("executed"), endedAt: height, approvals });
}

/** The keys that approved: custodians of now, for old shares alone must be useless. */
function checkApprovals(
  key: Readonly<KeyEpoch>,
  { r, s, approvals }: RedactExecute,
  { id, cm }: Readonly<RequestEntry>,
  genesisHash: Hash,
): Hash[] {
  let previous = -1;
  const keys = approvals.map(({ custodian, signature }) => {
    const by = key.keys[custodian];
    if (!by || custodian <= previous) {
      return failTx("TX_BAD_APPROVAL", `redact-execute: custodian ${custodian} is none, or out of order`);
    }
    previous = custodian;
    if (!approvalSigning.verify(genesisHash, by, { request: id, cm, r, s }, signature)) {
      failTx("TX_BAD_APPROVAL", `redact-execute: custodian ${custodian} has not signed this opening for this request`);
    }
    return by;
  });
  if (keys.length < key.threshold) {
    failTx("TX_TOO_FEW_APPROVALS", `redact-execute: ${keys.length} custodians approve, ${key.threshold} must`);
  }
  return keys;
}

function knownRecord(view: StateView, kind: string, label: Hash): At<RecordEntry> {
  return view.find("records", label) ?? failTx("TX_UNKNOWN_RECORD", `${kind}: there is no record ${toHex(label)}`);
}

function openRequest(view: StateView, kind: string, id: Hash, height: number): At<RequestEntry> {
  const found = view.find("requests", id);
  if (!found) failTx("TX_UNKNOWN_REQUEST", `${kind}: nobody has asked for it on the chain as ${toHex(id)}`);
  const { record: entry } = found;
  const status = requestStatus(entry);
  if (status === "executed") failTx("TX_REQUEST_EXECUTED", `${kind}: it was executed at height ${entry.endedAt}`);
  if (status === "stopped") failTx("TX_REQUEST_STOPPED", `${kind}: objections stopped it at height ${entry.endedAt}`);
  if (height > entry.lapsesAt) failTx("TX_REQUEST_LAPSED", `${kind}: it lapsed after height ${entry.lapsesAt}`);
  return found;
}
