import { setMaxListeners } from "node:events";
import { PoflError } from "../types/errors.ts";

/**
 * A signal that follows others and a time limit that can be moved. `AbortSignal.any` would do but for Node 20, where each call
 * leaves an entry on a long-lived source.
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #sources: AbortSignal[];
  readonly #follow = () => this.#controller.abort(new PoflError("ABORTED", "given up"));
  #timer: NodeJS.Timeout | undefined;

  constructor(sources: readonly (AbortSignal | undefined)[]) {
    setMaxListeners(0, this.#controller.signal);
    this.#sources = sources.filter((s) => s !== undefined);
    for (const source of this.#sources) {
      if (source.aborted) this.#follow();
      else source.addEventListener("abort", this.#follow, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the time limit anew; `undefined` lifts it. The reason is then a PoflError TIMEOUT. */
  within(ms: number | undefined): void {
    clearTimeout(this.#timer);
    if (ms === undefined) return;
    this.#timer = setTimeout(() => this.#controller.abort(new PoflError("TIMEOUT", `no answer within ${ms} ms`)), ms);
  }

  /** Must be called on every path. */
  done(): void {
    clearTimeout(this.#timer);
    for (const source of this.#sources) source.removeEventListener("abort", this.#follow);
  }
}
