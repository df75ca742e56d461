import type { Genesis } from "../genesis/genesis.ts";
import type { Height } from "../types/primitives.ts";
import type { Draft } from "./draft.ts";
import { eligibleMiners, isSeasoned } from "./validators.ts";
import type { StateView } from "./view.ts";

/** Who may be taken out of the validator set, and who may not. All of it is about the set of `height` + 1. */

/** Whether a validator remains when the miner at `index` does not. */
export function isSpare(view: StateView, index: number, genesis: Genesis, height: Height): boolean {
  return eligibleMiners(view, genesis, height + 1).some((m) => m.index !== index);
}

/**
 * Jails for absence, unless the stake left outside the jail would fall below two thirds of all the stake that may validate. Missing a
 * turn proves nothing about who is at fault: whoever can delay others' blocks could otherwise jail the honest one by one until its own
 * stake is a third of what is left. With this bound no share grows by more than half. Returns whether it did.
 */
export function jailAbsent(draft: Draft, index: number, genesis: Genesis, height: Height): boolean {
  let all = 0n;
  let free = 0n;
  for (const { index: i, record } of draft.miners()) {
    if (!isSeasoned(record, genesis, height + 1)) continue;
    all += record.stake;
    if (!record.jailed && i !== index) free += record.stake;
  }
  if (free * 3n < all * 2n || free === 0n) return false;
  jail(draft, index, genesis, height);
  return true;
}

export function jail(draft: Draft, index: number, genesis: Genesis, height: Height): void {
  const miner = draft.minerAt(index);
  if (!miner) return;
  draft.setMiner(index, {
    ...miner,
    jailed: true,
    jailedUntil: height + genesis.consensus.jailHeights,
    missed: 0,
  });
}
