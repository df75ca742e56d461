import rateLimit from "@fastify/rate-limit";
import websocket, { type WebSocket } from "@fastify/websocket";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { listenError, parseListen } from "../listen.ts";
import type { NodeContext } from "./context.ts";
import { checkCaller, type GuardOptions } from "./guard.ts";
import { createDispatcher, type Dispatcher, failure } from "./jsonrpc.ts";
import { healthOf } from "./methods/node.ts";
import { rpcMethods } from "./methods.ts";
import { PAGE } from "./page.ts";
import { type Caller, publishEvents, Subscriber } from "./subscriptions.ts";

export type RpcOptions = Partial<GuardOptions> & {
  /** `HOST:PORT`; port 0 takes a free one. */
  readonly listen: string;
  readonly limits?: Partial<RpcLimits>;
};

export type RpcLimits = {
  /** Of a body or a WebSocket message. */
  readonly maxBodyBytes: number;
  /** Of one address; a batch counts once. */
  readonly requestsPerSecond: number;
  readonly maxConnections: number;
  /** For a client to send its headers, and its whole request: slow-loris. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Unsent news of one WebSocket; a client that is further behind is dropped. */
  readonly maxBufferedBytes: number;
  /** For a dropped client to read why, if it reads at all. */
  readonly dropGraceMs: number;
  /** Requests of one WebSocket that wait for their turn. */
  readonly maxQueued: number;
  /** A WebSocket that answers no ping for this long is dropped. */
  readonly pingMs: number;
};
export const defaultRpcLimits: RpcLimits = {
  maxBodyBytes: 1024 * 1024,
  requestsPerSecond: 500,
  maxConnections: 200,
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  maxBufferedBytes: 1024 * 1024,
  dropGraceMs: 2_000,
  maxQueued: 32,
  pingMs: 30_000,
};

export type RpcServer = {
  /** `http://HOST:PORT` as it listens. */
  readonly url: string;
  close(): Promise<void>;
};
type Log = { error(fields: object, message: string): void };

/** RFC 6455 section 7.4.1. */
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;
/**
 * Serves JSON-RPC on HTTP POST and WebSocket, `GET /health` and the page.
 * @throws PoflError PORT_TAKEN naming the port, PORT_DENIED, BAD_LISTEN
 */
export async function startRpc(context: NodeContext, options: RpcOptions, log: Log): Promise<RpcServer> {
  const limits = { ...defaultRpcLimits, ...options.limits };
  const address = parseListen(options.listen);
  const dispatcher = createDispatcher<Caller>(rpcMethods(context), (name, error) =>
    log.error({ err: error, method: name }, `RPC ${name} failed`),
  );
  const app = Fastify({
    bodyLimit: limits.maxBodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    forceCloseConnections: true,
    // Node checks its timeouts only every 30 s by default.
    http: { connectionsCheckingInterval: 500, headersTimeout: limits.headersTimeoutMs },
  });
  app.server.maxConnections = limits.maxConnections;
  await app.register(rateLimit, { max: limits.requestsPerSecond, timeWindow: 1000 });
  await app.register(websocket, { options: { maxPayload: limits.maxBodyBytes, perMessageDeflate: false } });
  const guard = { allowedHosts: options.allowedHosts ?? [], allowedOrigins: options.allowedOrigins ?? [] };
  app.addHook("onRequest", async (request) => checkCaller(request.headers, guard));
  app.setErrorHandler((error, _request, reply) => refuse(error, reply, log));
  app.setNotFoundHandler((_request, reply) =>
    refuse(new PoflError("NOT_FOUND", "POST / or GET /, /health"), reply, log),
  );
  const subscribers = new Set<Subscriber>();
  addRoutes(app, context, dispatcher, subscribers, limits);
  try {
    await app.listen(address);
  } catch (error) {
    await app.close().catch(() => {});
    throw listenError(error, address, "the RPC", "rpc.listen");
  }
  const stopEvents = publishEvents(context, subscribers);
  const bound = app.server.address();
  const port = typeof bound === "object" && bound ? bound.port : address.port;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return {
    url: `http://${host}:${port}`,
    close: async () => {
      stopEvents();
      for (const client of app.websocketServer.clients) client.terminate();
      await app.close();
    },
  };
}

function addRoutes(
  app: FastifyInstance,
  context: NodeContext,
  dispatcher: Dispatcher<Caller>,
  subscribers: Set<Subscriber>,
  limits: RpcLimits,
): void {
  // The text as it came: JSON-RPC has its own answer to what is not JSON. Other types are refused with 415: a page
  // could send text/plain from elsewhere without asking the browser first.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, done) => done(null, body));
  app.post("/", async (request, reply) => {
    const answer = await dispatcher.answer(String(request.body ?? ""), {});
    if (answer === undefined) return reply.code(204).send();
    return reply.type("application/json; charset=utf-8").send(answer);
  });
  app.route({
    method: "GET",
    url: "/",
    handler: (_request, reply) =>
      reply
        .type("text/html; charset=utf-8")
        .header("content-security-policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'")
        .header("x-content-type-options", "nosniff")
        .send(PAGE),
    wsHandler: (socket) => serveSocket(socket, dispatcher, subscribers, limits),
  });
  app.get("/health", (_request, reply) => {
    const health = healthOf(context);
    return reply.code({ ok: 200, syncing: 206, failing: 503 }[health.status]).send(health);
  });
}

function serveSocket(
  socket: WebSocket,
  dispatcher: Dispatcher<Caller>,
  subscribers: Set<Subscriber>,
  limits: RpcLimits,
): void {
  let dropped = false;
  const drop = (status: number, code: string, why: string) => {
    if (dropped) return;
    dropped = true;
    subscribers.delete(subscriber);
    socket.close(status, `${code}: ${why}`);
    setTimeout(() => socket.terminate(), limits.dropGraceMs).unref();
  };
  const send = (text: string) => {
    if (dropped) return;
    if (socket.bufferedAmount > limits.maxBufferedBytes) {
      drop(TRY_AGAIN_LATER, "SLOW_CLIENT", `more than ${limits.maxBufferedBytes} bytes unread`);
    } else socket.send(text);
  };
  const subscriber = new Subscriber(send);
  const caller: Caller = { subscriber };
  let queued = 0;
  let turn = Promise.resolve();
  socket.on("message", (data: Buffer, binary: boolean) => {
    if (dropped) return;
    if (queued >= limits.maxQueued) {
      drop(POLICY_VIOLATION, "RATE_LIMITED", `more than ${limits.maxQueued} requests without waiting for answers`);
      return;
    }
    queued++;
    turn = turn.then(async () => {
      const text = binary ? "" : data.toString();
      const answer = await dispatcher.answer(text, caller);
      queued--;
      if (answer !== undefined) send(answer);
    });
  });
  let alive = true;
  const ping = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, limits.pingMs);
  socket.on("pong", () => {
    alive = true;
  });
  socket.on("close", () => {
    clearInterval(ping);
    subscribers.delete(subscriber);
  });
  // A frame that breaks the protocol: `ws` closes the connection itself.
  socket.on("error", () => {});
  subscribers.add(subscriber);
}

/** Answers what never reached the dispatcher in the same form. */
function refuse(error: unknown, reply: FastifyReply, log: Log): FastifyReply {
  const status = isPoflError(error) ? undefined : (error as { statusCode?: number }).statusCode;
  const asPofl = (): [number, PoflError] => {
    if (isPoflError(error)) return [error.code === "NOT_FOUND" ? 404 : 403, error];
    switch (status) {
      case 413:
        return [413, new PoflError("BODY_TOO_LARGE", "the request is larger than this server reads")];
      case 415:
        return [415, new PoflError("UNSUPPORTED_MEDIA_TYPE", "the content type must be application/json")];
      case 429:
        return [429, new PoflError("RATE_LIMITED", "too many requests from this address; wait a second")];
      default:
        return [400, new PoflError("INVALID_REQUEST", errorText(error))];
    }
  };
  const internal = !isPoflError(error) && (status === undefined || status >= 500);
  if (internal) log.error({ err: error }, "RPC failed");
  const [code, answer] = asPofl();
  return reply
    .code(internal ? 500 : code)
    .type("application/json; charset=utf-8")
    .send(failure(internal ? error : answer));
}
