import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { gram } from "../../kernels/gram.ts";
import { fastGram, type GramKernel, gramKernel, instantiate } from "../../kernels/wasm.ts";

const kernel = gramKernel() as GramKernel;

/** A repeatable stream of 32-bit numbers (xorshift). */
function stream(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** Ways to fill a vector: what a lane may be, from any number. */
const FILLS: Record<string, (random: number) => number> = {
  protocol: (r) => (r % 4095) - 2047,
  "protocol's ends": (r) => (r & 1 ? 2047 : -2047),
  least: () => -32768,
  most: () => 32767,
  ends: (r) => (r & 1 ? 32767 : -32768),
  any: (r) => r & 0xffff,
  "one in a thousand least": (r) => (r % 1000 === 0 ? -32768 : r % 3),
  zero: () => 0,
};

function vectors(n: number, d: number, fills: readonly string[], seed: number): Int16Array[] {
  const next = stream(seed);
  return Array.from({ length: n }, (_, i) => {
    const fill = FILLS[fills[i % fills.length] as string] as (random: number) => number;
    return Int16Array.from({ length: d }, () => fill(next()));
  });
}

test("the kernel runs here, and is what fastGram uses", () => {
  assert.ok(kernel);
  assert.equal(fastGram([Int16Array.of(3, -4)]), BigInt64Array.of(25n));
});

test("gives the twin's bits, for every shape and every mixture of extremes", () => {
  const names = fc.array(fc.constantFrom(...Object.keys(FILLS)), { minLength: 1, maxLength: 5 });
  const d = fc.oneof(
    fc.integer({ min: 0, max: 100 }),
    fc.integer({ min: 0, max: 5000 }),
    // Around a chunk, and around a tile.
    fc.integer({ min: 2030, max: 2066 }),
    fc.integer({ min: 8180, max: 8210 }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 70 }), d, names, fc.integer(), (n, d, fills, seed) => {
      const u = vectors(n, d, fills, seed);
      assert.equal(kernel.gram(u), gram(u));
    }),
    { numRuns: 150 },
  );
});

test("single lanes: a pair of least ones is the only dot that does not fit 32 bits", () => {
  const lane = fc.constantFrom(-32768, -32767, -2048, -1, 0, 1, 2047, 32767);
  const row = fc.array(lane, { minLength: 17, maxLength: 17 });
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 6 }), (rows) => {
      const u = rows.map((r) => Int16Array.from(r));
      assert.equal(kernel.gram(u), gram(u));
    }),
  );
});

test("long vectors: sums far beyond 32 bits", () => {
  for (const fills of [["protocol's ends"], ["least"], ["least", "most"], ["protocol", "least", "protocol's ends"]]) {
    const u = vectors(8, 300_000, fills, 5);
    assert.equal(kernel.gram(u), gram(u), fills.join());
  }
});

test("runs of the longest length: every product as large as it can be", () => {
  // At 2047 a run fills 2048 lanes up to the last bit but a few; at 2896 and 23170 it ends within a chunk; at 32767 it is one dot.
  for (const most of [1, 181, 2047, 2048, 2896, 2897, 23170, 23171, 32767]) {
    for (const d of [2048, 2049, 4096 + 7]) {
      const same = [most, most, -most, most, -most].map((q) => new Int16Array(d).fill(q));
      assert.equal(kernel.gram(same), gram(same), `${most}, ${d}`);
    }
  }
});

test("a call leaves nothing behind for the next, and views of a larger buffer are read where they lie", () => {
  const wide = vectors(9, 9000, ["least"], 1);
  const small = vectors(5, 20, ["any"], 2).map((v) => v.subarray(3, 14));
  kernel.gram(wide);
  assert.equal(kernel.gram(small), gram(small));
  assert.equal(kernel.gram(wide), gram(wide));
});

test("memory depends on the number of vectors alone", () => {
  const fresh = gramKernel() as GramKernel;
  fresh.gram(vectors(64, 10, ["any"], 3));
  const before = fresh.bytes();
  fresh.gram(vectors(64, 30_000, ["any"], 3));
  assert.is(fresh.bytes(), before);
  assert.ok(before < 4 << 20, `${before} bytes`);
  fresh.gram(vectors(1024, 1, ["any"], 3));
  assert.ok(fresh.bytes() < 26 << 20, `${fresh.bytes()} bytes`);
  const many = vectors(1025, 2, ["any"], 3);
  assert.equal(fresh.gram(many), gram(many));
});

test("refuses vectors of different lengths, as the twin does", () => {
  assert.throws(() => kernel.gram([new Int16Array(3), new Int16Array(2)]), /different lengths/);
});

test("bytes that the engine can't run give no kernel", () => {
  assert.is(instantiate(btoa("no module")), undefined);
});

test.run();
