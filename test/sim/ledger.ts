import type { HeightContext } from "../../consensus/block/context.ts";
import type { Peeked } from "./peek.ts";

/** Everything that anybody ever signed and sent, as an outside observer would write it down. */

type Tally = Map<string, Set<number>>;

export type HeightLedger = {
  readonly ctx: HeightContext;
  readonly powers: readonly bigint[];
  readonly total: bigint;
  /** kind/round → blockId/validRound → validators. */
  readonly votes: Map<string, Tally>;
  /** Round → blockId/validRound of the proposals that its proposer signed. */
  readonly proposals: Map<number, Set<string>>;
  /** Round → whoever sent anything of it. */
  readonly senders: Map<number, Set<number>>;
};

export class Ledger {
  readonly #heights = new Map<number, HeightLedger>();
  /** Of heights that no correct node has reached: faulty ones may speak before. */
  readonly #early = new Map<number, Peeked[]>();

  /** Opens a height; its context is the same on all correct nodes as long as they agree on the block before. */
  open(ctx: HeightContext): HeightLedger {
    let height = this.#heights.get(ctx.height);
    if (!height) {
      const powers = ctx.validators.map((v) => v.power);
      const total = sum(powers);
      height = { ctx, powers, total, votes: new Map(), proposals: new Map(), senders: new Map() };
      this.#heights.set(ctx.height, height);
      for (const early of this.#early.get(ctx.height) ?? []) this.record(early);
      this.#early.delete(ctx.height);
    }
    return height;
  }

  at(height: number): HeightLedger | undefined {
    return this.#heights.get(height);
  }

  record(peeked: Peeked): void {
    const { kind, height, round, blockId, validRound, validator } = peeked;
    const known = this.#heights.get(height);
    if (!known) getOr(this.#early, height, (): Peeked[] => []).push(peeked);
    if (!known || validator >= known.powers.length) return;
    if (kind === "prevote" || kind === "precommit") {
      const tally = getOr(known.votes, `${kind}/${round}`, (): Tally => new Map());
      getOr(tally, `${blockId}/${validRound}`, () => new Set<number>()).add(validator);
    } else if (kind === "proposal") {
      if (known.ctx.proposer(round) !== validator) return;
      getOr(known.proposals, round, () => new Set<string>()).add(`${blockId}/${validRound}`);
    } else return;
    getOr(known.senders, round, () => new Set<number>()).add(validator);
  }

  power(height: number, validators: Iterable<number>): bigint {
    const powers = this.#heights.get(height)?.powers ?? [];
    let sum = 0n;
    for (const v of validators) sum += powers[v] ?? 0n;
    return sum;
  }

  /** Whether more than two thirds ever prevoted the block in that round, in answer to one and the same proposal. */
  polka(height: number, round: number, blockId: string): boolean {
    for (const [key, validators] of this.#heights.get(height)?.votes.get(`prevote/${round}`) ?? []) {
      if (key.startsWith(blockId) && this.quorum(height, validators)) return true;
    }
    return false;
  }

  quorum(height: number, validators: Iterable<number>): boolean {
    const total = this.#heights.get(height)?.total ?? 0n;
    return 3n * this.power(height, validators) > 2n * total;
  }

  /** Whether a correct node may be in the round: it saw a third there, or two thirds end the round before. */
  reachable(height: number, round: number): boolean {
    const known = this.#heights.get(height);
    if (!known || round <= 0) return true;
    if (3n * this.power(height, known.senders.get(round) ?? []) > known.total) return true;
    const precommits = known.votes.get(`precommit/${round - 1}`) ?? new Map<string, Set<number>>();
    return this.quorum(height, new Set([...precommits.values()].flatMap((s) => [...s])));
  }
}

export function sum(powers: readonly bigint[]): bigint {
  return powers.reduce((a, b) => a + b, 0n);
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
