import { type LightBlock, type Validator, ValidatorSet } from "../../types/block.ts";
import type { Hash, Height } from "../../types/primitives.ts";
import { type Anchor, type LightChain, verifyNext } from "./chain.ts";

/**
 * Encoded validator sets that are remembered: weights follow reputation, so that the set of a learning chain changes with every block. Room
 * for a quarter of a million changes of four validators; of a longer chain the oldest are forgotten, which only history needs.
 */
const MAX_SET_BYTES = 128 * 1024 * 1024;
const ID_BYTES = 32;

/** A chain of headers as far as it is verified, whoever sent them. */
export class Follower {
  readonly #chain: LightChain;
  /** Where it began. */
  readonly first: Anchor;
  #anchor: Anchor;
  /** From that of `first` on, one after the other; the array is longer than they are. */
  #ids = new Uint8Array(ID_BYTES * 1024);
  readonly #sets: { readonly height: Height; readonly set: Uint8Array }[] = [];
  #setBytes = 0;
  /** Of `#sets`, those that were forgotten. */
  #forgotten = 0;

  /** @param from genesis, or a trusted header */
  constructor(chain: LightChain, from: Anchor) {
    this.#chain = chain;
    this.first = from;
    this.#anchor = from;
    this.#ids.set(from.id);
    if (from.height > 0) this.#note(from.height, from.validators);
    this.#note(from.height + 1, from.next);
  }

  /** The last verified header. */
  get anchor(): Anchor {
    return this.#anchor;
  }

  /** The id of a verified header; undefined before the first and after the last of them. */
  id(height: Height): Hash | undefined {
    if (height < this.first.height || height > this.#anchor.height) return undefined;
    const at = (height - this.first.height) * ID_BYTES;
    return this.#ids.slice(at, at + ID_BYTES);
  }

  /** The encoded validators of the heights from each entry's on, up to the next one's; ascending. */
  get sets(): readonly { readonly height: Height; readonly set: Uint8Array }[] {
    return this.#sets.slice(this.#forgotten);
  }

  /** The next header. @throws PoflError as `verifyNext`; nothing has changed then */
  add(block: LightBlock): void {
    const next = verifyNext(this.#chain, this.#anchor, block);
    if (next.next !== this.#anchor.next) this.#note(next.height + 1, next.next);
    this.#anchor = next;
    const at = (next.height - this.first.height) * ID_BYTES;
    if (at === this.#ids.length) {
      const longer = new Uint8Array(2 * at);
      longer.set(this.#ids);
      this.#ids = longer;
    }
    this.#ids.set(next.id, at);
  }

  #note(height: Height, validators: readonly Validator[]): void {
    const set = ValidatorSet.serialize([...validators]);
    this.#sets.push({ height, set });
    this.#setBytes += set.length;
    while (this.#setBytes > MAX_SET_BYTES && this.#forgotten < this.#sets.length - 2) {
      const oldest = this.#sets[this.#forgotten] as { height: Height; set: Uint8Array };
      this.#setBytes -= oldest.set.length;
      this.#sets[this.#forgotten++] = { height: oldest.height, set: new Uint8Array(0) };
    }
  }
}
