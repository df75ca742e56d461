import { z } from "zod";
import { unpadPayload } from "../../../crypto/record.ts";
import { isPoflError, PoflError } from "../../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../../types/primitives.ts";
import type { RecordEntry, RequestEntry } from "../../../types/state.ts";
import { type Tx, typedPayload } from "../../../types/tx.ts";
import { prove } from "../../../vm/proof.ts";
import type { At } from "../../../vm/view.ts";
import type { NodeContext } from "../context.ts";
import { notFound } from "../errors.ts";
import { type Method, method } from "../jsonrpc.ts";
import { editsJson, madeBy, makerIn, powersAt, redactionJson, redactionState, summaryJson } from "../recordjson.ts";
import {
  type PayloadJson,
  type RecordJson,
  type RedactionFull,
  record,
  recordPage,
  redactionFull,
  redactionPage,
} from "../recordtypes.ts";
import { hashParam } from "./params.ts";

/** Entries of one page. */
const MAX_PAGE = 100;

const page = {
  from: z.int().min(0).default(0),
  limit: z.int().min(1).max(MAX_PAGE).default(MAX_PAGE),
};

/** The record's label: what was given, or that of the record which the transaction of this hash made. @throws PoflError NOT_FOUND, NOT_A_RECORD */
async function labelOf(context: NodeContext, id: Hash): Promise<Hash> {
  if (context.head().state.find("records", id)) return id;
  const waiting = context.mempool.get(id);
  if (waiting) {
    recordIn(context, id, waiting);
    throw notFound(`the record of transaction ${toHex(id)} waits for a block`);
  }
  const place = await context.store.tx(id);
  const tx = place && (await context.store.block(place.height))?.txs[place.index];
  if (!tx) throw notFound(`there is no record ${toHex(id)}, and no transaction of this hash that made one`);
  const { label } = recordIn(context, id, tx);
  if (!context.head().state.find("records", label)) {
    throw notFound(`transaction ${toHex(id)} failed: it made no record; see tx_get`);
  }
  return label;
}

function recordIn(context: NodeContext, id: Hash, tx: Tx) {
  const made = madeBy(tx, context.genesisHash);
  if (made) return made;
  const { kind } = typedPayload(tx.body.payload);
  throw new PoflError(
    "NOT_A_RECORD",
    `${toHex(id)} is a ${kind}: only records have a payload beside the chain, and only they can be edited or erased`,
    { kind },
  );
}

/** At one head throughout: what an edit has just taken away is not given out. */
async function recordJson(context: NodeContext, label: Hash): Promise<RecordJson> {
  const { state, height, id } = context.head();
  const { index, record: entry } = state.find("records", label) as At<RecordEntry>;
  const { cm, length } = entry;
  const made = makerIn(await context.store.block(entry.height), label, context.genesisHash);
  const payload = await payloadJson(context, label, cm, length);
  const now = context.head().state.find("records", label)?.record;
  if (!now || !bytesEqual(now.cm, cm)) return recordJson(context, label);
  const proof = prove(state, "records", index);
  return {
    ...summaryJson(entry),
    tx: made ? toHex(made.txId) : null,
    digest: toHex(entry.digest),
    ...payload,
    leaf: made ? leafJson(made.payload) : null,
    edits: editsJson(state, entry),
    proof: {
      kind: "records",
      index,
      record: toHex(proof.record),
      branch: proof.branch.map(toHex),
      height,
      headHash: toHex(id),
      stateRoot: toHex(state.root()),
    },
  };
}

const leafJson = ({ cm, r, s, length }: { cm: Hash; r: Uint8Array; s: Uint8Array; length: number }) => ({
  cm: toHex(cm),
  r: toHex(r),
  s: toHex(s),
  length,
});

/** What lies under an id; nothing of an erased record, and nothing while the node can't know what was erased. */
async function payloadJson(context: NodeContext, id: Hash, cm: Hash, length: number): Promise<PayloadJson> {
  const served = length > 0 && !context.catchingUp();
  const sidecar = served ? await context.records.read(id, cm, length) : undefined;
  const payload = sidecar && payloadIn(sidecar.body);
  return {
    here: sidecar !== undefined,
    payload: payload ? toHex(payload) : null,
    text: payload ? (textOf(payload) ?? null) : null,
    malformed: sidecar !== undefined && payload === undefined,
  };
}

/** A request, with what it would put in the payload's place while it is open; afterwards that is the record's, or nobody's. */
async function redactionFullJson(context: NodeContext, id: Hash): Promise<RedactionFull> {
  const { state } = context.head();
  const found = state.find("requests", id);
  if (!found) throw notFound(`there is no request ${toHex(id)}: nobody has asked for it on the chain`);
  const json = redactionJson(state, found, powersAt(state, context.genesis));
  const { cm, length } = found.record;
  const payload = await payloadJson(context, id, cm, json.status === "open" ? length : 0);
  const after = context.head().state;
  const now = after.find("requests", id)?.record;
  if (now && redactionState(after, now).status !== json.status) return redactionFullJson(context, id);
  return { ...json, ...payload };
}

/** The chain can't see how a body is padded: its sender may have written anything. */
function payloadIn(body: Uint8Array): Uint8Array | undefined {
  try {
    return unpadPayload(body);
  } catch (error) {
    if (isPoflError(error, "BAD_RECORD")) return undefined;
    throw error;
  }
}

function textOf(payload: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    return undefined;
  }
}

export function recordMethods(context: NodeContext): Record<string, Method> {
  return {
    record_get: method({
      summary:
        "An editable record by its id or by the hash of the transaction that made it: payload as it is now, proof of its entry, its edits",
      params: z.strictObject({ id: hashParam }),
      result: record,
      run: async ({ id }) => recordJson(context, await labelOf(context, id)),
    }),
    record_list: method({
      summary: `Records in order of creation, at most ${MAX_PAGE} at a time, without their payloads`,
      params: z.strictObject(page),
      result: recordPage,
      run: ({ from, limit }) => {
        const { state } = context.head();
        const total = state.count("records");
        const to = Math.min(total, from + limit);
        const records = [];
        for (let index = from; index < to; index++) {
          records.push({ index, ...summaryJson(state.entry("records", index) as Readonly<RecordEntry>) });
        }
        return { total, records, next: to < total ? to : null };
      },
    }),
    redaction_get: method({
      summary: "A request to redact a record, and what it would put in the payload's place, while it is open",
      params: z.strictObject({ id: hashParam }),
      result: redactionFull,
      run: ({ id }) => redactionFullJson(context, id),
    }),
    redaction_list: method({
      summary: `Requests to redact records in order, at most ${MAX_PAGE} at a time; of one record, if it is given`,
      params: z.strictObject({ record: hashParam.optional(), ...page }),
      result: redactionPage,
      run: async ({ record: id, from, limit }) => {
        const label = id && (await labelOf(context, id));
        const { state } = context.head();
        const powers = powersAt(state, context.genesis);
        const total = state.count("requests");
        const requests = [];
        let index = from;
        for (; index < total && requests.length < limit; index++) {
          const entry = state.entry("requests", index) as Readonly<RequestEntry>;
          if (label && !bytesEqual(entry.label, label)) continue;
          requests.push(redactionJson(state, { index, record: entry }, powers));
        }
        return { total, requests, next: index < total ? index : null };
      },
    }),
  };
}
