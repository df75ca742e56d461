import { Bft } from "../../consensus/bft/machine.ts";
import type { BftEffect, BftEvent } from "../../consensus/bft/types.ts";
import { idKey } from "../../consensus/bft/votes.ts";
import type { Validator } from "../../types/block.ts";
import type { Offence } from "../../types/evidence.ts";
import type { Hash } from "../../types/primitives.ts";
import type { SignedProposal, SignedVote, VoteType } from "../../types/vote.ts";

/** Bare Tendermint machines on a virtual network: unsigned messages, seeded order, virtual time. */

export const TIMEOUTS = { proposeMs: 300, prevoteMs: 100, precommitMs: 100, deltaMs: 50 };

export function validators(powers: readonly number[]): Validator[] {
  return powers.map((power, i) => ({
    address: new Uint8Array(20).fill(i + 1),
    institution: new Uint8Array(32).fill(i + 1),
    consensusKey: new Uint8Array(32).fill(i + 1),
    vrfKey: new Uint8Array(32).fill(i + 1),
    power: BigInt(power),
    committeeWeight: BigInt(power),
  }));
}

/** An id for a value: "who built it, in which round". */
export function valueId(builder: number, round: number, salt = 0): Hash {
  const id = new Uint8Array(32);
  id.set([1, builder, round, salt]);
  return id;
}

export function vote(type: VoteType, round: number, blockId: Hash, validator: number, validRound = -1): SignedVote {
  const message = { type, height: 1, round, blockId, validRound: validRound + 1, time: 0, validator };
  return { message, signature: new Uint8Array(64) };
}

export function proposal(round: number, blockId: Hash, proposer: number, validRound = -1): SignedProposal {
  return {
    message: { height: 1, round, blockId, validRound: validRound + 1, proposer },
    signature: new Uint8Array(64),
  };
}

/** mulberry32. */
export function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

type Queued = { at: number; seq: number; node: number; event: BftEvent };
export type Decision = { node: number; id: string; round: number };

export type ClusterOptions = {
  powers: readonly number[];
  seed: number;
  /** Mean delay, ms; and the chance that a message is lost before `healAt`. */
  delay: number;
  loss: number;
  healAt: number;
  /** Nodes that run no machine; `act` speaks for them when a correct node sends something. */
  byzantine?: readonly number[];
  act?: (cluster: Cluster, from: number, event: BftEvent) => void;
  /** Sees every message that a correct node sends, or is given. */
  sees?: (event: BftEvent) => void;
  /** Nodes that never hear each other. */
  apart?: (from: number, to: number) => boolean;
};

/**
 * Correct nodes, one height. After `healAt` nothing is lost, and what any correct node sent or received reaches all of them:
 * the gossip property that the algorithm assumes.
 */
export class Cluster {
  readonly nodes: (Bft | undefined)[];
  readonly decisions: Decision[] = [];
  /** What the correct nodes found. */
  readonly offences: Offence[] = [];
  readonly sent: { node: number; event: BftEvent }[] = [];
  readonly rand: () => number;
  readonly options: ClusterOptions;
  now = 0;
  #queue: Queued[] = [];
  #seq = 0;
  #healed = false;
  readonly #known = new Set<BftEvent>();

  constructor(options: ClusterOptions) {
    this.options = options;
    this.rand = random(options.seed);
    const set = validators(options.powers);
    this.nodes = set.map((_, self) =>
      options.byzantine?.includes(self)
        ? undefined
        : new Bft({ height: 1, validators: set, self, proposer: (r) => r % set.length, timeouts: TIMEOUTS }),
    );
    this.nodes.forEach((_, i) => this.at(i, this.rand() * options.delay, { type: "start" }));
  }

  at(node: number, delay: number, event: BftEvent): void {
    this.#queue.push({ at: this.now + delay, seq: this.#seq++, node, event });
  }

  send(from: number, to: number, event: BftEvent): void {
    if (this.options.apart?.(from, to)) return;
    if (this.now < this.options.healAt && this.rand() < this.options.loss) return;
    this.at(to, -Math.log(1 - this.rand()) * this.options.delay, event);
  }

  broadcast(from: number, event: BftEvent): void {
    this.nodes.forEach((_, to) => {
      if (to === from) this.at(to, 0, event);
      else this.send(from, to, event);
    });
    if (this.nodes[from]) this.options.act?.(this, from, event);
  }

  /** Runs until all correct nodes have decided or `until` is reached; true if they have. */
  run(until: number): boolean {
    const correct = this.nodes.filter((n) => n !== undefined).length;
    while (this.decisions.length < correct) {
      // A linear scan keeps this readable; queues here are short.
      let best = -1;
      this.#queue.forEach((q, i) => {
        const b = this.#queue[best];
        if (!b || q.at < b.at || (q.at === b.at && q.seq < b.seq)) best = i;
      });
      const next = this.#queue[best];
      if (!this.#healed && (!next || next.at >= this.options.healAt)) {
        this.#healed = true;
        this.now = Math.max(this.now, this.options.healAt);
        for (const { node, event } of [...this.sent]) this.nodes.forEach((_, to) => this.send(node, to, event));
        continue;
      }
      if (!next || next.at > until) return false;
      this.#queue.splice(best, 1);
      this.now = Math.max(this.now, next.at);
      const bft = this.nodes[next.node];
      if (!bft) continue;
      if ((next.event.type === "vote" || next.event.type === "proposal") && !this.#known.has(next.event)) {
        this.#known.add(next.event);
        this.options.sees?.(next.event);
        if (this.#healed) this.nodes.forEach((_, to) => this.send(next.node, to, next.event));
        else this.sent.push({ node: next.node, event: next.event });
      }
      for (const effect of bft.handle(next.event)) this.#perform(next.node, effect);
    }
    return true;
  }

  #perform(node: number, effect: BftEffect): void {
    switch (effect.type) {
      case "timeout":
        this.at(node, effect.ms, { type: "timeout", kind: effect.kind, round: effect.round });
        break;
      case "build": {
        const blockId = valueId(node, effect.round);
        this.at(node, 0, { type: "verdict", blockId, valid: true, builtRound: effect.round });
        this.at(node, 0, { type: "built", round: effect.round, blockId });
        break;
      }
      case "judge":
        // Everything that starts with 1 is a valid value, built in the round that it names.
        this.at(node, this.rand() * 5, {
          type: "verdict",
          blockId: effect.blockId,
          valid: effect.blockId[0] === 1,
          builtRound: effect.blockId[2] as number,
        });
        break;
      case "propose":
        this.broadcast(node, {
          type: "proposal",
          proposal: proposal(effect.round, effect.blockId, node, effect.validRound),
        });
        break;
      case "vote":
        this.broadcast(node, {
          type: "vote",
          vote: vote(effect.vote, effect.round, effect.blockId, node, effect.validRound),
        });
        break;
      case "decide":
        this.decisions.push({ node, id: idKey(effect.blockId), round: effect.commit.round });
        break;
      case "offence":
        this.offences.push(effect.offence);
        break;
      case "alarm":
        break;
    }
  }
}
