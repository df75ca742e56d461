import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { MAX_INLINE_BLOB_BYTES, MAX_VALIDATORS } from "./limits.ts";
import { Bytes32, Bytes64, bytesUpTo, U8, U16, U32, U53, U64 } from "./primitives.ts";

/** A miner's signed commitment to the update that it will reveal (the hash of a CommitmentPreimage). */
export const Pledge = new ContainerType(
  { height: U53, task: Bytes32, miner: U32, commitment: Bytes32 },
  { typeName: "Pledge" },
);
export const SignedPledge = new ContainerType({ message: Pledge, signature: Bytes64 }, { typeName: "SignedPledge" });

/** One line of a closing: a commitment that the member has seen. */
export const ClosedCommitment = new ContainerType(
  { miner: U32, commitment: Bytes32 },
  { typeName: "ClosedCommitment" },
);
/** What a committee member had seen when it closed the pledges of the height; miners strictly ascending. */
export const Closing = new ContainerType(
  { height: U53, task: Bytes32, member: U32, commitments: new ListCompositeType(ClosedCommitment, MAX_VALIDATORS) },
  { typeName: "Closing" },
);
export const SignedClosing = new ContainerType({ message: Closing, signature: Bytes64 }, { typeName: "SignedClosing" });

/** Opens a commitment. It needs no signature: the signed pledge binds it. */
export const Opening = new ContainerType(
  {
    miner: U32,
    salt: Bytes32,
    blobRoot: Bytes32,
    /** Bytes of the blob: two per lane. */
    size: U32,
    /** Training rows, as the miner declares them. */
    samples: U32,
  },
  { typeName: "Opening" },
);
/** What a commitment is the hash of. */
export const CommitmentPreimage = new ContainerType(
  { height: U53, task: Bytes32, opening: Opening },
  { typeName: "CommitmentPreimage" },
);
/** `inline` holds the whole blob when it is small, else nothing: then it is pulled by its root. */
export const Reveal = new ContainerType(
  { height: U53, task: Bytes32, opening: Opening, inline: bytesUpTo(MAX_INLINE_BLOB_BYTES) },
  { typeName: "Reveal" },
);

/** What a member says of one commitment. */
export const HELD = 1;
export const NOT_HELD = 2;
export const NO_REVEAL = 3;
export type HoldStatus = typeof HELD | typeof NOT_HELD | typeof NO_REVEAL;
/** A member's vote on one update. */
export const NO_VOTE = 0;
export const HARMFUL = 1;
export const NEUTRAL = 2;
export const HELPFUL = 3;
export type UpdateVote = typeof NO_VOTE | typeof HARMFUL | typeof NEUTRAL | typeof HELPFUL;

export const AttestedUpdate = new ContainerType(
  { miner: U32, commitment: Bytes32, status: U8, vote: U8 },
  { typeName: "AttestedUpdate" },
);
/** Coarse on purpose: exact values are an oracle on private data. */
export const Metrics = new ContainerType(
  {
    /** Validation rows, rounded down to a power of two (block metrics: members that reported). */
    n: U32,
    /** Log loss in thousandths of a nat, rounded to 10, at most 2000. */
    loss: U32,
    /** Accuracy in per mille, rounded to 5. */
    accuracy: U32,
    /** Area under the ROC curve in per mille, rounded to 5; 0 = not defined. */
    auroc: U32,
  },
  { typeName: "Metrics" },
);
/** Updates strictly ascending by miner; metrics of the model that the round started from, one or none. */
export const Attestation = new ContainerType(
  {
    height: U53,
    task: Bytes32,
    member: U32,
    updates: new ListCompositeType(AttestedUpdate, MAX_VALIDATORS),
    metrics: new ListCompositeType(Metrics, 1),
  },
  { typeName: "Attestation" },
);
export const SignedAttestation = new ContainerType(
  { message: Attestation, signature: Bytes64 },
  { typeName: "SignedAttestation" },
);

/** What became of an update. The index is the wire value. */
export const UPDATE_STATUS = [
  "accepted", // central, full weight
  "accepted-clipped", // suspect by geometry, not harmful: norm clipped
  "malformed", // wrong length or lane out of range
  "too-large", // norm above the bound
  "too-small", // norm below the floor
  "duplicate", // near-equal to one earlier in canonical order
  "harmful", // verdict of the committee
  "suspect", // left out by geometry (only rules or task settings without clipping)
  "not-held", // fewer than f_c + 1 included attestations hold it
  "unused", // held, but the round had too few updates to aggregate
] as const;
export type UpdateStatus = (typeof UPDATE_STATUS)[number];
const DISTINCT: readonly (UpdateStatus | undefined)[] = ["accepted", "accepted-clipped", "harmful", "suspect"];

/** Whether an update is well-formed and distinct: one of the n of its round, of which f are tolerated. */
export function isDistinct({ status }: { readonly status: number }): boolean {
  return DISTINCT.includes(UPDATE_STATUS[status]);
}

export const UpdateResult = new ContainerType(
  {
    miner: U32,
    commitment: Bytes32,
    status: U8,
    /** Squared norm in squared lane units, before clipping. */
    norm2: U64,
    /** Multi-Krum score in squared lane units; 0 where none was computed. */
    krumScore: U64,
    harmful: U16,
    neutral: U16,
    helpful: U16,
    /** Weight in the mean; 0 = not aggregated. */
    weight: U64,
    /** Clipping factor of 2^16; 0 where none was computed. */
    scale: U32,
    /** Agreement of what is new in the update with what is new in the others, of 2^16; two's complement (BigInt.asIntN(64, x)). */
    contribution: U64,
    /** Its miner's standing after the round: moving sum of agreements, two's complement, and its variance under chance, of 2^32. */
    credit: U64,
    variance: U64,
    pay: U64,
  },
  { typeName: "UpdateResult" },
);
/** Everything that a replay needs of the learning after the blobs are pruned; certified with its block. */
export const RoundResult = new ContainerType(
  {
    /** Exponent of this round's lanes: a lane q stands for q · 2^exponent model units. */
    exponent: U8,
    /** Exponent of the next round. */
    nextExponent: U8,
    /** Tolerance of the selection in this round (f_krum). */
    fKrum: U16,
    /** Lower median of accepted, clipped norms, in model units; carried over if nothing was accepted. */
    medianNorm: U64,
    /** Root of the global model after this round. */
    modelRoot: Bytes32,
    /** Ascending by miner. */
    updates: new ListCompositeType(UpdateResult, MAX_VALIDATORS),
  },
  { typeName: "RoundResult" },
);

/** The learning part of a block: the signed inputs and the result that everyone recomputes from them. */
export const Learning = new ContainerType(
  {
    task: Bytes32,
    pledges: new ListCompositeType(SignedPledge, MAX_VALIDATORS),
    openings: new ListCompositeType(Opening, MAX_VALIDATORS),
    attestations: new ListCompositeType(SignedAttestation, MAX_VALIDATORS),
    result: RoundResult,
  },
  { typeName: "Learning" },
);

export type Pledge = ValueOf<typeof Pledge>;
export type SignedPledge = ValueOf<typeof SignedPledge>;
export type ClosedCommitment = ValueOf<typeof ClosedCommitment>;
export type Closing = ValueOf<typeof Closing>;
export type SignedClosing = ValueOf<typeof SignedClosing>;
export type Opening = ValueOf<typeof Opening>;
export type Reveal = ValueOf<typeof Reveal>;
export type AttestedUpdate = ValueOf<typeof AttestedUpdate>;
export type Metrics = ValueOf<typeof Metrics>;
export type Attestation = ValueOf<typeof Attestation>;
export type SignedAttestation = ValueOf<typeof SignedAttestation>;
export type UpdateResult = ValueOf<typeof UpdateResult>;
export type RoundResult = ValueOf<typeof RoundResult>;
export type Learning = ValueOf<typeof Learning>;
