import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { TaskSpec } from "../genesis/task.ts";
import { errorText, PoflError } from "../types/errors.ts";
import type { Dataset } from "./samples.ts";

/** An array from a NumPy file. */
export type Npy = { readonly shape: readonly number[]; readonly values: Uint8Array | Float32Array };

/**
 * Decodes NPY 1.0 to 3.0 (numpy.lib.format) with little-endian float32 or uint8 in C order; nothing else is taken.
 * @throws PoflError DATA_BAD_NPY
 */
export function parseNpy(bytes: Uint8Array, file: string): Npy {
  const refuse = (why: string) => new PoflError("DATA_BAD_NPY", `${file}: ${why}`, { file });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, 6)).toString("latin1") !== "\x93NUMPY") {
    throw refuse("not a NumPy array (.npy) file");
  }
  const start = bytes[6]! >= 2 ? 12 : 10;
  const end = start + (start === 12 ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw refuse("the header is cut short");
  const header = Buffer.from(bytes.subarray(start, end)).toString("latin1");
  const descr = header.match(/'descr':\s*'([^']*)'/)?.[1];
  const shapeText = header.match(/'shape':\s*\(([0-9, ]*)\)/)?.[1];
  if (descr !== "|u1" && descr !== "<f4") throw refuse(`element type ${descr ?? "unknown"}; write uint8 or float32`);
  if (!/'fortran_order':\s*False/.test(header)) throw refuse("Fortran order; write it in C order");
  if (shapeText === undefined) throw refuse("the header has no shape");
  const shape = shapeText.split(",").flatMap((s) => (s.trim() === "" ? [] : [Number(s)]));
  const size = shape.reduce((a, b) => a * b, 1);
  const itemBytes = descr === "<f4" ? 4 : 1;
  if (bytes.length !== end + size * itemBytes) {
    throw refuse(`${bytes.length - end} bytes of data, but the shape (${shape.join(", ")}) needs ${size * itemBytes}`);
  }
  if (itemBytes === 1) return { shape, values: bytes.slice(end) };
  const values = Float32Array.from({ length: size }, (_, i) => view.getFloat32(end + 4 * i, true));
  return { shape, values };
}

function readNpy(path: string): Npy {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new PoflError("DATA_UNREADABLE", `${path}: can't be read: ${errorText(cause)}`, { file: path }, { cause });
  }
  return parseNpy(bytes, basename(path));
}

/**
 * Loads images (`name.npy`, shape n × height × width [× channels]) and their labels (`name.labels.npy`, shape n). Bytes are scaled from
 * 0…255 to [−1, 1]; float32 is taken as it is.
 * @throws PoflError DATA_UNREADABLE, DATA_BAD_NPY, DATA_NO_ROWS
 */
export function readImages(path: string, task: TaskSpec): Dataset {
  const file = basename(path);
  const image = task.schema.image!;
  const { shape, values } = readNpy(path);
  const labels = readNpy(path.replace(/(?:\.npy)?$/, ".labels.npy"));
  const wanted = [image.height, image.width, image.channels];
  const [n = 0, ...rest] = shape;
  if (rest.length === 2) rest.push(1);
  if (rest.join() !== wanted.join()) {
    throw new PoflError(
      "DATA_BAD_NPY",
      `${file}: images of ${rest.join(" × ")}, but the task's schema.image says ${wanted.join(" × ")}`,
      { file },
    );
  }
  if (labels.shape.length !== 1 || labels.shape[0] !== n) {
    throw new PoflError("DATA_BAD_NPY", `${file}: ${n} images, but labels of shape (${labels.shape.join(", ")})`, {
      file,
    });
  }
  if (n === 0) throw new PoflError("DATA_NO_ROWS", `${file}: no images`, { file });
  const x = values instanceof Uint8Array ? Float32Array.from(values, (v) => v / 127.5 - 1) : values;
  const y = Float32Array.from(labels.values, (v) => (v > task.schema.label.positiveAbove ? 1 : 0));
  const lines = Uint32Array.from({ length: n }, (_, i) => i + 1);
  return { file, rows: lines.map((line) => line - 1), samples: { n, width: x.length / n, x, y, lines } };
}
