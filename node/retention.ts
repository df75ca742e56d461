import type { Head } from "../consensus/block/context.ts";
import type { Block } from "../types/block.ts";
import { toHex } from "../types/primitives.ts";
import type { BlobStore } from "./store/blobs.ts";
import type { Store } from "./store/store.ts";

/** Heights between two prunings: each walks the folder once. */
const PRUNE_EVERY = 64;

/**
 * Deletes blobs after their time: updates and models that no block of the last `heights` names. The models of the tasks in the
 * state stay, and their last round's updates. Two rounds may share a blob (a free-rider's zeros), so that what counts is the last height that names it.
 */
export class Retention {
  readonly #store: Store;
  readonly #blobs: BlobStore;
  readonly #heights: number;
  /** Root → last height that names it. */
  readonly #last = new Map<string, number>();
  #loaded = false;

  constructor(store: Store, blobs: BlobStore, heights: number) {
    this.#store = store;
    this.#blobs = blobs;
    this.#heights = heights;
  }

  /** Notes what the block names, and prunes from time to time. */
  async onBlock(block: Block, head: Head): Promise<void> {
    this.#note(block);
    if (head.height % PRUNE_EVERY !== 0) return;
    await this.#load(head.height);
    const oldest = head.height - this.#heights;
    for (const [root, height] of this.#last) if (height < oldest) this.#last.delete(root);
    const tasks = Array.from(head.state.tasks(), ({ record }) => record);
    // The last round's updates too, however long ago: the next ones are compared with them.
    const needed = new Set(tasks.flatMap((t) => [t.modelRoot, ...t.recorded.map((r) => r.blobRoot)].map(toHex)));
    // An update in training is in no block yet: what this process has not seen expire stays.
    await this.#blobs.prune((root) => this.#last.has(root) || needed.has(root) || !this.#seen.has(root));
    for (const root of this.#seen) if (!this.#last.has(root)) this.#seen.delete(root);
  }

  readonly #seen = new Set<string>();

  #note(block: Block): void {
    const learning = block.learning[0];
    if (!learning) return;
    const { height } = block.header;
    for (const root of [learning.result.modelRoot, ...learning.openings.map((o) => o.blobRoot)]) {
      const key = toHex(root);
      this.#seen.add(key);
      this.#last.set(key, Math.max(height, this.#last.get(key) ?? 0));
    }
  }

  /** After a start, the blocks of the retention are read once; older blobs on the disk count as seen. */
  async #load(height: number): Promise<void> {
    if (this.#loaded) return;
    this.#loaded = true;
    for (let h = Math.max(1, height - this.#heights); h <= height; h++) {
      const block = await this.#store.block(h);
      if (block) this.#note(block);
    }
  }
}
