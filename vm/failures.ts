import { PoflError } from "../types/errors.ts";

/** Stable names of everything that can be wrong with a transaction. */

/** It can't be in a block at all, since nobody could be charged for it: the mempool refuses it, a block with it is invalid. */
export const TX_INVALID = [
  "TX_TOO_LARGE", // more than MAX_TX_BYTES
  "TX_EXPIRED", // the height is past `expires`
  "TX_FEE_TOO_LOW", // below base + perByte · size
  "TX_WRONG_KEY", // the public key is not the sender's
  "TX_BAD_SIGNATURE",
  "TX_NONCE_LOW", // used already
  "TX_CANNOT_PAY_FEE", // the balance is below the fee
  "TX_NONCE_HIGH", // not its turn yet; checked last, so that all else is known to hold
] as const;

/** It is in the block, pays its fee, uses its nonce and does nothing else. A receipt's code is the index + 1: never renumber. */
export const TX_FAILURES = [
  "TX_INSUFFICIENT_BALANCE",
  "TX_ZERO_AMOUNT",
  "TX_BAD_KEY", // consensus or VRF key not canonical, of small order or torsioned
  "TX_BAD_POSSESSION", // the consensus key did not sign the sender's address
  "TX_BAD_CERTIFICATE", // no registrar of genesis signed (institution, sender)
  "TX_INSTITUTION_TAKEN", // another miner is bonded for it
  "TX_KEY_TAKEN", // another miner uses one of the keys, or both keys are the same
  "TX_KEYS_DIFFER", // adding stake under other keys or another institution
  "TX_STAKE_TOO_LOW", // below the minimum after registering or unbonding
  "TX_NOT_BONDED",
  "TX_STILL_UNBONDING", // registering anew while the old stake is at risk
  "TX_LAST_VALIDATOR", // nobody would be left to validate
  "TX_NOT_JAILED",
  "TX_JAIL_NOT_OVER",
  "TX_BAD_TASK", // not canonical, unknown names, layers that don't fit
  "TX_ESCROW_TOO_LOW", // below the bounty of one round
  "TX_UNKNOWN_TASK",
  "TX_TASK_ENDED",
  "TX_NOT_PUBLISHER",
  "TX_STATE_FULL", // a list of the state is at its limit
] as const;

export type TxInvalid = (typeof TX_INVALID)[number];
export type TxFailure = (typeof TX_FAILURES)[number];

/** A receipt's code for a failure; undefined for anything that is none. */
export function failureCode(name: string): number | undefined {
  const index = (TX_FAILURES as readonly string[]).indexOf(name);
  return index < 0 ? undefined : index + 1;
}

/** The name behind a receipt's code; undefined = done. */
export function failureName(code: number): TxFailure | undefined {
  return code === 0 ? undefined : TX_FAILURES[code - 1];
}

export function failTx(code: TxFailure, message: string): never {
  throw new PoflError(code, message);
}
