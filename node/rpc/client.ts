import { errorText, PoflError } from "../../types/errors.ts";
import type { Results } from "./types.ts";

export type RpcClient = {
  readonly url: string;
  /** @throws PoflError RPC_UNREACHABLE, RPC_TIMEOUT, RPC_BAD_ANSWER, or the code that the node names */
  call<M extends keyof Results>(method: M, params?: object): Promise<Results[M]>;
  /** Any method, by name; the result is whatever the node says. */
  raw(method: string, params?: object): Promise<unknown>;
};

/** A client of a node's JSON-RPC over HTTP. It keeps nothing: no connection to close. */
export function createRpcClient(url: string, { timeoutMs = 10_000 }: { timeoutMs?: number } = {}): RpcClient {
  let id = 0;
  const raw = async (method: string, params: object = {}): Promise<unknown> => {
    const request = { jsonrpc: "2.0", id: ++id, method, params };
    return resultOf(url, method, await post(url, JSON.stringify(request), timeoutMs));
  };
  return { url, raw, call: async (method, params) => (await raw(method, params)) as never };
}

async function post(url: string, body: string, timeoutMs: number): Promise<string> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    return await response.text();
  } catch (cause) {
    if ((cause as Error).name === "TimeoutError") {
      throw new PoflError("RPC_TIMEOUT", `${url} did not answer within ${timeoutMs / 1000} s`, { url }, { cause });
    }
    // fetch says "fetch failed" and keeps the reason one level down.
    const why = errorText((cause as { cause?: unknown }).cause ?? cause);
    throw new PoflError("RPC_UNREACHABLE", `${url}: ${why}; is the node running there?`, { url }, { cause });
  }
}

type Answer = { result?: unknown; error?: { message?: string; data?: { code?: string } } };

function resultOf(url: string, method: string, text: string): unknown {
  let answer: Answer | null;
  try {
    answer = JSON.parse(text) as Answer | null;
  } catch (cause) {
    throw new PoflError(
      "RPC_BAD_ANSWER",
      `${url} is not a pofl node: it answered "${text.slice(0, 60)}"`,
      { url },
      { cause },
    );
  }
  if (answer?.error) {
    const { message = "failed", data } = answer.error;
    throw new PoflError(data?.code ?? "RPC_FAILED", `${method}: ${message}`, { url });
  }
  if (answer === null || typeof answer !== "object" || !("result" in answer)) {
    throw new PoflError("RPC_BAD_ANSWER", `${url} is not a pofl node: it answered "${text.slice(0, 60)}"`, { url });
  }
  return answer.result;
}
