/** For peers to say where they are. */
const SETTLE_MS = 2_000;
/** A head this young is that of the network, whatever peers claim: blocks say when more than two thirds voted for them. */
const RECENT_MS = 30_000;
/** Without a new block, claims of peers to be ahead are believed this long. */
const PATIENCE_MS = 60_000;

/** A moment of a node, by its clock, in milliseconds. */
export type Moment = {
  readonly now: number;
  /** Height and time of the head; the time of genesis if there is none. */
  readonly head: { readonly height: number; readonly time: number };
  /** Whether it alone has more than two thirds of the power. */
  readonly alone: boolean;
};

/**
 * When a node that has signed nothing begins to. It may be new, or restored after its disk was lost: then what it signs at heights that are long
 * decided contradicts what its key has signed there, and whoever kept that has it punished. So it looks whether peers are ahead first. One that
 * lies about that costs it a minute at most.
 */
export class Newcomer {
  readonly #begun: number;
  readonly #heights = new Map<string, number>();
  #head = -1;
  /** When the head was last seen to move. */
  #moved: number;

  constructor(now: number) {
    this.#begun = now;
    this.#moved = now;
  }

  /** @param height that the peer works on */
  heard(peer: string, height: number): void {
    this.#heights.set(peer, height);
  }

  gone(peer: string): void {
    this.#heights.delete(peer);
  }

  /** Whether it may sign now. Asked again and again, and at each new head. */
  ready({ now, head, alone }: Moment): boolean {
    if (head.height !== this.#head) this.#moved = now;
    this.#head = head.height;
    if (now - this.#begun < SETTLE_MS || (this.#heights.size === 0 && !alone)) return false;
    const behind = [...this.#heights.values()].some((height) => height > head.height + 1);
    return !behind || now - head.time < RECENT_MS || now - this.#moved >= PATIENCE_MS;
  }
}
