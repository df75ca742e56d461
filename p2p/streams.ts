import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import { PoflError } from "../types/errors.ts";
import { FrameDecoder, packet } from "./framing.ts";

/** Frames over a libp2p stream, with back-pressure in both directions. */

/** Decoded bytes that may wait for the reader before the other end is told to stop. */
const READ_AHEAD_BYTES = 1024 * 1024;

/**
 * Resolves when the stream takes bytes again. Not `stream.onDrain`: it keeps its first promise, so from the second time on it
 * resolves at once (@libp2p/utils 7.4.1) and the buffer grows without bound.
 * @throws PoflError TIMEOUT, STREAM_CLOSED
 */
function drained(stream: Stream, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error) => {
      clearTimeout(timer);
      stream.removeEventListener("drain", onDrain);
      stream.removeEventListener("close", onClose);
      if (error) reject(error);
      else resolve();
    };
    const onDrain = () => done();
    const onClose = () => done(new PoflError("STREAM_CLOSED", "the other end closed the stream"));
    const timer = setTimeout(() => done(new PoflError("TIMEOUT", `no byte left for ${timeoutMs} ms`)), timeoutMs);
    stream.addEventListener("drain", onDrain);
    stream.addEventListener("close", onClose);
  });
}

/** Writes one frame and waits until there is room for the next. @throws PoflError TIMEOUT, STREAM_CLOSED */
export async function writeFrame(stream: Stream, frame: Uint8Array, timeoutMs: number): Promise<void> {
  if (stream.writeStatus !== "writable") throw new PoflError("STREAM_CLOSED", "the other end closed the stream");
  stream.send(packet(frame));
  while (stream.writableNeedsDrain) await drained(stream, timeoutMs);
}

/**
 * The frames of a stream until the other end closes its side. Stops reading from the network while the consumer is behind.
 * Leaving the loop detaches from the stream and leaves it open.
 * @throws PoflError TIMEOUT (no frame for `timeoutMs`), FRAME_SIZE, RESPONSE_SIZE, STREAM_CLOSED (reset, or cut inside a frame)
 */
export async function* readFrames(
  stream: Stream,
  options: { maxFrameBytes: number; maxBytes: number; timeoutMs: number; onBytes?: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const decoder = new FrameDecoder(options.maxFrameBytes);
  const queue: Uint8Array[] = [];
  let queued = 0;
  let total = 0;
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  let resuming = false;
  const pauseIfFull = () => {
    if (queued > READ_AHEAD_BYTES && stream.readStatus === "readable") stream.pause();
  };

  const end = () => {
    ended = true;
    if (decoder.pendingBytes > 0) failure ??= new PoflError("STREAM_CLOSED", "the stream ended inside a frame");
    wake?.();
  };
  const onMessage = (event: StreamMessageEvent) => {
    if (failure) return;
    total += event.data.byteLength;
    options.onBytes?.(event.data.byteLength);
    try {
      if (total > options.maxBytes) {
        throw new PoflError("RESPONSE_SIZE", `more than ${options.maxBytes} bytes came`);
      }
      for (const frame of decoder.push(event.data)) {
        queue.push(frame);
        queued += frame.length;
      }
    } catch (error) {
      failure = error as Error;
    }
    // Inside resume() a pause would be undone, and the flow left running with nobody to read.
    if (!resuming) pauseIfFull();
    wake?.();
  };
  const onClose = (event: StreamCloseEvent) => {
    if (event.error) failure ??= new PoflError("STREAM_CLOSED", event.error.message, {}, { cause: event.error });
    // Without an error, a paused stream still holds bytes to read, and says "end" after them.
    if (event.error || stream.readBufferLength === 0) end();
  };
  stream.addEventListener("end", end);
  stream.addEventListener("close", onClose);
  stream.addEventListener("message", onMessage);
  if (stream.readableEnded) end();
  else if (stream.status === "aborted" || stream.status === "reset") {
    failure = new PoflError("STREAM_CLOSED", `the stream was ${stream.status}`);
  }
  try {
    for (;;) {
      const frame = queue.shift();
      if (frame) {
        queued -= frame.length;
        yield frame;
        continue;
      }
      if (failure) throw failure;
      if (ended) return;
      if (stream.readStatus === "paused") {
        resuming = true;
        stream.resume();
        resuming = false;
        pauseIfFull();
        continue;
      }
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          wake = undefined;
          reject(new PoflError("TIMEOUT", `nothing came for ${options.timeoutMs} ms`));
        }, options.timeoutMs);
        wake = () => {
          wake = undefined;
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    stream.removeEventListener("end", end);
    stream.removeEventListener("close", onClose);
    stream.removeEventListener("message", onMessage);
  }
}
