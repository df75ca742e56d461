import { z } from "zod";
import { type Sidecar, splitSidecar } from "../../../crypto/record.ts";
import { type LightBlock, LightBlocks, MAX_LIGHT_BLOCKS } from "../../../types/block.ts";
import { MAX_RECORD_BYTES, MAX_TX_BYTES } from "../../../types/limits.ts";
import { decode, fromHex, HASH_BYTES, type Hash, type Height, toHex } from "../../../types/primitives.ts";
import { Tx } from "../../../types/tx.ts";
import { lightFrom } from "../../snapshots/serve.ts";
import type { NodeContext } from "../context.ts";
import { notFound } from "../errors.ts";
import { blockJson, commitJson, headerJson, receiptJson, txJson } from "../json.ts";
import { type Method, method } from "../jsonrpc.ts";
import {
  block,
  chainParams,
  commit,
  headerResult,
  lightBlocks,
  receipt,
  txFound,
  txPending,
  txSent,
} from "../types.ts";
import { hashParam, headerAt, heightOf, heightParam, invalidParams, noParams, stored } from "./params.ts";
import { validatorsOf } from "./state.ts";

/** Hashes that `tx_pending` lists at most. */
const MAX_PENDING_LISTED = 1000;

const hexUpTo = (bytes: number) =>
  z
    .string()
    .max(2 + 2 * bytes, `must be at most ${bytes} bytes`)
    .regex(/^0x(?:[0-9a-fA-F]{2})*$/, "must be 0x and pairs of hexadecimal digits");

function sidecarOf(hex: string): Sidecar {
  const bytes = fromHex(hex);
  if (bytes.length < HASH_BYTES)
    throw invalidParams("$.sidecar", `must be at least ${HASH_BYTES} bytes: salt, then body`);
  return splitSidecar(bytes);
}

const place = z.strictObject({ height: heightParam.optional(), hash: hashParam.optional() });

/** The height of a block named by height or by hash; the head if by neither. */
async function locate(context: NodeContext, { height, hash }: z.output<typeof place>): Promise<Height> {
  if (hash === undefined) return heightOf(context, height);
  if (height !== undefined) throw invalidParams("$", "takes either height or hash, not both");
  const found = await context.store.heightOf(hash);
  if (found === undefined) throw notFound(`there is no block ${toHex(hash)}`);
  return found;
}

async function findTx(context: NodeContext, hash: Hash): Promise<z.output<typeof txFound>> {
  const waiting = context.mempool.get(hash);
  if (waiting) return { status: "pending", tx: txJson(waiting), height: null, index: null, receipt: null };
  const at = await context.store.tx(hash);
  if (!at) throw notFound(`there is no transaction ${toHex(hash)}, neither in a block nor waiting here`);
  const { height, index } = at;
  const tx = stored((await context.store.block(height))?.txs[index], "the transaction", height);
  const given = (await context.store.receipts(height))?.[index];
  return { status: "final", tx: txJson(tx), height, index, receipt: given ? receiptJson(given) : null };
}

export function chainMethods(context: NodeContext): Record<string, Method> {
  const { store } = context;
  return {
    chain_params: method({
      summary: "The parameters of the chain, from its genesis",
      params: noParams,
      result: chainParams,
      run: () => {
        const { chainId, consensus, economy, registrars, regulators, custodians } = context.genesis;
        const genesisHash = toHex(context.genesisHash);
        return { chainId, genesisHash, consensus, economy, registrars, regulators, custodians };
      },
    }),
    chain_getBlock: method({
      summary: "A block by height or hash; the head if neither is given",
      params: place,
      result: block,
      run: async (params) => {
        const height = await locate(context, params);
        const { id } = await headerAt(context, height);
        return blockJson(stored(await store.block(height), "the block", height), id);
      },
    }),
    chain_getHeader: method({
      summary: "A block's header by height or hash; the head's if neither is given",
      params: place,
      result: headerResult,
      run: async (params) => {
        const { id, header } = await headerAt(context, await locate(context, params));
        return { hash: toHex(id), header: headerJson(header) };
      },
    }),
    chain_getCommit: method({
      summary: "The certificate that makes a block final; signers by index in validator_set of that height",
      params: place,
      result: commit,
      run: async (params) => {
        const height = await locate(context, params);
        return commitJson(stored(await store.commit(height), "the certificate", height));
      },
    }),
    chain_getLightBlocks: method({
      summary: `Headers with what proves them (SSZ LightBlocks, at most ${MAX_LIGHT_BLOCKS}), from a height on: for whoever verifies proofs without trusting this node`,
      params: z.strictObject({
        from: z.int().min(1),
        count: z.int().min(1).max(MAX_LIGHT_BLOCKS).default(MAX_LIGHT_BLOCKS),
      }),
      result: lightBlocks,
      run: async ({ from, count }) => {
        // Says why, if the first is not here.
        await headerAt(context, heightOf(context, from));
        const blocks: LightBlock[] = [];
        const most = Math.min(count, context.head().height - from + 1);
        for await (const one of lightFrom(store, from, most, (h) => validatorsOf(context, h))) blocks.push(one);
        return { from, count: blocks.length, blocks: toHex(LightBlocks.serialize(blocks)) };
      },
    }),
    chain_getReceipts: method({
      summary: "What became of each transaction of a block, in its order",
      params: place,
      result: z.array(receipt),
      run: async (params) => {
        const height = await locate(context, params);
        return stored(await store.receipts(height), "the receipts", height).map(receiptJson);
      },
    }),
    tx_send: method({
      summary:
        "Admits a signed transaction (SSZ, hex) to the mempool, with what travels beside it: salt and padded payload of a record, or of a replacement; " +
        "it is not yet in a block when this answers",
      params: z.strictObject({
        tx: hexUpTo(MAX_TX_BYTES),
        sidecar: hexUpTo(HASH_BYTES + MAX_RECORD_BYTES).optional(),
      }),
      result: txSent,
      run: ({ tx, sidecar }) => ({
        hash: toHex(context.submit(decode(Tx, fromHex(tx)), sidecar === undefined ? undefined : sidecarOf(sidecar))),
      }),
    }),
    tx_get: method({
      summary: "A transaction that waits here or is in a block, with its receipt",
      params: z.strictObject({ hash: hashParam }),
      result: txFound,
      run: ({ hash }) => findTx(context, hash),
    }),
    tx_pending: method({
      summary: `Transactions that wait in this node's mempool, the oldest ${MAX_PENDING_LISTED}`,
      params: noParams,
      result: txPending,
      run: () => ({
        count: context.mempool.count,
        bytes: context.mempool.bytes,
        hashes: context.mempool.ids().slice(0, MAX_PENDING_LISTED).map(toHex),
      }),
    }),
  };
}
