import type { Random } from "../random.ts";

/** The public record of the last learning round: what all but the colluders revealed, and the step that the global model took. Real units. */
export type PastRound = {
  readonly updates: readonly { readonly miner: number; readonly delta: Float32Array }[];
  readonly step: Float32Array;
};

/** What an attacker knows when it must pledge. Never an honest update of the same round, unless `peers` is given. */
export type AttackView = {
  /** Its own honest delta, real units, after `clipNorm`. Free-riders must not look: they haven't trained. */
  readonly own: Float32Array;
  /** Honest deltas of this round of all colluders, its own included: they share them off the chain. */
  readonly allies: readonly Float32Array[];
  /** The others' honest deltas of this round: the omniscient worst case of the papers, for simulations. A live node leaves it out. */
  readonly peers?: readonly Float32Array[] | undefined;
  readonly past?: PastRound | undefined;
  /** Updates expected in the round, and how many of them by colluders, whether they share their own or not. */
  readonly participants: number;
  readonly attackers: number;
  /** Tolerance of the selection, as the attacker supposes it. */
  readonly f: number;
  readonly random: Random;
  /** The same stream for all colluders. */
  readonly shared: Random;
};
