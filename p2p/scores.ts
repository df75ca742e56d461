import type { Limits } from "./limits.ts";
import type { Peer, Verdict } from "./types.ts";

/** A number per peer that decays to zero. The clock is an argument, in milliseconds. */

const POINTS: Readonly<Record<Verdict, number>> = { accept: 0.1, ignore: 0, reject: -10 };
/** Credit must not buy more than half a lie. */
const MAX_SCORE = 5;

export type Standing = "good" | "disconnect" | "banned";

export class Scores {
  readonly #limits: Pick<Limits, "disconnectScore" | "banScore" | "banMs" | "scoreHalfLifeMs">;
  readonly #entries = new Map<Peer, { score: number; at: number; bannedUntil: number }>();

  constructor(limits: Pick<Limits, "disconnectScore" | "banScore" | "banMs" | "scoreHalfLifeMs">) {
    this.#limits = limits;
  }

  score(peer: Peer, now: number): number {
    const entry = this.#entries.get(peer);
    return entry ? entry.score * 2 ** (-(now - entry.at) / this.#limits.scoreHalfLifeMs) : 0;
  }

  /** Counts the verdict; returns what is to be done with the peer. */
  report(peer: Peer, verdict: Verdict, now: number): Standing {
    if (verdict === "ignore") return "good";
    const score = Math.min(MAX_SCORE, this.score(peer, now) + POINTS[verdict]);
    const banned = score <= this.#limits.banScore;
    const bannedUntil = banned ? now + this.#limits.banMs : (this.#entries.get(peer)?.bannedUntil ?? 0);
    this.#entries.set(peer, { score, at: now, bannedUntil });
    if (banned) return "banned";
    return verdict === "reject" && score <= this.#limits.disconnectScore ? "disconnect" : "good";
  }

  banned(peer: Peer, now: number): boolean {
    return (this.#entries.get(peer)?.bannedUntil ?? 0) > now;
  }

  /** Forgets peers whose score has all but decayed. */
  prune(now: number): void {
    for (const [peer, entry] of this.#entries) {
      if (entry.bannedUntil <= now && Math.abs(this.score(peer, now)) < 0.05) this.#entries.delete(peer);
    }
  }

  get size(): number {
    return this.#entries.size;
  }
}
