import { Block, blockId } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Hash } from "../../types/primitives.ts";
import type { Opening } from "../../types/round.ts";
import { besideBlock } from "../../vm/records.ts";
import { idKey } from "../bft/votes.ts";
import type { HeightContext } from "../block/context.ts";
import { checkBlock, confirmBlock, type Derived } from "../block/derive.ts";
import type { LearningInputs } from "../block/inputs.ts";
import { type ResultSource, roundInput } from "../block/learn.ts";
import type { EngineDeps } from "./types.ts";

/** Waited before missing updates or payloads are asked for again. */
export const RETRY_MS = 500;

type Entry = { readonly block: Block; readonly bytes: Uint8Array; derived: Derived | undefined; judging: boolean };

/** The blocks of one height: kept as bytes, judged once, with what follows from the valid ones. */
export class BlockPool {
  readonly #ctx: HeightContext;
  readonly #deps: EngineDeps;
  readonly #model: () => Promise<Int32Array>;
  readonly #entries = new Map<string, Entry>();
  #closed = false;
  readonly #timers = new Set<() => void>();

  constructor(ctx: HeightContext, deps: EngineDeps, model: () => Promise<Int32Array>) {
    this.#ctx = ctx;
    this.#deps = deps;
    this.#model = model;
  }

  /** Fetches the last round's updates ahead of the first block: a node that caught up has none of them. */
  prefetch(): void {
    void Promise.all((this.#ctx.task?.recorded ?? []).map(({ blobRoot, size }) => this.#find(blobRoot, size)));
  }

  /**
   * Keeps a block if its id is one that is asked for; returns its id if it is new here.
   * @throws PoflError BAD_ENCODING
   */
  add(bytes: Uint8Array, asked: (id: Hash) => boolean): Hash | undefined {
    const block = decode(Block, bytes);
    const id = blockId(block.header);
    const key = idKey(id);
    if (!asked(id) || this.#entries.has(key)) return undefined;
    this.#entries.set(key, { block, bytes, derived: undefined, judging: false });
    return id;
  }

  addDerived(derived: Derived): Uint8Array {
    const bytes = Block.serialize(derived.block);
    this.#entries.set(idKey(derived.id), { block: derived.block, bytes, derived, judging: false });
    return bytes;
  }

  bytes(id: Hash): Uint8Array | undefined {
    return this.#entries.get(idKey(id))?.bytes;
  }

  block(id: Hash): Block | undefined {
    return this.#entries.get(idKey(id))?.block;
  }

  /** What follows from a valid block, whether or not the payloads of its records are here: a certificate stands for those. */
  derived(id: Hash): Derived | undefined {
    return this.#entries.get(idKey(id))?.derived;
  }

  /**
   * Answers once with valid or invalid. Updates and records' payloads that are not here are fetched until they are: that they are
   * missing is no verdict.
   * False if the block itself is not here.
   */
  judge(id: Hash, answer: (valid: boolean, block: Block) => void): boolean {
    const entry = this.#entries.get(idKey(id));
    if (!entry) return false;
    if (entry.judging) return true;
    entry.judging = true;
    const attempt = async () => {
      if (this.#closed) return;
      try {
        entry.derived ??= await this.#derive(entry.block);
        if (this.#closed || !entry.derived) return;
      } catch (error) {
        if (this.#closed) return;
        if (isPoflError(error, "MISSING_BLOBS")) {
          this.#later(attempt);
          return;
        }
        entry.judging = false;
        if (!isPoflError(error)) {
          // A bug of ours: say so, and give no verdict that could be wrong.
          this.#deps.log.error({ err: error, height: this.#ctx.height }, "judging a block failed");
          return;
        }
        this.#deps.log.warn({ height: this.#ctx.height, code: error.code }, `refused a block: ${error.message}`);
        answer(false, entry.block);
        return;
      }
      try {
        await this.ensureRecords(entry.derived);
      } catch (error) {
        // Any other is a disk that does not take a payload, which ends the node: a verdict would be a lie, whichever it is.
        if (!this.#closed && isPoflError(error, "MISSING_RECORDS")) this.#later(attempt);
        return;
      }
      if (this.#closed) return;
      entry.judging = false;
      answer(true, entry.block);
    };
    void attempt();
    return true;
  }

  /** Undefined once the height is over. @throws PoflError INVALID_BLOCK, BAD_COMMIT, MISSING_BLOBS */
  async #derive(block: Block): Promise<Derived | undefined> {
    const learning = block.learning[0];
    const blobs = await this.#collect(learning?.openings ?? []);
    if (this.#closed) return undefined;
    checkBlock(this.#ctx, block);
    const source = await computed(this.#ctx, this.#deps, learning, blobs);
    return this.#closed ? undefined : confirmBlock(this.#ctx, block, source);
  }

  /** What lies beside the block is here, and stays. @throws PoflError MISSING_RECORDS; an error that is none when the disk failed */
  async ensureRecords({ block, receipts }: Derived): Promise<void> {
    const beside = besideBlock(this.#ctx.genesisHash, block.txs, receipts);
    if (beside.length > 0) await this.#deps.records.ensure(beside);
  }

  /** Model and updates for a round result; updates that can't be had in time are simply absent. */
  async #collect(openings: readonly Opening[]): Promise<ResultSource> {
    if (openings.length === 0 && !this.#ctx.task) return { from: "certificate", result: undefined };
    const model = await this.#model();
    const blobs = new Map<string, Uint8Array>();
    // The last round's updates too: what is new in an update is what they don't explain.
    const recorded = openings.length > 0 ? (this.#ctx.task?.recorded ?? []) : [];
    await Promise.all(
      [...openings, ...recorded].map(async ({ blobRoot, size }) => {
        const bytes = await this.#find(blobRoot, size);
        if (bytes) blobs.set(idKey(blobRoot), bytes);
      }),
    );
    return { from: "blobs", model, blob: (root) => blobs.get(idKey(root)) };
  }

  async #find(root: Hash, size: number): Promise<Uint8Array | undefined> {
    try {
      const here = await this.#deps.blobs.get(root);
      if (here) return here;
      const bytes = await this.#deps.net.fetchBlob(root, size);
      const stored = await this.#deps.blobs.put(bytes);
      return bytesEqual(stored, root) ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** The round of a block with that learning, computed wherever the node computes rounds. */
  async source(learning: LearningInputs | undefined): Promise<ResultSource> {
    return computed(this.#ctx, this.#deps, learning, await this.#collect(learning?.openings ?? []));
  }

  #later(act: () => void): void {
    const cancel = this.#deps.clock.timer(RETRY_MS, () => {
      this.#timers.delete(cancel);
      act();
    });
    this.#timers.add(cancel);
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }
}

/** The round of a block with that learning from its blobs, computed wherever the node computes rounds; any other source as it is. */
export async function computed(
  ctx: HeightContext,
  { rounds }: Pick<EngineDeps, "rounds">,
  learning: LearningInputs | undefined,
  source: ResultSource,
): Promise<ResultSource> {
  if (!learning || source.from !== "blobs") return source;
  const input = roundInput(ctx, learning, source);
  try {
    return { from: "outcome", outcome: await rounds.compute(input) };
  } catch (cause) {
    // Not the block's fault, whatever it is: it must not look like one that makes the block invalid.
    throw new Error("the round could not be computed", { cause });
  }
}
