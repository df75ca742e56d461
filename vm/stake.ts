import { addressOf, verifyCertificate, verifyPossession } from "../crypto/domain.ts";
import { checkPublicKey } from "../crypto/ed25519.ts";
import { type Address, bytesEqual, fromHex, toHex } from "../types/primitives.ts";
import { blankMiner } from "../types/state.ts";
import type { Bond, Unbond } from "../types/tx.ts";
import type { Draft } from "./draft.ts";
import { failTx } from "./failures.ts";
import { isSpare } from "./jail.ts";
import { economyOf, type TxContext } from "./params.ts";
import { isEngaged, MINER_KEYS } from "./view.ts";

/** Transactions that move stake: bond, unbond, unjail. */

/** Registers the sender as a miner, or adds stake to it. @throws PoflError of TX_FAILURES */
export function bond(draft: Draft, sender: Address, tx: Bond, context: TxContext): void {
  if (tx.amount === 0n) failTx("TX_ZERO_AMOUNT", "bond: the amount is 0");
  const known = draft.miner(sender);
  if (known && known.record.stake > 0n) {
    for (const what of MINER_KEYS) {
      if (!bytesEqual(known.record[what], tx[what])) {
        failTx("TX_KEYS_DIFFER", `bond: ${what} is not the registered one; unbond everything first to change it`);
      }
    }
    draft.debit(sender, tx.amount);
    draft.setMiner(known.index, { ...known.record, stake: known.record.stake + tx.amount });
    return;
  }
  if (known && isEngaged(known.record)) {
    failTx(
      "TX_STILL_UNBONDING",
      `bond: wait for height ${known.record.unbondingHeight}, when the old stake is returned`,
    );
  }
  checkRegistration(draft, sender, tx, context);
  draft.debit(sender, tx.amount);
  const keys = {
    institution: tx.institution,
    consensusKey: tx.consensusKey,
    vrfKey: tx.vrfKey,
    moniker: tx.moniker,
    stake: tx.amount,
    bondedAt: context.height,
    missed: 0,
  };
  // Whoever comes back keeps its reputation, its sums and its jail: leaving washes nothing off.
  if (known) draft.setMiner(known.index, { ...known.record, ...keys });
  else draft.addMiner({ ...blankMiner(sender), ...keys });
}

function checkRegistration(draft: Draft, sender: Address, tx: Bond, context: TxContext): void {
  const { genesis, genesisHash } = context;
  const { minimumStake } = economyOf(genesis);
  if (tx.amount < minimumStake)
    failTx("TX_STAKE_TOO_LOW", `bond: ${tx.amount} is below the minimum of ${minimumStake}`);
  if (draft.bondedBy("institution", tx.institution)) {
    failTx("TX_INSTITUTION_TAKEN", `bond: a miner is bonded for institution ${toHex(tx.institution)}`);
  }
  if (bytesEqual(tx.consensusKey, tx.vrfKey)) failTx("TX_KEY_TAKEN", "bond: consensusKey and vrfKey are the same");
  for (const what of ["consensusKey", "vrfKey"] as const) {
    const key = tx[what];
    if (draft.bondedBy("consensusKey", key) || draft.bondedBy("vrfKey", key) || bytesEqual(addressOf(key), sender)) {
      failTx("TX_KEY_TAKEN", `bond: ${what} is in use as another key; each purpose needs its own`);
    }
    if (!checkPublicKey(key)) failTx("TX_BAD_KEY", `bond: ${what} is not a valid Ed25519 key of prime order`);
  }
  if (!verifyPossession(genesisHash, tx.consensusKey, sender, tx.possession)) {
    failTx("TX_BAD_POSSESSION", "bond: the consensus key has not signed the sender's address");
  }
  const certificate = { institution: tx.institution, address: sender };
  const certified = (key: string) => verifyCertificate(genesisHash, fromHex(key), certificate, tx.certificate);
  if (genesis.registrars.length > 0 && !(tx.certificate.length === 64 && genesis.registrars.some(certified))) {
    failTx("TX_BAD_CERTIFICATE", "bond: no registrar named in genesis has certified this institution for the sender");
  }
}

/**
 * Sends stake on its way out: it is returned, and safe from punishment, only after the delay. Another request joins the first
 * and moves its height. @throws PoflError of TX_FAILURES
 */
export function unbond(draft: Draft, sender: Address, tx: Unbond, { genesis, height }: TxContext): void {
  if (tx.amount === 0n) failTx("TX_ZERO_AMOUNT", "unbond: the amount is 0");
  const miner = draft.miner(sender);
  if (!miner || miner.record.stake === 0n) failTx("TX_NOT_BONDED", "unbond: the sender has no stake");
  const { record, index } = miner;
  const { minimumStake } = economyOf(genesis);
  if (tx.amount > record.stake) {
    failTx("TX_INSUFFICIENT_BALANCE", `unbond: the stake is ${record.stake}, the transaction asks for ${tx.amount}`);
  }
  const stake = record.stake - tx.amount;
  if (stake > 0n && stake < minimumStake) {
    failTx("TX_STAKE_TOO_LOW", `unbond: leave at least ${minimumStake}, or unbond all of ${record.stake}`);
  }
  if (stake === 0n && !isSpare(draft, index, genesis, height)) {
    failTx("TX_LAST_VALIDATOR", "unbond: nobody else could validate the next height");
  }
  draft.setMiner(index, {
    ...record,
    stake,
    unbonding: record.unbonding + tx.amount,
    unbondingHeight: height + genesis.consensus.unbondingHeights,
  });
}

/** Ends a jail whose time is over. @throws PoflError of TX_FAILURES */
export function unjail(draft: Draft, sender: Address, { genesis, height }: TxContext): void {
  const miner = draft.miner(sender);
  if (!miner || miner.record.stake === 0n) failTx("TX_NOT_BONDED", "unjail: the sender has no stake");
  const { record, index } = miner;
  if (!record.jailed) failTx("TX_NOT_JAILED", "unjail: the miner is not in jail");
  if (height < record.jailedUntil) {
    failTx("TX_JAIL_NOT_OVER", `unjail: wait for height ${record.jailedUntil}, this one is ${height}`);
  }
  const { minimumStake } = economyOf(genesis);
  if (record.stake < minimumStake) {
    failTx("TX_STAKE_TOO_LOW", `unjail: the stake is ${record.stake}; bond up to ${minimumStake} first`);
  }
  draft.setMiner(index, { ...record, jailed: false, jailedUntil: 0 });
}

/** Returns stake whose delay is over. */
export function payUnbonded(draft: Draft, height: number): void {
  for (const { index, record } of draft.miners()) {
    if (record.unbonding === 0n || record.unbondingHeight > height) continue;
    draft.setMiner(index, { ...record, unbonding: 0n, unbondingHeight: 0 });
    draft.credit(record.address, record.unbonding);
  }
}
