import type { Genesis } from "../genesis/genesis.ts";
import type { Validator } from "../types/block.ts";
import type { Address, Amount, Height } from "../types/primitives.ts";
import type { Miner, Task } from "../types/state.ts";
import { economyOf } from "./params.ts";
import type { State } from "./state.ts";
import type { At, StateView } from "./view.ts";

/** Who validates the next height, and with what weight. */

/** First height at which the miner's keys count: the founders' at once, others' after the delay of genesis. */
export function firstHeight(miner: Readonly<Miner>, genesis: Genesis): Height {
  return miner.bondedAt === 0 ? 0 : miner.bondedAt + genesis.consensus.keyDelay;
}

/** Has the stake and the age to validate `height`, whether jailed or not. */
export function isSeasoned(miner: Readonly<Miner>, genesis: Genesis, height: Height): boolean {
  return miner.stake > 0n && miner.stake >= economyOf(genesis).minimumStake && height >= firstHeight(miner, genesis);
}

/** Every miner that may validate `height`, in order of registration; the set is the largest of them. */
export function eligibleMiners(view: StateView, genesis: Genesis, height: Height): At<Miner>[] {
  return [...view.miners()].filter(({ record }) => !record.jailed && isSeasoned(record, genesis, height));
}

/**
 * The validator set of the height after `state`: eligible miners, the `maxValidators` largest by stake (ties by registration), in
 * order of registration. Never empty: unbonding and jailing spare the last one.
 */
export function validatorSet(state: State, genesis: Genesis): Validator[] {
  return validatorsOf(state, genesis, state.height + 1);
}

/** The same of a state under way. */
export function validatorsOf(view: StateView, genesis: Genesis, height: Height): Validator[] {
  const { maxValidators, maxPowerPermille } = genesis.consensus;
  const largest = eligibleMiners(view, genesis, height)
    // Stable, so that equal stakes keep the order of registration.
    .sort((a, b) => (a.record.stake === b.record.stake ? 0 : a.record.stake > b.record.stake ? -1 : 1))
    .slice(0, maxValidators)
    .sort((a, b) => a.index - b.index);
  const cap = powerCap(
    largest.map((m) => m.record.stake),
    maxPowerPermille,
  );
  return largest.map(({ record }) => {
    const power = record.stake < cap ? record.stake : cap;
    const weight = (power * BigInt(record.reputation)) >> 16n;
    return {
      address: record.address,
      institution: record.institution,
      consensusKey: record.consensusKey,
      vrfKey: record.vrfKey,
      power,
      committeeWeight: weight > 0n ? weight : 1n,
    };
  });
}

/**
 * The largest c for which min(stake, c) is at most `permille` of the sum of all min(stake, c). Capping at a share of the *uncapped*
 * total would not do: of stakes 97, 1, 1, 1 and a cap of a third, the first would still hold 33 of 36. With k stakes capped and
 * the rest summing to R, c = p·R / (1000 − k·p). Where n shares of p don't fill the whole (n·p < 1000), nobody can be below the cap: everyone
 * counts as much as the smallest.
 */
export function powerCap(stakes: readonly Amount[], permille: number): Amount {
  const sorted = [...stakes].sort((a, b) => (a === b ? 0 : a > b ? -1 : 1));
  let rest = sorted.reduce((sum, s) => sum + s, 0n);
  const p = BigInt(permille);
  for (let k = 0; k < sorted.length; k++) {
    const room = 1000n - BigInt(k) * p;
    if (room <= 0n) break;
    const cap = (p * rest) / room;
    // Enough once the largest stake that is not capped fits below.
    if ((sorted[k] as Amount) <= cap) return k === 0 ? (sorted[0] as Amount) : cap;
    rest -= sorted[k] as Amount;
  }
  return sorted.at(-1) ?? 0n;
}

/** Seats of the next height's committee: everyone in a small network. */
export function committeeSize(validators: readonly Validator[], genesis: Genesis): number {
  return Math.min(validators.length, genesis.consensus.committeeSeats);
}

/**
 * Whose pledge a member waits for at the next height: miners whose reveal was held in one of the task's last two learning blocks,
 * and those who could not have taken part in both yet. Everyone before the first learning block. Others may take part too:
 * nobody waits for them.
 */
export function expectedMiners(
  state: State,
  task: Readonly<Task>,
  validators: readonly Validator[],
  genesis: Genesis,
): Address[] {
  const since = task.priorLearning || task.lastLearning;
  return validators
    .filter((v) => {
      const miner = state.miner(v.address)?.record;
      return miner !== undefined && (miner.lastReveal >= since || firstHeight(miner, genesis) > since);
    })
    .map((v) => v.address);
}
