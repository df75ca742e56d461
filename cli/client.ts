import { errorText, PoflError } from "../types/errors.ts";

/** Calls a node's JSON-RPC 2.0 over HTTP. */
export type Client = {
  readonly url: string;
  /** @throws PoflError NO_CONNECTION, TIMED_OUT, BAD_ANSWER, or the stable code that the node gave */
  call<T>(method: string, params?: unknown): Promise<T>;
};

type Answer = {
  readonly result?: unknown;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: { readonly code?: string };
  };
};

const DEFAULT_TIMEOUT_MS = 10_000;

export function createClient(url: string, timeoutMs = DEFAULT_TIMEOUT_MS): Client {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new PoflError("USAGE", `--rpc ${url}: must be a URL such as http://127.0.0.1:26657`);
  }
  let id = 0;
  return {
    url,
    call: async <T>(method: string, params: unknown = {}): Promise<T> => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params });
      const text = await post(url, body, timeoutMs);
      let answer: Answer;
      try {
        answer = JSON.parse(text) as Answer;
      } catch (cause) {
        throw new PoflError("BAD_ANSWER", `${url}: this is not a node's JSON-RPC: ${text.slice(0, 60)}`, {}, { cause });
      }
      if (answer.error) {
        const { code, message, data } = answer.error;
        throw new PoflError(data?.code ?? "RPC_ERROR", `${method}: ${message}`, { rpcCode: code });
      }
      return answer.result as T;
    },
  };
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
    if (cause instanceof DOMException && cause.name === "TimeoutError") {
      throw new PoflError("TIMED_OUT", `${url}: no answer within ${timeoutMs / 1000} s`, { url }, { cause });
    }
    // undici says "fetch failed" and keeps the reason one level down.
    const why = errorText((cause as { cause?: unknown }).cause ?? cause);
    throw new PoflError("NO_CONNECTION", `${url}: ${why}; is the node running? (--rpc)`, { url }, { cause });
  }
}
