import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { MAX_VALIDATORS } from "./limits.ts";
import { Bytes32, Bytes64, U8, U32, U53 } from "./primitives.ts";

export const PREVOTE = 1;
export const PRECOMMIT = 2;
export type VoteType = typeof PREVOTE | typeof PRECOMMIT;

/** Validators are named by their index in the validator set of the height. */
export const Vote = new ContainerType(
  {
    type: U8,
    height: U53,
    round: U32,
    /** Header root of the block voted for; all zero = nil. */
    blockId: Bytes32,
    /** Prevotes: the proposal's validRound + 1 (0 = none), as in Accountable Tendermint. Precommits: 0. */
    validRound: U32,
    /** The voter's clock, ms since 1970: the next block's time is the weighted median of the precommits'. Prevotes: 0. */
    time: U53,
    validator: U32,
  },
  { typeName: "Vote" },
);
export const SignedVote = new ContainerType({ message: Vote, signature: Bytes64 }, { typeName: "SignedVote" });

export const Proposal = new ContainerType(
  {
    height: U53,
    round: U32,
    blockId: Bytes32,
    /** validRound + 1; 0 = none (−1 in the paper). */
    validRound: U32,
    proposer: U32,
  },
  { typeName: "Proposal" },
);
export const SignedProposal = new ContainerType(
  { message: Proposal, signature: Bytes64 },
  { typeName: "SignedProposal" },
);

export const CommitSignature = new ContainerType(
  { validator: U32, time: U53, signature: Bytes64 },
  { typeName: "CommitSignature" },
);
/** Precommits for one block from more than two thirds of the power, validators strictly ascending. */
export const Commit = new ContainerType(
  {
    height: U53,
    round: U32,
    blockId: Bytes32,
    signatures: new ListCompositeType(CommitSignature, MAX_VALIDATORS),
  },
  { typeName: "Commit" },
);

export type Vote = ValueOf<typeof Vote>;
export type SignedVote = ValueOf<typeof SignedVote>;
export type Proposal = ValueOf<typeof Proposal>;
export type SignedProposal = ValueOf<typeof SignedProposal>;
export type CommitSignature = ValueOf<typeof CommitSignature>;
export type Commit = ValueOf<typeof Commit>;
