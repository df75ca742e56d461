import type { Genesis } from "../genesis/genesis.ts";
import { type Amount, type Hash, type Height, parseAmount } from "../types/primitives.ts";

/** What a transaction is executed with, beside the state. */
export type TxContext = { readonly genesis: Genesis; readonly genesisHash: Hash; readonly height: Height };

/** The amounts of genesis, read once. */
export type Economy = {
  readonly issuancePerRound: Amount;
  readonly feeBase: Amount;
  readonly feePerByte: Amount;
  readonly minimumStake: Amount;
  readonly failedTaskFee: Amount;
};

const economies = new WeakMap<Genesis, Economy>();

export function economyOf(genesis: Genesis): Economy {
  const known = economies.get(genesis);
  if (known) return known;
  const { issuance, fees, minimumStake, failedTask } = genesis.economy;
  const economy = {
    issuancePerRound: parseAmount(issuance.perRound),
    feeBase: parseAmount(fees.base),
    feePerByte: parseAmount(fees.perByte),
    minimumStake: parseAmount(minimumStake),
    failedTaskFee: parseAmount(failedTask.fee),
  };
  economies.set(genesis, economy);
  return economy;
}

export function permilleOf(amount: Amount, permille: number): Amount {
  return (amount * BigInt(permille)) / 1000n;
}
