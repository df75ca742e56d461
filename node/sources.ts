import type { Peer } from "../p2p/types.ts";

/**
 * Whom to ask next: who has failed least since it last served, and of those who was asked longest ago. What peers claim plays no part: whoever
 * claims most is not the first to be asked, and one that fails comes back when the others fail too.
 */
export class Sources {
  readonly #failures = new Map<Peer, number>();
  readonly #asked = new Map<Peer, number>();
  #turn = 0;

  /** The best of the candidates, which counts as asked; undefined if there are none. */
  next(candidates: Iterable<Peer>): Peer | undefined {
    let best: Peer | undefined;
    for (const peer of candidates) if (best === undefined || this.#before(peer, best)) best = peer;
    if (best !== undefined) this.#asked.set(best, ++this.#turn);
    return best;
  }

  served(peer: Peer): void {
    this.#failures.delete(peer);
  }

  failed(peer: Peer): void {
    this.#failures.set(peer, (this.#failures.get(peer) ?? 0) + 1);
  }

  gone(peer: Peer): void {
    this.#failures.delete(peer);
    this.#asked.delete(peer);
  }

  #before(a: Peer, b: Peer): boolean {
    const failures = (this.#failures.get(a) ?? 0) - (this.#failures.get(b) ?? 0);
    return failures < 0 || (failures === 0 && (this.#asked.get(a) ?? 0) < (this.#asked.get(b) ?? 0));
  }
}
