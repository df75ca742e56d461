import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { isPoflError } from "../../types/errors.ts";

/** What a method answers: given the parameters and how often it was called before. @throws PoflError: the error that a node would give */
export type Answers = { readonly [method: string]: (params: never, calls: number) => unknown };

/** Runs `body` against a JSON-RPC server with these answers; it is gone afterwards. Unknown methods are errors, as at a node. */
export async function withNode(answers: Answers, body: (url: string) => Promise<void>): Promise<void> {
  const calls = new Map<string, number>();
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const { id, method, params } = JSON.parse(text) as { id: number; method: string; params: never };
    const before = calls.get(method) ?? 0;
    calls.set(method, before + 1);
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...answer(answers, method, params, before) }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

function answer(answers: Answers, method: string, params: never, before: number) {
  const found = answers[method];
  const fail = (code: string, message: string) => ({ error: { code: -32000, message, data: { code } } });
  if (!found) return fail("METHOD_NOT_FOUND", `there is no method ${method}`);
  try {
    return { result: found(params, before) };
  } catch (error) {
    if (isPoflError(error)) return fail(error.code, error.message);
    return fail("INTERNAL", String(error));
  }
}
