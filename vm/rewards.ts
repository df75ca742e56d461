import type { Genesis } from "../genesis/genesis.ts";
import type { Address, Amount } from "../types/primitives.ts";
import type { Task } from "../types/state.ts";
import type { Draft } from "./draft.ts";
import { economyOf, permilleOf } from "./params.ts";
import { keyOf } from "./table.ts";
import { bountyOf } from "./tasks.ts";
import type { StateView } from "./view.ts";

/** What a learning block pays, and to whom. A block without learning pays nobody, and its fees stay burned. */

const MAX_MINTED = (1n << 64n) - 1n;

/** Minted by the next learning block at most: halved by the count of learning blocks, so idle ones don't use up the schedule. */
export function issuance(view: StateView, genesis: Genesis): Amount {
  const { halvingBlocks } = genesis.economy.issuance;
  const halvings = halvingBlocks === 0 ? 0 : Math.floor(view.singles.learningBlocks / halvingBlocks);
  const amount = economyOf(genesis).issuancePerRound >> BigInt(halvings);
  // No balance can pass u64 while all that was ever minted is within it.
  const room = MAX_MINTED - view.singles.minted;
  return amount < room ? amount : room;
}

/** The bounty of the next round: as published, or what is left of the escrow. */
export function roundBounty(task: Readonly<Task>): Amount {
  const bounty = bountyOf(task);
  return bounty < task.escrow ? bounty : task.escrow;
}

/** A pot, divided; the three full shares sum to it to the last unit. */
export type Split = {
  /** For the proposer, had it included every attestation. */
  readonly proposer: Amount;
  readonly committee: Amount;
  readonly trainers: Amount;
};

export function splitPot(pot: Amount, genesis: Genesis): Split {
  const { shares } = genesis.economy;
  const proposer = permilleOf(pot, shares.proposer);
  const committee = permilleOf(pot, shares.committee);
  return { proposer, committee, trainers: pot - proposer - committee };
}

/** What the updates of the next height's round may be paid in all, on top of `state`. It does not depend on the block's fees. */
export function trainersPool(state: StateView, genesis: Genesis, task: Readonly<Task>): Amount {
  return splitPot(issuance(state, genesis) + roundBounty(task), genesis).trainers;
}

export type RewardInput = {
  /** Index of the task. */
  readonly task: number;
  /** Both as they were before the block. */
  readonly issuance: Amount;
  readonly bounty: Amount;
  readonly fees: Amount;
  readonly proposer: Address;
  /** Members whose attestation is included, of `seats`. */
  readonly committee: readonly Address[];
  readonly seats: number;
  /** Sums to at most the trainers' pool. */
  readonly trainers: readonly { readonly address: Address; readonly pay: Amount }[];
};

/**
 * Pays a learning block. Two pots, divided by the same shares: issuance + bounty, and the fees.
 * The proposer gets its share times included / seats. Each included member gets share / seats, not share / included: a proposer that
 * leaves out a rival's attestation raises nobody's pay. Trainers get their pay, and of the trainers' part of the fees the same fraction
 * as of their pool. What is not paid is not minted, stays in the escrow, or stays burned.
 */
export function payRewards(draft: Draft, input: RewardInput, genesis: Genesis): void {
  const pot = input.issuance + input.bounty;
  const work = splitPot(pot, genesis);
  const fees = splitPot(input.fees, genesis);
  const seats = BigInt(input.seats);
  const included = BigInt(input.committee.length);
  const due = new Map<string, { address: Address; amount: Amount }>();
  let fromWork = 0n;
  let fromFees = 0n;
  const pay = (address: Address, ofWork: Amount, ofFees: Amount) => {
    fromWork += ofWork;
    fromFees += ofFees;
    const key = keyOf(address);
    due.set(key, { address, amount: (due.get(key)?.amount ?? 0n) + ofWork + ofFees });
  };

  pay(input.proposer, (work.proposer * included) / seats, (fees.proposer * included) / seats);
  for (const member of input.committee) pay(member, work.committee / seats, fees.committee / seats);
  for (const { address, pay: amount } of input.trainers) {
    pay(address, amount, work.trainers === 0n ? 0n : (fees.trainers * amount) / work.trainers);
  }

  const fromEscrow = pot === 0n ? 0n : (fromWork * input.bounty) / pot;
  const { minted, burned } = draft.singles;
  draft.setSingles({ minted: minted + fromWork - fromEscrow, burned: burned - fromFees });
  const task = draft.taskAt(input.task);
  draft.setTask(input.task, { ...task, escrow: task.escrow - fromEscrow });
  for (const { address, amount } of due.values()) {
    if (amount === 0n) continue;
    draft.credit(address, amount);
    const miner = draft.miner(address);
    if (miner) draft.setMiner(miner.index, { ...miner.record, earned: miner.record.earned + amount });
  }
}
