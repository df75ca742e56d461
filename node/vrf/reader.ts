import type { CertifiedBlock } from "../../types/block.ts";
import type { Hash, Height } from "../../types/primitives.ts";
import type { StateView } from "../../vm/view.ts";
import type { VrfAhead } from "./ahead.ts";

/** Blocks read before their turn, so that their proofs are verified meanwhile: few, for a block may have 4 MiB. */
const AHEAD = 8;

type Read = (height: Height) => Promise<CertifiedBlock | undefined>;

/** Stored blocks in order. */
export class BlockReader {
  readonly #read: Read;
  readonly #ahead: Pick<VrfAhead, "begin">;
  readonly #to: Height;
  #next = 1;
  readonly #queue: { readonly block: Promise<CertifiedBlock | undefined>; readonly begun: Promise<unknown> }[] = [];
  /** seed of the block read last. */
  #seed: Promise<Hash | undefined>;

  /** @param seed seed(0) */
  constructor(read: Read, ahead: Pick<VrfAhead, "begin">, seed: Hash, to: Height) {
    this.#read = read;
    this.#ahead = ahead;
    this.#seed = Promise.resolve(seed);
    this.#to = to;
  }

  /** The next height's block; rejects as reading does. @param state says whose key a proof may be by */
  async take(state: StateView): Promise<CertifiedBlock | undefined> {
    while (this.#queue.length <= AHEAD && this.#next <= this.#to) this.#begin(this.#next++, state);
    const first = this.#queue.shift();
    await first?.begun;
    return first?.block;
  }

  #begin(height: Height, state: StateView): void {
    const block = this.#read(height);
    const before = this.#seed;
    const begun = Promise.all([block, before])
      .then(([found, seed]) => found && seed && this.#ahead.begin(found.block.header, seed, state))
      // Said when its turn comes.
      .catch(() => {});
    this.#seed = block.then((found) => found?.block.header.seed).catch(() => undefined);
    this.#queue.push({ block, begun });
  }
}
