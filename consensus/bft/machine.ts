import type { OffenceOf } from "../../types/evidence.ts";
import { bytesEqual, type Hash, ZERO_HASH } from "../../types/primitives.ts";
import {
  type Commit,
  PRECOMMIT,
  PREVOTE,
  type SignedProposal,
  type SignedVote,
  type VoteType,
} from "../../types/vote.ts";
import { proposalOffence, voteOffence } from "../../vm/offences.ts";
import type { BftConfig, BftEffect, BftEvent, Step, TimeoutKind } from "./types.ts";
import { idKey, isNil, Power, RoundVotes } from "./votes.ts";

/**
 * Rounds ahead of its own that a node keeps of one validator (its newest): enough for line 55, which needs one, and bounded
 * whatever a faulty validator sends.
 */
const FUTURE_ROUNDS_PER_VALIDATOR = 2;

type Verdict = { readonly valid: boolean; readonly builtRound: number };
type BftOffence = OffenceOf<"double-vote" | "double-proposal" | "amnesia">;
type Mark = { readonly round: number; readonly id: Hash };

/** One height of Tendermint. Feed it events in any order; it answers each with the effects that follow. */
export class Bft {
  readonly config: BftConfig;
  readonly power: Power;
  round = -1;
  step: Step = "new";
  locked: Mark | undefined;
  valid: Mark | undefined;
  readonly #proposals = new Map<number, SignedProposal>();
  readonly #votes = new Map<number, RoundVotes>();
  readonly #verdicts = new Map<string, Verdict>();
  /** "For the first time" of the paper, and questions asked once. */
  readonly #fired = new Set<string>();
  /** Future rounds by validator, ascending. */
  readonly #future = new Map<number, number[]>();
  #proposed = -1;
  #out: BftEffect[] = [];

  constructor(config: BftConfig) {
    this.config = config;
    this.power = new Power(config.validators);
  }

  /** Applies one event. The same events in the same order give the same effects. */
  handle(event: BftEvent): BftEffect[] {
    this.#out = [];
    if (this.step === "decided") return this.#out;
    switch (event.type) {
      case "start":
        if (this.step === "new") this.#startRound(0);
        break;
      case "proposal":
        this.#onProposal(event.proposal);
        break;
      case "vote":
        this.#onVote(event.vote);
        break;
      case "verdict":
        this.#verdicts.set(idKey(event.blockId), { valid: event.valid, builtRound: event.builtRound });
        break;
      case "built":
        // A late value is proposed if the round is still on: others may not have timed out yet.
        if (event.round === this.round && this.#proposed < event.round) {
          this.#proposed = event.round;
          this.#out.push({ type: "propose", round: event.round, blockId: event.blockId, validRound: -1 });
        }
        break;
      case "timeout":
        this.#onTimeout(event.kind, event.round);
        break;
    }
    while (this.#rules()) {}
    return this.#out;
  }

  /** Line 11. */
  #startRound(round: number): void {
    this.round = round;
    this.step = "propose";
    for (const [validator, rounds] of this.#future) {
      this.#future.set(
        validator,
        rounds.filter((r) => r > round),
      );
    }
    if (this.config.self >= 0 && this.config.proposer(round) === this.config.self) {
      if (this.valid) {
        this.#proposed = round;
        this.#out.push({ type: "propose", round, blockId: this.valid.id, validRound: this.valid.round });
      } else {
        this.#out.push({ type: "build", round });
      }
    }
    // The proposer has the timeout too: building is asynchronous and may fail.
    this.#schedule("propose", round);
  }

  #onProposal(proposal: SignedProposal): void {
    const { round, proposer, validRound } = proposal.message;
    if (proposer !== this.config.proposer(round) || validRound > round) return;
    const known = this.#proposals.get(round);
    if (known) {
      this.#accuse(proposalOffence(known, proposal));
      return;
    }
    if (!this.#admitFuture(round, proposer)) return;
    this.#proposals.set(round, proposal);
    this.#round(round).sender(proposer);
  }

  #onVote(vote: SignedVote): void {
    const { round, validator, type } = vote.message;
    if (type !== PREVOTE && type !== PRECOMMIT) return;
    if (this.config.validators[validator] === undefined || !this.#admitFuture(round, validator)) return;
    const amnesia = this.offence(vote);
    const { added, conflict } = this.#round(round).add(vote);
    if (conflict) this.#accuse(voteOffence(conflict, vote));
    else if (added) this.#accuse(amnesia);
  }

  #accuse(offence: BftOffence | undefined): void {
    if (offence) this.#out.push({ type: "offence", offence });
  }

  /** What a vote proves together with the first votes of its validator in each round. */
  offence(vote: SignedVote): BftOffence | undefined {
    for (const votes of this.#votes.values()) {
      for (const type of [PREVOTE, PRECOMMIT] as const) {
        const other = votes.votes(type)[vote.message.validator];
        const offence = other && voteOffence(other, vote);
        if (offence) return offence;
      }
    }
    return undefined;
  }

  /** Of future rounds the newest few of each validator are kept: false when this one is older than those. */
  keeps(round: number, validator: number): boolean {
    if (round <= this.round) return true;
    const rounds = this.#future.get(validator) ?? [];
    return rounds.length < FUTURE_ROUNDS_PER_VALIDATOR || round >= (rounds[0] as number);
  }

  #admitFuture(round: number, validator: number): boolean {
    if (!this.keeps(round, validator)) return false;
    const rounds = this.#future.get(validator) ?? [];
    if (round <= this.round || rounds.includes(round)) return true;
    const next = [...rounds, round].sort((a, b) => a - b);
    const evicted = next.length > FUTURE_ROUNDS_PER_VALIDATOR ? next.shift() : undefined;
    this.#future.set(validator, next);
    if (evicted !== undefined) {
      const votes = this.#votes.get(evicted);
      votes?.forget(validator);
      if (votes?.empty) this.#votes.delete(evicted);
      if (this.#proposals.get(evicted)?.message.proposer === validator) this.#proposals.delete(evicted);
    }
    return true;
  }

  /** Lines 57, 61, 65: a timeout counts only if the round, and the step for the first two, is still that one. */
  #onTimeout(kind: TimeoutKind, round: number): void {
    if (round !== this.round) return;
    switch (kind) {
      case "propose":
        if (this.step === "propose") this.#prevote(ZERO_HASH, -1);
        break;
      case "prevote":
        if (this.step === "prevote") this.#precommit(ZERO_HASH);
        break;
      case "precommit":
        this.#startRound(round + 1);
        break;
    }
  }

  /** Fires at most one rule; true if one fired, since it may enable another. */
  #rules(): boolean {
    if (this.step === "decided") return false;
    return this.#decideRule() || (this.step !== "new" && (this.#skipRule() || this.#roundRules()));
  }

  /** Line 49: precommits of more than two thirds for one block, in any round. */
  #decideRule(): boolean {
    for (const votes of this.#votes.values()) {
      for (const id of votes.supported()) this.#judge(id);
      const id = votes.agreed(PRECOMMIT);
      if (!id || isNil(id)) continue;
      const verdict = this.#verdicts.get(idKey(id));
      if (!verdict) continue;
      if (!verdict.valid) {
        this.#once(`alarm/${idKey(id)}`, () =>
          this.#out.push({ type: "alarm", text: "more than two thirds precommitted a block that is invalid here" }),
        );
        continue;
      }
      this.step = "decided";
      this.#out.push({ type: "decide", blockId: id, commit: commitOf(votes.quorum(PRECOMMIT) ?? []) });
      return true;
    }
    return false;
  }

  /** Line 55: messages of a later round from more than one third. */
  #skipRule(): boolean {
    let target = this.round;
    for (const [round, votes] of this.#votes) if (round > target && votes.someCorrectHere) target = round;
    if (target === this.round) return false;
    this.#startRound(target);
    return true;
  }

  #roundRules(): boolean {
    const votes = this.#round(this.round);
    if (this.step === "propose" && this.#proposalRules()) return true;
    // Line 34.
    if (this.step === "prevote" && votes.anyQuorum(PREVOTE) && this.#first("timeout/prevote")) {
      this.#schedule("prevote", this.round);
      return true;
    }
    const polka = votes.agreed(PREVOTE);
    if (polka && this.step !== "propose") {
      if (isNil(polka)) {
        // Line 44. It does not unlock: the lock is given up only through line 28.
        if (this.step === "prevote") {
          this.#precommit(ZERO_HASH);
          return true;
        }
      } else if (this.#verdict(polka)?.valid && this.#first("polka")) {
        // Line 36.
        const mark = { round: this.round, id: polka };
        this.valid = mark;
        if (this.step === "prevote") {
          this.locked = mark;
          this.#precommit(mark.id);
        }
        return true;
      }
    }
    // Line 47.
    if (votes.anyQuorum(PRECOMMIT) && this.#first("timeout/precommit")) {
      this.#schedule("precommit", this.round);
      return true;
    }
    return false;
  }

  /** Lines 22 and 28. */
  #proposalRules(): boolean {
    const proposal = this.#proposals.get(this.round);
    if (!proposal) return false;
    const { blockId: id } = proposal.message;
    const validRound = proposal.message.validRound - 1;
    if (validRound >= 0 && !this.#votes.get(validRound)?.polka(id)) return false;
    if (validRound >= this.round) return false;
    const holds = this.locked !== undefined && bytesEqual(this.locked.id, id);
    if (validRound >= 0 && this.locked?.round === validRound && !holds) {
      this.#out.push({
        type: "alarm",
        text: "two blocks have a proof-of-lock in one round: more than a third is faulty",
      });
    }
    // Stricter than lines 23 and 29, which let a node prevote what it holds whatever the proposal's validRound: then a precommit for
    // one block and a later prevote for another would prove nothing, since a lock between them could excuse it (docs/adr/0011).
    const free = this.locked === undefined || (validRound >= 0 && this.locked.round <= validRound);
    if (!free) {
      this.#prevote(ZERO_HASH, validRound);
      return true;
    }
    const verdict = this.#verdict(id);
    if (!verdict) return false;
    // A value proposed for the first time must say that it was built in this round (see docs/protocol.md, "Finality").
    const fits = verdict.valid && (validRound >= 0 || verdict.builtRound === this.round);
    this.#prevote(fits ? id : ZERO_HASH, validRound);
    return true;
  }

  #prevote(blockId: Hash, validRound: number): void {
    this.step = "prevote";
    // A nil prevote names no proposal, hence no validRound: all nil prevotes of a round are the same vote.
    this.#vote(PREVOTE, blockId, bytesEqual(blockId, ZERO_HASH) ? -1 : validRound);
  }

  #precommit(blockId: Hash): void {
    this.step = "precommit";
    this.#vote(PRECOMMIT, blockId, -1);
  }

  #vote(vote: VoteType, blockId: Hash, validRound: number): void {
    if (this.config.self < 0) return;
    this.#out.push({ type: "vote", vote, round: this.round, blockId, validRound });
  }

  #schedule(kind: TimeoutKind, round: number): void {
    const t = this.config.timeouts;
    const base = kind === "propose" ? t.proposeMs : kind === "prevote" ? t.prevoteMs : t.precommitMs;
    this.#out.push({ type: "timeout", kind, round, ms: base + round * t.deltaMs });
  }

  #verdict(id: Hash): Verdict | undefined {
    this.#judge(id);
    return this.#verdicts.get(idKey(id));
  }

  #judge(id: Hash): void {
    const key = idKey(id);
    if (this.#verdicts.has(key)) return;
    this.#once(`judge/${key}`, () => this.#out.push({ type: "judge", blockId: id }));
  }

  /** True once per round and name. */
  #first(name: string): boolean {
    const key = `${this.round}/${name}`;
    if (this.#fired.has(key)) return false;
    this.#fired.add(key);
    return true;
  }

  #once(key: string, act: () => void): void {
    if (this.#fired.has(key)) return;
    this.#fired.add(key);
    act();
  }

  #round(round: number): RoundVotes {
    let votes = this.#votes.get(round);
    if (!votes) {
      votes = new RoundVotes(this.power);
      this.#votes.set(round, votes);
    }
    return votes;
  }

  /** Whether the vote may be the one that completes a quorum: it is taken whatever else its sender has sent. */
  wants(vote: SignedVote): boolean {
    return this.#votes.get(vote.message.round)?.wants(vote) ?? false;
  }

  /** Rounds of which anything is known, ascending: what peers are told and asked for. */
  knownRounds(): number[] {
    return [...new Set([...this.#votes.keys(), ...this.#proposals.keys()])].sort((a, b) => a - b);
  }

  proposal(round: number): SignedProposal | undefined {
    return this.#proposals.get(round);
  }

  /** The prevotes that are a proof-of-lock of the round, if it has one. */
  proofOfLock(round: number): SignedVote[] {
    const votes = this.#votes.get(round)?.quorum(PREVOTE);
    return votes?.[0] && !isNil(votes[0].message.blockId) ? votes : [];
  }

  votesOf(round: number, type: VoteType): readonly (SignedVote | undefined)[] {
    return this.#votes.get(round)?.votes(type) ?? [];
  }
}

/** The certificate: the precommits of more than two thirds, validators ascending. */
function commitOf(votes: readonly SignedVote[]): Commit {
  const { height, round, blockId } = (votes[0] as SignedVote).message;
  const signatures = votes.map((v) => ({
    validator: v.message.validator,
    time: v.message.time,
    signature: v.signature,
  }));
  return { height, round, blockId, signatures };
}
