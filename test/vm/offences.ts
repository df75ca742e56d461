import { signAttestation, signClosing, signPledge, signProposal } from "../../crypto/domain.ts";
import type { Evidence, Offence, OffenceKind } from "../../types/evidence.ts";
import type { Attestation, Closing, Pledge } from "../../types/round.ts";
import { PRECOMMIT, type Proposal } from "../../types/vote.ts";
import { attestationOffence, closingOffence, pledgeOffence, proposalOffence, voteOffence } from "../../vm/offences.ts";
import { type Chain, consensusOf, seedOf } from "./support.ts";

/** One offence of each kind, by a miner of the small chain. */

const [A, B] = [seedOf("a"), seedOf("b")];

/** Signed messages of one key, with what is given changed. */
const proposal = (c: Chain, name: string, change: Partial<Proposal>) =>
  signProposal(c.hash, consensusOf(name).secret, {
    height: 1,
    round: 0,
    blockId: A,
    validRound: 0,
    proposer: 0,
    ...change,
  });
const pledge = (c: Chain, name: string, change: Partial<Pledge>) =>
  signPledge(c.hash, consensusOf(name).secret, { height: 1, task: A, miner: 0, commitment: A, ...change });
const closing = (c: Chain, name: string, change: Partial<Closing>) =>
  signClosing(c.hash, consensusOf(name).secret, { height: 1, task: A, member: 0, commitments: [], ...change });
const attestation = (c: Chain, name: string, change: Partial<Attestation>) =>
  signAttestation(c.hash, consensusOf(name).secret, {
    height: 1,
    task: A,
    member: 0,
    updates: [],
    metrics: [],
    ...change,
  });

const MAKE: Record<OffenceKind, (c: Chain, name: string, height: number) => Offence | undefined> = {
  "double-vote": (c, name, height) =>
    voteOffence(c.vote(name, { height, blockId: A, round: 2 }), c.vote(name, { height, blockId: B, round: 2 })),
  "double-proposal": (c, name, height) =>
    proposalOffence(
      proposal(c, name, { height, blockId: A, round: 3 }),
      proposal(c, name, { height, blockId: B, round: 3 }),
    ),
  amnesia: (c, name, height) =>
    voteOffence(
      c.vote(name, { height, type: PRECOMMIT, round: 2, blockId: A, time: 5 }),
      c.vote(name, { height, round: 4, blockId: B, validRound: 2 }),
    ),
  "double-pledge": (c, name, height) =>
    pledgeOffence(pledge(c, name, { height }), pledge(c, name, { height, commitment: B })),
  "double-closing": (c, name, height) =>
    closingOffence(
      closing(c, name, { height }),
      closing(c, name, { height, commitments: [{ miner: 1, commitment: A }] }),
    ),
  "double-attestation": (c, name, height) =>
    attestationOffence(
      attestation(c, name, { height }),
      attestation(c, name, { height, updates: [{ miner: 1, commitment: A, status: 1, vote: 0 }] }),
    ),
};

/** Evidence of an offence of that kind by `name` at `height`, in rounds where the kind has any. */
export function offence(c: Chain, kind: OffenceKind, name: string, height: number): Evidence {
  return c.evidence(name, MAKE[kind](c, name, height));
}
