import { PoflError } from "../types/errors.ts";

/** So many at a time per key; more wait in order, and past a bound are refused. */
export class Slots {
  readonly #limit: number;
  readonly #maxWaiting: number;
  readonly #keys = new Map<string, { active: number; waiting: (() => void)[] }>();

  constructor(limit: number, maxWaiting: number) {
    this.#limit = limit;
    this.#maxWaiting = maxWaiting;
  }

  /** Resolves to a function that gives the slot back (once). @throws PoflError BUSY, or what `signal` was aborted with */
  async acquire(key: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const entry = this.#keys.get(key) ?? { active: 0, waiting: [] };
    this.#keys.set(key, entry);
    if (entry.active < this.#limit) entry.active += 1;
    else {
      if (entry.waiting.length >= this.#maxWaiting) throw new PoflError("BUSY", `too many wait for ${key}`);
      // The slot passes from its holder to the first in line without becoming free in between.
      await new Promise<void>((resolve, reject) => {
        const leave = () => {
          entry.waiting.splice(entry.waiting.indexOf(go), 1);
          reject(signal?.reason);
        };
        const go = () => {
          signal?.removeEventListener("abort", leave);
          resolve();
        };
        entry.waiting.push(go);
        signal?.addEventListener("abort", leave, { once: true });
      });
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = entry.waiting.shift();
      if (next) next();
      else if (--entry.active === 0) this.#keys.delete(key);
    };
  }
}
