import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { gram } from "../kernels/gram.ts";
import { wasm as peakModule } from "../kernels/peak.wasm.ts";
import { type GramKernel, gramKernel, instantiate } from "../kernels/wasm.ts";

/**
 * The Gram kernel against numpy with OpenBLAS in float32, one thread each, and against what this machine's vector unit gives at most.
 * A repetition takes turns: several runs of each in a row, of which the median counts, since a core that was idle starts slowly. Figures
 * are medians over repetitions, ratios medians of ratios of wall time within one. Exits with 1 only if a result is not exact. Usage: npm run bench:kernel [-- --large]
 */

/** Shapes of the project's image tasks: institutions × parameters. */
const SHAPES = [
  { n: 64, d: 159_010 },
  { n: 100, d: 50_890 },
] as const;
/** 2^30 lanes, 2 GiB: without numpy, which would take 8. */
const LARGE = { n: 64, d: 1 << 24 } as const;
const GOAL = { syrk: 1.3, gemm: 1.5, peak: 0.8 } as const;
const REPETITIONS = 12;
const RUNS = 7;
const PEAK_ROUNDS = 1_000_000;

type Peak = {
  readonly PRODUCTS: { readonly value: number };
  dotAdd(rounds: number): number;
  dot(rounds: number): number;
};

/** What a repetition times, in this order. */
const TURNS = ["dotAdd", "ours", "syrk", "gemm", "dot"] as const;
type Turn = (typeof TURNS)[number];

const print = (text: string) => console.log(text);
const ms = (time: number) => (1000 * time).toFixed(2).padStart(6);
const mib = (bytes: number) => `${(bytes / (1 << 20)).toFixed(1)} MiB`;
const millions = (count: number) => `${(count / 1e6).toFixed(1)} million`;
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;
const verdict = (value: number, goal: number) => `goal ${goal}: ${value >= goal ? "met" : "missed"}`;

function seconds(act: () => void): number {
  const start = performance.now();
  act();
  return (performance.now() - start) / 1000;
}

/** The median of several runs. */
function inARow(act: () => void): number {
  return median(Array.from({ length: RUNS }, () => seconds(act)));
}

/** Lanes of a protocol update, ±2047, from a fixed seed. */
function updates(n: number, d: number): Int16Array[] {
  let x = 0x9e3779b9;
  return Array.from({ length: n }, () => {
    const lanes = new Int16Array(d);
    for (let k = 0; k < d; k++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      lanes[k] = ((x >>> 8) % 4095) - 2047;
    }
    return lanes;
  });
}

/** numpy in a process of its own. */
class Blas {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Undefined, after saying why, where numpy can't be had. */
  static async start(vectors: readonly Int16Array[]): Promise<Blas | undefined> {
    // Debian's python3 has Debian's numpy; another one that comes first in the PATH may have its own.
    const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
    const one = { OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };
    const child = spawn(python, [resolve("bench/blas.py")], { env: { ...process.env, ...one } });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.on("error", (error) => {
      said += error.message;
    });
    // It may be gone before it has read everything: its silence says so.
    child.stdin.on("error", () => {});
    const blas = new Blas(child);
    child.stdin.write(`${vectors.length} ${vectors[0]?.length} ${RUNS}\n`);
    for (const v of vectors) child.stdin.write(new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
    const about = await blas.ask("about");
    if (about === undefined) {
      print(`no comparison with numpy: ${said.trim().split("\n").at(-1)}`);
      print("  install it: apt-get install python3-numpy libopenblas0-pthread");
      return undefined;
    }
    print(`${python}: ${about}`);
    return blas;
  }

  async ask(command: "about" | "syrk" | "gemm" | "result"): Promise<string | undefined> {
    this.#child.stdin.write(`${command}\n`);
    const { value, done } = await this.#lines.next();
    return done ? undefined : value;
  }

  async time(command: "syrk" | "gemm"): Promise<number> {
    return Number(await this.ask(command));
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, "exit");
  }
}

/** Whether the result is the twin's; says where float32 differs. */
async function checkExact(vectors: readonly Int16Array[], ours: BigInt64Array, blas: Blas | undefined): Promise<void> {
  let twin: BigInt64Array = new BigInt64Array(0);
  const took = seconds(() => {
    twin = gram(vectors);
  });
  const same = twin.every((x, k) => x === ours[k]);
  print(
    `exact: ${same ? "every bit is" : "NOT"} that of the TypeScript twin, which took ${(1000 * took).toFixed(0)} ms`,
  );
  if (!same) process.exitCode = 1;
  const text = await blas?.ask("result");
  if (text === undefined) return;
  const float = new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
  const errors = [...float].map((x, k) => Math.abs(x - Number(ours[k])));
  const wrong = errors.filter((e) => e > 0).length;
  print(`       float32 misses ${wrong} of ${errors.length} elements, by up to ${Math.max(...errors)}`);
}

async function compare(kernel: GramKernel, peak: Peak, n: number, d: number): Promise<void> {
  const triangle = ((n * (n + 1)) / 2) * d;
  const square = n * n * d;
  print(`\nn = ${n}, d = ${d}: ${millions(triangle)} products in the triangle, ${millions(square)} in the square`);
  const vectors = updates(n, d);
  const before = process.memoryUsage().rss;
  let result: BigInt64Array = new BigInt64Array(0);
  const ours = () => {
    result = kernel.gram(vectors);
  };
  const first = seconds(ours);
  const grown = process.memoryUsage().rss - before;
  const blas = await Blas.start(vectors);
  const turns: Record<Turn, () => number | Promise<number>> = {
    dotAdd: () => inARow(() => peak.dotAdd(PEAK_ROUNDS)),
    ours: () => inARow(ours),
    syrk: () => blas?.time("syrk") ?? Number.NaN,
    gemm: () => blas?.time("gemm") ?? Number.NaN,
    dot: () => inARow(() => peak.dot(PEAK_ROUNDS)),
  };
  const samples: Record<Turn, number>[] = [];
  for (let r = 0; r < REPETITIONS; r++) {
    const sample: Record<Turn, number> = { dotAdd: 0, ours: 0, syrk: 0, gemm: 0, dot: 0 };
    for (const turn of TURNS) sample[turn] = await turns[turn]();
    samples.push(sample);
  }
  // In the first the engine still optimises in the background.
  samples.shift();

  // What others do on a shared machine takes from both sides, though not alike: the best times are beside the medians.
  const best = (turn: Turn) => Math.min(...samples.map((s) => s[turn]));
  const row = (name: string, turn: Turn, products: number, rest: string) => {
    const times = samples.map((s) => s[turn]);
    const rate = (products / median(times) / 1e9).toFixed(1).padStart(5);
    print(`${name} ${ms(median(times))} ms (best ${ms(best(turn))})  ${rate} GMAC/s${rest}`);
  };
  const faster = (turn: "syrk" | "gemm") => {
    const times = median(samples.map((s) => s[turn] / s.ours));
    return `: the kernel is ${times.toFixed(2)} × as fast (${verdict(times, GOAL[turn])}), ${(best(turn) / best("ours")).toFixed(2)} × at best`;
  };
  const products = PEAK_ROUNDS * peak.PRODUCTS.value;
  const share = (turn: "dotAdd" | "dot") => median(samples.map((s) => triangle / s.ours / (products / s[turn])));
  row("kernel, WASM, int16 to int64", "ours", triangle, " of the triangle");
  if (blas) {
    row("numpy U @ U.T, float32, syrk", "syrk", triangle, ` of the triangle${faster("syrk")}`);
    row("numpy U @ V.T, float32, gemm", "gemm", square, ` of the square${faster("gemm")}`);
  }
  const reached = share("dotAdd");
  row(
    "peak: dot and add           ",
    "dotAdd",
    products,
    `: the kernel has ${reached.toFixed(2)} of it (${verdict(reached, GOAL.peak)}), ${(triangle / best("ours") / (products / best("dotAdd"))).toFixed(2)} at best`,
  );
  row("peak: dot without a sum     ", "dot", products, `: ${share("dot").toFixed(2)}`);
  await checkExact(vectors, result, blas);
  print(
    `memory: ${mib(kernel.bytes())} of WASM; the process grew by ${mib(grown)} in its first call, of ${ms(first).trim()} ms`,
  );
  await blas?.close();
}

/** The largest case: exact on samples, and in how much memory. */
function large(kernel: GramKernel, { n, d }: typeof LARGE): void {
  print(`\nn = ${n}, d = ${d}: n·d = 2^${Math.log2(n * d)}`);
  const vectors = updates(n, d);
  const before = process.memoryUsage().rss;
  let result: BigInt64Array = new BigInt64Array(0);
  const took = seconds(() => {
    result = kernel.gram(vectors);
  });
  const grown = process.memoryUsage().rss - before;
  const triangle = ((n * (n + 1)) / 2) * d;
  print(`kernel ${took.toFixed(2)} s, ${(triangle / took / 1e9).toFixed(1)} GMAC/s of the triangle`);
  print(
    `memory: ${mib(kernel.bytes())} of WASM; the process grew by ${mib(grown)} beside the ${mib(2 * n * d)} of vectors`,
  );
  const pairs = [
    [0, 0],
    [n - 1, 0],
    [n - 1, n - 1],
    [n >> 1, 3],
  ] as const;
  const exact = pairs.every(
    ([i, j]) => gram([vectors[i] as Int16Array, vectors[j] as Int16Array])[1] === result[i * n + j],
  );
  print(`exact: ${exact ? "" : "NOT "}the twin's value in ${pairs.length} elements`);
  if (!exact) process.exitCode = 1;
}

const kernel = gramKernel();
const peak = instantiate(peakModule) as Peak | undefined;
if (!kernel || !peak) {
  print("this engine has no WASM SIMD: nodes use the TypeScript twin");
} else {
  for (const { n, d } of SHAPES) await compare(kernel, peak, n, d);
  if (process.argv.includes("--large")) large(kernel, LARGE);
}
