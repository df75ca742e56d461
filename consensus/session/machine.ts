import type { Offence } from "../../types/evidence.ts";
import type { Hash } from "../../types/primitives.ts";
import {
  type AttestedUpdate,
  HELD,
  type Learning,
  NO_REVEAL,
  NO_VOTE,
  NOT_HELD,
  type Opening,
  type Reveal,
  type SignedAttestation,
  type SignedClosing,
  type SignedPledge,
} from "../../types/round.ts";
import { accused, attestationOffence, closingOffence, pledgeOffence } from "../../vm/offences.ts";
import { idKey } from "../bft/votes.ts";
import { faults } from "../committee.ts";
import type { SessionConfig, SessionEffect, SessionEvent, SessionPhase, SessionTimer } from "./types.ts";

/** A miner that signs two commitments is stored twice at most: one of them may be the one that others closed. */
const PLEDGES_PER_MINER = 2;

type Candidate = {
  readonly miner: number;
  readonly commitment: Hash;
  pledge: SignedPledge | undefined;
  readonly closers: Set<number>;
  reveal: Reveal | undefined;
  held: boolean;
};

/**
 * One learning session. A phase ends when everyone expected has answered, else when its window is over; copying others' updates
 * is impossible by counting: whoever has seen a reveal can no longer gather c − f_c closings for a new commitment.
 */
export class Session {
  readonly config: SessionConfig;
  /** Closings that make a commitment eligible, and attestations that make a block: c − f_c. */
  readonly quorum: number;
  phase: SessionPhase = "training";
  readonly #candidates = new Map<string, Candidate>();
  /** The first commitment seen of each miner: the only one that an own closing lists. */
  readonly #first = new Map<number, Candidate>();
  readonly #closings = new Map<number, SignedClosing>();
  readonly #attestations = new Map<number, SignedAttestation>();
  /** Validators of which an offence was told: one of each is enough. */
  readonly #accused = new Set<number>();
  readonly #timers = new Set<SessionTimer>();
  readonly #over = new Set<SessionTimer>();
  #own: Opening | undefined;
  #ownCommitment: Hash | undefined;
  #started = false;
  #revealed = false;
  #judging = false;
  #out: SessionEffect[] = [];

  constructor(config: SessionConfig) {
    this.config = config;
    this.quorum = config.committee.length - faults(config.committee.length);
  }

  handle(event: SessionEvent): SessionEffect[] {
    this.#out = [];
    switch (event.type) {
      case "start":
        this.#start();
        break;
      case "trained":
        this.#own = event.opening;
        this.#ownCommitment = event.commitment;
        if (this.phase === "training") this.phase = "pledging";
        // Too late for an own closing, but other members may still be open.
        this.#out.push({ type: "pledge", commitment: event.commitment });
        break;
      case "pledge":
        this.#onPledge(event.pledge);
        break;
      case "closing":
        this.#onClosing(event.closing);
        break;
      case "reveal":
        this.#onReveal(event.reveal, event.commitment);
        break;
      case "held": {
        const candidate = this.#candidates.get(candidateKey(event.miner, event.commitment));
        if (candidate?.reveal) candidate.held = true;
        break;
      }
      case "judged":
        this.#attest(event);
        break;
      case "attestation":
        this.#onAttestation(event.attestation);
        break;
      case "timeout":
        this.#over.add(event.timer);
        break;
    }
    if (this.#started) this.#progress();
    return this.#out;
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#timer("pledge", this.config.windows.pledgeMs);
    if (this.config.trains && this.config.self >= 0 && !this.#own) this.#out.push({ type: "train" });
    else this.phase = "pledging";
  }

  #onPledge(pledge: SignedPledge): void {
    const { miner, commitment } = pledge.message;
    const known = this.#candidates.get(candidateKey(miner, commitment));
    if (known?.pledge) return;
    this.#accuse(this.#againstPledge(pledge));
    if (!known && this.#pledged(miner) >= PLEDGES_PER_MINER) return;
    const candidate = known ?? this.#candidate(miner, commitment);
    candidate.pledge = pledge;
    if (!this.#first.has(miner)) this.#first.set(miner, candidate);
  }

  #onClosing(closing: SignedClosing): void {
    const { member, commitments } = closing.message;
    const earlier = this.#closings.get(member);
    if (earlier) this.#accuse(closingOffence(earlier, closing));
    if (earlier || !this.config.committee.includes(member)) return;
    this.#closings.set(member, closing);
    for (const { miner, commitment } of commitments) this.#candidate(miner, commitment).closers.add(member);
  }

  #onReveal(reveal: Reveal, commitment: Hash): void {
    // Only what was pledged can be revealed; a reveal that overtakes its pledge comes again when peers compare notes.
    const candidate = this.#candidates.get(candidateKey(reveal.opening.miner, commitment));
    if (!candidate?.pledge || candidate.reveal) return;
    candidate.reveal = reveal;
    this.#out.push({ type: "fetch", opening: reveal.opening, commitment });
  }

  #onAttestation(attestation: SignedAttestation): void {
    const { member } = attestation.message;
    const earlier = this.#attestations.get(member);
    if (earlier) this.#accuse(attestationOffence(earlier, attestation));
    if (earlier || !this.config.committee.includes(member)) return;
    this.#attestations.set(member, attestation);
  }

  #accuse(offence: Offence | undefined): void {
    if (!offence || this.#accused.has(accused(offence))) return;
    this.#accused.add(accused(offence));
    this.#out.push({ type: "offence", offence });
  }

  #againstPledge(pledge: SignedPledge): Offence | undefined {
    const first = this.#first.get(pledge.message.miner)?.pledge;
    return first && pledgeOffence(first, pledge);
  }

  /** What the signed messages of a block prove together with those that are here. */
  offences({ pledges, attestations }: Pick<Learning, "pledges" | "attestations">): Offence[] {
    return [
      ...pledges.map((pledge) => this.#againstPledge(pledge)),
      ...attestations.map((attestation) => {
        const earlier = this.#attestations.get(attestation.message.member);
        return earlier && attestationOffence(earlier, attestation);
      }),
    ].filter((offence) => offence !== undefined);
  }

  #progress(): void {
    this.#close();
    this.#reveal();
    this.#judge();
    this.#conclude();
  }

  /** CLOSE: everyone expected has pledged, or the window is over. */
  #close(): void {
    const { self, committee, expected } = this.config;
    const complete = expected.every((e, miner) => !e || this.#first.has(miner));
    if (!complete && !this.#over.has("pledge")) return;
    if (committee.includes(self) && !this.#closings.has(self)) {
      const commitments = [...this.#first.values()]
        .sort((a, b) => a.miner - b.miner)
        .map(({ miner, commitment }) => ({ miner, commitment }));
      this.#out.push({ type: "close", commitments });
    }
    if (this.phase === "training" || this.phase === "pledging") this.phase = "revealing";
    this.#timer("reveal", this.config.windows.revealMs);
  }

  /** REVEAL: only with c − f_c closings in hand that list the own commitment. */
  #reveal(): void {
    if (this.#revealed || !this.#own || !this.#ownCommitment) return;
    const own = this.#candidates.get(candidateKey(this.#own.miner, this.#ownCommitment));
    if (!own?.pledge || own.closers.size < this.quorum) return;
    this.#revealed = true;
    this.#out.push({ type: "reveal", opening: this.#own });
  }

  /** All closings that can be expected are here, and all updates that they make eligible. */
  #allHeld(): boolean {
    const { committee, expected } = this.config;
    const closed = committee.every((m) => !expected[m] || this.#closings.has(m)) && this.#closings.size >= this.quorum;
    return closed && this.eligible().every((c) => c.held);
  }

  #judge(): void {
    const { self, committee } = this.config;
    if (this.#judging || !committee.includes(self) || this.#attestations.has(self)) return;
    if (!this.#closings.has(self)) return;
    if (!this.#allHeld() && !this.#over.has("reveal")) return;
    this.#judging = true;
    this.phase = "judging";
    const openings = this.eligible().flatMap((c) => (c.held && c.reveal ? [c.reveal.opening] : []));
    this.#out.push({ type: "judge", openings });
  }

  #attest({ votes, metrics }: Extract<SessionEvent, { type: "judged" }>): void {
    if (this.#attestations.has(this.config.self)) return;
    const updates: AttestedUpdate[] = this.eligible().map((c) => ({
      miner: c.miner,
      commitment: c.commitment,
      status: c.held ? HELD : c.reveal ? NOT_HELD : NO_REVEAL,
      // An update that arrived while the others were being judged is held, but has no vote.
      vote: (c.held ? votes.get(c.miner) : undefined) ?? NO_VOTE,
    }));
    this.phase = "attesting";
    this.#out.push({ type: "attest", updates, metrics });
  }

  #conclude(): void {
    if (this.phase === "ready") return;
    const { committee, expected } = this.config;
    const enough = this.#attestations.size >= this.quorum;
    if (enough || this.#over.has("reveal")) this.#timer("attest", this.config.windows.attestMs);
    const complete = enough && committee.every((m) => !expected[m] || this.#attestations.has(m));
    if (!complete && !this.#over.has("attest")) return;
    this.phase = "ready";
    this.#out.push({ type: "ready" });
  }

  #timer(timer: SessionTimer, ms: number): void {
    if (this.#timers.has(timer)) return;
    this.#timers.add(timer);
    this.#out.push({ type: "timeout", timer, ms });
  }

  #candidate(miner: number, commitment: Hash): Candidate {
    const key = candidateKey(miner, commitment);
    let candidate = this.#candidates.get(key);
    if (!candidate) {
      candidate = { miner, commitment, pledge: undefined, closers: new Set(), reveal: undefined, held: false };
      this.#candidates.set(key, candidate);
    }
    return candidate;
  }

  /** Commitments that c − f_c closings list, by miner: two closings sets overlap in a correct member, so one each. */
  eligible(): Candidate[] {
    return [...this.#candidates.values()]
      .filter((c) => c.closers.size >= this.quorum)
      .sort((a, b) => a.miner - b.miner);
  }

  pledges(): SignedPledge[] {
    return [...this.#candidates.values()].flatMap((c) => (c.pledge ? [c.pledge] : []));
  }

  pledgeOf(miner: number, commitment: Hash): SignedPledge | undefined {
    return this.#candidates.get(candidateKey(miner, commitment))?.pledge;
  }

  revealOf(miner: number, commitment: Hash): Reveal | undefined {
    return this.#candidates.get(candidateKey(miner, commitment))?.reveal;
  }

  closings(): SignedClosing[] {
    return [...this.#closings.values()];
  }

  closingOf(member: number): SignedClosing | undefined {
    return this.#closings.get(member);
  }

  reveals(): Reveal[] {
    return [...this.#candidates.values()].flatMap((c) => (c.reveal ? [c.reveal] : []));
  }

  attestations(): SignedAttestation[] {
    return [...this.#attestations.values()].sort((a, b) => a.message.member - b.message.member);
  }

  attestationOf(member: number): SignedAttestation | undefined {
    return this.#attestations.get(member);
  }

  /** True if the pledge is new, and would be stored: the second of a miner proves that it signs two. */
  wantsPledge({ message: { miner, commitment } }: SignedPledge): boolean {
    const known = this.#candidates.get(candidateKey(miner, commitment));
    return known ? !known.pledge : this.#pledged(miner) < PLEDGES_PER_MINER;
  }

  /** True if it would be stored, or is the first proof that its member signs two: all else is passed on to nobody. */
  wantsClosing(closing: SignedClosing): boolean {
    const { member } = closing.message;
    const earlier = this.#closings.get(member);
    return earlier ? this.#isNews(closingOffence(earlier, closing)) : this.config.committee.includes(member);
  }

  wantsAttestation(attestation: SignedAttestation): boolean {
    const { member } = attestation.message;
    const earlier = this.#attestations.get(member);
    return earlier ? this.#isNews(attestationOffence(earlier, attestation)) : this.config.committee.includes(member);
  }

  #isNews(offence: Offence | undefined): boolean {
    return offence !== undefined && !this.#accused.has(accused(offence));
  }

  #pledged(miner: number): number {
    return [...this.#candidates.values()].filter((c) => c.miner === miner && c.pledge).length;
  }
}

function candidateKey(miner: number, commitment: Hash): string {
  return `${miner}/${idKey(commitment)}`;
}
