import { blobRoot } from "../../crypto/blob.ts";
import { PoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";

/** Bytes of models and updates. Little-endian on every machine, hence the DataView. */

/** Largest magnitude of a lane: 12 significant bits, sign included. */
export const MAX_LANE = 2047;

/**
 * The int16 lanes of an update's blob.
 * @throws PoflError BAD_BLOB when the number of bytes is odd
 */
export function lanesOf(blob: Uint8Array): Int16Array {
  if (blob.length % 2 !== 0) throw new PoflError("BAD_BLOB", `an update of ${blob.length} bytes: lanes take two each`);
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const lanes = new Int16Array(blob.length / 2);
  for (let k = 0; k < lanes.length; k++) lanes[k] = view.getInt16(2 * k, true);
  return lanes;
}

/** A global model as bytes: its parameters as int32. */
export function modelBytes(model: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * model.length);
  const view = new DataView(bytes.buffer);
  for (let k = 0; k < model.length; k++) view.setInt32(4 * k, model[k] as number, true);
  return bytes;
}

/** @throws PoflError BAD_MODEL when the number of bytes is no multiple of four */
export function modelFromBytes(bytes: Uint8Array): Int32Array {
  if (bytes.length % 4 !== 0) {
    throw new PoflError("BAD_MODEL", `a model of ${bytes.length} bytes: parameters take four each`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const model = new Int32Array(bytes.length / 4);
  for (let k = 0; k < model.length; k++) model[k] = view.getInt32(4 * k, true);
  return model;
}

/** The name of a model: the root of its bytes as a blob, so that it is served like any other. */
export function modelRoot(model: Int32Array): Hash {
  return blobRoot(modelBytes(model));
}
