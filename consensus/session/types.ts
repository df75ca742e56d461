import type { Validator } from "../../types/block.ts";
import type { Offence } from "../../types/evidence.ts";
import type { Hash } from "../../types/primitives.ts";
import type {
  AttestedUpdate,
  ClosedCommitment,
  Metrics,
  Opening,
  Reveal,
  SignedAttestation,
  SignedClosing,
  SignedPledge,
  UpdateVote,
} from "../../types/round.ts";

/** The learning session of a height: train, pledge, close, reveal, attest. Pure, like the vote that follows it. */

export type SessionConfig = {
  readonly height: number;
  readonly task: Hash;
  readonly validators: readonly Validator[];
  /** Own index; −1 for a node that only follows. */
  readonly self: number;
  /** Indices of the committee, ascending. */
  readonly committee: readonly number[];
  /** Who is waited for: by index, from finalised data. */
  readonly expected: readonly boolean[];
  /** Whether this node has data to train on. */
  readonly trains: boolean;
  /** Upper bounds of the phases, ms. */
  readonly windows: { readonly pledgeMs: number; readonly revealMs: number; readonly attestMs: number };
};

export type SessionPhase = "training" | "pledging" | "revealing" | "judging" | "attesting" | "ready";
export type SessionTimer = "pledge" | "reveal" | "attest";

export type SessionEvent =
  | { readonly type: "start" }
  /** The own update is made and stored. */
  | { readonly type: "trained"; readonly opening: Opening; readonly commitment: Hash }
  | { readonly type: "pledge"; readonly pledge: SignedPledge }
  | { readonly type: "closing"; readonly closing: SignedClosing }
  /** `commitment` is the hash of the opening, computed by the shell. */
  | { readonly type: "reveal"; readonly reveal: Reveal; readonly commitment: Hash }
  /** The bytes of a revealed update are here and match their root. */
  | { readonly type: "held"; readonly miner: number; readonly commitment: Hash }
  | { readonly type: "judged"; readonly votes: ReadonlyMap<number, UpdateVote>; readonly metrics: Metrics | undefined }
  | { readonly type: "attestation"; readonly attestation: SignedAttestation }
  | { readonly type: "timeout"; readonly timer: SessionTimer };

export type SessionEffect =
  | { readonly type: "train" }
  /** Sign and send; signed messages come back as events. */
  | { readonly type: "pledge"; readonly commitment: Hash }
  | { readonly type: "close"; readonly commitments: ClosedCommitment[] }
  | { readonly type: "reveal"; readonly opening: Opening }
  | { readonly type: "attest"; readonly updates: AttestedUpdate[]; readonly metrics: Metrics | undefined }
  /** Pull the bytes of a revealed update. */
  | { readonly type: "fetch"; readonly opening: Opening; readonly commitment: Hash }
  | { readonly type: "judge"; readonly openings: readonly Opening[] }
  | { readonly type: "timeout"; readonly timer: SessionTimer; readonly ms: number }
  /** Two messages of one validator that no correct one signs both. */
  | { readonly type: "offence"; readonly offence: Offence }
  /** A proposal can be built, or waiting longer makes no sense. */
  | { readonly type: "ready" };
