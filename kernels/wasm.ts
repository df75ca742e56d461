import { gram } from "./gram.ts";
import { wasm } from "./gram.wasm.ts";

/** The Gram matrix in WASM SIMD: the bits of its twin `gram`, many times as fast. */

/** So many vectors take 25 MiB of memory, of whatever length; more are left to the twin. */
const MAX_VECTORS = 1024;
const PAGE = 65536;

export type GramKernel = {
  /** Signature, result and errors of the twin. */
  readonly gram: typeof gram;
  /** Bytes of its memory now: it grows with the number of vectors, never with their length. */
  readonly bytes: () => number;
};

/** What `assembly/gram.ts` exports. */
type Exports = {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly TILE: { readonly value: number };
  readonly STAGE: { readonly value: number };
  needs(rows: number): number;
  clear(rows: number): void;
  pack(pair: number, rows: number, lanes: number): number;
  multiply(rows: number, lanes: number, most: number): void;
  finish(n: number, rows: number): number;
};

/** What is needed of the engine: neither TypeScript's library for Node nor Node's own types declare it. */
declare const WebAssembly:
  | {
      Module: new (bytes: Uint8Array) => object;
      Instance: new (module: object) => { readonly exports: object };
    }
  | undefined;

/** The exports of a module; undefined where the engine has no WASM, no SIMD, or no address space to reserve for it. */
export function instantiate(base64: string): object | undefined {
  if (typeof WebAssembly === "undefined") return undefined;
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))))
      .exports;
  } catch {
    return undefined;
  }
}

export function gramKernel(): GramKernel | undefined {
  const kernel = instantiate(wasm) as Exports | undefined;
  return (
    kernel && {
      gram: (vectors) => (vectors.length > MAX_VECTORS ? gram(vectors) : run(kernel, vectors)),
      bytes: () => kernel.memory.buffer.byteLength,
    }
  );
}

function run(kernel: Exports, vectors: readonly Int16Array[]): BigInt64Array {
  const n = vectors.length;
  const d = vectors[0]?.length ?? 0;
  if (vectors.some((v) => v.length !== d)) throw new RangeError("gram: vectors of different lengths");
  const rows = (n + 3) & ~3;
  const { memory } = kernel;
  const lacking = kernel.needs(rows) - memory.buffer.byteLength;
  if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE));
  kernel.clear(rows);
  const tile = kernel.TILE.value;
  const stage = new Int16Array(memory.buffer, kernel.STAGE.value, 2 * tile);
  for (let from = 0; from < d; from += tile) {
    const lanes = Math.min(tile, d - from);
    if (lanes < tile) stage.fill(0);
    let most = 0;
    for (let i = 0; i < n; i += 2) {
      stage.set((vectors[i] as Int16Array).subarray(from, from + lanes));
      // Without a second row the stage repeats an old one: its products land in a row that nobody reads.
      if (i + 1 < n) stage.set((vectors[i + 1] as Int16Array).subarray(from, from + lanes), tile);
      most = Math.max(most, kernel.pack(i / 2, rows, lanes));
    }
    kernel.multiply(rows, lanes, most);
  }
  return new BigInt64Array(memory.buffer, kernel.finish(n, rows), n * n).slice();
}

let kernel: GramKernel | undefined;

/** The kernel where there is one, else the twin: nodes may differ in it. Compiles at the first call, in a millisecond. */
export function fastGram(vectors: readonly Int16Array[]): BigInt64Array {
  kernel ??= gramKernel() ?? { gram, bytes: () => 0 };
  return kernel.gram(vectors);
}
