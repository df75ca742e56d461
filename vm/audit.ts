import { PoflError } from "../types/errors.ts";
import type { Amount } from "../types/primitives.ts";
import type { Account, Task } from "../types/state.ts";
import type { At, StateView } from "./view.ts";

/** A view whose every account and task can be walked: a State or a Draft. */
export type Auditable = StateView & {
  accounts(): Iterable<At<Account>>;
  tasks(): Iterable<At<Task>>;
};

/** All that exists: balances, stakes, stakes on their way out, escrows. */
export function supply(view: Auditable): Amount {
  let sum = 0n;
  for (const { record } of view.accounts()) sum += record.balance;
  for (const { record } of view.miners()) sum += record.stake + record.unbonding;
  for (const { record } of view.tasks()) sum += record.escrow;
  return sum;
}

/**
 * Conservation: minted − burned = balances + stakes + unbonding + escrows. Walks the whole state.
 * @throws PoflError AUDIT_FAILED
 */
export function audit(view: Auditable): void {
  const { minted, burned } = view.singles;
  const sum = supply(view);
  if (minted - burned !== sum) {
    throw new PoflError("AUDIT_FAILED", `minted ${minted} less burned ${burned} is not the supply of ${sum}`);
  }
}
