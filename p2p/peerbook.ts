import type { Limits } from "./limits.ts";
import type { Peer } from "./types.ts";

/** Who could be dialled, where, and when next. Pure: clock and randomness are arguments. */

export type Entry = {
  /** Unknown for a bootnode given without one, until it is reached. */
  peer: Peer | undefined;
  /** Multiaddrs without the peer id. */
  addresses: readonly string[];
  readonly bootnode: boolean;
  failures: number;
  nextDialAt: number;
};

type BookLimits = Pick<Limits, "maxKnownPeers" | "maxAddressesPerPeer" | "redialMinMs" | "redialMaxMs" | "redialTries">;

export class PeerBook {
  readonly #limits: BookLimits;
  readonly #self: Peer;
  #entries: Entry[] = [];

  constructor(self: Peer, limits: BookLimits) {
    this.#self = self;
    this.#limits = limits;
  }

  get(peer: Peer): Entry | undefined {
    return this.#entries.find((e) => e.peer === peer);
  }

  addBootnode(peer: Peer | undefined, address: string): void {
    if (peer === this.#self) return;
    const known = peer ? this.get(peer) : undefined;
    if (known) known.addresses = [...new Set([...known.addresses, address])];
    else this.#entries.push({ peer, addresses: [address], bootnode: true, failures: 0, nextDialAt: 0 });
  }

  /** What a third peer says: taken when nothing is known yet, or as a further try when what is known leads nowhere. */
  hear(peer: Peer, addresses: readonly string[], now: number): void {
    if (peer === this.#self || addresses.length === 0) return;
    const known = this.get(peer);
    if (known) {
      // A node that moved: a bootnode of an old genesis file, say. Its own word, once reached, settles it.
      if (known.failures > 0) known.addresses = this.#cut([...known.addresses.slice(0, 1), ...addresses]);
      return;
    }
    if (this.#entries.length >= this.#limits.maxKnownPeers && !this.#forgetWorst()) return;
    // Two that hear of each other at the same moment would both dial: the larger id waits.
    const nextDialAt = this.#self < peer ? now : now + 1000;
    this.#entries.push({ peer, addresses: this.#cut(addresses), bootnode: false, failures: 0, nextDialAt });
  }

  /** What the peer itself says over an authenticated connection. */
  confirm(peer: Peer, addresses: readonly string[], now: number): void {
    this.hear(peer, addresses, now);
    const entry = this.get(peer);
    if (!entry) return;
    if (!entry.bootnode && addresses.length > 0) entry.addresses = this.#cut(addresses);
    entry.failures = 0;
  }

  /** Entries to dial now. */
  due(now: number, connected: (peer: Peer) => boolean): Entry[] {
    return this.#entries.filter((e) => e.nextDialAt <= now && !(e.peer && connected(e.peer)));
  }

  /** A dial failed, or the peer went away: the pause doubles, ± a quarter. */
  failed(entry: Entry, now: number, random: number): void {
    const pause = Math.min(this.#limits.redialMaxMs, this.#limits.redialMinMs * 2 ** Math.min(entry.failures, 16));
    entry.failures += 1;
    entry.nextDialAt = now + pause * (0.75 + random / 2);
    if (!entry.bootnode && entry.failures >= this.#limits.redialTries) this.#remove(entry);
  }

  reached(entry: Entry, peer: Peer, now: number): void {
    // A bootnode without a name may turn out to be somebody we know, or ourselves.
    const twin = this.#entries.find((e) => e !== entry && e.peer === peer);
    if (twin) this.#remove(twin);
    entry.peer = peer;
    entry.failures = 0;
    entry.nextDialAt = now + this.#limits.redialMinMs;
  }

  /** Leaves a peer alone for a while. */
  postpone(peer: Peer, until: number): void {
    const entry = this.get(peer);
    if (entry) entry.nextDialAt = Math.max(entry.nextDialAt, until);
  }

  get size(): number {
    return this.#entries.length;
  }

  #cut(addresses: readonly string[]): string[] {
    return [...new Set(addresses)].slice(0, this.#limits.maxAddressesPerPeer);
  }

  #remove(entry: Entry): void {
    this.#entries = this.#entries.filter((e) => e !== entry);
  }

  /** Makes room by dropping the entry that failed most often, if any did. */
  #forgetWorst(): boolean {
    const worst = this.#entries.filter((e) => !e.bootnode && e.failures > 0).sort((a, b) => b.failures - a.failures)[0];
    if (worst) this.#remove(worst);
    return worst !== undefined;
  }
}
