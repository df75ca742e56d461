import { canonicalKey } from "../crypto/order.ts";
import type { Validator } from "../types/block.ts";
import { PoflError } from "../types/errors.ts";
import { type Address, bytesEqual, compareBytes, type Hash, type Height } from "../types/primitives.ts";
import { isDistinct, type Learning, UPDATE_STATUS, type UpdateResult, type UpdateStatus } from "../types/round.ts";
import { type Miner, REPUTATION_ONE, type RecordedUpdate, type Standing } from "../types/state.ts";
import type { Draft } from "./draft.ts";

/** What a round result does to the task, to its miners, and to who proposes next. */

/** A reputation moves 1/16 of the way per round. */
const REPUTATION_SHIFT = 4;

/** Statuses that a miner can only earn by breaking a rule that it knew, or by the committee's verdict. */
const MISCONDUCT: readonly UpdateStatus[] = ["malformed", "too-large", "harmful"];

export function statusOfUpdate(update: UpdateResult): UpdateStatus {
  return UPDATE_STATUS[update.status] as UpdateStatus;
}

function isAccepted(update: UpdateResult): boolean {
  const status = statusOfUpdate(update);
  return status === "accepted" || status === "accepted-clipped";
}

/**
 * What the state machine relies on in a learning part. The rest of it is consensus: it recomputes the result.
 * @throws PoflError BAD_LEARNING
 */
export function checkLearning(learning: Learning, task: Hash, validators: readonly Validator[], pool: bigint): void {
  const refuse = (why: string): never => {
    throw new PoflError("BAD_LEARNING", `learning: ${why}`);
  };
  if (!bytesEqual(learning.task, task)) refuse("it is not that of the active task");
  let last = -1;
  let paid = 0n;
  for (const update of learning.result.updates) {
    if (update.miner <= last || update.miner >= validators.length) {
      refuse(`update of miner ${update.miner} after ${last}: not ascending within ${validators.length} validators`);
    }
    if (update.status >= UPDATE_STATUS.length) refuse(`update of miner ${update.miner}: unknown status`);
    last = update.miner;
    paid += update.pay;
  }
  if (paid > pool) refuse(`it pays ${paid} from a pool of ${pool}`);
}

/** Enters the result into the task and its miners' records. Pay is another matter (see rewards). */
export function applyLearning(
  draft: Draft,
  taskIndex: number,
  learning: Learning,
  validators: readonly Validator[],
  height: Height,
): void {
  const { result } = learning;
  const task = draft.taskAt(taskIndex);
  draft.setTask(taskIndex, {
    ...task,
    round: task.round + 1,
    failed: 0,
    modelRoot: result.modelRoot,
    exponent: result.nextExponent,
    medianNorm: result.medianNorm,
    lastLearning: height,
    priorLearning: task.lastLearning,
    recorded: recordedUpdates(learning),
    standings: standingsAfter(draft, task.standings, result.updates, validators),
  });
  for (const update of result.updates) {
    const miner = draft.miner((validators[update.miner] as Validator).address);
    if (miner) draft.setMiner(miner.index, afterUpdate(miner.record, update, height));
  }
  draft.setSingles({ learningBlocks: draft.singles.learningBlocks + 1 });
}

/** Only well-formed, distinct updates: the others are nobody's to copy. */
function recordedUpdates({ openings, result }: Learning): RecordedUpdate[] {
  const byMiner = new Map(openings.map((o) => [o.miner, o]));
  return result.updates.flatMap((update) => {
    const opening = byMiner.get(update.miner);
    if (!opening || !isDistinct(update)) return [];
    const { blobRoot, size } = opening;
    return [{ blobRoot, size, coefficient: update.weight * BigInt(update.scale) }];
  });
}

function standingsAfter(
  draft: Draft,
  before: readonly Standing[],
  updates: readonly UpdateResult[],
  validators: readonly Validator[],
): Standing[] {
  const after = new Map(before.map((s) => [s.miner, s]));
  for (const update of updates) {
    const miner = draft.miner((validators[update.miner] as Validator).address)?.index;
    if (miner === undefined || statusOfUpdate(update) === "not-held") continue;
    const { credit, variance, pay } = update;
    after.set(miner, { miner, credit, variance, earned: (after.get(miner)?.earned ?? 0n) + pay });
  }
  return [...after.values()].sort((a, b) => a.miner - b.miner);
}

function afterUpdate(miner: Readonly<Miner>, update: UpdateResult, height: Height): Miner {
  const status = statusOfUpdate(update);
  // Nobody held it: that may be the network's doing, so it counts neither way.
  if (status === "not-held") return miner;
  if (isAccepted(update)) {
    const reputation = miner.reputation + ((REPUTATION_ONE - miner.reputation) >> REPUTATION_SHIFT);
    return { ...miner, lastReveal: height, accepted: miner.accepted + 1, reputation };
  }
  const lost = MISCONDUCT.includes(status) ? miner.reputation >> REPUTATION_SHIFT : 0;
  return { ...miner, lastReveal: height, rejected: miner.rejected + 1, reputation: miner.reputation - lost };
}

/**
 * Miners whose update entered the model, best first: those that are paid before those that aren't, then by the round's contribution, then in
 * canonical order. Not by pay itself: it follows a moving sum, and one miner would build nearly all blocks. Who missed its turn to propose
 * comes last.
 * @param seed seed(h−1)
 */
export function rank(
  updates: readonly UpdateResult[],
  validators: readonly Validator[],
  seed: Hash,
  missed: Address | undefined,
): Address[] {
  const ranked = updates
    .filter(isAccepted)
    .map((update) => {
      const { address, institution } = validators[update.miner] as Validator;
      return {
        address,
        late: missed !== undefined && bytesEqual(address, missed) ? 1 : 0,
        unpaid: update.pay === 0n ? 1 : 0,
        contribution: BigInt.asIntN(64, update.contribution),
        key: canonicalKey(seed, institution),
      };
    })
    .sort(
      (a, b) =>
        a.late - b.late ||
        a.unpaid - b.unpaid ||
        descending(a.contribution, b.contribution) ||
        compareBytes(a.key, b.key),
    );
  return ranked.map((r) => r.address);
}

function descending(a: bigint, b: bigint): number {
  return a === b ? 0 : a > b ? -1 : 1;
}
