import type { Block, Validator } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { type Evidence, evidenceOf, type Offence } from "../../types/evidence.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { Opening } from "../../types/round.ts";
import { type Commit, PRECOMMIT, PREVOTE, type SignedProposal } from "../../types/vote.ts";
import { accused, offenceHeight } from "../../vm/offences.ts";
import { Bft } from "../bft/machine.ts";
import type { BftEffect, BftEvent } from "../bft/types.ts";
import { idKey } from "../bft/votes.ts";
import { precommitsOf } from "../block/commit.ts";
import type { HeightContext } from "../block/context.ts";
import type { Derived } from "../block/derive.ts";
import { encodeMessage, type Message } from "../messages.ts";
import { BlockPool } from "./blocks.ts";
import { Builder } from "./builder.ts";
import { LearningRun } from "./learning.ts";
import type { OwnMessages } from "./own.ts";
import type { EngineDeps, PhaseMark, Timings } from "./types.ts";
import type { Wal, WalEntry } from "./wal.ts";

/** Proofs of one height that are checked ahead of a block. */
const MAX_BEACONS = 2;

/** Votes and proposals of one validator that are kept: so many, and so many more for each round. */
const MESSAGES_PER_VALIDATOR = 32;
const MESSAGES_PER_ROUND = 8;

/** What a height hands back to the chain of heights. */
export type HeightOwner = {
  readonly own: OwnMessages | undefined;
  readonly wal: Wal;
  /** The model before this height; rejects only when the node stops. */
  readonly model: () => Promise<Int32Array>;
  /** For the block of this height. */
  readonly evidence: () => Evidence[];
  readonly onEvidence: (evidence: Evidence) => void;
  readonly decided: (derived: Derived, commit: Commit) => void;
};

/** One height in progress: it runs the learning session and the vote, and carries out what they ask for. */
export class HeightRun {
  readonly ctx: HeightContext;
  readonly bft: Bft;
  readonly learning: LearningRun | undefined;
  readonly blocks: BlockPool;
  readonly self: number;
  readonly #builder: Builder;
  readonly #deps: EngineDeps;
  readonly #owner: HeightOwner;
  readonly #timers = new Set<() => void>();
  readonly #queue: BftEvent[] = [];
  readonly #marks: { -readonly [P in PhaseMark]?: number } = {};
  readonly #startedAt: number;
  /** Blocks that the vote asked for and that are not here. */
  readonly #missing = new Map<string, Hash>();
  #beacons = 0;
  /** Votes and proposals taken in, by validator. */
  readonly #admitted = new Map<number, number>();
  #busy = false;
  #closed = false;
  #decision: { id: Hash; commit: Commit } | undefined;

  constructor(ctx: HeightContext, deps: EngineDeps, owner: HeightOwner) {
    this.ctx = ctx;
    this.#deps = deps;
    this.#owner = owner;
    this.#startedAt = deps.clock.now();
    const key = owner.own && deps.keys ? deps.keys.consensus.publicKey : undefined;
    this.self = key ? ctx.validators.findIndex((v) => bytesEqual(v.consensusKey, key)) : -1;
    this.bft = new Bft({
      height: ctx.height,
      validators: ctx.validators,
      self: this.self,
      proposer: ctx.proposer,
      timeouts: ctx.genesis.consensus.timeouts,
    });
    if (ctx.task && ctx.spec) {
      this.learning = new LearningRun(ctx, ctx.task, ctx.spec, deps, {
        self: this.self,
        own: owner.own,
        wal: owner.wal,
        model: owner.model,
        mark: (phase) => this.mark(phase),
        broadcast: (message) => this.#broadcast(message),
        timer: (ms, act) => this.#timer(ms, act),
        sign: (act) => this.#sign(act),
        progressed: () => this.#builder.progress(),
        ready: () => this.begin(),
        offence: (offence) => this.#onOffence(offence),
        closed: () => this.#closed,
      });
    }
    this.blocks = new BlockPool(ctx, deps, owner.model);
    const { learning } = this;
    this.#builder = new Builder(ctx, deps, {
      self: this.self,
      round: () => this.bft.round,
      blocks: this.blocks,
      learning: learning && (() => learning.inputs()),
      evidence: owner.evidence,
      built: (round, derived) => this.#onBuilt(round, derived),
      closed: () => this.#closed,
    });
  }

  /** Begins the height; after a restart `restore` has put back what was known before. */
  start(): void {
    this.blocks.prefetch();
    this.learning?.handle({ type: "start" });
    // The own proof is ready before anybody waits for it: training runs in another thread.
    if (this.self >= 0 && this.ctx.proposer(0) === this.self) {
      const proof = this.#builder.proof();
      this.#broadcast({ kind: "beacon", value: { height: this.ctx.height, proof } });
      this.ctx.beta(this.self, proof);
    }
  }

  /** The first proposer's proof, ahead of its block. Whatever it is, the block is judged by its own. */
  onBeacon(proof: Uint8Array): boolean {
    // Bounded, since a check is expensive: a false one only means that the true one is checked with the block.
    return this.#beacons++ < MAX_BEACONS && this.ctx.beta(this.ctx.proposer(0), proof) !== undefined;
  }

  close(): void {
    this.#closed = true;
    this.blocks.close();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  timings(): Timings {
    return { height: this.ctx.height, startedAt: this.#startedAt, ...this.#marks };
  }

  mark(phase: PhaseMark): void {
    this.#marks[phase] ??= this.#deps.clock.now() - this.#startedAt;
  }

  /** Words for people: what the node is doing at this height. */
  phase(): string {
    if (this.bft.step === "new") return this.learning ? this.learning.session.phase : "idle";
    return this.bft.step;
  }

  // ---- restart ----

  /** Replays the log of this height; effects that were carried out then are not carried out again. */
  restore(): void {
    const pending: BftEffect[] = [];
    let trained: Opening | undefined;
    const entries = this.#owner.wal.replay(this.ctx.height);
    let adopted = 0;
    for (const entry of entries) if (entry.type === "signed" && this.#owner.own?.adopt(entry.slot)) adopted++;
    if (adopted > 0) {
      this.#deps.log.warn(
        { height: this.ctx.height, adopted },
        "signer.state had lost messages that this node signed; they were taken back from consensus.wal. Mistrust the disk",
      );
    }
    for (const entry of entries) {
      if (entry.type === "signed") continue;
      if (entry.type === "block") this.blocks.add(entry.bytes, () => true);
      else if (entry.type === "bft") pending.push(...this.bft.handle(entry.event));
      else trained = entry.opening;
    }
    this.learning?.restore(trained);
    // Signatures are asked for again (the guard returns the same bytes), as are timers and verdicts of the round that is on.
    for (const effect of pending) {
      const stale = "round" in effect && effect.round !== this.bft.round;
      if (!stale && this.bft.step !== "decided") this.#perform(effect);
      if (effect.type === "decide") this.#perform(effect);
    }
    this.#run();
  }

  // ---- events ----

  toBft(event: BftEvent): void {
    if (this.#closed) return;
    if (!this.#log({ type: "bft", event })) return;
    this.#queue.push(event);
    this.#run();
  }

  /** False when the disk refused: then the node stops (disk.ts), the event has not happened, and no peer is to blame. */
  #log(entry: WalEntry): boolean {
    try {
      this.#owner.wal.append(entry);
      return true;
    } catch {
      this.close();
      return false;
    }
  }

  /** Starts the vote, if it has not started. */
  begin(): void {
    if (this.bft.step === "new") this.toBft({ type: "start" });
  }

  /**
   * Whether another message of this validator may be kept. A correct one sends three a round; everything admitted is logged, and a
   * faulty one must not fill the disk. What is known, or would not be kept, must not be asked for: copies of a correct one's messages, from
   * whomever, would use up its share.
   */
  admits(validator: number): boolean {
    const count = (this.#admitted.get(validator) ?? 0) + 1;
    if (count > MESSAGES_PER_VALIDATOR + MESSAGES_PER_ROUND * Math.max(0, this.bft.round)) return false;
    this.#admitted.set(validator, count);
    return true;
  }

  /**
   * A proposal whose signature is good; its block came with it or is here already, else it is pulled when it matters.
   * @param fresh false for a copy of one that was taken in: then only its block may be new
   * @returns whether anything was new
   * @throws PoflError BAD_ENCODING when the block is none; the proposal, whose sender need not be its proposer, is taken in all the same
   */
  onProposal(proposal: SignedProposal, block: Uint8Array, fresh: boolean): boolean {
    const { round, blockId } = proposal.message;
    const known = this.bft.proposal(round)?.message.blockId;
    const second = known !== undefined && !bytesEqual(known, blockId);
    const asked = (id: Hash) => bytesEqual(id, blockId) && this.#wantsBlock(second ? undefined : round, id);
    try {
      return (block.length > 0 && this.#addBlock(block, asked)) || fresh;
    } finally {
      // Whoever proposes had what it takes: no reason to wait any longer here.
      this.begin();
      this.mark("proposed");
      if (fresh) this.toBft({ type: "proposal", proposal });
    }
  }

  /** Blocks of rounds far away, and second ones, would fill the disk before anybody needs them: they are asked for when the vote does. */
  #wantsBlock(round: number | undefined, id: Hash): boolean {
    return round === this.bft.round || round === this.bft.round + 1 || this.#missing.has(idKey(id));
  }

  /** Whether the block of a proposal that is known should be sent. */
  lacksBlock(round: number, id: Hash): boolean {
    return this.blocks.bytes(id) === undefined && this.#wantsBlock(round, id);
  }

  /** The answer to a request for a block; whether it was one. @throws PoflError BAD_ENCODING */
  onBlock(bytes: Uint8Array): boolean {
    return this.#missing.size > 0 && this.#addBlock(bytes, (id) => this.#missing.has(idKey(id)));
  }

  /** Asks again for blocks that the vote needs and nobody has sent, and for what follows from one that was decided. */
  retry(): void {
    this.#finish();
    for (const id of this.#missing.values()) this.#request(id);
  }

  #request(id: Hash): void {
    this.#broadcast({ kind: "block-request", value: { height: this.ctx.height, blockId: id } });
  }

  #addBlock(bytes: Uint8Array, asked: (id: Hash) => boolean): boolean {
    const id = this.blocks.add(bytes, asked);
    if (!id || !this.#log({ type: "block", bytes })) return false;
    if (this.#missing.has(idKey(id))) this.#judge(id);
    return true;
  }

  /** Effects cause events: the queue keeps their order, and the machine is never entered twice. */
  #run(): void {
    if (this.#busy || this.#closed) return;
    this.#busy = true;
    try {
      for (let event = this.#queue.shift(); event; event = this.#queue.shift()) {
        for (const effect of this.bft.handle(event)) this.#perform(effect);
      }
    } finally {
      this.#busy = false;
    }
  }

  // ---- effects of the vote ----

  #perform(effect: BftEffect): void {
    if (this.#closed) return;
    const { height } = this.ctx;
    switch (effect.type) {
      case "timeout":
        this.#timer(effect.ms, () => this.toBft({ type: "timeout", kind: effect.kind, round: effect.round }));
        break;
      case "build":
        this.#builder.want(effect.round);
        break;
      case "judge":
        this.#judge(effect.blockId);
        break;
      case "propose":
        this.#sign((own) => {
          const proposal = own.proposal({
            height,
            round: effect.round,
            blockId: effect.blockId,
            validRound: effect.validRound + 1,
            proposer: this.self,
          });
          this.mark("proposed");
          this.#owner.wal.append({ type: "bft", event: { type: "proposal", proposal } });
          this.#queue.push({ type: "proposal", proposal });
          const block = this.blocks.bytes(effect.blockId) ?? new Uint8Array(0);
          this.#broadcast({ kind: "proposal", value: { proposal, block } });
        });
        break;
      case "vote":
        this.mark(effect.vote === PREVOTE ? "prevoted" : "precommitted");
        this.#sign((own) => {
          const vote = own.vote({
            type: effect.vote,
            height,
            round: effect.round,
            blockId: effect.blockId,
            validRound: effect.validRound + 1,
            time: effect.vote === PRECOMMIT ? this.#deps.clock.now() : 0,
            validator: this.self,
          });
          this.#owner.wal.append({ type: "bft", event: { type: "vote", vote } });
          this.#queue.push({ type: "vote", vote });
          this.#broadcast({ kind: "vote", value: vote });
        });
        break;
      case "decide":
        this.mark("decided");
        this.#decision = { id: effect.blockId, commit: effect.commit };
        this.#finish();
        break;
      case "offence":
        this.#onOffence(effect.offence);
        break;
      case "alarm":
        this.#deps.log.error({ height, round: this.bft.round }, effect.text);
        break;
    }
  }

  /** The log is flushed before a signature is made: what led to it must outlive it. */
  #sign(act: (own: OwnMessages) => void): void {
    const { own, wal } = this.#owner;
    if (!own?.signsAt(this.ctx.height)) return;
    try {
      wal.flush();
      act(own);
    } catch (error) {
      if (isPoflError(error, "DOUBLE_SIGN")) this.#deps.log.warn({ height: this.ctx.height }, error.message);
      else this.#deps.fatal(error);
    }
  }

  #onOffence(offence: Offence, validators = this.ctx.validators): void {
    const key = validators[accused(offence)]?.consensusKey;
    if (!key) return;
    const data = { height: offenceHeight(offence), validator: toHex(key), kind: offence.kind };
    if (this.#owner.own && this.#deps.keys && bytesEqual(key, this.#deps.keys.consensus.publicKey)) {
      this.#deps.log.error(data, "another process signs with the consensus key of this node: stop it, the stake burns");
    } else {
      this.#deps.log.warn(data, "a validator signed two messages that contradict each other");
    }
    this.#owner.onEvidence(evidenceOf(key, offence));
  }

  /**
   * Compares a final block with what was received here: an equivocator may have told others something else.
   * @param parent the vote on the parent, for the certificate that the block carries
   */
  compare({ learning, lastCommit }: Block, commit: Commit, parent: Bft | undefined): void {
    for (const vote of precommitsOf(commit)) this.#maybe(this.bft.offence(vote));
    if (parent) this.compareParent(lastCommit, parent);
    for (const part of learning) this.learning?.session.offences(part).forEach((offence) => this.#maybe(offence));
  }

  /** Compares the certificate that a final block carries with the vote on its parent. */
  compareParent(lastCommit: Commit, parent: Bft): void {
    for (const vote of precommitsOf(lastCommit)) this.#maybe(parent.offence(vote), parent.config.validators);
  }

  #maybe(offence: Offence | undefined, validators?: readonly Validator[]): void {
    if (offence) this.#onOffence(offence, validators);
  }

  #judge(id: Hash): void {
    const known = this.blocks.judge(id, (valid, block) => this.#onVerdict(id, valid, block));
    if (known) {
      this.#missing.delete(idKey(id));
    } else {
      this.#missing.set(idKey(id), id);
      this.#request(id);
    }
  }

  #onVerdict(id: Hash, valid: boolean, block: Block): void {
    if (this.#closed) return;
    if (this.#decision) this.#finish();
    this.toBft({ type: "verdict", blockId: id, valid, builtRound: block.header.round });
  }

  #finish(): void {
    if (!this.#decision) return;
    const { id, commit } = this.#decision;
    const derived = this.blocks.derived(id);
    if (derived) this.#owner.decided(derived, commit);
    // After a restart the verdict is remembered, but not what follows from the block.
    else this.#judge(id);
  }

  #onBuilt(round: number, derived: Derived): void {
    const bytes = this.blocks.addDerived(derived);
    // Logged before it is proposed: a second value after a restart would be an equivocation.
    if (!this.#log({ type: "block", bytes })) return;
    this.toBft({ type: "verdict", blockId: derived.id, valid: true, builtRound: round });
    this.toBft({ type: "built", round, blockId: derived.id });
  }

  #broadcast(message: Message): void {
    this.#deps.net.broadcast(encodeMessage(message));
  }

  #timer(ms: number, act: () => void): void {
    const cancel = this.#deps.clock.timer(ms, () => {
      this.#timers.delete(cancel);
      act();
    });
    this.#timers.add(cancel);
  }
}
