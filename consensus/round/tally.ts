import type { Validator } from "../../types/block.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import {
  type AttestedUpdate,
  HARMFUL,
  HELD,
  HELPFUL,
  type Learning,
  type Metrics,
  NEUTRAL,
  NO_REVEAL,
  type UpdateVote,
} from "../../types/round.ts";
import { faults } from "../committee.ts";
import { lowerMedian } from "./integers.ts";

/** What the included attestations say together. A pure function of signed messages: no member's private data enters otherwise. */

export type TallyInput = Pick<Learning, "pledges" | "attestations"> & {
  readonly validators: readonly Validator[];
  /** Indices into `validators`. */
  readonly committee: readonly number[];
};

/** One commitment and the votes on it, the owner's left out. */
export type CountedUpdate = {
  readonly miner: number;
  readonly institution: Hash;
  readonly commitment: Hash;
  /** Included attestations that hold the update. */
  readonly held: number;
  readonly harmful: number;
  readonly neutral: number;
  readonly helpful: number;
};

export type Tally = {
  /** S: held by at least f_c + 1 of the included attestations. Ascending by miner. */
  readonly included: CountedUpdate[];
  /** Pledges of the block that are not in S. Ascending by miner. */
  readonly notHeld: CountedUpdate[];
  /** Miners that pledged and of which c − f_c attestations say that they never revealed: proven conduct. Ascending. */
  readonly noReveal: number[];
  /** Medians of what the members measured on the model that the round started from. */
  readonly metrics: Metrics;
};

/**
 * Counts holdings and votes. Signatures, seats and order have been checked before (`checkLearning`); the order of the
 * attestations changes nothing. S depends on attestations only, so that a proposer can't censor by leaving out a pledge or an
 * opening. A miner of which two commitments are held by f_c + 1 each has signed two: neither enters.
 */
export function tally({ validators, committee, pledges, attestations }: TallyInput): Tally {
  const f = faults(committee.length);
  const entries = new Map<string, { update: AttestedUpdate; by: { member: number; said: AttestedUpdate }[] }>();
  for (const { message } of attestations) {
    for (const said of message.updates) {
      const key = entryKey(said);
      const entry = entries.get(key) ?? { update: said, by: [] };
      entry.by.push({ member: message.member, said });
      entries.set(key, entry);
    }
  }
  const count = ({ miner, commitment }: { miner: number; commitment: Hash }): CountedUpdate => {
    const by = entries.get(entryKey({ miner, commitment }))?.by ?? [];
    const institution = validators[miner]?.institution as Hash;
    const votes = countVotes(by, validators, institution);
    return { miner, institution, commitment, held: by.filter((b) => b.said.status === HELD).length, ...votes };
  };

  const held = [...entries.values()].map((e) => count(e.update)).filter((u) => u.held >= f + 1);
  const included = held.filter((u) => held.every((v) => v === u || v.miner !== u.miner)).sort(byMiner);
  const pledged = pledges.map((p) => p.message).sort(byMiner);
  const notHeld = pledged
    .filter((p) => !included.some((u) => u.miner === p.miner && bytesEqual(u.commitment, p.commitment)))
    .map(count);
  const noReveal = pledged
    .filter((p) => {
      const by = entries.get(entryKey(p))?.by ?? [];
      return by.filter((b) => b.said.status === NO_REVEAL).length >= committee.length - f;
    })
    .map((p) => p.miner);
  return { included, notHeld, noReveal, metrics: medianMetrics(attestations.flatMap((a) => a.message.metrics)) };
}

/** Votes of the members that hold the update. An institution has one validator at most, so members are institutions. */
function countVotes(
  by: readonly { member: number; said: AttestedUpdate }[],
  validators: readonly Validator[],
  owner: Hash,
): { harmful: number; neutral: number; helpful: number } {
  const others = by.filter((b) => !bytesEqual(validators[b.member]?.institution as Hash, owner));
  const number = (vote: UpdateVote) => others.filter(({ said }) => said.status === HELD && said.vote === vote).length;
  return { harmful: number(HARMFUL), neutral: number(NEUTRAL), helpful: number(HELPFUL) };
}

/** Lower median of each field over the members that reported; of the AUROC, over those for which it is defined. */
function medianMetrics(reports: readonly Metrics[]): Metrics {
  const median = (values: readonly number[]) => lowerMedian(values, (a, b) => a - b) ?? 0;
  return {
    n: reports.length,
    loss: median(reports.map((r) => r.loss)),
    accuracy: median(reports.map((r) => r.accuracy)),
    auroc: median(reports.map((r) => r.auroc).filter((v) => v > 0)),
  };
}

function entryKey({ miner, commitment }: { miner: number; commitment: Hash }): string {
  return `${miner}/${toHex(commitment)}`;
}

function byMiner(a: { miner: number }, b: { miner: number }): number {
  return a.miner - b.miner;
}
