import type { z } from "zod";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { type RpcError, rpcError } from "./errors.ts";

/** JSON-RPC 2.0 (jsonrpc.org/specification), of which transport knows nothing and which knows nothing of the chain. */

/** Requests of one batch. */
export const MAX_BATCH = 20;
/** Nested brackets in a body: nothing here needs more than six, and JSON.parse itself knows no limit. */
export const MAX_DEPTH = 32;

/** `C` is what the caller's connection has: a WebSocket can be written to later. */
export type Method<C = unknown> = {
  readonly summary: string;
  /** Parameters in order, so that they can be given by position too. */
  readonly params: z.ZodObject;
  readonly result: z.ZodType;
  readonly run: (params: never, caller: C) => unknown;
};

/** Ties the type of `run` to its schemas. */
export function method<P extends z.ZodObject, R extends z.ZodType, C = unknown>(definition: {
  readonly summary: string;
  readonly params: P;
  readonly result: R;
  readonly run: (params: z.output<P>, caller: C) => z.input<R> | Promise<z.input<R>>;
}): Method<C> {
  return definition;
}

type Id = string | number | null;
export type Response =
  | { readonly jsonrpc: "2.0"; readonly id: Id; readonly result: unknown }
  | { readonly jsonrpc: "2.0"; readonly id: Id; readonly error: RpcError };

export type Dispatcher<C> = {
  /** The text to answer with; undefined when there is nothing to answer (notifications). */
  answer(text: string, caller: C): Promise<string | undefined>;
};

export function createDispatcher<C>(
  methods: ReadonlyMap<string, Method<C>>,
  onBug: (method: string, error: unknown) => void = () => {},
): Dispatcher<C> {
  const one = async (request: unknown, caller: C): Promise<Response | undefined> => {
    let id: Id | undefined = null;
    let name = "";
    try {
      const call = checkRequest(request);
      ({ id, method: name } = call);
      const found = methods.get(name);
      if (!found) {
        throw new PoflError("METHOD_NOT_FOUND", `there is no method ${quote(name)}; rpc.discover lists them all`);
      }
      const params = checkParams(found.params, call.params);
      const result = await found.run(params as never, caller);
      return id === undefined ? undefined : { jsonrpc: "2.0", id, result: result ?? null };
    } catch (error) {
      if (!isPoflError(error)) onBug(name, error);
      return id === undefined ? undefined : { jsonrpc: "2.0", id, error: rpcError(error) };
    }
  };

  return {
    answer: async (text, caller) => {
      let body: unknown;
      try {
        body = parse(text);
        if (Array.isArray(body)) checkBatch(body);
      } catch (error) {
        return failure(error);
      }
      if (!Array.isArray(body)) {
        const response = await one(body, caller);
        return response && JSON.stringify(response);
      }
      const responses: Response[] = [];
      // One after the other: a batch gets no more of the node at a time than a single request.
      for (const request of body) {
        const response = await one(request, caller);
        if (response) responses.push(response);
      }
      return responses.length > 0 ? JSON.stringify(responses) : undefined;
    },
  };
}

/** The answer to what can't be attributed to a request. */
export function failure(error: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id: null, error: rpcError(error) } satisfies Response);
}

function parse(text: string): unknown {
  if (depthOf(text) > MAX_DEPTH) throw new PoflError("TOO_DEEP", `more than ${MAX_DEPTH} nested brackets`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PoflError("PARSE_ERROR", `not JSON: ${(cause as Error).message}`, {}, { cause });
  }
}

/** Deepest nesting of brackets outside strings. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (c === 0x7d || c === 0x5d) depth--;
  }
  return deepest;
}

function checkBatch(batch: unknown[]): void {
  if (batch.length === 0) throw new PoflError("BATCH_EMPTY", "a batch has at least one request");
  if (batch.length > MAX_BATCH) {
    throw new PoflError("BATCH_TOO_LARGE", `a batch has at most ${MAX_BATCH} requests, this one ${batch.length}`);
  }
}

type Call = { readonly id: Id | undefined; readonly method: string; readonly params: unknown };

function checkRequest(request: unknown): Call {
  const invalid = (why: string): never => {
    throw new PoflError("INVALID_REQUEST", why);
  };
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    return invalid("a request is an object with jsonrpc, method, and id");
  }
  const { jsonrpc, method, params, id } = request as Record<string, unknown>;
  if (jsonrpc !== "2.0") invalid('jsonrpc must be "2.0"');
  if (typeof method !== "string") return invalid("method must be a string");
  // Numbers that other programs would read differently are refused, not rounded.
  const goodId = id === undefined || id === null || typeof id === "string" || Number.isSafeInteger(id);
  if (!goodId) invalid("id must be a string, a whole number or null");
  if (typeof id === "string" && id.length > 128) invalid("id has more than 128 characters");
  if (params !== undefined && (typeof params !== "object" || params === null)) {
    invalid("params must be an object or an array");
  }
  return { id: id as Id | undefined, method, params };
}

function checkParams(schema: z.ZodObject, given: unknown): unknown {
  let named = given ?? {};
  if (Array.isArray(named)) {
    const keys = Object.keys(schema.shape);
    if (named.length > keys.length) {
      throw new PoflError("INVALID_PARAMS", `takes at most ${keys.length} parameters (${keys.join(", ")})`, {
        path: `$[${keys.length}]`,
      });
    }
    named = Object.fromEntries(named.map((value, i) => [keys[i] as string, value]));
  }
  const parsed = schema.safeParse(named);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = ["$", ...(issue?.path ?? []).map(String)].join(".");
  throw new PoflError("INVALID_PARAMS", `${path}: ${issue?.message ?? "invalid"}`, { path });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
