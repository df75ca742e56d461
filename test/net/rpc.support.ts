import { request } from "node:http";
import { type RpcOptions, type RpcServer, startRpc } from "../../node/rpc/server.ts";
import { isPoflError } from "../../types/errors.ts";
import { rpcWorld } from "../node/rpcworld.ts";

type World = Awaited<ReturnType<typeof rpcWorld>>;
export const code = (expected: string) => (error: unknown) => isPoflError(error, expected);
export const quiet = { error: () => {} };

/** A server on a real chain (test/node/rpcworld.ts), for as long as `work` takes. */
export async function served(
  work: (world: World, server: RpcServer) => Promise<void>,
  options: Partial<RpcOptions> = {},
) {
  const world = await rpcWorld();
  const server = await startRpc(world.context, { listen: "127.0.0.1:0", ...options }, quiet);
  try {
    await work(world, server);
  } finally {
    await server.close();
  }
}

export type Reply = { status: number; body: string };

/** A request with any headers: fetch sets Host itself. */
export function ask(
  url: string,
  body: string | undefined,
  headers: Record<string, string> = {},
  path = "/",
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const method = body === undefined ? "GET" : "POST";
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const sent = request(
      { hostname, port, path, method, headers: { ...type, ...headers }, agent: false },
      (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
export const CALL = '{"jsonrpc":"2.0","id":1,"method":"node_status"}';
export const errorCode = ({ body }: Reply) => JSON.parse(body).error?.data?.code;
