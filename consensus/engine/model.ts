import { blobRoot } from "../../crypto/blob.ts";
import { initialModel, storedCount } from "../../genesis/model.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import { idKey } from "../bft/votes.ts";
import type { HeightContext } from "../block/context.ts";
import { modelBytes, modelFromBytes } from "../round/model.ts";
import type { EngineDeps } from "./types.ts";

/** A model that no peer could serve is asked for again after this. */
const RETRY_MS = 1000;

/** The active task's model before a height, as it is stored: kept in memory from one height to the next for as long as it is the same. */
export class TaskModel {
  readonly #deps: Pick<EngineDeps, "blobs" | "net" | "clock" | "log">;
  #kept: { readonly root: string; readonly value: Promise<Int32Array> } | undefined;
  #closed = false;

  constructor(deps: Pick<EngineDeps, "blobs" | "net" | "clock" | "log">) {
    this.#deps = deps;
  }

  /** After it no peer is asked any more. */
  close(): void {
    this.#closed = true;
  }

  /** Stores the model that a block leads to. */
  async put(model: Int32Array): Promise<void> {
    const root = await this.#deps.blobs.put(modelBytes(model));
    this.#kept = { root: idKey(root), value: Promise.resolve(model) };
  }

  /**
   * Computed, stored, or pulled from peers by its root, for as long as it takes: rejects only when the node stops.
   * @throws PoflError NO_TASK
   */
  before({ task, spec }: HeightContext): Promise<Int32Array> {
    if (!task || !spec) return Promise.reject(new PoflError("NO_TASK", "no task is active"));
    const { modelRoot } = task;
    const root = idKey(modelRoot);
    if (this.#kept?.root !== root) {
      const value = this.#load(modelRoot, 4 * storedCount(spec), () => initialModel(spec, task.id));
      this.#kept = { root, value };
    }
    return this.#kept.value;
  }

  async #load(root: Hash, size: number, initial: () => Int32Array): Promise<Int32Array> {
    const { blobs, net, clock, log } = this.#deps;
    const stored = await blobs.get(root);
    if (stored) return modelFromBytes(stored);
    const first = initial();
    if (bytesEqual(blobRoot(modelBytes(first)), root)) {
      await blobs.put(modelBytes(first));
      return first;
    }
    for (;;) {
      try {
        const bytes = await net.fetchBlob(root, size);
        await blobs.put(bytes);
        return modelFromBytes(bytes);
      } catch (error) {
        if (this.#closed) throw error;
        log.warn({ root: toHex(root) }, `no peer serves the model yet: ${errorText(error)}`);
        await new Promise<void>((resolve) => clock.timer(RETRY_MS, resolve));
      }
    }
  }
}
