import { z } from "zod";
import { blobTree, chunkCount, chunkOf, treeProof } from "../../../crypto/blob.ts";
import { modelTensors, parameterCount, storedCount } from "../../../genesis/model.ts";
import { decodeTask } from "../../../genesis/task.ts";
import type { Block, Validator } from "../../../types/block.ts";
import { blockId } from "../../../types/block.ts";
import { bytesEqual, type Hash, type Height, toHex, ZERO_HASH } from "../../../types/primitives.ts";
import { isDistinct, UPDATE_STATUS, type UpdateStatus } from "../../../types/round.ts";
import type { State } from "../../../vm/state.ts";
import type { NodeContext } from "../context.ts";
import { notFound } from "../errors.ts";
import { metricsJson, monikerOf } from "../json.ts";
import { type Method, method } from "../jsonrpc.ts";
import { type ModelJson, model, modelChunk, type RoundJson, round } from "../types.ts";
import { hashParam, headerAt, heightOf, heightParam, invalidParams, stored } from "./params.ts";
import { lastLearning, taskOf } from "./state.ts";

/** The learning of a block; undefined for a block without. */
export function roundJson(block: Block, validators: readonly Validator[], state: State): RoundJson | undefined {
  const { header } = block;
  const learning = block.learning[0];
  if (!learning) return undefined;
  const who = (index: number) => {
    const address = validators[index]?.address ?? new Uint8Array(20);
    return { address: toHex(address), moniker: monikerOf(state.miner(address)?.record) };
  };
  const { result } = learning;
  return {
    height: header.height,
    blockHash: toHex(blockId(header)),
    time: header.time,
    proposer: toHex(header.proposer),
    task: toHex(learning.task),
    fKrum: result.fKrum,
    distinct: result.updates.filter(isDistinct).length,
    exponent: result.exponent,
    nextExponent: result.nextExponent,
    medianNorm: String(result.medianNorm),
    modelRoot: toHex(result.modelRoot),
    metrics: metricsJson(header.metrics),
    committee: learning.attestations.map(({ message }) => {
      const { address, moniker } = who(message.member);
      const given = message.metrics[0];
      return { index: message.member, member: address, moniker, metrics: given ? metricsJson(given) : null };
    }),
    updates: result.updates.map((u) => {
      const { address, moniker } = who(u.miner);
      return {
        index: u.miner,
        miner: address,
        moniker,
        commitment: toHex(u.commitment),
        status: UPDATE_STATUS[u.status] as UpdateStatus,
        norm2: String(u.norm2),
        krumScore: String(u.krumScore),
        votes: { harmful: u.harmful, neutral: u.neutral, helpful: u.helpful },
        weight: String(u.weight),
        scale: u.scale,
        contribution: String(BigInt.asIntN(64, u.contribution)),
        credit: String(BigInt.asIntN(64, u.credit)),
        pay: String(u.pay),
      };
    }),
  };
}

function modelJson(
  context: NodeContext,
  task: Hash,
  root: Hash,
  height: Height,
  metrics: ModelJson["metrics"],
): ModelJson {
  const spec = decodeTask(taskOf(context.head().state, task).spec);
  const parameters = parameterCount(spec);
  const size = 4 * storedCount(spec);
  return {
    height,
    task: toHex(task),
    name: spec.name,
    root: toHex(root),
    size,
    chunks: chunkCount(size),
    parameters,
    scaleBits: spec.model.scaleBits,
    tensors: modelTensors(spec).map(({ name, shape, offset, size }) => ({ name, shape: [...shape], offset, size })),
    metrics,
    stored: context.blobs.has(root),
  };
}

/** Model after a block: of its own task if it learned, else of the active one, whose model no later block has changed. */
async function modelAt(context: NodeContext, height: Height): Promise<ModelJson> {
  const { header } = await headerAt(context, height);
  if (bytesEqual(header.modelRoot, ZERO_HASH) && bytesEqual(header.task, ZERO_HASH)) {
    throw notFound(`no task was active at height ${height}`);
  }
  if (!bytesEqual(header.task, ZERO_HASH)) {
    const block = stored(await context.store.block(height), "the block", height);
    const root = block.learning[0]?.result.modelRoot ?? header.modelRoot;
    return modelJson(context, header.task, root, height, metricsJson(header.metrics));
  }
  for (const { record } of context.head().state.tasks()) {
    const active = record.publishedAt <= height && (record.endedAt === 0 || record.endedAt > height);
    if (!active) continue;
    if (bytesEqual(record.modelRoot, header.modelRoot))
      return modelJson(context, record.id, header.modelRoot, height, null);
  }
  throw notFound(`block ${height} trained nothing; ask for the height of a learning block`);
}

/** The last blob that chunks were asked of: hashing it anew for each chunk would cost as much as the blob is long. */
function treeCache(context: NodeContext) {
  let last: { root: Hash; bytes: Uint8Array; tree: ReturnType<typeof blobTree> } | undefined;
  return async (root: Hash) => {
    if (last && bytesEqual(last.root, root)) return last;
    const bytes = await context.blobs.get(root);
    if (!bytes) throw notFound(`this node does not hold the blob ${toHex(root)}`);
    last = { root, bytes, tree: blobTree(bytes) };
    return last;
  };
}

export function learningMethods(context: NodeContext): Record<string, Method> {
  const tree = treeCache(context);
  return {
    round_get: method({
      summary:
        "The learning of a block: committee, every update with status, score, votes, contribution and pay; the latest if no height is given",
      params: z.strictObject({ height: heightParam.optional() }),
      result: round,
      run: async ({ height: asked }) => {
        const { state } = context.head();
        const latest = lastLearning(state);
        if ((asked === undefined || asked === "latest") && latest === 0)
          throw notFound("no round of learning was finalised yet");
        const height = heightOf(context, asked === undefined || asked === "latest" ? latest : asked);
        const block = stored(await context.store.block(height), "the block", height);
        const validators = stored(await context.store.validators(height), "the validators", height);
        const found = roundJson(block, validators, state);
        if (!found) throw notFound(`block ${height} carries no learning; the latest that does is ${latest}`);
        return found;
      },
    }),
    model_get: method({
      summary:
        "The global model after a block, or a task's latest; without both the active task's, else that of the last to end",
      params: z.strictObject({ height: heightParam.optional(), task: hashParam.optional() }),
      result: model,
      run: async ({ height, task: id }) => {
        if (height !== undefined && height !== "latest") {
          if (id) throw invalidParams("$", "takes either height or task, not both");
          return modelAt(context, heightOf(context, height));
        }
        const record = taskOf(context.head().state, id);
        const at = record.lastLearning;
        const metrics = at > 0 ? metricsJson((await headerAt(context, at)).header.metrics) : null;
        return modelJson(context, record.id, record.modelRoot, at, metrics);
      },
    }),
    model_chunk: method({
      summary: "A chunk (256 KiB) of a model's bytes with its Merkle proof",
      params: z.strictObject({ root: hashParam, index: z.int().min(0).default(0) }),
      result: modelChunk,
      run: async ({ root, index }) => {
        const { bytes, tree: blob } = await tree(root);
        const chunks = chunkCount(bytes.length);
        if (index >= chunks) throw invalidParams("$.index", `there are ${chunks} chunks`);
        const chunk = chunkOf(bytes, index);
        const proof = treeProof(blob, index).map(toHex);
        return { root: toHex(root), size: bytes.length, index, chunks, bytes: toHex(chunk), proof };
      },
    }),
  };
}
