import { genesisTimeMs } from "../../genesis/genesis.ts";
import type { CertifiedBlock } from "../../types/block.ts";
import { errorText, isPoflError } from "../../types/errors.ts";
import type { Evidence } from "../../types/evidence.ts";
import { MAX_EVIDENCE_PER_BLOCK } from "../../types/limits.ts";
import { bytesEqual, type Hash, type Height } from "../../types/primitives.ts";
import type { Commit } from "../../types/vote.ts";
import type { Bft } from "../bft/machine.ts";
import { type Head, heightContext } from "../block/context.ts";
import type { Derived } from "../block/derive.ts";
import { decodeMessage, encodeMessage, type Message, type Status } from "../messages.ts";
import { SignGuard } from "../signer.ts";
import { endingOnDiskErrors } from "./disk.ts";
import { EarlyFrames } from "./early.ts";
import { EvidencePool } from "./evidence.ts";
import { makeStatus, missingFrom } from "./exchange.ts";
import { type Decided, decided, follow } from "./follow.ts";
import { HeightRun } from "./height.ts";
import { messageHeight, receive } from "./inbox.ts";
import { TaskModel } from "./model.ts";
import { Newcomer } from "./newcomer.ts";
import { OwnMessages } from "./own.ts";
import { saidBy } from "./said.ts";
import type { EngineDeps, Timings } from "./types.ts";
import { Wal } from "./wal.ts";

/** While a height does not move, peers are told this often what is here, so that they send what is missing. */
const STATUS_MS = 400;
/** An answer to a status may be large: each peer gets one at most this often. */
const STATUS_ANSWER_MS = 100;
/** After a block that others decided: for the next one to come, if this node is behind. */
const FOLLOW_MS = 50;

/** The chain of heights: decides them one after the other, and follows those that others decided. */
export class Engine {
  readonly #deps: EngineDeps;
  readonly #signer: OwnMessages | undefined;
  /** While the signer waits. */
  #newcomer: Newcomer | undefined;
  readonly #wal: Wal;
  readonly #evidence: EvidencePool;
  readonly #model: TaskModel;
  /** The vote on the head: the certificate in the next block may hold other precommits than were sent here. */
  #lastVote: Bft | undefined;
  #head: Head;
  #run: HeightRun;
  readonly #early = new EarlyFrames();
  /** When each peer's status was answered last. */
  readonly #answered = new Map<string, number>();
  #cancelStatus: (() => void) | undefined;
  #cancelIdle: (() => void) | undefined;
  #applying: Promise<void> | undefined;
  /** Whether a block that a peer sent as final is being looked at. */
  #finalInWork = false;
  /** Peers that said that they lack connections. */
  readonly #partial = new Set<string>();
  #stopped = false;

  constructor(head: Head, given: EngineDeps) {
    const deps = endingOnDiskErrors(given);
    this.#deps = deps;
    this.#head = head;
    this.#wal = new Wal(deps.wal);
    this.#evidence = new EvidencePool(deps.genesis, deps.genesisHash);
    this.#model = new TaskModel(deps);
    const guard = new SignGuard(deps.signerLog, (slot) => this.#wal.append({ type: "signed", slot }));
    const was = Math.max(guard.height, this.#wal.lastHeight());
    if (was > head.height + 1) {
      // A database that was reset, or put back to an older copy, or lost its tail: nothing is signed again below that height.
      const from = guard.height > 0 ? `, from height ${guard.height} on` : "";
      deps.log.warn(
        { head: head.height, was },
        `the database ends at height ${head.height} (data/chain), though this node was at ${was}: it catches up from peers before it votes again${from}. If nobody reset it or put an older copy there, mistrust the disk`,
      );
    }
    this.#signer = deps.keys ? new OwnMessages(guard, deps.genesisHash, deps.keys.consensus) : undefined;
    if (deps.newSignerWaits && this.#signer && guard.height === 0) this.#newcomer = new Newcomer(deps.clock.now());
    this.#run = this.#newRun();
  }

  get head(): Head {
    return this.#head;
  }

  get run(): HeightRun {
    return this.#run;
  }

  start(): void {
    for (const evidence of this.#wal.evidence()) this.#admit(evidence);
    this.#run.restore();
    this.#begin(false);
    const tick = () => {
      this.#takePart();
      this.#run.retry();
      this.#broadcastStatus();
      this.#cancelStatus = this.#deps.clock.timer(STATUS_MS, tick);
    };
    tick();
  }

  /**
   * Lets a signer that has waited sign, once it may: it takes up the height in progress as after a restart. What peers know that its key has signed
   * there stands, as if it had been in the signer's file.
   */
  #takePart(): void {
    const { keys, clock, genesis, log } = this.#deps;
    if (!this.#newcomer || !keys || !this.#signer || this.#applying) return;
    const { height, header } = this.#head;
    const { ctx, bft, learning } = this.#run;
    const index = ctx.validators.findIndex((v) => bytesEqual(v.consensusKey, keys.consensus.publicKey));
    const alone = index >= 0 && bft.power.quorum(bft.power.each[index] ?? 0n);
    const time = header?.time ?? genesisTimeMs(genesis);
    if (!this.#newcomer.ready({ now: clock.now(), head: { height, time }, alone })) return;
    this.#newcomer = undefined;
    const said = index < 0 ? [] : saidBy(index, bft, learning?.session);
    if (said.length > 0) {
      const text = "peers know what this key has signed at this height, and this home does not: it stands";
      log.warn({ height: ctx.height, messages: said.length }, text);
    }
    try {
      for (const slot of said) this.#signer.adopt(slot);
    } catch (error) {
      // What its disk does not take it must not forget, and so it must not sign.
      this.#stopped = true;
      this.#deps.fatal(error);
      return;
    }
    this.#run.close();
    this.#run = this.#newRun();
    this.#run.restore();
    this.#begin(false);
  }

  /** Resolves when a block that is being stored is stored. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#model.close();
    this.#run.close();
    this.#cancelStatus?.();
    this.#cancelIdle?.();
    await this.#applying;
  }

  timings(): Timings {
    return this.#run.timings();
  }

  // ---- heights ----

  #newRun(): HeightRun {
    const { genesis, genesisHash, vrf } = this.#deps;
    const ctx = heightContext(this.#head, genesis, genesisHash, vrf);
    return new HeightRun(ctx, this.#deps, {
      own: this.#newcomer ? undefined : this.#signer,
      wal: this.#wal,
      model: () => this.model(),
      evidence: () => this.#evidence.forBlock(this.#head.state),
      onEvidence: (evidence) => this.#keep(evidence),
      decided: (derived, commit) => this.#decide(derived, commit),
    });
  }

  #begin(fresh: boolean, followed = false): void {
    if (this.#stopped) return;
    try {
      const { height } = this.#run.ctx;
      if (fresh || this.#wal.replay(height).length === 0) this.#wal.begin(height, this.#evidence.waiting());
    } catch {
      this.#stopped = true;
      return;
    }
    const run = this.#run;
    const start = () => {
      if (run !== this.#run || this.#stopped) return;
      if (fresh) this.#broadcastStatus();
      run.start();
    };
    // While blocks are followed one after the other, training for each of them, and telling the peers of each, would be in vain.
    if (followed) this.#deps.clock.timer(FOLLOW_MS, start);
    else start();
    this.#idle();
    for (const { peer, frame } of this.#early.take()) this.onFrame(peer, frame);
  }

  /** Without a task a block comes when a transaction waits, else once per interval. */
  #idle(): void {
    this.#cancelIdle?.();
    const run = this.#run;
    if (run.ctx.task) return;
    const start = () => {
      if (run === this.#run) run.begin();
    };
    if (this.#deps.pickTxs().length > 0) start();
    else this.#cancelIdle = this.#deps.clock.timer(this.#deps.genesis.consensus.idleIntervalMs, start);
  }

  /** A transaction has come in. */
  onTransaction(): void {
    if (!this.#stopped && !this.#run.ctx.task) this.#run.begin();
  }

  /**
   * Goes on from a head that was verified elsewhere, a snapshot's, once `store` has kept it. False if there is a chain here already.
   * An error of `store` is fatal, as with a block.
   */
  async adopt(head: Head, store: () => Promise<void>): Promise<boolean> {
    while (this.#applying) await this.#applying;
    if (this.#stopped || this.#head.height > 0) return false;
    this.#applying = store()
      .then(() => {
        this.#run.close();
        this.#head = head;
        this.#run = this.#newRun();
      })
      .catch((error) => {
        this.#deps.fatal(error);
        this.#stopped = true;
      })
      .finally(() => {
        this.#applying = undefined;
        if (!this.#stopped) this.#begin(true, true);
      });
    await this.#applying;
    return !this.#stopped;
  }

  /** A block decided here. */
  #decide(derived: Derived, commit: Commit): void {
    const { height } = derived.block.header;
    if (this.#applying || this.#stopped) return;
    if (this.#deps.allowed?.(height, derived.id) === false) {
      this.#deps.log.warn({ height }, "a block that was decided is not known to lie below the trusted one: not taken");
      return;
    }
    this.#apply([decided(this.#run.ctx, derived, commit)], false);
  }

  /** Final blocks from the height in progress on, decided here or by others (`followed`). */
  #apply(blocks: readonly Decided[], followed: boolean): void {
    this.#applying = this.#store(blocks)
      .catch((error) => {
        this.#deps.fatal(error);
        this.#stopped = true;
      })
      .finally(() => {
        this.#applying = undefined;
        if (!this.#stopped) this.#begin(true, followed);
      });
  }

  /** @param blocks only the last may have a model: see `follow` */
  async #store(blocks: readonly Decided[]): Promise<void> {
    const run = this.#run;
    const [first, second] = blocks;
    const last = blocks.at(-1);
    if (!first || !last) return;
    const { model } = last.derived;
    // The model is a file of its own; it is there before the block that names it.
    if (model) await this.#model.put(model);
    run.mark("stored");
    await this.#deps.commit(
      blocks.map(({ derived: { block, receipts }, head }, i) => ({
        certified: { block, commit: head.commit },
        receipts,
        parent: (blocks[i - 1]?.head ?? this.#head).state,
        head,
        timings: i === 0 ? run.timings() : undefined,
      })),
    );
    run.compare(first.derived.block, first.head.commit, this.#lastVote);
    if (second) run.compareParent(second.derived.block.lastCommit, run.bft);
    run.close();
    this.#head = last.head;
    this.#evidence.prune(last.head.state);
    // On the later ones nothing was received here.
    this.#lastVote = second ? undefined : run.bft;
    this.#run = this.#newRun();
    // What was lost on the way, or came to a peer before it was at that height: until a block has it.
    this.#sendEvidence((frame) => this.#deps.net.broadcast(frame));
  }

  // ---- evidence ----

  /** What was found here, or sent by a peer and new; the others may propose before this node does. */
  #keep(evidence: Evidence, from?: string): void {
    if (!this.#admit(evidence, from)) return;
    try {
      this.#wal.keep(evidence);
    } catch {
      // The disk refused, and the node ends (disk.ts).
      return;
    }
    this.#deps.net.broadcast(encodeMessage({ kind: "evidence", value: evidence }));
  }

  /** Whether it is good, and new. */
  #admit(evidence: Evidence, from?: string): boolean {
    try {
      return this.#evidence.add(evidence, this.#head.state);
    } catch (error) {
      if (!isPoflError(error, "BAD_EVIDENCE")) throw error;
      if (from) this.#deps.net.report(from, "reject", `evidence: ${error.message}`);
      else this.#deps.log.error({ err: error }, "found evidence that does not hold");
      return false;
    }
  }

  /** As much as the next block can carry: to new peers, and to all once a height. */
  #sendEvidence(send: (frame: Uint8Array) => void): void {
    for (const value of this.#evidence.waiting().slice(0, MAX_EVIDENCE_PER_BLOCK))
      send(encodeMessage({ kind: "evidence", value }));
  }

  /**
   * Follows blocks that others decided, in order: those from the height in progress on are checked (follow.ts) and stored in one synced batch, and only
   * then is any of them final here. Up to the first that can't be taken; returns how many were, which says nothing about the others: whoever has more
   * asks for the height in progress again.
   * @throws PoflError INVALID_BLOCK, BAD_COMMIT when one is forged, once those before it are stored
   */
  async applyCertified(blocks: readonly CertifiedBlock[]): Promise<number> {
    for (;;) {
      while (this.#applying) await this.#applying;
      const { ctx } = this.#run;
      const next = blocks.findIndex(({ block }) => block.header.height === ctx.height);
      if (this.#stopped || next < 0) return 0;
      const over = () => this.#stopped || this.#applying !== undefined || ctx !== this.#run.ctx;
      const { good, failure } = await follow(ctx, blocks.slice(next), this.#deps, over);
      // The height may have been decided here meanwhile: then what was derived is not needed, and the blocks after it are looked at again.
      if (over()) continue;
      if (good.length > 0) {
        this.#apply(good, true);
        await this.#applying;
      }
      if (failure) throw failure.error;
      return this.#head.height - ctx.parent.height;
    }
  }

  /** The active task's model before the height in progress. */
  model(): Promise<Int32Array> {
    return this.#model.before(this.#run.ctx);
  }

  // ---- peers ----

  status(): Status {
    const { ctx, bft, learning } = this.#run;
    const lacks = (round: number, id: Hash) => this.#run.lacksBlock(round, id);
    return makeStatus(ctx.height, this.#head.id, bft, learning?.session, lacks, this.#deps.net.peers());
  }

  #broadcastStatus(): void {
    this.#deps.net.broadcast(encodeMessage({ kind: "status", value: this.status() }));
  }

  onGone(peer: string): void {
    this.#partial.delete(peer);
    this.#answered.delete(peer);
    this.#newcomer?.gone(peer);
  }

  onPeer(peer: string): void {
    this.#deps.net.send(peer, encodeMessage({ kind: "status", value: this.status() }));
    this.#sendEvidence((frame) => this.#deps.net.send(peer, frame));
  }

  /** Order of work: decode, height, membership, duplicate, signature, then the rest. */
  onFrame(peer: string, frame: Uint8Array): void {
    if (this.#stopped) return;
    let message: Message;
    try {
      message = decodeMessage(frame);
    } catch (error) {
      this.#deps.net.report(peer, "reject", errorText(error));
      return;
    }
    const height = messageHeight(message);
    const current = this.#run.ctx.height;
    if (message.kind === "status") {
      this.#onStatus(peer, message.value);
    } else if (message.kind === "evidence") {
      this.#keep(message.value, peer);
    } else if (message.kind === "final") {
      if (height === current) void this.#onFinal(peer, message.value);
    } else if (height === current) {
      // While a block is being stored the height is over.
      if (this.#applying) return;
      const fresh = receive(
        this.#run,
        message,
        (answer) => this.#deps.net.send(peer, encodeMessage(answer)),
        (why) => this.#deps.net.report(peer, "reject", `${message.kind}: ${why}`),
      );
      if (fresh) this.#passOn(peer, frame);
    } else if (height === current + 1) {
      this.#early.add(peer, frame);
    }
  }

  /** Peers that are not connected to everyone get new messages from those who have them, at once. */
  #passOn(from: string, frame: Uint8Array): void {
    for (const peer of this.#partial) if (peer !== from) this.#deps.net.send(peer, frame);
  }

  #onStatus(peer: string, status: Status): void {
    // Some peers may be followers: then a few messages are passed on in vain, never too few.
    if (status.peers + 1 < this.#run.ctx.validators.length) this.#partial.add(peer);
    else this.#partial.delete(peer);
    this.#newcomer?.heard(peer, status.height);
    const { ctx, bft, learning, blocks } = this.#run;
    const now = this.#deps.clock.now();
    if (status.height <= ctx.height) {
      const since = now - (this.#answered.get(peer) ?? 0);
      // The clock may have been put back.
      if (since >= 0 && since < STATUS_ANSWER_MS) return;
      this.#answered.set(peer, now);
    }
    if (status.height > ctx.height) {
      // One ahead: it sends the block when it hears the own status; further ahead: blocks are pulled in order.
      this.#deps.behind(peer, status.height - 1);
    } else if (status.height === ctx.height) {
      for (const message of missingFrom(status, bft, learning?.session, (id) => blocks.bytes(id))) {
        this.#deps.net.send(peer, encodeMessage(message));
      }
    } else if (status.height === ctx.height - 1) {
      void this.#sendFinal(peer, status.height);
    }
  }

  async #sendFinal(peer: string, height: Height): Promise<void> {
    try {
      const value = await this.#deps.certified(height);
      if (value) this.#deps.net.send(peer, encodeMessage({ kind: "final", value }));
    } catch (error) {
      this.#deps.log.error({ err: error, height }, `could not read a block that a peer lacks: ${errorText(error)}`);
    }
  }

  /** One at a time: each means computing a round, and copies cost their sender nothing. What is dropped comes again by status. */
  async #onFinal(peer: string, certified: CertifiedBlock): Promise<void> {
    if (this.#finalInWork) return;
    this.#finalInWork = true;
    try {
      await this.applyCertified([certified]);
    } catch (error) {
      const bad = isPoflError(error, "INVALID_BLOCK") || isPoflError(error, "BAD_COMMIT");
      this.#deps.net.report(peer, bad ? "reject" : "ignore", errorText(error));
    } finally {
      this.#finalInWork = false;
    }
  }
}
