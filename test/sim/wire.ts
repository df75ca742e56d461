import type { Chance, VirtualClock } from "./clock.ts";
import type { Params } from "./params.ts";
import type { Peeked } from "./peek.ts";

/** The network between machines: every frame travels alone, so that nothing is in order unless chance puts it so. */

/** Keeps what it names from some, until it is lifted. */
export type Hold = {
  readonly kind: string;
  readonly height: number;
  readonly round: number;
  /** Only of this one; left out: of all. */
  readonly validator?: number;
  readonly from: readonly string[];
};

export type Receiver = (from: string, frame: Uint8Array, peeked: Peeked) => void;

export class Wire {
  readonly #clock: VirtualClock;
  readonly #chance: Chance;
  readonly #params: Params;
  readonly #receivers = new Map<string, Receiver>();
  /** Directed links that carry nothing. */
  readonly #cut = new Map<string, number>();
  /** Directed links that carry nothing until a time, and then all of it. */
  readonly #clogged = new Map<string, number>();
  readonly #isolated = new Map<string, number>();
  readonly #holds = new Map<Hold, number>();
  healed = false;

  constructor(clock: VirtualClock, chance: Chance, params: Params) {
    this.#clock = clock;
    this.#chance = chance;
    this.#params = params;
  }

  connect(name: string, receive: Receiver): void {
    this.#receivers.set(name, receive);
  }

  disconnect(name: string): void {
    this.#receivers.delete(name);
  }

  connected(): string[] {
    return [...this.#receivers.keys()];
  }

  /** From now on everything arrives, after a bounded time. */
  heal(): void {
    this.healed = true;
    this.#cut.clear();
    this.#clogged.clear();
    this.#isolated.clear();
    this.#holds.clear();
  }

  cut(from: string, to: string, ms: number): void {
    if (!this.healed) this.#cut.set(`${from}>${to}`, this.#clock.now + ms);
  }

  clog(from: string, to: string, ms: number): void {
    if (!this.healed) this.#clogged.set(`${from}>${to}`, this.#clock.now + ms);
  }

  /** Nothing from or to the machine, what is under way included. */
  isolate(name: string, ms: number): void {
    if (!this.healed) this.#isolated.set(name, this.#clock.now + ms);
  }

  hold(hold: Hold, ms: number): void {
    if (!this.healed) this.#holds.set(hold, this.#clock.now + ms);
  }

  /** One way, at this moment, for this frame. */
  passes(from: string, to: string, peeked?: Peeked): boolean {
    const { now } = this.#clock;
    if (this.#active(this.#cut, `${from}>${to}`, now)) return false;
    if (this.#active(this.#isolated, from, now) || this.#active(this.#isolated, to, now)) return false;
    if (!peeked) return true;
    for (const [hold, until] of this.#holds) {
      if (until <= now) this.#holds.delete(hold);
      else if (
        hold.kind === peeked.kind &&
        hold.height === peeked.height &&
        hold.round === peeked.round &&
        (hold.validator ?? peeked.validator) === peeked.validator &&
        hold.from.includes(to)
      )
        return false;
    }
    // Whoever holds votes back holds back the certificate made of them.
    return peeked.kind !== "final" || this.#holds.size === 0;
  }

  #active<K>(map: Map<K, number>, key: K, now: number): boolean {
    const until = map.get(key);
    if (until === undefined) return false;
    if (until > now) return true;
    map.delete(key);
    return false;
  }

  send(from: string, to: string, frame: Uint8Array, peeked: Peeked): void {
    if (!this.passes(from, to, peeked)) return;
    if (!this.healed && this.#chance.happens(this.#params.loss)) return;
    const copies = !this.healed && this.#chance.happens(this.#params.duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      this.#clock.at(this.delay(from, to), () => {
        if (this.passes(from, to, peeked)) this.#receivers.get(to)?.(from, frame, peeked);
      });
    }
  }

  delay(from: string, to: string): number {
    // After the faults no frame takes more than twice the mean: the bound that liveness rests on.
    if (this.healed) return this.#chance.between(0, 2 * this.#params.healedDelayMs);
    const clogged = this.#active(this.#clogged, `${from}>${to}`, this.#clock.now);
    const wait = clogged ? (this.#clogged.get(`${from}>${to}`) as number) - this.#clock.now : 0;
    return wait + this.#chance.exponential(this.#params.delayMs);
  }

  /** A question and its answer: rejects when either is lost. */
  ask<T>(from: string, to: string, answer: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = () => reject(new Error("lost on the way"));
      const travels = (a: string, b: string, arrive: () => void) => {
        const drop = !this.healed && this.#chance.happens(this.#params.loss);
        this.#clock.at(this.delay(a, b), () => (drop || !this.passes(a, b) ? lost() : arrive()));
      };
      travels(from, to, () => {
        if (!this.#receivers.has(to)) return lost();
        answer().then((value) => travels(to, from, () => resolve(value)), reject);
      });
    });
  }
}
