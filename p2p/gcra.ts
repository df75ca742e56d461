/**
 * The generic cell rate algorithm (ITU-T I.371 annex A, "virtual scheduling"): a limit in units per second with a burst, in one
 * timestamp per key. The clock is an argument, in milliseconds.
 */
export class Gcra {
  readonly #msPerUnit: number;
  readonly #burstMs: number;
  /** Theoretical arrival time: when the key's quota is whole again. */
  readonly #arrival = new Map<string, number>();

  constructor(unitsPerSecond: number, burstUnits: number) {
    this.#msPerUnit = 1000 / unitsPerSecond;
    this.#burstMs = burstUnits * this.#msPerUnit;
  }

  /** How long `key` must wait, in ms, before it may spend `units`; 0 = at once. Nothing is spent. */
  wait(key: string, units: number, now: number): number {
    const start = Math.max(this.#arrival.get(key) ?? now, now);
    return Math.max(0, start + units * this.#msPerUnit - this.#burstMs - now);
  }

  /** Spends `units`; returns the wait that goes with them. */
  spend(key: string, units: number, now: number): number {
    const wait = this.wait(key, units, now);
    const start = Math.max(this.#arrival.get(key) ?? now, now);
    this.#arrival.set(key, start + units * this.#msPerUnit);
    return wait;
  }

  /** Forgets keys whose quota is whole; they would start there anyway. */
  prune(now: number): void {
    for (const [key, arrival] of this.#arrival) if (arrival <= now) this.#arrival.delete(key);
  }

  get size(): number {
    return this.#arrival.size;
  }
}
