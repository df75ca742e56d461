import { nextSeed } from "../../crypto/vrf.ts";
import {
  BLOCK_VERSION,
  type Block,
  blockId,
  bodyRoots,
  type Receipt,
  resultRoot,
  type Validator,
  ValidatorSet,
} from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Evidence } from "../../types/evidence.ts";
import { bytesEqual, type Hash, ZERO_HASH } from "../../types/primitives.ts";
import { RecordLeaves } from "../../types/record.ts";
import type { Metrics } from "../../types/round.ts";
import type { Tx } from "../../types/tx.ts";
import { Commit } from "../../types/vote.ts";
import { type BlockInput, type Executed, executeBlock } from "../../vm/execute.ts";
import { madeRecords } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { faults } from "../committee.ts";
import { tally } from "../round/tally.ts";
import { medianTime, verifyCommit } from "./commit.ts";
import type { HeightContext } from "./context.ts";
import { checkLearning, checkNoLearning, invalid, type LearningInputs } from "./inputs.ts";
import { learn, type ResultSource } from "./learn.ts";

/**
 * A block is a function of its inputs. The proposer derives it; everybody else derives it again and compares ids, so that there
 * is one place that says what a block contains, and `valid` is pure: no clock, network or private data.
 */

export type BlockInputs = {
  readonly round: number;
  /** Index of the builder. */
  readonly builder: number;
  readonly vrfProof: Uint8Array;
  readonly txs: Tx[];
  readonly learning: LearningInputs | undefined;
  readonly evidence: Evidence[];
  readonly lastCommit: Commit;
};

export type Derived = {
  readonly block: Block;
  readonly id: Hash;
  readonly state: State;
  readonly receipts: readonly Receipt[];
  /** The model after the block, where it was computed here. */
  readonly model: Int32Array | undefined;
};

const NO_METRICS: Metrics = { n: 0, loss: 0, accuracy: 0, auroc: 0 };

/**
 * @throws PoflError INVALID_BLOCK; MISSING_BLOBS when updates are not here, which says nothing about the block
 */
export function deriveBlock(ctx: HeightContext, inputs: BlockInputs, source: ResultSource): Derived {
  const { parent, genesis, height, validators, committee } = ctx;
  const builder = validators[inputs.builder] ?? invalid("its builder is no validator");
  const beta = ctx.beta(inputs.builder, inputs.vrfProof) ?? invalid("its VRF proof is bad");
  const seed = nextSeed(parent.state.seed, beta);
  const time = medianTime(parent.validators, inputs.lastCommit, parent.state.time);

  const counted = inputs.learning ? tally({ validators, committee, ...inputs.learning }) : undefined;
  const metrics = counted?.metrics ?? NO_METRICS;
  const outcome = inputs.learning && counted ? learn(ctx, inputs.learning, counted, source) : undefined;
  const learning = inputs.learning && outcome ? { ...inputs.learning, result: outcome.result } : undefined;

  // Attestations that show too few updates make a block without learning, which pays nobody.
  const learned = learning?.result.updates.some((u) => u.weight > 0n) ? learning : undefined;
  const executed = execute(ctx, {
    height,
    time,
    proposer: builder.address,
    seed,
    txs: inputs.txs,
    learning: learned,
    metrics,
    evidence: inputs.evidence,
    committee: learned?.attestations.map((a) => (validators[a.message.member] as Validator).address) ?? [],
    proposedRound: inputs.round,
    expectedProposer: (validators[ctx.proposer(0)] as Validator).address,
  });

  const body = {
    txs: inputs.txs,
    learning: learning ? [learning] : [],
    evidence: inputs.evidence,
    lastCommit: inputs.lastCommit,
  };
  const next = executed.state.activeTask()?.record;
  const header = {
    version: BLOCK_VERSION,
    height,
    round: inputs.round,
    time,
    parent: parent.id,
    proposer: builder.address,
    seed,
    vrfProof: inputs.vrfProof,
    task: learning?.task ?? ZERO_HASH,
    metrics,
    stateRoot: executed.state.root(),
    recordRoot: RecordLeaves.hashTreeRoot(madeRecords(ctx.genesisHash, inputs.txs, executed.receipts)),
    modelRoot: next?.modelRoot ?? ZERO_HASH,
    validatorsRoot: ValidatorSet.hashTreeRoot([...validators]),
    nextValidatorsRoot: ValidatorSet.hashTreeRoot(validatorSet(executed.state, genesis)),
    ...bodyRoots(body),
  };
  const block = { header, ...body };
  return { block, id: blockId(header), state: executed.state, receipts: executed.receipts, model: outcome?.model };
}

/** What the state machine refuses makes the block invalid. */
function execute({ parent, genesis, genesisHash }: HeightContext, input: BlockInput): Executed {
  try {
    return executeBlock(parent.state, input, genesis, genesisHash);
  } catch (error) {
    return isPoflError(error) ? invalid(`${error.message} (${error.code})`) : raise(error);
  }
}

function raise(error: unknown): never {
  throw error;
}

/**
 * Checks a proposed block: what was signed, and that everything else follows from it.
 * @throws PoflError INVALID_BLOCK, BAD_COMMIT, MISSING_BLOBS
 */
export function validateBlock(ctx: HeightContext, block: Block, source: ResultSource): Derived {
  checkBlock(ctx, block);
  return confirmBlock(ctx, block, source);
}

/**
 * What can be said of a block before its round is computed.
 * @throws PoflError INVALID_BLOCK, BAD_COMMIT
 */
export function checkBlock(ctx: HeightContext, block: Block): void {
  const { header } = block;
  const { parent } = ctx;
  if (header.height !== ctx.height) invalid(`it is of height ${header.height}`);
  if (!bytesEqual(header.parent, parent.id)) invalid("its parent is another block");
  const builder = ctx.proposer(header.round);
  const expected = ctx.validators[builder];
  if (!expected || !bytesEqual(expected.address, header.proposer)) invalid("its builder may not build in that round");
  if (parent.height === 0) {
    if (block.lastCommit.signatures.length > 0) invalid("the first block has no certificate to carry");
  } else if (!Commit.equals(block.lastCommit, parent.commit)) {
    // The parent's own certificate made it final: that was verified.
    verifyCommit(ctx.genesisHash, parent.validators, parent.height, parent.id, block.lastCommit);
  }
  const learning = block.learning[0];
  if (learning) checkLearning(ctx, learning);
  // What is derived has the right result anyway; a body that says another must not be passed on.
  if (!bytesEqual(resultRoot(block), header.resultRoot)) invalid("its round result is not the header's");
  checkNoLearning(ctx, block);
}

/**
 * Of a block that passed `checkBlock`: that everything else follows from its inputs.
 * @throws PoflError INVALID_BLOCK, MISSING_BLOBS
 */
export function confirmBlock(ctx: HeightContext, block: Block, source: ResultSource): Derived {
  const { header } = block;
  const derived = deriveBlock(
    ctx,
    {
      round: header.round,
      builder: ctx.proposer(header.round),
      vrfProof: header.vrfProof,
      txs: block.txs,
      learning: block.learning[0],
      evidence: block.evidence,
      lastCommit: block.lastCommit,
    },
    source,
  );
  if (!bytesEqual(derived.id, blockId(header)))
    invalid(`it does not follow from its inputs: ${difference(derived.block, block)}`);
  return derived;
}

/** Names the first header field that differs, for the log. */
function difference(ours: Block, theirs: Block): string {
  for (const key of Object.keys(ours.header) as (keyof Block["header"])[]) {
    const a = ours.header[key];
    const b = theirs.header[key];
    const same = a instanceof Uint8Array ? bytesEqual(a, b as Uint8Array) : JSON.stringify(a) === JSON.stringify(b);
    if (!same) return `header.${key} differs`;
  }
  return "the id differs";
}

/** Attestations that a block with learning needs. */
export function attestationQuorum(ctx: HeightContext): number {
  return ctx.committee.length - faults(ctx.committee.length);
}
