import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { Evidence } from "./evidence.ts";
import { MAX_EVIDENCE_PER_BLOCK, MAX_TXS_PER_BLOCK, MAX_VALIDATORS } from "./limits.ts";
import { Bytes20, Bytes32, Bytes80, type Hash, U32, U53, U64 } from "./primitives.ts";
import { Learning, Metrics, RoundResult, SignedAttestation } from "./round.ts";
import { Tx } from "./tx.ts";
import { Commit } from "./vote.ts";

export const Validator = new ContainerType(
  {
    address: Bytes20,
    institution: Bytes32,
    consensusKey: Bytes32,
    vrfKey: Bytes32,
    /** Voting power: stake, with the share of one validator capped by genesis. */
    power: U64,
    /** Weight in the committee draw: power · reputation / 2^16. */
    committeeWeight: U64,
  },
  { typeName: "Validator" },
);
/** In order of registration; messages name a validator by its index here. */
export const ValidatorSet = new ListCompositeType(Validator, MAX_VALIDATORS);

export const BLOCK_VERSION = 1;

export const Header = new ContainerType(
  {
    version: U32,
    height: U53,
    /** The round in which the block was built; it stays when the block is proposed again. */
    round: U32,
    /** Milliseconds since 1970: weighted median of the last commit's times, strictly increasing. */
    time: U53,
    parent: Bytes32,
    /** Who built the block; it stays when another validator proposes it again. */
    proposer: Bytes20,
    /** seed(h) = H(seed(h−1), β), and the proof of β by the builder's VRF key over (seed(h−1), h). */
    seed: Bytes32,
    vrfProof: Bytes80,
    /** The task of the round; all zero in a block without learning. */
    task: Bytes32,
    /** Attested medians of the model before this round; all zero where none was attested. */
    metrics: Metrics,
    stateRoot: Bytes32,
    txRoot: Bytes32,
    recordRoot: Bytes32,
    attestationRoot: Bytes32,
    resultRoot: Bytes32,
    /** The active task's model after this block; all zero where no task is active. */
    modelRoot: Bytes32,
    validatorsRoot: Bytes32,
    nextValidatorsRoot: Bytes32,
    lastCommitRoot: Bytes32,
    evidenceRoot: Bytes32,
  },
  { typeName: "Header" },
);

export const TxList = new ListCompositeType(Tx, MAX_TXS_PER_BLOCK);
export const EvidenceList = new ListCompositeType(Evidence, MAX_EVIDENCE_PER_BLOCK);
export const AttestationList = new ListCompositeType(SignedAttestation, MAX_VALIDATORS);

export const Block = new ContainerType(
  {
    header: Header,
    txs: TxList,
    /** One or none. */
    learning: new ListCompositeType(Learning, 1),
    evidence: EvidenceList,
    /** Certificate of the parent; empty signatures at height 1. */
    lastCommit: Commit,
  },
  { typeName: "Block" },
);

/** A block and the certificate that makes it final: what sync serves. */
export const CertifiedBlock = new ContainerType({ block: Block, commit: Commit }, { typeName: "CertifiedBlock" });

/** A header with what proves it: its certificate, and the validators of the next height where those are others (one list or none). */
export const LightBlock = new ContainerType(
  { header: Header, commit: Commit, next: new ListCompositeType(ValidatorSet, 1) },
  { typeName: "LightBlock" },
);
/** What one frame carries: 128 KiB with four validators, 1 MiB with as many as there may be. */
export const MAX_LIGHT_BLOCKS = 64;
export const LightBlocks = new ListCompositeType(LightBlock, MAX_LIGHT_BLOCKS);

export const Receipt = new ContainerType(
  {
    tx: Bytes32,
    /** 0 = done; else an index into TX_FAILURES + 1. */
    code: U32,
    fee: U64,
  },
  { typeName: "Receipt" },
);
export const ReceiptList = new ListCompositeType(Receipt, MAX_TXS_PER_BLOCK);

export type Validator = ValueOf<typeof Validator>;
export type Header = ValueOf<typeof Header>;
export type Block = ValueOf<typeof Block>;
export type CertifiedBlock = ValueOf<typeof CertifiedBlock>;
export type LightBlock = ValueOf<typeof LightBlock>;
export type Receipt = ValueOf<typeof Receipt>;

/** The id that validators vote on: a collision-resistant hash of everything in the block. */
export function blockId(header: Header): Hash {
  return Header.hashTreeRoot(header);
}

/** Roots of the body as the header must name them. `recordRoot` follows from the transactions and what became of them. */
export function bodyRoots(
  block: Pick<Block, "txs" | "learning" | "evidence" | "lastCommit">,
): Pick<Header, "txRoot" | "attestationRoot" | "resultRoot" | "evidenceRoot" | "lastCommitRoot"> {
  const learning = block.learning[0];
  return {
    txRoot: TxList.hashTreeRoot(block.txs),
    attestationRoot: learning ? LearningInputs.hashTreeRoot(learning) : new Uint8Array(32),
    resultRoot: resultRoot(block),
    evidenceRoot: EvidenceList.hashTreeRoot(block.evidence),
    lastCommitRoot: Commit.hashTreeRoot(block.lastCommit),
  };
}

/** Of `bodyRoots`, the one of what was computed. */
export function resultRoot({ learning }: Pick<Block, "learning">): Hash {
  return learning[0] ? RoundResult.hashTreeRoot(learning[0].result) : new Uint8Array(32);
}

/** The signed inputs of the learning, without the result. */
const LearningInputs = new ContainerType(
  {
    task: Learning.fields.task,
    pledges: Learning.fields.pledges,
    openings: Learning.fields.openings,
    attestations: Learning.fields.attestations,
  },
  { typeName: "LearningInputs" },
);
