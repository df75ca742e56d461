import { leastUpdates } from "../genesis/aggregation.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { initialExponent, initialModel, modelRoot } from "../genesis/model.ts";
import { decodeTask, type TaskSpec } from "../genesis/task.ts";
import { PoflError } from "../types/errors.ts";
import { type Address, type Amount, bytesEqual, type Hash, parseAmount, ZERO_HASH } from "../types/primitives.ts";
import type { Metrics } from "../types/round.ts";
import type { Task, TaskStatus } from "../types/state.ts";
import type { Draft } from "./draft.ts";
import { economyOf, permilleOf } from "./params.ts";
import { keyOf } from "./table.ts";
import { type At, type StateView, statusCode, statusOf } from "./view.ts";

/** The life of a task: queued → active ⇄ queued → reached, exhausted or cancelled. */

/** The task in genesis has no publisher: nobody can cancel it, and what is left of its escrow is burned. */
export const NOBODY: Address = new Uint8Array(20);

const specs = new WeakMap<Uint8Array, TaskSpec>();

/** The task's specification, parsed once per record. @throws PoflError BAD_JSON, BAD_TASK */
export function specOf(task: { readonly spec: Uint8Array }): TaskSpec {
  const known = specs.get(task.spec);
  if (known) return known;
  const spec = decodeTask(task.spec);
  specs.set(task.spec, spec);
  return spec;
}

export function bountyOf(task: Readonly<Task>): Amount {
  return parseAmount(specOf(task).bounty);
}

/**
 * A task's specification as a transaction carries it: canonical, known names only, a model that fits into a blob, and no more
 * participants required than there are validators, neither by its minimum nor by the f that it fixes.
 * @throws PoflError TX_BAD_TASK
 */
export function readSpec(bytes: Uint8Array, validators: number): TaskSpec {
  try {
    const spec = decodeTask(bytes);
    if (spec.rounds.minimumUpdates > validators) {
      throw new PoflError("BAD_TASK", `task: $.rounds.minimumUpdates: there are only ${validators} validators`);
    }
    const least = leastUpdates(spec.aggregation);
    if (least > validators) {
      throw new PoflError(
        "BAD_TASK",
        `task: $.aggregation.f: needs 2f + 3 = ${least} updates in a round, and there are ${validators} validators`,
      );
    }
    return spec;
  } catch (cause) {
    throw new PoflError("TX_BAD_TASK", cause instanceof Error ? cause.message : "task: unreadable", {}, { cause });
  }
}

export function newTask(id: Hash, publisher: Address, spec: Uint8Array, escrow: Amount, height: number): Task {
  return {
    id,
    publisher,
    spec,
    escrow,
    publishedAt: height,
    status: statusCode("queued"),
    round: 0,
    failed: 0,
    requeues: 0,
    modelRoot: ZERO_HASH,
    exponent: 0,
    medianNorm: 0n,
    lastLearning: 0,
    priorLearning: 0,
    endedAt: 0,
    recorded: [],
    standings: [],
  };
}

const MODEL_ROOTS = 16;
const modelRoots = new Map<string, Hash>();

/** Root of the model before round 1; remembered, since a block is executed more than once and a model may be large. */
export function initialModelRoot(spec: TaskSpec, id: Hash): Hash {
  const key = keyOf(id);
  const known = modelRoots.get(key);
  if (known) return known;
  const root = modelRoot(initialModel(spec, id));
  if (modelRoots.size >= MODEL_ROOTS) modelRoots.delete(modelRoots.keys().next().value as string);
  modelRoots.set(key, root);
  return root;
}

/** A queued task as it starts, or goes on after failed heights. */
export function activated(task: Readonly<Task>): Task {
  const active = { ...task, status: statusCode("active"), failed: 0 };
  if (!bytesEqual(task.modelRoot, ZERO_HASH)) return active;
  // Only now: a task that never starts must not cost anyone the initialisation of its model.
  const spec = specOf(task);
  return { ...active, modelRoot: initialModelRoot(spec, task.id), exponent: initialExponent(spec) };
}

/** First in the queue: fewest times sent back, then highest bounty, then oldest. */
export function firstInQueue(view: StateView): At<Task> | undefined {
  let first: At<Task> | undefined;
  for (const task of view.openTasks()) {
    if (statusOf(task.record) !== "queued") continue;
    if (!first || isBefore(task.record, first.record)) first = task;
  }
  return first;
}

function isBefore(a: Readonly<Task>, b: Readonly<Task>): boolean {
  if (a.requeues !== b.requeues) return a.requeues < b.requeues;
  // Open tasks come oldest first, so that of two equal bounties the older one stays.
  return bountyOf(a) > bountyOf(b);
}

/** Ends a task and returns the rest of its escrow to its publisher; when it reached its target, a part goes to those who trained. */
export function endTask(draft: Draft, task: At<Task>, status: TaskStatus, height: number): void {
  draft.setTask(task.index, { ...task.record, status: statusCode(status), endedAt: height });
  if (status === "reached") release(draft, task.index);
  refund(draft, task.index);
}

/** Pays the target's part of the escrow in proportion to what each miner earned by training for the task; what is left by rounding stays. */
function release(draft: Draft, index: number): void {
  const task = draft.taskAt(index);
  const permille = specOf(task).rounds.target?.releasePermille ?? 0;
  const pot = permilleOf(task.escrow, permille);
  const total = task.standings.reduce((sum, s) => sum + s.earned, 0n);
  if (total === 0n) return;
  let paid = 0n;
  const standings = task.standings.map((standing) => {
    const miner = draft.minerAt(standing.miner);
    const share = (pot * standing.earned) / total;
    if (!miner || share === 0n) return standing;
    draft.credit(miner.address, share);
    draft.setMiner(standing.miner, { ...miner, earned: miner.earned + share });
    paid += share;
    return { ...standing, earned: standing.earned + share };
  });
  draft.setTask(index, { ...task, standings, escrow: task.escrow - paid });
}

/** Pays out what is left in the escrow of an ended task. */
export function refund(draft: Draft, index: number): void {
  const task = draft.taskAt(index);
  if (task.escrow === 0n) return;
  draft.setTask(index, { ...task, escrow: 0n });
  if (bytesEqual(task.publisher, NOBODY)) draft.setSingles({ burned: draft.singles.burned + task.escrow });
  else draft.credit(task.publisher, task.escrow);
}

/** One more height without learning; after too many, the task pays the burned fee and goes to the back of the queue. */
export function failHeight(draft: Draft, task: At<Task>, genesis: Genesis): void {
  const failed = task.record.failed + 1;
  if (failed < genesis.economy.failedTask.heights) {
    draft.setTask(task.index, { ...task.record, failed });
    return;
  }
  const { failedTaskFee } = economyOf(genesis);
  const fee = failedTaskFee < task.record.escrow ? failedTaskFee : task.record.escrow;
  draft.setTask(task.index, {
    ...task.record,
    status: statusCode("queued"),
    failed: 0,
    requeues: task.record.requeues + 1,
    escrow: task.record.escrow - fee,
  });
  draft.setSingles({ burned: draft.singles.burned + fee });
}

/** Whether the attested medians reach the task's target. They count members that reported in `n`: none is no evidence. */
export function reachesTarget(spec: TaskSpec, metrics: Metrics): boolean {
  const { target } = spec.rounds;
  if (!target || metrics.n === 0) return false;
  const threshold = thousandths(target.value);
  if (target.metric === "loss") return metrics.loss <= threshold;
  return (target.metric === "auroc" ? metrics.auroc : metrics.accuracy) >= threshold;
}

/** A target's value in thousandths, as metrics are attested: the nearest, by its decimal digits and not by a product of floats. */
function thousandths(value: number): number {
  return Number(value.toFixed(3).replace(".", ""));
}

/** The active task's end after this block, if it has come. `roundsBefore` = rounds behind the model that was measured. */
export function verdict(
  task: Readonly<Task>,
  spec: TaskSpec,
  roundsBefore: number,
  metrics: Metrics,
): TaskStatus | undefined {
  if (statusOf(task) === "cancelled") return "cancelled";
  if (roundsBefore >= spec.rounds.minimum && reachesTarget(spec, metrics)) return "reached";
  return task.round >= spec.rounds.maximum ? "exhausted" : undefined;
}
