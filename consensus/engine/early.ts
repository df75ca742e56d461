/** What is kept in all, with what each frame counts beside its bytes: 16 MiB, and at most 1,024 frames. */
const MAX_WEIGHT = 16 * 1024 * 1024;
const FRAME_WEIGHT = 16 * 1024;

type Early = { readonly peer: string; readonly frame: Uint8Array };

const weightOf = (frame: Uint8Array): number => frame.length + FRAME_WEIGHT;

/**
 * Frames of the next height, kept until it begins; what is dropped comes again by status. They can't be judged yet, so that room is shared by
 * sender: when it is full, whoever takes most of it loses what came last, and nobody takes the room of those that send less.
 */
export class EarlyFrames {
  #frames: Early[] = [];
  readonly #weights = new Map<string, number>();
  #total = 0;

  add(peer: string, frame: Uint8Array): void {
    const weight = weightOf(frame);
    const own = (this.#weights.get(peer) ?? 0) + weight;
    while (this.#total + weight > MAX_WEIGHT) {
      const [heaviest, most] = [...this.#weights].reduce((a, b) => (b[1] > a[1] ? b : a), ["", 0]);
      if (most <= own) return;
      this.#drop(heaviest);
    }
    this.#frames.push({ peer, frame });
    this.#count(peer, weight);
  }

  /** All of them in the order they came in; none is left. */
  take(): readonly Early[] {
    const frames = this.#frames;
    this.#frames = [];
    this.#weights.clear();
    this.#total = 0;
    return frames;
  }

  #drop(peer: string): void {
    const last = this.#frames.findLastIndex((early) => early.peer === peer);
    for (const { frame } of this.#frames.splice(last, 1)) this.#count(peer, -weightOf(frame));
  }

  #count(peer: string, weight: number): void {
    const own = (this.#weights.get(peer) ?? 0) + weight;
    if (own > 0) this.#weights.set(peer, own);
    else this.#weights.delete(peer);
    this.#total += weight;
  }
}
