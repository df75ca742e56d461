/** Rows ready for training: `x` is n × width, row-major, float32; `y` is 0 or 1. */
export type Samples = {
  readonly n: number;
  readonly width: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
  /** 1-based line in the source file of each row (images: 1-based index). */
  readonly lines: Uint32Array;
};

/** The rows that can be used, and for each its 0-based number among the data rows of the file (blank lines and header don't count). */
export type Dataset = { readonly file: string; readonly rows: Uint32Array; readonly samples: Samples };

/** The rows at `indices`, in that order. */
export function pick(samples: Samples, indices: ArrayLike<number>): Samples {
  const { width } = samples;
  const n = indices.length;
  const x = new Float32Array(n * width);
  const y = new Float32Array(n);
  const lines = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const from = indices[i]!;
    x.set(samples.x.subarray(from * width, (from + 1) * width), i * width);
    y[i] = samples.y[from]!;
    lines[i] = samples.lines[from]!;
  }
  return { n, width, x, y, lines };
}

/** All rows of several sets of the same width, one after the other. */
export function join(parts: readonly Samples[]): Samples {
  const n = parts.reduce((sum, p) => sum + p.n, 0);
  const width = parts[0]?.width ?? 0;
  const joined = { n, width, x: new Float32Array(n * width), y: new Float32Array(n), lines: new Uint32Array(n) };
  let at = 0;
  for (const part of parts) {
    joined.x.set(part.x, at * width);
    joined.y.set(part.y, at);
    joined.lines.set(part.lines, at);
    at += part.n;
  }
  return joined;
}

/** Share of positive labels; 0 of no rows. */
export function prevalence(samples: Samples): number {
  return samples.n === 0 ? 0 : samples.y.reduce((a, b) => a + b, 0) / samples.n;
}
