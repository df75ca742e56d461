import type { Validator } from "../../types/block.ts";
import type { Offence } from "../../types/evidence.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Commit, SignedProposal, SignedVote, VoteType } from "../../types/vote.ts";

/**
 * Tendermint (arXiv 1807.04938) as a pure function (state, event) → effects, in the accountable variant: a prevote carries the
 * proposal's validRound. Messages that enter are authentic already: the shell checks signatures and membership.
 */

export type Step = "new" | "propose" | "prevote" | "precommit" | "decided";
export type TimeoutKind = "propose" | "prevote" | "precommit";

export type Timeouts = {
  readonly proposeMs: number;
  readonly prevoteMs: number;
  readonly precommitMs: number;
  readonly deltaMs: number;
};

/** What is fixed for all rounds of a height. */
export type BftConfig = {
  readonly height: number;
  readonly validators: readonly Validator[];
  /** Own index in `validators`; −1 for a node that only follows. */
  readonly self: number;
  /** Proposer of a round, from finalised data only. */
  readonly proposer: (round: number) => number;
  readonly timeouts: Timeouts;
};

export type BftEvent =
  /** StartRound(0): the shell has what it needs to propose, or will not wait longer. */
  | { readonly type: "start" }
  | { readonly type: "proposal"; readonly proposal: SignedProposal }
  | { readonly type: "vote"; readonly vote: SignedVote }
  /** valid(v) of the paper, pure; and the round in which the block says that it was built. */
  | { readonly type: "verdict"; readonly blockId: Hash; readonly valid: boolean; readonly builtRound: number }
  /** getValue() has a value for `round`; its verdict came before. */
  | { readonly type: "built"; readonly round: number; readonly blockId: Hash }
  | { readonly type: "timeout"; readonly kind: TimeoutKind; readonly round: number };

export type BftEffect =
  /** Sign and send; the signed message must come back as an event, like anybody's. */
  | { readonly type: "propose"; readonly round: number; readonly blockId: Hash; readonly validRound: number }
  | {
      readonly type: "vote";
      readonly vote: VoteType;
      readonly round: number;
      readonly blockId: Hash;
      readonly validRound: number;
    }
  | { readonly type: "timeout"; readonly kind: TimeoutKind; readonly round: number; readonly ms: number }
  /** getValue(): answer with a verdict and a `built` event. */
  | { readonly type: "build"; readonly round: number }
  /** The value matters now: find the block (pull it if need be) and answer with a verdict. */
  | { readonly type: "judge"; readonly blockId: Hash }
  | { readonly type: "decide"; readonly blockId: Hash; readonly commit: Commit }
  /** Two messages of one validator that no correct one signs both. */
  | { readonly type: "offence"; readonly offence: Offence }
  /** The lock rule met a state that only more than f faults can produce. */
  | { readonly type: "alarm"; readonly text: string };
