import { isPoflError, PoflError } from "../../types/errors.ts";
import { TX_FAILURES, TX_INVALID } from "../../vm/failures.ts";

/**
 * JSON-RPC 2.0 section 5.1: `data.code` is the stable name, the number is coarser; −32000…−32099 are ours. docs/rpc.md explains them all.
 */
export const ERROR_NUMBERS: Readonly<Record<string, number>> = {
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  BATCH_EMPTY: -32600,
  BATCH_TOO_LARGE: -32600,
  BODY_TOO_LARGE: -32600,
  TOO_DEEP: -32600,
  UNSUPPORTED_MEDIA_TYPE: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  BAD_ENCODING: -32602,
  INTERNAL: -32603,
  NOT_FOUND: -32001,
  NOT_A_RECORD: -32001,
  HEIGHT_UNAVAILABLE: -32002,
  HOST_REFUSED: -32003,
  ORIGIN_REFUSED: -32003,
  RATE_LIMITED: -32005,
  TOO_MANY_SUBSCRIPTIONS: -32005,
  SLOW_CLIENT: -32005,
  WEBSOCKET_ONLY: -32006,
  ...Object.fromEntries([...TX_INVALID, ...TX_FAILURES].map((code) => [code, -32010])),
  TX_KNOWN: -32010,
  TX_UNDERPRICED: -32010,
  TX_SENDER_LIMIT: -32010,
  MISSING_SIDECAR: -32010,
  BAD_SIDECAR: -32010,
  MEMPOOL_FULL: -32011,
  NOT_CUSTODIAN: -32030,
  BAD_CONSENT: -32030,
  BAD_PLAN: -32030,
  NOT_IN_PLAN: -32030,
  CEREMONY_OVER: -32030,
  TOO_MANY_CEREMONIES: -32030,
  REQUEST_OVER: -32030,
  NOT_IN_OFFICE: -32030,
  NO_SHARE: -32030,
  CATCHING_UP: -32030,
  TOO_MANY_CONSENTS: -32030,
  CORRUPT_RECORD: -32020,
  DATABASE_DAMAGED: -32020,
  STORE_FAILED: -32020,
  DISK_FULL: -32020,
  DISK_FAILED: -32020,
  READ_ONLY: -32020,
};

export type RpcError = {
  readonly code: number;
  readonly message: string;
  readonly data: { readonly code: string } & Readonly<Record<string, string | number | boolean | null>>;
};

/** The error object of a failure. What is not a PoflError is a bug of ours: its text stays in the log. */
export function rpcError(error: unknown): RpcError {
  if (!isPoflError(error)) {
    return { code: -32603, message: "internal error; the node's log says more", data: { code: "INTERNAL" } };
  }
  return {
    code: ERROR_NUMBERS[error.code] ?? -32000,
    message: error.message,
    data: { ...error.data, code: error.code },
  };
}

export function notFound(what: string): PoflError {
  return new PoflError("NOT_FOUND", what);
}
