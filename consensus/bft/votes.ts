import type { Validator } from "../../types/block.ts";
import { bytesEqual, type Hash, ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE, type SignedVote, type VoteType } from "../../types/vote.ts";

/** Power needed: more than two thirds for a quorum, more than one third for "at least one is correct". */
export class Power {
  readonly each: readonly bigint[];
  readonly total: bigint;

  constructor(validators: readonly Validator[]) {
    this.each = validators.map((v) => v.power);
    this.total = this.each.reduce((a, b) => a + b, 0n);
  }

  quorum(power: bigint): boolean {
    return 3n * power > 2n * this.total;
  }

  someCorrect(power: bigint): boolean {
    return 3n * power > this.total;
  }
}

export type Added = { readonly added: boolean; readonly conflict?: SignedVote };

type Tally = { power: bigint; readonly votes: Map<number, SignedVote> };

/** Contradictory votes of one validator that are kept whatever they say: two prove the fault. */
const CONFLICTS_KEPT = 1;

/**
 * Votes of one round. A validator counts once for each thing that it voted for: an equivocator may complete several tallies, as in
 * the paper, or a correct node could miss the proof-of-lock that another one locked on; but it never counts twice in one.
 */
export class RoundVotes {
  readonly #power: Power;
  /** First vote of each validator. */
  readonly #votes: Record<VoteType, (SignedVote | undefined)[]> = { [PREVOTE]: [], [PRECOMMIT]: [] };
  readonly #all: Record<VoteType, bigint> = { [PREVOTE]: 0n, [PRECOMMIT]: 0n };
  /** By what was voted for; for prevotes that is the block and its validRound together. */
  readonly #by: Record<VoteType, Map<string, Tally>> = { [PREVOTE]: new Map(), [PRECOMMIT]: new Map() };
  readonly #conflicts = new Map<string, number>();
  #senders = new Set<number>();
  #sendersPower = 0n;

  constructor(power: Power) {
    this.#power = power;
  }

  add(vote: SignedVote): Added {
    const { type, validator } = vote.message as SignedVote["message"] & { type: VoteType };
    const power = this.#power.each[validator];
    if (power === undefined) return { added: false };
    const first = this.#votes[type][validator];
    const key = voteKey(vote);
    const tally = this.#by[type].get(key);
    if (tally?.votes.has(validator)) return { added: false };
    if (first) {
      // What others support must be countable; beyond that a flood of contradictions is not kept.
      const kept = this.#conflicts.get(`${type}/${validator}`) ?? 0;
      const supported = tally !== undefined && this.#power.someCorrect(tally.power);
      if (!supported && kept >= CONFLICTS_KEPT) return { added: false, conflict: first };
      this.#conflicts.set(`${type}/${validator}`, kept + 1);
    } else {
      this.#votes[type][validator] = vote;
      this.#all[type] += power;
      this.sender(validator);
    }
    if (tally) {
      tally.power += power;
      tally.votes.set(validator, vote);
    } else {
      this.#by[type].set(key, { power, votes: new Map([[validator, vote]]) });
    }
    return first ? { added: true, conflict: first } : { added: true };
  }

  /** Whether this vote is new, and for something that at least one correct validator voted for. */
  wants(vote: SignedVote): boolean {
    const tally = this.#by[vote.message.type as VoteType].get(voteKey(vote));
    return tally !== undefined && !tally.votes.has(vote.message.validator) && this.#power.someCorrect(tally.power);
  }

  /** Counts a sender of any message of the round (line 55 counts proposals too). */
  sender(validator: number): void {
    if (this.#senders.has(validator)) return;
    this.#senders.add(validator);
    this.#sendersPower += this.#power.each[validator] ?? 0n;
  }

  /** Forgets one validator's votes: only for rounds that this node has not reached. */
  forget(validator: number): void {
    const power = this.#power.each[validator] ?? 0n;
    for (const type of [PREVOTE, PRECOMMIT] as const) {
      if (this.#votes[type][validator]) this.#all[type] -= power;
      this.#votes[type][validator] = undefined;
      this.#conflicts.delete(`${type}/${validator}`);
      for (const [key, tally] of this.#by[type]) {
        if (tally.votes.delete(validator)) tally.power -= power;
        if (tally.votes.size === 0) this.#by[type].delete(key);
      }
    }
    if (this.#senders.delete(validator)) this.#sendersPower -= power;
  }

  /** Nobody has sent anything of this round. */
  get empty(): boolean {
    return this.#senders.size === 0;
  }

  get someCorrectHere(): boolean {
    return this.#power.someCorrect(this.#sendersPower);
  }

  /** More than two thirds have voted, for whatever. */
  anyQuorum(type: VoteType): boolean {
    return this.#power.quorum(this.#all[type]);
  }

  /** The votes of more than two thirds for one thing, by validator ascending. */
  quorum(type: VoteType): SignedVote[] | undefined {
    for (const { power, votes } of this.#by[type].values()) {
      if (!this.#power.quorum(power)) continue;
      return [...votes.values()].sort((a, b) => a.message.validator - b.message.validator);
    }
    return undefined;
  }

  /** What more than two thirds agree on; with at most f faults there is one such thing. */
  agreed(type: VoteType): Hash | undefined {
    for (const { power, votes } of this.#by[type].values()) {
      if (this.#power.quorum(power)) return votes.values().next().value?.message.blockId;
    }
    return undefined;
  }

  /** Whether more than two thirds prevoted `blockId`. */
  polka(blockId: Hash): boolean {
    for (const { power, votes } of this.#by[PREVOTE].values()) {
      const id = votes.values().next().value?.message.blockId;
      if (id && bytesEqual(id, blockId) && this.#power.quorum(power)) return true;
    }
    return false;
  }

  /** Blocks that at least one correct validator voted for. */
  *supported(): Generator<Hash> {
    for (const type of [PREVOTE, PRECOMMIT] as const) {
      for (const { power, votes } of this.#by[type].values()) {
        const vote = votes.values().next().value;
        if (vote && this.#power.someCorrect(power) && !isNil(vote.message.blockId)) yield vote.message.blockId;
      }
    }
  }

  votes(type: VoteType): readonly (SignedVote | undefined)[] {
    return this.#votes[type];
  }
}

export function isNil(id: Hash): boolean {
  return bytesEqual(id, ZERO_HASH);
}

function voteKey(vote: SignedVote): string {
  return `${idKey(vote.message.blockId)}/${vote.message.validRound}`;
}

export function idKey(id: Hash): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");
}
