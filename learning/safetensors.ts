/** The safetensors format: 8 bytes of header length, a JSON header, then the tensors. github.com/huggingface/safetensors */

export type SavedTensor = {
  readonly name: string;
  readonly shape: readonly number[];
  /** Of its first value in the flat vector. */
  readonly offset: number;
  readonly size: number;
};

/** A file that holds `values` cut into `tensors`, float32 little-endian; `metadata` are strings. */
export function safetensors(
  values: Float32Array,
  tensors: readonly SavedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const { name, shape, offset, size } of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [4 * offset, 4 * (offset + size)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Readers map the file: the data begins at a multiple of 8, the header ends with spaces.
  const padded = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + padded + 4 * values.length).fill(0x20, 8 + json.length, 8 + padded);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(padded), true);
  file.set(json, 8);
  for (let i = 0; i < values.length; i++) view.setFloat32(8 + padded + 4 * i, values[i] as number, true);
  return file;
}
