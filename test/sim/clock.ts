/** Virtual time: one heap of events, ordered by time and then by when they were scheduled. */

export type Scheduled = { at: number; seq: number; act: (() => void) | undefined };

export class VirtualClock {
  now: number;
  readonly #heap: Scheduled[] = [];
  #seq = 0;

  constructor(start: number) {
    this.now = start;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Schedules; the result cancels. */
  at(delay: number, act: () => void): () => void {
    const entry: Scheduled = { at: this.now + Math.max(0, delay), seq: this.#seq++, act };
    this.#push(entry);
    return () => {
      entry.act = undefined;
    };
  }

  /** Advances to the next event that was not cancelled and returns it; undefined when there is none up to `until`. */
  next(until: number): (() => void) | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (!first || first.at > until) {
        this.now = Math.max(this.now, until);
        return undefined;
      }
      this.#pop();
      if (!first.act) continue;
      this.now = Math.max(this.now, first.at);
      return first.act;
    }
  }

  #push(entry: Scheduled): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, heap[parent] as Scheduled)) break;
      heap[i] = heap[parent] as Scheduled;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Scheduled;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child++;
      if (!before(heap[child] as Scheduled, last)) break;
      heap[i] = heap[child] as Scheduled;
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq);
}

/** Lets every promise that can settle now do so: in a simulation none waits for anything but the virtual clock. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Seeded chance: mulberry32, with the draws that a simulation needs. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  happens(probability: number): boolean {
    return this.unit() < probability;
  }

  /** Uniform whole number in [from, to]. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.unit() * (to - from + 1));
  }

  between(from: number, to: number): number {
    return from + this.unit() * (to - from);
  }

  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean;
  }

  pick<T>(of: readonly T[]): T {
    return of[this.whole(0, of.length - 1)] as T;
  }

  /** Each element with even chance. */
  some<T>(of: readonly T[], probability = 0.5): T[] {
    return of.filter(() => this.happens(probability));
  }

  shuffled<T>(of: readonly T[]): T[] {
    const all = [...of];
    for (let i = all.length - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [all[i], all[j]] = [all[j] as T, all[i] as T];
    }
    return all;
  }

  /** A stream of its own, so that drawing more for one purpose does not change another. */
  fork(): Chance {
    return new Chance(Math.floor(this.unit() * 4294967296));
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.whole(0, 255));
  }
}
