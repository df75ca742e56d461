import { ContainerType, UnionType, type ValueOf } from "@chainsafe/ssz";
import { Bytes32 } from "./primitives.ts";
import { SignedAttestation, SignedClosing, SignedPledge } from "./round.ts";
import { SignedProposal, SignedVote } from "./vote.ts";

/** Two signed messages of one key that no correct node signs both; which pairs these are is in vm/offences.ts. */

export const VotePair = new ContainerType({ first: SignedVote, second: SignedVote }, { typeName: "VotePair" });
export const ProposalPair = new ContainerType(
  { first: SignedProposal, second: SignedProposal },
  { typeName: "ProposalPair" },
);
export const PledgePair = new ContainerType({ first: SignedPledge, second: SignedPledge }, { typeName: "PledgePair" });
export const ClosingPair = new ContainerType(
  { first: SignedClosing, second: SignedClosing },
  { typeName: "ClosingPair" },
);
export const AttestationPair = new ContainerType(
  { first: SignedAttestation, second: SignedAttestation },
  { typeName: "AttestationPair" },
);

/** Every kind with its pair. The selector in the union is the place here: the wire format, so never reordered. */
const PAIRS = {
  "double-vote": VotePair,
  "double-proposal": ProposalPair,
  /** First the precommit that is forgotten, then the later prevote. */
  amnesia: VotePair,
  "double-pledge": PledgePair,
  "double-closing": ClosingPair,
  "double-attestation": AttestationPair,
} as const;
export type OffenceKind = keyof typeof PAIRS;
export const OFFENCE_KINDS = Object.keys(PAIRS) as OffenceKind[];

export const Evidence = new ContainerType(
  { consensusKey: Bytes32, offence: new UnionType(Object.values(PAIRS)) },
  { typeName: "Evidence" },
);
export type Evidence = ValueOf<typeof Evidence>;

/** An offence as a discriminated union, so that a switch over it is exhaustive. */
export type Offence = { [K in OffenceKind]: { kind: K } & ValueOf<(typeof PAIRS)[K]> }[OffenceKind];
export type OffenceOf<K extends OffenceKind> = Extract<Offence, { kind: K }>;

export function offenceOf({ offence }: Evidence): Offence {
  return { kind: OFFENCE_KINDS[offence.selector], ...offence.value } as Offence;
}

export function evidenceOf(consensusKey: Uint8Array, { kind, first, second }: Offence): Evidence {
  const offence = { selector: OFFENCE_KINDS.indexOf(kind), value: { first, second } } as Evidence["offence"];
  return { consensusKey, offence };
}
