import type { Hash } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import type { Bft } from "../bft/machine.ts";
import { bitmap, hasBit, MAX_STATUS_ROUNDS, type Message, type RoundStatus, type Status } from "../messages.ts";
import type { Session } from "../session/machine.ts";

/**
 * What peers tell each other of the height in progress, and what one sends the other for it. This is what makes every message that a
 * correct node holds reach all correct nodes, votes of old rounds and proofs-of-lock included: plain flooding does not.
 */

/** @param lacks whether the block of a known proposal should be sent */
export function makeStatus(
  height: number,
  head: Hash,
  bft: Bft,
  session: Session | undefined,
  lacks: (round: number, id: Hash) => boolean,
  peers: number,
): Status {
  const validators = bft.config.validators;
  const has = (known: (index: number) => unknown) => bitmap(validators.map((_, i) => known(i) !== undefined));
  const rounds = toldRounds(bft).map((round): RoundStatus => {
    const proposal = bft.proposal(round);
    return {
      round,
      // A proposal without the block that is waited for is as good as none.
      proposal: proposal !== undefined && !lacks(round, proposal.message.blockId),
      prevotes: bitmap([...bft.votesOf(round, PREVOTE)]),
      precommits: bitmap([...bft.votesOf(round, PRECOMMIT)]),
      lock: bft.proofOfLock(round).length > 0,
    };
  });
  const miners = (indices: readonly number[]) => {
    const set = new Set(indices);
    return bitmap(validators.map((_, i) => set.has(i)));
  };
  return {
    height,
    head,
    peers,
    rounds,
    pledges: miners(session?.pledges().map((p) => p.message.miner) ?? []),
    closings: has((i) => session?.closingOf(i)),
    reveals: miners(session?.reveals().map((r) => r.opening.miner) ?? []),
    attestations: has((i) => session?.attestationOf(i)),
  };
}

/** Of the rounds beyond the own one a few: faulty validators may fill any number of them. */
const TOLD_BEYOND = 3;

/** The newest rounds up to the own one, and always the round of the proof-of-lock behind the valid value. */
function toldRounds(bft: Bft): number[] {
  const known = bft.knownRounds();
  const beyond = known.filter((r) => r > bft.round).slice(0, TOLD_BEYOND);
  const newest = known.filter((r) => r <= bft.round).slice(-(MAX_STATUS_ROUNDS - 1 - TOLD_BEYOND));
  const lock = bft.valid?.round;
  return [...(lock !== undefined && !newest.includes(lock) ? [lock] : []), ...newest, ...beyond];
}

/** The messages that `theirs` lacks; proposals come with their block, in the order in which they are needed. */
export function missingFrom(
  theirs: Status,
  bft: Bft,
  session: Session | undefined,
  blockBytes: (id: Hash) => Uint8Array | undefined,
): Message[] {
  const messages: Message[] = [];
  if (session) {
    for (const value of session.pledges()) {
      if (!hasBit(theirs.pledges, value.message.miner)) messages.push({ kind: "pledge", value });
    }
    for (const value of session.closings()) {
      if (!hasBit(theirs.closings, value.message.member)) messages.push({ kind: "closing", value });
    }
    for (const value of session.reveals()) {
      if (!hasBit(theirs.reveals, value.opening.miner)) messages.push({ kind: "reveal", value });
    }
    for (const value of session.attestations()) {
      if (!hasBit(theirs.attestations, value.message.member)) messages.push({ kind: "attestation", value });
    }
  }
  for (const round of toldRounds(bft)) {
    const told = theirs.rounds.find((r) => r.round === round);
    const proposal = bft.proposal(round);
    if (proposal && !told?.proposal) {
      const block = blockBytes(proposal.message.blockId) ?? new Uint8Array(0);
      messages.push({ kind: "proposal", value: { proposal, block } });
    }
    if (!told?.lock) for (const value of bft.proofOfLock(round)) messages.push({ kind: "vote", value });
    for (const [type, bits] of [
      [PREVOTE, told?.prevotes],
      [PRECOMMIT, told?.precommits],
    ] as const) {
      bft.votesOf(round, type).forEach((value, i) => {
        if (value && !hasBit(bits ?? new Uint8Array(0), i)) messages.push({ kind: "vote", value });
      });
    }
  }
  return messages;
}
