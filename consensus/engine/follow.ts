import { blockId, type CertifiedBlock } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Commit } from "../../types/vote.ts";
import { idKey } from "../bft/votes.ts";
import { verifyCommit } from "../block/commit.ts";
import { type Head, type HeightContext, heightContext } from "../block/context.ts";
import { type Derived, validateBlock } from "../block/derive.ts";
import type { LearningInputs } from "../block/inputs.ts";
import type { ResultSource } from "../block/learn.ts";
import { modelFromBytes } from "../round/model.ts";
import { computed } from "./blocks.ts";
import type { EngineDeps } from "./types.ts";

/** A block that is decided and waits to be stored, with the head that it makes then. */
export type Decided = { readonly derived: Derived; readonly head: Head };

export function decided({ height, validators }: HeightContext, derived: Derived, commit: Commit): Decided {
  const { id, block, state } = derived;
  return { derived, head: { height, id, header: block.header, state, validators, commit } };
}

export type Followed = {
  /** Those that hold, from the first on. */
  readonly good: readonly Decided[];
  /** Why the one after them does not. */
  readonly failure: { readonly error: unknown } | undefined;
};

/**
 * Checks blocks that others decided, each on what the one before leaves, in memory: nothing here says that any of them is final, and nothing is
 * signed. Everything is checked but the round result, for which the certificate stands where the updates are not here.
 * Ends at the first that does not hold (INVALID_BLOCK, BAD_COMMIT), may not be taken, or is not the next.
 * @param first of the height of the first block
 * @param over whether it has become vain; asked after every wait
 */
export async function follow(
  first: HeightContext,
  blocks: readonly CertifiedBlock[],
  deps: EngineDeps,
  over: () => boolean,
): Promise<Followed> {
  const good: Decided[] = [];
  let ctx = first;
  try {
    for (const { block, commit } of blocks) {
      const id = blockId(block.header);
      if (block.header.height !== ctx.height || deps.allowed?.(ctx.height, id) === false) break;
      verifyCommit(ctx.genesisHash, ctx.validators, ctx.height, id, commit);
      const learning = block.learning[0];
      const here = await sourceHere(ctx, deps, learning);
      if (over()) break;
      const derived = validateBlock(ctx, block, here ?? { from: "certificate", result: learning?.result });
      const next = decided(ctx, derived, commit);
      good.push(next);
      // The next round begins with this model, which is in no file before the block is stored.
      if (derived.model) break;
      ctx = heightContext(next.head, deps.genesis, deps.genesisHash, deps.vrf);
    }
  } catch (error) {
    return { good, failure: { error } };
  }
  return { good, failure: undefined };
}

/**
 * The round of a final block from what is here, with nothing fetched; undefined where some of it is not. Whoever can compute the model
 * must: after a power cut, the only one that stored it may be a node that serves nobody.
 */
async function sourceHere(
  ctx: HeightContext,
  deps: EngineDeps,
  learning: LearningInputs | undefined,
): Promise<ResultSource | undefined> {
  const { task, height } = ctx;
  if (!learning || !task) return undefined;
  const here = (root: Hash) => deps.blobs.get(root).catch(() => undefined);
  const model = await here(task.modelRoot);
  if (!model) return undefined;
  const blobs = new Map<string, Uint8Array>();
  for (const { blobRoot } of [...learning.openings, ...task.recorded]) {
    const bytes = await here(blobRoot);
    if (!bytes) return undefined;
    blobs.set(idKey(blobRoot), bytes);
  }
  const blob = (root: Hash) => blobs.get(idKey(root));
  try {
    return await computed(ctx, deps, learning, { from: "blobs", model: modelFromBytes(model), blob });
  } catch (error) {
    if (isPoflError(error)) throw error;
    deps.log.error({ err: error, height }, "a final round could not be computed again");
    return undefined;
  }
}
