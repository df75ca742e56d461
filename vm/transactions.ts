import { addressOf, txId, verifyMessage } from "../crypto/domain.ts";
import type { Genesis } from "../genesis/genesis.ts";
import type { Receipt } from "../types/block.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { MAX_RECORD_BYTES_PER_BLOCK, MAX_TX_BYTES } from "../types/limits.ts";
import {
  type Address,
  type Amount,
  bytesEqual,
  type Hash,
  type Height,
  parseAmount,
  toHex,
} from "../types/primitives.ts";
import type { Task } from "../types/state.ts";
import { type TaskCancel, type TaskFund, type TaskPublish, Tx, type TypedPayload, typedPayload } from "../types/tx.ts";
import { complain, deal, register, rotate } from "./custodians.ts";
import type { Draft } from "./draft.ts";
import { failTx, failureCode, type TxInvalid } from "./failures.ts";
import { economyOf, type TxContext } from "./params.ts";
import { execute, object, record, request } from "./records.ts";
import { bond, unbond, unjail } from "./stake.ts";
import type { State } from "./state.ts";
import { endTask, newTask, readSpec } from "./tasks.ts";
import { eligibleMiners } from "./validators.ts";
import { type At, isOpen, statusCode, statusOf } from "./view.ts";

/** The bytes that a fee pays for: the encoded transaction, and what travels beside it. */
export function feeSize(tx: Tx): number {
  return Tx.value_serializedSize(tx) + sidecarLength(typedPayload(tx.body.payload));
}

/** Bytes of the padded payload that goes with a record, or with a request that puts another in its place. */
export function sidecarLength(payload: TypedPayload): number {
  return payload.kind === "record" || payload.kind === "redact-request" ? payload.value.length : 0;
}

/** The least fee for so many bytes. */
export function minimumFee(genesis: Genesis, size: number): Amount {
  const { feeBase, feePerByte } = economyOf(genesis);
  return feeBase + feePerByte * BigInt(size);
}

/**
 * Whether the transaction may be in the block at `height` on top of `state`, and would do what it says.
 * @throws PoflError with a code of TX_INVALID (no block may contain it) or TX_FAILURES (it would only pay its fee)
 */
export function checkTx(state: State, tx: Tx, genesis: Genesis, genesisHash: Hash, height: Height): void {
  const context = { genesis, genesisHash, height };
  const draft = state.draft();
  admit(draft, tx, context);
  charge(draft, tx);
  perform(draft, tx, context);
}

/**
 * Executes one transaction: its fee and nonce for certain, the rest entirely or not at all.
 * @throws PoflError of TX_INVALID, and then the draft is unchanged
 */
export function applyTx(draft: Draft, tx: Tx, context: TxContext): Receipt {
  admit(draft, tx, context);
  charge(draft, tx);
  const receipt = { tx: txId(tx.body), code: 0, fee: tx.body.fee };
  try {
    draft.atomically(() => perform(draft, tx, context));
    return receipt;
  } catch (error) {
    const code = isPoflError(error) ? failureCode(error.code) : undefined;
    // Anything else is a bug of ours: a receipt must not hide it.
    if (code === undefined) throw error;
    return { ...receipt, code };
  }
}

/** The candidates that a block on top of `state` may contain, in their order; the others are left out. */
export function admissibleTxs(state: State, candidates: Iterable<Tx>, context: TxContext): Tx[] {
  const draft = state.draft();
  const chosen: Tx[] = [];
  let beside = 0;
  for (const tx of candidates) {
    const more = sidecarLength(typedPayload(tx.body.payload));
    if (beside + more > MAX_RECORD_BYTES_PER_BLOCK) continue;
    try {
      applyTx(draft, tx, context);
      chosen.push(tx);
      beside += more;
    } catch (error) {
      if (!isPoflError(error)) throw error;
    }
  }
  return chosen;
}

/** Cheap checks first, the signature after them; the nonce's turn last. @throws PoflError of TX_INVALID */
function admit(draft: Draft, tx: Tx, { genesis, genesisHash, height }: TxContext): void {
  const { body, publicKey, signature } = tx;
  const refuse = (code: TxInvalid, message: string): never => {
    throw new PoflError(code, message);
  };
  const size = Tx.value_serializedSize(tx);
  if (size > MAX_TX_BYTES) refuse("TX_TOO_LARGE", `the transaction has ${size} bytes, at most ${MAX_TX_BYTES} may be`);
  if (body.expires !== 0 && height > body.expires) {
    refuse("TX_EXPIRED", `the transaction was good up to height ${body.expires}, the next one is ${height}`);
  }
  const paidFor = feeSize(tx);
  const minimum = minimumFee(genesis, paidFor);
  if (body.fee < minimum) refuse("TX_FEE_TOO_LOW", `the fee is ${body.fee}, ${paidFor} bytes need at least ${minimum}`);
  if (!bytesEqual(addressOf(publicKey), body.sender)) {
    refuse("TX_WRONG_KEY", `the public key is not that of ${toHex(body.sender)}`);
  }
  const account = draft.account(body.sender)?.record;
  const nonce = account?.nonce ?? 0;
  if (body.nonce < nonce) refuse("TX_NONCE_LOW", `nonce ${body.nonce} is used already, the next one is ${nonce}`);
  const balance = account?.balance ?? 0n;
  if (balance < body.fee) refuse("TX_CANNOT_PAY_FEE", `the balance is ${balance}, the fee is ${body.fee}`);
  if (!verifyMessage("tx", genesisHash, publicKey, txId(body), signature)) {
    refuse("TX_BAD_SIGNATURE", "the signature is not the sender's over this transaction on this chain");
  }
  if (body.nonce > nonce) refuse("TX_NONCE_HIGH", `nonce ${body.nonce} comes after ${nonce}, which is missing`);
}

/** Fees are burned as they are taken; what a block's workers earn of them is given back from there (see rewards). */
function charge(draft: Draft, { body }: Tx): void {
  const account = draft.account(body.sender);
  if (!account) throw new PoflError("TX_CANNOT_PAY_FEE", "the sender has no account");
  const { record } = account;
  draft.setAccount(account.index, { ...record, balance: record.balance - body.fee, nonce: record.nonce + 1 });
  draft.setSingles({ burned: draft.singles.burned + body.fee });
}

/** @throws PoflError of TX_FAILURES */
function perform(draft: Draft, tx: Tx, context: TxContext): void {
  const { sender } = tx.body;
  const payload = typedPayload(tx.body.payload);
  switch (payload.kind) {
    case "transfer":
      positive("transfer", payload.value.amount);
      draft.debit(sender, payload.value.amount);
      draft.credit(payload.value.to, payload.value.amount);
      return;
    case "bond":
      bond(draft, sender, payload.value, context);
      return;
    case "unbond":
      unbond(draft, sender, payload.value, context);
      return;
    case "unjail":
      unjail(draft, sender, context);
      return;
    case "task-publish":
      publish(draft, tx, payload.value, context);
      return;
    case "task-fund":
      fund(draft, sender, payload.value);
      return;
    case "task-cancel":
      cancel(draft, sender, payload.value, context.height);
      return;
    case "record":
      record(draft, tx.body, payload.value, context);
      return;
    case "redact-request":
      request(draft, txId(tx.body), sender, payload.value, context);
      return;
    case "redact-object":
      object(draft, sender, payload.value, context);
      return;
    case "redact-execute":
      execute(draft, payload.value, context);
      return;
    case "custodian-deal":
      deal(draft, payload.value, context);
      return;
    case "custodian-complain":
      complain(draft, payload.value, context);
      return;
    case "custodian-register":
      register(draft, payload.value, context);
      return;
    case "custodian-rotate":
      rotate(draft, payload.value, context);
      return;
  }
}

function publish(draft: Draft, { body }: Tx, { spec, escrow }: TaskPublish, context: TxContext): void {
  const { genesis, height } = context;
  const eligible = eligibleMiners(draft, genesis, height + 1).length;
  const { bounty } = readSpec(spec, Math.min(eligible, genesis.consensus.maxValidators));
  if (escrow < parseAmount(bounty)) {
    failTx("TX_ESCROW_TOO_LOW", `task-publish: the escrow of ${escrow} is below the bounty of one round, ${bounty}`);
  }
  draft.debit(body.sender, escrow);
  draft.addTask(newTask(txId(body), body.sender, spec, escrow, height));
}

function fund(draft: Draft, sender: Address, { task: id, amount }: TaskFund): void {
  positive("task-fund", amount);
  const { index, record } = openTask(draft, "task-fund", id);
  draft.debit(sender, amount);
  draft.setTask(index, { ...record, escrow: record.escrow + amount });
}

function cancel(draft: Draft, sender: Address, { task: id }: TaskCancel, height: Height): void {
  const task = openTask(draft, "task-cancel", id);
  if (!bytesEqual(task.record.publisher, sender)) failTx("TX_NOT_PUBLISHER", "task-cancel: only its publisher can");
  // An active task still owes this block's round: its escrow is returned when the block is done.
  if (statusOf(task.record) === "queued") endTask(draft, task, "cancelled", height);
  else draft.setTask(task.index, { ...task.record, status: statusCode("cancelled"), endedAt: height });
}

function openTask(draft: Draft, kind: string, id: Hash): At<Task> {
  const task = draft.task(id);
  if (!task) failTx("TX_UNKNOWN_TASK", `${kind}: there is no task ${toHex(id)}`);
  if (!isOpen(task.record)) failTx("TX_TASK_ENDED", `${kind}: the task ended at height ${task.record.endedAt}`);
  return task;
}

function positive(kind: string, amount: Amount): void {
  if (amount === 0n) failTx("TX_ZERO_AMOUNT", `${kind}: the amount is 0`);
}
