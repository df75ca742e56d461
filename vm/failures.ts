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
  "TX_NO_CUSTODIANS", // no key of custodians is registered yet: records can't be made
  "TX_WRONG_EPOCH", // a record under a key that is not the latest
  "TX_BAD_LEAF", // its opening does not open its digest, or its length can't be
  "TX_UNKNOWN_RECORD", // no record has this label; transfers, tasks, updates, votes and models have none
  "TX_BAD_REQUEST", // unknown reason, impossible length, or an erasure with a commitment to something
  "TX_NOT_ENTITLED", // neither sender, subject nor regulator; or an emergency that no regulator sees
  "TX_RECORD_CHANGED", // the record has been edited since: ask again
  "TX_UNKNOWN_REQUEST",
  "TX_REQUEST_EXECUTED", // already
  "TX_REQUEST_STOPPED", // by objections
  "TX_REQUEST_LAPSED", // its window is over
  "TX_REQUEST_TOO_EARLY", // its delay is not over
  "TX_TOO_FEW_APPROVALS", // below the threshold of the current custodians
  "TX_BAD_APPROVAL", // not of a current custodian, out of order, or not over this opening
  "TX_BAD_OPENING", // does not open the record's digest to what was asked for
  "TX_NOT_VALIDATOR", // only validators of the next height may object
  "TX_ALREADY_OBJECTED",
  "TX_BAD_PLAN", // a ceremony that can't be: wrong epoch, generation, keys or threshold
  "TX_BAD_DEAL", // not signed by a custodian of the ceremony, or commitments or proof are bad
  "TX_ALREADY_DEALT",
  "TX_UNKNOWN_CEREMONY",
  "TX_CEREMONY_OVER",
  "TX_CEREMONY_INCOMPLETE", // not everyone has dealt
  "TX_BAD_COMPLAINT", // it proves nothing against the dealer
  "TX_BAD_STATEMENT", // another key than the deals give, or not signed by all
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
