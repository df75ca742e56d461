import type { Genesis } from "../genesis/genesis.ts";
import type { Receipt, Validator } from "../types/block.ts";
import { PoflError } from "../types/errors.ts";
import type { Evidence } from "../types/evidence.ts";
import { MAX_RECORD_BYTES_PER_BLOCK } from "../types/limits.ts";
import { type Address, bytesEqual, type Hash, type Height, toHex } from "../types/primitives.ts";
import type { Learning, Metrics } from "../types/round.ts";
import { type Tx, typedPayload } from "../types/tx.ts";
import type { Draft } from "./draft.ts";
import { punish } from "./evidence.ts";
import { jailAbsent } from "./jail.ts";
import { applyLearning, checkLearning, rank } from "./learning.ts";
import { issuance, payRewards, roundBounty, trainersPool } from "./rewards.ts";
import { payUnbonded } from "./stake.ts";
import { State } from "./state.ts";
import { activated, endTask, failHeight, firstInQueue, refund, specOf, verdict } from "./tasks.ts";
import { applyTx, sidecarLength } from "./transactions.ts";
import { committeeSize, validatorSet } from "./validators.ts";
import { statusOf } from "./view.ts";

/** The parts of a block that change the state. Consensus has checked signatures, certificates and the round result. */
export type BlockInput = {
  readonly height: Height;
  /** Milliseconds since 1970, later than the parent's. */
  readonly time: number;
  /** Who built the block. */
  readonly proposer: Address;
  /** seed(height). */
  readonly seed: Hash;
  readonly txs: readonly Tx[];
  readonly learning: Learning | undefined;
  /** Attested medians of the model before this round; `n` = 0 where none was attested. */
  readonly metrics: Metrics;
  readonly evidence: readonly Evidence[];
  /** Committee members whose attestation is included. */
  readonly committee: readonly Address[];
  /** Round in which the block was built. */
  readonly proposedRound: number;
  /** Whose turn round 0 was. */
  readonly expectedProposer: Address;
};

export type Executed = { readonly state: State; readonly receipts: readonly Receipt[] };

/**
 * The state after a block; `state` stays as it is. Pure: the same input gives the same state on every node.
 * Order: evidence, transactions, learning and its pay, the proposer's turn, the end of a task and the start of the next, stake whose delay
 * is over.
 * @throws PoflError BAD_BLOCK, BAD_EVIDENCE, BAD_LEARNING, or one of TX_INVALID: the block is invalid
 */
export function executeBlock(state: State, input: BlockInput, genesis: Genesis, genesisHash: Hash): Executed {
  const { height } = input;
  const validators = validatorSet(state, genesis);
  checkInput(state, input, validators, genesis);
  const draft = state.draft();

  for (const evidence of input.evidence) punish(draft, evidence, genesis, genesisHash, height);
  const context = { genesis, genesisHash, height };
  const receipts = input.txs.map((tx) => applyTx(draft, tx, context));

  const missed = countProposal(draft, input, genesis);
  learn(state, draft, input, validators, genesis);
  advanceTasks(state, draft, input, genesis);
  payUnbonded(draft, height);

  const { learning } = input;
  draft.setSingles({
    height,
    time: input.time,
    seed: input.seed,
    learned: learning !== undefined,
    ranking: learning ? rank(learning.result.updates, validators, state.seed, missed) : [],
  });
  return { state: new State(draft.seal()), receipts };
}

function checkInput(state: State, input: BlockInput, validators: readonly Validator[], genesis: Genesis): void {
  const refuse = (why: string): never => {
    throw new PoflError("BAD_BLOCK", `block ${input.height}: ${why}`);
  };
  const isValidator = (address: Address) => validators.some((v) => bytesEqual(v.address, address));
  if (input.height !== state.height + 1) refuse(`it can't follow height ${state.height}`);
  if (input.time <= state.time) refuse(`its time ${input.time} is not after its parent's ${state.time}`);
  if (!isValidator(input.proposer)) refuse(`proposer ${toHex(input.proposer)} is no validator`);
  if (!isValidator(input.expectedProposer)) refuse(`${toHex(input.expectedProposer)} can't have been first in turn`);
  if (new Set(input.committee.map(toHex)).size !== input.committee.length || !input.committee.every(isValidator)) {
    refuse("the committee names someone twice, or someone who is no validator");
  }
  const beside = input.txs.reduce((sum, tx) => sum + sidecarLength(typedPayload(tx.body.payload)), 0);
  if (beside > MAX_RECORD_BYTES_PER_BLOCK) refuse(`${beside} bytes of records go with it`);
  const seats = committeeSize(validators, genesis);
  if (input.committee.length > seats) refuse(`${input.committee.length} members of a committee of ${seats}`);
}

/** Counts the block for its builder, and the turn that was missed if it took another round. Returns who missed it. */
function countProposal(draft: Draft, input: BlockInput, genesis: Genesis): Address | undefined {
  const builder = draft.miner(input.proposer);
  if (builder) {
    const { record, index } = builder;
    const missed = input.proposedRound === 0 ? 0 : record.missed;
    draft.setMiner(index, { ...record, blocksProposed: record.blocksProposed + 1, missed });
  }
  if (input.proposedRound === 0 || bytesEqual(input.proposer, input.expectedProposer)) return undefined;
  const late = draft.miner(input.expectedProposer);
  if (late && !late.record.jailed) {
    const missed = late.record.missed + 1;
    draft.setMiner(late.index, { ...late.record, missed });
    if (missed >= genesis.consensus.maxMissed) jailAbsent(draft, late.index, genesis, input.height);
  }
  return input.expectedProposer;
}

function learn(state: State, draft: Draft, input: BlockInput, validators: readonly Validator[], genesis: Genesis) {
  const { learning } = input;
  if (!learning) return;
  const active = state.activeTask();
  if (!active) throw new PoflError("BAD_LEARNING", `block ${input.height}: there is learning but no active task`);
  // All of it on the parent's figures: what a transaction of this block does to the task can't change what the round pays.
  checkLearning(learning, active.record.id, validators, trainersPool(state, genesis, active.record));
  applyLearning(draft, active.index, learning, validators, input.height);
  payRewards(
    draft,
    {
      task: active.index,
      issuance: issuance(state, genesis),
      bounty: roundBounty(active.record),
      fees: input.txs.reduce((sum, tx) => sum + tx.body.fee, 0n),
      proposer: input.proposer,
      committee: input.committee,
      seats: committeeSize(validators, genesis),
      trainers: learning.result.updates.map((update) => ({
        address: (validators[update.miner] as Validator).address,
        pay: update.pay,
      })),
    },
    genesis,
  );
}

/** Ends the active task or sends it back, where its time has come; then the first in the queue starts if none is active. */
function advanceTasks(state: State, draft: Draft, input: BlockInput, genesis: Genesis): void {
  const active = state.activeTask();
  if (active) {
    const record = draft.taskAt(active.index);
    const task = { index: active.index, record };
    const end = verdict(record, specOf(record), active.record.round, input.metrics);
    if (end === "cancelled") refund(draft, active.index);
    else if (end) endTask(draft, task, end, input.height);
    else if (!input.learning) failHeight(draft, task, genesis);
  }
  if (draft.activeTask()) return;
  const next = firstInQueue(draft);
  if (next && statusOf(next.record) === "queued") draft.setTask(next.index, activated(next.record));
}
