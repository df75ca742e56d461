import type { Peer } from "../p2p/types.ts";

/**
 * Whom to ask next: who has failed least since it last served, and of those who was asked longest ago. What peers claim plays no part: whoever
 * claims most is not the first to be asked, and one that fails comes back when the others fail too.
 */
export class Sources {
  readonly #failures = new Map<Peer, number>();
  readonly #asked = new Map<Peer, number>();
  #turn = 0;

  /** The best first. */
  order(candidates: Iterable<Peer>): Peer[] {
    const count = (map: ReadonlyMap<Peer, number>, peer: Peer) => map.get(peer) ?? 0;
    const by = (map: ReadonlyMap<Peer, number>) => (a: Peer, b: Peer) => count(map, a) - count(map, b);
    return [...candidates].sort((a, b) => by(this.#failures)(a, b) || by(this.#asked)(a, b));
  }

  served(peer: Peer): void {
    this.#asked.set(peer, ++this.#turn);
    this.#failures.delete(peer);
  }

  /** Returns how often it has failed since it last served. */
  failed(peer: Peer): number {
    this.#asked.set(peer, ++this.#turn);
    const failures = (this.#failures.get(peer) ?? 0) + 1;
    this.#failures.set(peer, failures);
    return failures;
  }

  gone(peer: Peer): void {
    this.#failures.delete(peer);
    this.#asked.delete(peer);
  }
}
