import { txId } from "../../crypto/domain.ts";
import { recordLabel } from "../../crypto/record.ts";
import type { Block } from "../../types/block.ts";
import { bytesEqual, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { REDACTION_REASONS, type RecordTx, type RedactionReason } from "../../types/record.ts";
import type { RecordEntry, RequestEntry } from "../../types/state.ts";
import { type Tx, typedPayload } from "../../types/tx.ts";
import { requestStatus } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import type { At } from "../../vm/view.ts";
import type { NodeContext } from "./context.ts";
import { monikerOf } from "./json.ts";
import type { RecordEdit, RecordStatus, RecordSummary, Redaction, RedactionStatus } from "./recordtypes.ts";

/** Records and requests of the state as the RPC shows them. */

export function recordStatus({ version, length }: Readonly<RecordEntry>): RecordStatus {
  return length === 0 ? "erased" : version === 0 ? "current" : "edited";
}

export function summaryJson(entry: Readonly<RecordEntry>): Omit<RecordSummary, "index"> {
  const { label, sender, subject, epoch, height, version, length, cm } = entry;
  return {
    id: toHex(label),
    sender: toHex(sender),
    subject: bytesEqual(subject, ZERO_HASH.subarray(0, subject.length)) ? null : toHex(subject),
    epoch,
    height,
    version,
    status: recordStatus(entry),
    length,
    cm: toHex(cm),
  };
}

const reasonOf = (request: Readonly<RequestEntry>) => REDACTION_REASONS[request.reason] as RedactionReason;

/** The edits of a record, oldest first. */
export function editsJson(state: State, entry: Readonly<RecordEntry>): RecordEdit[] {
  return entry.edits.map((index) => {
    const request = state.entry("requests", index) as Readonly<RequestEntry>;
    return {
      request: toHex(request.id),
      reason: reasonOf(request),
      requester: toHex(request.requester),
      askedAt: request.askedAt,
      executedAt: request.endedAt,
      approvals: request.approvals.map(toHex),
      version: request.version + 1,
      erased: request.length === 0,
    };
  });
}

/** What the state's three become when it is read at its height: a request that nobody can execute any more is not open. */
export function redactionState(
  state: State,
  request: Readonly<RequestEntry>,
): { status: RedactionStatus; endedAt: number | null } {
  const { endedAt, lapsesAt, version } = request;
  const status = requestStatus(request);
  if (status !== "open") return { status, endedAt };
  const entry = state.find("records", request.label)?.record;
  // The edit that took the version: edits are in their order, one per version.
  const rival = entry?.edits[version];
  const superseded = rival === undefined ? undefined : state.entry("requests", rival)?.endedAt;
  if (superseded !== undefined && superseded <= lapsesAt) return { status: "superseded", endedAt: superseded };
  return state.height >= lapsesAt ? { status: "lapsed", endedAt: lapsesAt } : { status: "open", endedAt: null };
}

export type Powers = { readonly total: bigint; readonly of: ReadonlyMap<string, bigint> };

/** Power of everyone who validates the next height, by address. */
export function powersAt(state: State, genesis: NodeContext["genesis"]): Powers {
  const validators = validatorSet(state, genesis);
  return {
    total: validators.reduce((sum, v) => sum + v.power, 0n),
    of: new Map(validators.map((v) => [toHex(v.address), v.power])),
  };
}

export function redactionJson(state: State, { index, record: request }: At<RequestEntry>, powers: Powers): Redaction {
  const permille = (power: bigint) => (powers.total === 0n ? 0 : Number((1000n * power) / powers.total));
  let against = 0n;
  const objections = request.objections.flatMap((at) => {
    const miner = state.minerAt(at);
    if (!miner) return [];
    const power = powers.of.get(toHex(miner.address)) ?? 0n;
    against += power;
    return [{ miner: toHex(miner.address), moniker: monikerOf(miner), permille: permille(power) }];
  });
  return {
    index,
    id: toHex(request.id),
    record: toHex(request.label),
    reason: reasonOf(request),
    requester: toHex(request.requester),
    version: request.version,
    erases: request.length === 0,
    length: request.length,
    cm: toHex(request.cm),
    askedAt: request.askedAt,
    opensAt: request.opensAt,
    lapsesAt: request.lapsesAt,
    ...redactionState(state, request),
    objections,
    objectionsPermille: permille(against),
    approvals: request.approvals.map(toHex),
  };
}

export type MadeBy = { readonly txId: Hash; readonly payload: RecordTx; readonly label: Hash };

/** The record that a transaction makes; undefined for one of another kind. */
export function madeBy(tx: Tx, genesisHash: Hash): MadeBy | undefined {
  const payload = typedPayload(tx.body.payload);
  if (payload.kind !== "record") return undefined;
  return {
    txId: txId(tx.body),
    payload: payload.value,
    label: recordLabel(genesisHash, tx.body.sender, tx.body.nonce),
  };
}

/** The transaction of the block that made the record. */
export function makerIn(block: Block | undefined, label: Hash, genesisHash: Hash): MadeBy | undefined {
  for (const tx of block?.txs ?? []) {
    const made = madeBy(tx, genesisHash);
    if (made && bytesEqual(made.label, label)) return made;
  }
  return undefined;
}
