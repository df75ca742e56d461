import type { Head } from "../consensus/block/context.ts";
import type { Block } from "../types/block.ts";
import { toHex } from "../types/primitives.ts";
import type { BlobStore } from "./store/blobs.ts";
import type { Store } from "./store/store.ts";

/** Heights between two prunings: each goes through the names of all blobs once. */
const PRUNE_EVERY = 64;

/**
 * Deletes updates and models `heights` after the last block that names them. The models of the tasks in the state stay, and their last
 * round's updates, and as long after that. What no block names, an update that came too late say, stays as long after it was found here.
 */
export class Retention {
  readonly #store: Store;
  readonly #blobs: BlobStore;
  readonly #heights: number;
  /** Root → last height at which a block named it or a task needed it, or at which it was found. Two rounds may share a blob (a free-rider's zeros). */
  readonly #last = new Map<string, number>();
  #loaded = false;

  constructor(store: Store, blobs: BlobStore, heights: number) {
    this.#store = store;
    this.#blobs = blobs;
    this.#heights = heights;
  }

  /** Notes what the block names, and prunes from time to time. */
  async onBlock(block: Block, { height, state }: Head): Promise<void> {
    this.#note(block);
    if (height % PRUNE_EVERY !== 0) return;
    const old = await this.#load(height);
    for (const { record } of state.tasks()) {
      // The last round's updates too, however long ago: the next ones are compared with them.
      for (const root of [record.modelRoot, ...record.recorded.map((r) => r.blobRoot)])
        this.#last.set(toHex(root), height);
    }
    // It may be of a height that is not decided yet.
    for (const root of this.#blobs.list()) if (!this.#last.has(root) && !old.has(root)) this.#last.set(root, height);
    const oldest = height - this.#heights;
    for (const [root, last] of this.#last) if (last < oldest) this.#last.delete(root);
    await this.#blobs.prune((root) => this.#last.has(root));
  }

  #note({ header: { height }, learning: [learning] }: Block): void {
    if (!learning) return;
    for (const root of [learning.result.modelRoot, ...learning.openings.map((o) => o.blobRoot)]) {
      const key = toHex(root);
      this.#last.set(key, Math.max(height, this.#last.get(key) ?? 0));
    }
  }

  /**
   * After a start, the blocks of the retention are read once. What none of them names is old if it came before them, and as if found now
   * if some of them are not here.
   */
  async #load(height: number): Promise<ReadonlySet<string>> {
    const old = new Set<string>();
    if (this.#loaded) return old;
    this.#loaded = true;
    let whole = true;
    for (let h = Math.max(1, height - this.#heights); h <= height; h++) {
      const block = await this.#store.block(h);
      if (block) this.#note(block);
      else whole = false;
      if (block && h === height - this.#heights) for (const root of this.#blobs.list(block.header.time)) old.add(root);
    }
    return whole ? old : new Set();
  }
}
