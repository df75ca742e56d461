import { PoflError } from "../../types/errors.ts";

export { MAX_LANE, modelBytes, modelFromBytes, modelRoot, parametersOf } from "../../genesis/model.ts";

/**
 * The int16 lanes of an update's blob, little-endian on every machine.
 * @throws PoflError BAD_BLOB when the number of bytes is odd
 */
export function lanesOf(blob: Uint8Array): Int16Array {
  if (blob.length % 2 !== 0) throw new PoflError("BAD_BLOB", `an update of ${blob.length} bytes: lanes take two each`);
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const lanes = new Int16Array(blob.length / 2);
  for (let k = 0; k < lanes.length; k++) lanes[k] = view.getInt16(2 * k, true);
  return lanes;
}
