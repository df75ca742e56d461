import type { Connection, Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import { errorText, PoflError } from "../types/errors.ts";
import type { Meters } from "./counters.ts";
import { FrameDecoder, HEARTBEAT, packet } from "./framing.ts";
import type { Host } from "./host.ts";
import type { Limits } from "./limits.ts";
import type { Log, NetworkHandlers, Peer, PeerInfo } from "./types.ts";

/**
 * One persistent stream per peer for round and vote messages. Of two peers the one with the smaller id opens it, whoever
 * dialled: so there is never a second one to choose between.
 */

/** What a queued frame costs beside its bytes, so that a million tiny ones are bounded too. */
const FRAME_OVERHEAD = 64;

type Channel = {
  readonly peer: Peer;
  readonly stream: Stream;
  readonly connection: Connection;
  readonly decoder: FrameDecoder;
  readonly connectedAt: number;
  queue: ReturnType<typeof packet>[];
  queuedBytes: number;
  lastIn: number;
  lastOut: number;
  /** When the queue last moved or was empty. */
  movedAt: number;
  bytesIn: number;
  bytesOut: number;
};

export type Direct = {
  start(): Promise<void>;
  stop(): Promise<void>;
  has(peer: Peer): boolean;
  list(): Peer[];
  info(): Omit<PeerInfo, "score" | "listens">[];
  send(peer: Peer, frame: Uint8Array): boolean;
  broadcast(frame: Uint8Array, except?: Peer): number;
};

export function createDirect(deps: {
  host: Host;
  protocol: string;
  limits: Limits;
  log: Log;
  meters: Meters;
  handlers: NetworkHandlers;
}): Direct {
  const { host, protocol, limits, log, handlers } = deps;
  const meter = deps.meters.direct;
  const self = host.peerId.toString();
  const channels = new Map<Peer, Channel>();
  const opening = new Set<Peer>();
  let timer: NodeJS.Timeout | undefined;
  let lastTick = 0;

  const guard = (what: string, peer: Peer, call: () => void) => {
    try {
      call();
    } catch (error) {
      // Our own bug: the peer is not to blame.
      log.error({ peer, error: errorText(error) }, `${what} handler failed`);
    }
  };

  function attach(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString();
    const old = channels.get(peer);
    if (old) close(old, new PoflError("REPLACED", "the peer opened a new direct stream"));
    const now = Date.now();
    const channel: Channel = {
      peer,
      stream,
      connection,
      decoder: new FrameDecoder(limits.maxFrameBytes),
      connectedAt: now,
      queue: [],
      queuedBytes: 0,
      lastIn: now,
      lastOut: now,
      movedAt: now,
      bytesIn: 0,
      bytesOut: 0,
    };
    channels.set(peer, channel);
    stream.addEventListener("drain", () => flush(channel));
    stream.addEventListener("close", (event: StreamCloseEvent) => detach(channel, event.error));
    // The other end left: what it sent last has been read, and half a stream is of no use.
    stream.addEventListener("remoteCloseWrite", () =>
      queueMicrotask(() => close(channel, new Error("closed by peer"))),
    );
    guard("onPeer", peer, () => handlers.onPeer(peer));
    // Last, since it delivers what has already arrived.
    stream.addEventListener("message", (event: StreamMessageEvent) => receive(channel, event));
    if (stream.status !== "open") detach(channel, undefined);
  }

  function detach(channel: Channel, error: Error | undefined): void {
    if (channels.get(channel.peer) !== channel) return;
    channels.delete(channel.peer);
    channel.queue = [];
    channel.queuedBytes = 0;
    log.debug({ peer: channel.peer, error: error?.message }, "direct stream closed");
    guard("onGone", channel.peer, () => handlers.onGone(channel.peer));
  }

  function close(channel: Channel, error: Error): void {
    detach(channel, error);
    channel.stream.abort(error);
  }

  /** Ends the connection too: the peer must begin anew. */
  function drop(channel: Channel, code: string, why: string): void {
    log.warn({ peer: channel.peer, code }, `peer dropped: ${why}`);
    const error = new PoflError(code, why);
    close(channel, error);
    channel.connection.abort(error);
  }

  function receive(channel: Channel, event: StreamMessageEvent): void {
    const { peer } = channel;
    channel.lastIn = Date.now();
    channel.bytesIn += event.data.byteLength;
    meter.in += event.data.byteLength;
    try {
      for (const frame of channel.decoder.push(event.data)) {
        if (channels.get(peer) !== channel) return;
        if (frame.length > 0) guard("onFrame", peer, () => handlers.onFrame(peer, frame));
      }
    } catch (error) {
      drop(channel, "FRAME_SIZE", errorText(error));
    }
  }

  function put(channel: Channel, data: ReturnType<typeof packet> | Uint8Array): void {
    channel.lastOut = Date.now();
    channel.bytesOut += data.byteLength;
    meter.out += data.byteLength;
    channel.stream.send(data);
  }

  function write(channel: Channel, data: ReturnType<typeof packet>): boolean {
    try {
      if (channel.queue.length === 0 && !channel.stream.writableNeedsDrain) {
        channel.movedAt = Date.now();
        put(channel, data);
        return true;
      }
    } catch (error) {
      close(channel, error as Error);
      return false;
    }
    const cost = data.byteLength + FRAME_OVERHEAD;
    if (channel.queuedBytes + channel.stream.writeBufferLength + cost > limits.maxQueuedBytes) {
      drop(channel, "SLOW_PEER", `it reads too slowly, more than ${limits.maxQueuedBytes} bytes wait`);
      return false;
    }
    channel.queue.push(data);
    channel.queuedBytes += cost;
    return true;
  }

  function flush(channel: Channel): void {
    let sent = 0;
    channel.movedAt = Date.now();
    try {
      while (sent < channel.queue.length && !channel.stream.writableNeedsDrain) {
        const data = channel.queue[sent++] as ReturnType<typeof packet>;
        channel.queuedBytes -= data.byteLength + FRAME_OVERHEAD;
        put(channel, data);
      }
      channel.queue.splice(0, sent);
    } catch (error) {
      close(channel, error as Error);
    }
  }

  async function open(connection: Connection): Promise<void> {
    const peer = connection.remotePeer.toString();
    if (self > peer || channels.has(peer) || opening.has(peer) || connection.status !== "open") return;
    opening.add(peer);
    try {
      const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(limits.handshakeMs) });
      if (timer) attach(stream, connection);
      else stream.abort(new Error("stopping"));
    } catch (error) {
      // A peer of another chain: identify says which, and ends the connection.
      log.debug({ peer, error: errorText(error) }, "could not open the direct stream");
    } finally {
      opening.delete(peer);
    }
  }

  const onConnection = (event: CustomEvent<Connection>) => {
    void open(event.detail);
  };

  function tick(): void {
    const now = Date.now();
    // When this process itself was held up, nobody else is to blame for the silence.
    const late = now - lastTick > limits.heartbeatMs;
    lastTick = now;
    for (const channel of [...channels.values()]) {
      if (late) channel.lastIn = channel.movedAt = now;
      if (now - channel.lastIn > limits.silenceMs) drop(channel, "SILENT_PEER", `silent for ${limits.silenceMs} ms`);
      else if (channel.queue.length > 0 && now - channel.movedAt > limits.stallMs) {
        drop(channel, "SLOW_PEER", `it took no byte for ${limits.stallMs} ms`);
      } else if (now - channel.lastOut >= limits.heartbeatMs && !channel.stream.writableNeedsDrain) {
        try {
          put(channel, HEARTBEAT);
        } catch (error) {
          close(channel, error as Error);
        }
      }
    }
    for (const connection of host.getConnections()) {
      if (channels.has(connection.remotePeer.toString())) continue;
      if (now - connection.timeline.open > limits.handshakeMs && !late) {
        log.debug({ peer: connection.remotePeer.toString() }, "connection without a direct stream closed");
        connection.abort(new PoflError("NO_DIRECT_STREAM", "no direct stream"));
      } else void open(connection);
    }
  }

  const check = (frame: Uint8Array) => {
    if (frame.length > 0 && frame.length <= limits.maxFrameBytes) return;
    throw new PoflError("FRAME_SIZE", `a frame of ${frame.length} bytes; it must have 1 to ${limits.maxFrameBytes}`);
  };

  return {
    async start() {
      await host.handle(
        protocol,
        (stream, connection) => {
          if (self < connection.remotePeer.toString()) stream.abort(new Error("it is for the other end to open it"));
          else attach(stream, connection);
        },
        // The old one may still be closing when its successor arrives.
        { maxInboundStreams: 2, maxOutboundStreams: 2 },
      );
      host.addEventListener("connection:open", onConnection);
      lastTick = Date.now();
      timer = setInterval(tick, Math.min(500, limits.heartbeatMs / 2));
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      host.removeEventListener("connection:open", onConnection);
      for (const channel of [...channels.values()]) close(channel, new Error("stopping"));
    },
    has: (peer) => channels.has(peer),
    list: () => [...channels.keys()],
    info: () =>
      [...channels.values()].map((c) => ({
        peer: c.peer,
        address: c.connection.remoteAddr.toString(),
        direction: c.connection.direction,
        connectedAt: c.connectedAt,
        queuedBytes: c.queuedBytes + c.stream.writeBufferLength,
        bytesIn: c.bytesIn,
        bytesOut: c.bytesOut,
      })),
    send(peer, frame) {
      check(frame);
      const channel = channels.get(peer);
      return channel ? write(channel, packet(frame)) : false;
    },
    broadcast(frame, except) {
      check(frame);
      let taken = 0;
      for (const channel of [...channels.values()]) {
        // Each stream consumes a list of its own; the payload is shared.
        if (channel.peer !== except && write(channel, packet(frame))) taken += 1;
      }
      return taken;
    },
  };
}
