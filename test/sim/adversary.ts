import type { HeightContext } from "../../consensus/block/context.ts";
import { encodeMessage, type Message } from "../../consensus/messages.ts";
import { signProposal, signVote } from "../../crypto/domain.ts";
import { Block } from "../../types/block.ts";
import { bytesEqual, fromHex } from "../../types/primitives.ts";
import { PREVOTE, type VoteType } from "../../types/vote.ts";
import type { Chance } from "./clock.ts";
import { react, rewrite } from "./habits.ts";
import type { SimNode } from "./node.ts";
import type { Habit } from "./params.ts";
import { type Peeked, peek } from "./peek.ts";
import type { SimWorld } from "./world.ts";

/**
 * One mind behind all faulty validators and, while the faults last, behind the network: it reads every message and aims at the moments at which a
 * careless implementation breaks. Faulty validators run the real engine; what leaves it is rewritten, and more is added.
 */
export class Adversary {
  readonly world: SimWorld;
  readonly chance: Chance;
  /** Blocks that were proposed, by id: encoded. */
  readonly blocks = new Map<string, Uint8Array>();
  readonly #values = new Map<number, string[]>();
  /** Precommits that were heard, by height and block id: validator → encoded frame. */
  readonly precommits = new Map<string, Map<number, Uint8Array>>();
  /** Frames with prevotes of correct validators: material for false evidence. */
  readonly prevotes = new Map<string, Uint8Array>();
  readonly #habits = new Map<string, readonly Habit[]>();
  readonly #held = new Set<string>();
  readonly #isolated = new Set<number>();

  constructor(world: SimWorld, chance: Chance) {
    this.world = world;
    this.chance = chance;
    for (const node of world.nodes) {
      const { habits } = world.params;
      const own = habits.filter((h) => h === "twins" || habits.length === 1 || chance.happens(0.7));
      this.#habits.set(node.name, node.options.faulty ? own : []);
    }
  }

  /** Whether a faulty node has the habit, now. */
  has(node: SimNode, habit: Habit): boolean {
    if (this.world.wire.healed && !this.world.params.faultyForEver) return false;
    return this.#habits.get(node.name)?.includes(habit) ?? false;
  }

  trick(name: SimWorld["params"]["tricks"][number]): boolean {
    return !this.world.wire.healed && this.world.params.tricks.includes(name);
  }

  faulty(): SimNode[] {
    return this.world.nodes.filter((n) => n.options.faulty && n.up);
  }

  // ---- what it sees ----

  learn(frame: Uint8Array, peeked: Peeked): void {
    const block = frame.subarray(121);
    if (block.length === 0 || this.blocks.has(peeked.blockId)) return;
    this.keep(peeked.blockId, block);
  }

  /** Remembers a block, and what the judge has to know of it. */
  keep(id: string, block: Uint8Array, invalid = false): void {
    this.blocks.set(id, block.slice());
    const { header } = Block.deserialize(block);
    this.world.builtRound.set(id, header.round);
    this.#values.set(header.height, [...this.values(header.height), id]);
    if (invalid) this.world.invalid.add(id);
  }

  /** Blocks of a height: what somebody who signs everything may sign. */
  values(height: number): readonly string[] {
    return this.#values.get(height) ?? [];
  }

  /** Somebody speaks. */
  heard(node: SimNode, peeked: Peeked, frame: Uint8Array): void {
    const { kind, height, round, blockId, validator } = peeked;
    if (kind === "proposal") this.#lockEach(peeked);
    if (kind === "precommit" && !this.precommits.get(`${height}/${blockId}`)?.has(validator)) {
      const key = `${height}/${blockId}`;
      const known = this.precommits.get(key) ?? new Map<number, Uint8Array>();
      this.precommits.set(key, known.set(validator, frame.slice()));
    }
    if (node.options.faulty || (kind !== "prevote" && kind !== "precommit" && kind !== "proposal")) return;
    if (kind === "prevote") this.prevotes.set(`${height}/${validator}/${round}/${blockId}`, frame.slice());
    this.#hold(peeked);
    if (kind === "precommit" && !/^0+$/.test(blockId) && this.trick("crash-on-lock") && this.chance.happens(0.3)) {
      // Between the signature on the disk and the last of the frames.
      node.fuse = node.effects + this.chance.whole(1, this.world.nodes.length + 2);
    }
    if (this.trick("crash-at-effect") && this.chance.happens(0.02)) {
      node.fuse = node.effects + this.chance.whole(1, 20);
    }
    // Not when a message is passed on: there are many of those, and they say nothing new.
    if (validator === node.engine?.run.self) for (const bad of this.faulty()) react(this, bad, peeked, frame);
  }

  /** Keeps one kind of message of one round from all but one. */
  #hold({ kind, height, round }: Peeked): void {
    const key = `${kind}/${height}/${round}`;
    if (!this.trick("hold-one") || this.#held.has(key)) return;
    this.#held.add(key);
    if (!this.chance.happens(0.35)) return;
    const lucky = this.chance.pick(this.world.correct).name;
    this.world.wire.hold({ kind, height, round, from: this.#allBut(lucky) }, this.chance.between(100, 1500));
    this.world.note("adversary", `holds ${key} from all but ${lucky}`);
  }

  #allBut(lucky: string): string[] {
    return this.world.nodes.map((n) => n.name).filter((name) => name !== lucky);
  }

  /**
   * Lets correct validators lock one after the other, each on what is proposed in its round: whoever locked before gets a fresh proposal too late to
   * vote for it, so that it takes the votes of the faulty to make a proof-of-lock, and these come in time to the next one only.
   */
  #lockEach({ height, round, blockId, validRound }: Peeked): void {
    const key = `lock/${height}/${round}`;
    const ctx = this.ctx(height);
    if (!ctx || !this.trick("lock-each") || this.#held.has(key)) return;
    this.#held.add(key);
    const { correct, wire } = this.world;
    const turn = (round: number) => (correct[(height + round) % correct.length] as SimNode).name;
    const [last, next] = [turn(round + correct.length - 1), turn(round)];
    const ms = this.chance.between(300, 900);
    if (validRound === 0 && last !== next) wire.hold({ kind: "proposal", height, round, from: [last] }, ms);
    for (const bad of this.faulty()) {
      const validator = this.index(bad, ctx);
      wire.hold({ kind: "prevote", height, round, validator, from: this.#allBut(next) }, ms);
      const vote = this.vote(bad, { type: PREVOTE, height, round, blockId, validRound });
      if (vote) this.send(bad, next, vote);
    }
    this.world.note("adversary", `lets only ${next} lock in ${height}/${round}, without ${last}`);
  }

  decided(node: SimNode, height: number): void {
    if (node.options.faulty || this.#isolated.has(height)) return;
    this.#isolated.add(height);
    if (this.trick("isolate-decider") && this.chance.happens(0.7)) {
      this.world.wire.isolate(node.name, this.chance.between(150, 2000));
      this.world.note("adversary", `isolates ${node.name}, which decided ${height} first`);
    }
    if (this.trick("crash-on-decide") && this.chance.happens(0.5)) node.fuse = node.effects + this.chance.whole(1, 4);
  }

  withholds(node: SimNode): boolean {
    return this.has(node, "lying-attester") || this.has(node, "withholder");
  }

  // ---- what it says ----

  outgoing(node: SimNode, to: string, frame: Uint8Array, peeked: Peeked): Uint8Array[] {
    return rewrite(this, node, to, frame, peeked);
  }

  ctx(height: number): HeightContext | undefined {
    return this.world.ledger.at(height)?.ctx;
  }

  /** Index of the node's key in the set of the height; −1 if it is out. */
  index(node: SimNode, ctx: HeightContext): number {
    return ctx.validators.findIndex((v) => bytesEqual(v.consensusKey, node.options.keys.consensus.publicKey));
  }

  send(node: SimNode, to: string, frame: Uint8Array): void {
    if (to !== node.name) this.world.wire.send(node.name, to, frame, peek(frame));
  }

  say(node: SimNode, to: string, message: Message): void {
    this.send(node, to, encodeMessage(message));
  }

  /** A vote under the node's key, written down as anybody could. */
  vote(
    node: SimNode,
    v: { type: VoteType; height: number; round: number; blockId: string; validRound: number },
  ): Uint8Array | undefined {
    const ctx = this.ctx(v.height);
    const validator = ctx ? this.index(node, ctx) : -1;
    if (validator < 0) return undefined;
    const time = v.type === 1 ? 0 : node.now() + this.chance.whole(-1000, 1000);
    const message = { ...v, blockId: fromHex(`0x${v.blockId}`), time, validator };
    const value = signVote(this.world.genesisHash, node.options.keys.consensus.secret, message);
    return this.#signed(encodeMessage({ kind: "vote", value }));
  }

  /** A proposal under the node's key, with the block if it is to be sent along. */
  proposal(
    node: SimNode,
    p: { height: number; round: number; blockId: string; validRound: number; proposer: number },
    block: Uint8Array = new Uint8Array(0),
  ): Uint8Array {
    const message = { ...p, blockId: fromHex(`0x${p.blockId}`) };
    const proposal = signProposal(this.world.genesisHash, node.options.keys.consensus.secret, message);
    return this.#signed(encodeMessage({ kind: "proposal", value: { proposal, block } }));
  }

  #signed(frame: Uint8Array): Uint8Array {
    const peeked = peek(frame);
    this.world.ledger.record(peeked);
    if (peeked.kind === "precommit") {
      const key = `${peeked.height}/${peeked.blockId}`;
      const known = this.precommits.get(key) ?? new Map<number, Uint8Array>();
      this.precommits.set(key, known.set(peeked.validator, frame));
    }
    return frame;
  }
}
