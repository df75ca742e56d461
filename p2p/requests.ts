import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";
import { Deadline } from "./deadline.ts";
import { HEADER_BYTES } from "./framing.ts";
import { Gcra } from "./gcra.ts";
import type { Host } from "./host.ts";
import type { Limits } from "./limits.ts";
import { Slots } from "./slots.ts";
import { readFrames, writeFrame } from "./streams.ts";
import type { Log, Peer, RequestHandler, RequestOptions, Traffic } from "./types.ts";

/** One stream per question: one frame, then the frames of the answer, then both ends close their side. */

export type Requests = {
  request(
    peer: Peer,
    protocol: string,
    bytes: Uint8Array,
    options: RequestOptions,
    meter: Traffic,
  ): AsyncGenerator<Uint8Array>;
  serve(protocol: string, handler: RequestHandler, meter: Traffic): Promise<void>;
  prune(now: number): void;
  stop(): void;
};

/** Streams of one protocol that may be open on a connection: those served, those waiting, and those that still close. */
const inboundStreams = (limits: Limits): number => 2 * (limits.concurrentRequests + limits.waitingRequests);

export function createRequests(deps: {
  host: Host;
  wire: (name: string) => string;
  limits: Limits;
  log: Log;
}): Requests {
  const { host, wire, limits, log } = deps;
  const asking = new Slots(limits.concurrentRequests, Number.POSITIVE_INFINITY);
  const serving = new Slots(limits.concurrentRequests, limits.waitingRequests);
  const quota = new Gcra(limits.serveBytesPerSecond, limits.serveBurstBytes);
  const served = new Set<string>();
  const stopping = new AbortController();
  // As many listeners as requests under way; the default of 10 would print warnings.
  setMaxListeners(0, stopping.signal);

  async function* request(
    peer: Peer,
    protocol: string,
    bytes: Uint8Array,
    options: RequestOptions,
    meter: Traffic,
  ): AsyncGenerator<Uint8Array> {
    const about = { peer, protocol };
    if (bytes.length > limits.maxRequestBytes) {
      throw new PoflError(
        "REQUEST_SIZE",
        `a request of ${bytes.length} bytes; at most ${limits.maxRequestBytes}`,
        about,
      );
    }
    const abort = new Deadline([options.signal, stopping.signal]);
    let release: (() => void) | undefined;
    let stream: Stream | undefined;
    let whole = false;
    try {
      abort.within(options.timeoutMs);
      release = await asking.acquire(`${peer} ${protocol}`, abort.signal);
      const connection = host.getConnections(peerIdFromString(peer)).find((c) => c.status === "open");
      if (!connection) throw new PoflError("NOT_CONNECTED", `${peer} is not connected`, about);
      abort.within(options.timeoutMs);
      const opened = await connection.newStream(wire(protocol), {
        signal: abort.signal,
        maxOutboundStreams: inboundStreams(limits),
      });
      stream = opened;
      abort.signal.addEventListener("abort", () => opened.abort(abort.signal.reason), { once: true });
      await writeFrame(stream, bytes, options.timeoutMs);
      meter.out += bytes.length + HEADER_BYTES;
      await stream.close({ signal: abort.signal });
      abort.within(undefined);
      yield* readFrames(stream, {
        maxFrameBytes: Math.min(limits.maxFrameBytes, options.maxBytes),
        maxBytes: options.maxBytes,
        timeoutMs: options.timeoutMs,
        onBytes: (n) => {
          meter.in += n;
        },
      });
      whole = true;
    } catch (error) {
      throw translate(abort.signal.aborted ? abort.signal.reason : error, about);
    } finally {
      abort.done();
      if (!whole) stream?.abort(new PoflError("ABORTED", "the answer is no longer wanted"));
      release?.();
    }
  }

  async function answer(
    stream: Stream,
    connection: Connection,
    handler: RequestHandler,
    meter: Traffic,
  ): Promise<void> {
    const peer = connection.remotePeer.toString();
    let release: (() => void) | undefined;
    const spend = async (bytes: number) => {
      const wait = quota.wait(peer, bytes, Date.now());
      if (wait > limits.serveWaitMs) throw new PoflError("QUOTA", `the quota of ${peer} is used up`);
      quota.spend(peer, bytes, Date.now());
      if (wait > 0) await sleep(wait, undefined, { signal: stopping.signal });
    };
    try {
      const question = await first(stream, limits, meter);
      release = await serving.acquire(`${peer} ${stream.protocol}`, stopping.signal);
      await spend(limits.requestCostBytes);
      for await (const frame of handler(peer, question, spend)) {
        await spend(Math.max(frame.length, limits.requestCostBytes));
        await writeFrame(stream, frame, limits.serveFrameMs);
        meter.out += frame.length + HEADER_BYTES;
      }
      // Before the close, which the asker sees as the end: it may ask again at once.
      release();
      await stream.close({ signal: AbortSignal.timeout(limits.serveFrameMs) });
    } catch (error) {
      const fields = { peer, protocol: stream.protocol, error: errorText(error) };
      // A handler that throws anything untyped is our own bug; the peer only sees a reset.
      if (isPoflError(error)) log.debug(fields, "request not answered");
      else log.warn(fields, "request handler failed");
      stream.abort(error as Error);
    } finally {
      release?.();
    }
  }

  return {
    request,
    async serve(protocol, handler, meter) {
      if (served.has(protocol)) throw new PoflError("PROTOCOL_TAKEN", `${protocol} is served already`);
      served.add(protocol);
      await host.handle(wire(protocol), (stream, connection) => void answer(stream, connection, handler, meter), {
        maxInboundStreams: inboundStreams(limits),
        maxOutboundStreams: inboundStreams(limits),
      });
    },
    prune: (now) => quota.prune(now),
    stop: () => stopping.abort(new PoflError("ABORTED", "the network stops")),
  };
}

async function first(stream: Stream, limits: Limits, meter: Traffic): Promise<Uint8Array> {
  const frames = readFrames(stream, {
    maxFrameBytes: limits.maxRequestBytes,
    maxBytes: limits.maxRequestBytes + HEADER_BYTES,
    timeoutMs: limits.serveFrameMs,
    onBytes: (n) => {
      meter.in += n;
    },
  });
  for await (const frame of frames) return frame;
  throw new PoflError("STREAM_CLOSED", "the stream closed before a request came");
}

const CODES: Readonly<Record<string, string>> = {
  NOT_CONNECTED: "NOT_CONNECTED",
  RESPONSE_SIZE: "RESPONSE_SIZE",
  FRAME_SIZE: "RESPONSE_SIZE",
  TIMEOUT: "REQUEST_TIMEOUT",
  ABORTED: "ABORTED",
};

function translate(error: unknown, about: { peer: Peer; protocol: string }): PoflError {
  const code = (isPoflError(error) ? CODES[error.code] : undefined) ?? "REQUEST_FAILED";
  return new PoflError(code, `${about.protocol} from ${about.peer}: ${errorText(error)}`, about, { cause: error });
}
