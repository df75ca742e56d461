import { Random } from "../random.ts";
import { type Attack, attackDelta } from "./index.ts";
import type { PastRound } from "./view.ts";

export type Coalition = {
  /** Everybody's honest delta of the round. */
  readonly deltas: readonly Float32Array[];
  /** Who attacks, by index. */
  readonly attackers: readonly number[];
  /** What everybody sent in the last round, and the step that came of it. */
  readonly past: PastRound | undefined;
  /** What each attacker sent in its first round. */
  readonly first: readonly (Float32Array | undefined)[];
  /** Tolerance of the selection. */
  readonly f: number;
  readonly seed: string;
  readonly round: number;
};

/**
 * What everybody sends when `attackers` collude and see all: their allies' updates and the honest ones of the same round, which no
 * live node can.
 */
export function coalition(attack: Attack, round: Coalition): Float32Array[] {
  const { deltas, attackers, f, seed } = round;
  const peers = deltas.filter((_, i) => !attackers.includes(i));
  const past = round.past && {
    ...round.past,
    updates: round.past.updates.filter(({ miner }) => !attackers.includes(miner)),
  };
  const allies = attackers.map((i) => deltas[i] as Float32Array);
  return deltas.map((own, i) => {
    if (!attackers.includes(i)) return own;
    return attackDelta(
      attack,
      {
        own,
        allies,
        peers,
        past,
        participants: deltas.length,
        attackers: attackers.length,
        f,
        random: new Random("attack", seed, i, round.round),
        shared: new Random("ring", seed, round.round),
      },
      round.first[i],
    );
  });
}
