import { Uint8ArrayList } from "uint8arraylist";
import { PoflError } from "../types/errors.ts";

/** Frames on a stream: length (4 bytes, big-endian), then the payload. An empty frame is a heartbeat. */

export const HEADER_BYTES = 4;
export const HEARTBEAT: Uint8Array = new Uint8Array(HEADER_BYTES);

/** Length and payload without copying the payload. */
export function packet(frame: Uint8Array): Uint8ArrayList {
  const header = new Uint8Array(HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, frame.length);
  return new Uint8ArrayList(header, frame);
}

/** Cuts a stream of bytes into frames, each in memory of its own. Holds at most one frame and one read of the socket. */
export class FrameDecoder {
  readonly #maxBytes: number;
  readonly #buffer = new Uint8ArrayList();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#buffer.byteLength;
  }

  /** Yields the frames that `chunk` completes. @throws PoflError FRAME_SIZE when one announces more than the limit */
  *push(chunk: Uint8Array | Uint8ArrayList): Generator<Uint8Array> {
    this.#buffer.append(chunk);
    while (this.#buffer.byteLength >= HEADER_BYTES) {
      const length = this.#buffer.getUint32(0);
      if (length > this.#maxBytes) {
        throw new PoflError(
          "FRAME_SIZE",
          `a peer announced a frame of ${length} bytes, at most ${this.#maxBytes} may come`,
        );
      }
      const end = HEADER_BYTES + length;
      if (this.#buffer.byteLength < end) return;
      const frame = this.#buffer.slice(HEADER_BYTES, end);
      this.#buffer.consume(end);
      yield frame;
    }
  }
}
