import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { gram } from "../../kernels/gram.ts";

function plain(vectors: readonly Int16Array[]): bigint[] {
  return vectors.flatMap((a) => vectors.map((b) => a.reduce((s, x, k) => s + BigInt(x) * BigInt(b[k] as number), 0n)));
}

test("equals the sum of bigint products over the whole int16 range", () => {
  const lane = fc.oneof(fc.constantFrom(-32768, 32767, -1, 0, 1), fc.integer({ min: -32768, max: 32767 }));
  const matrix = fc
    .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 40 }))
    .chain(([n, d]) => fc.array(fc.array(lane, { minLength: d, maxLength: d }), { minLength: n, maxLength: n }));
  fc.assert(
    fc.property(matrix, (rows) => {
      const vectors = rows.map((r) => Int16Array.from(r));
      assert.equal([...gram(vectors)], plain(vectors));
    }),
  );
});

test("loses no bit where a double would: extremes across tiles and flushes", () => {
  // Two flushes and a rest: the sum passes 2^53 and its low bit counts.
  const d = (1 << 23) + 4097;
  const low = new Int16Array(d).fill(-32768);
  low[d - 1] = 1;
  const g = gram([low, new Int16Array(d).fill(32767)]);
  assert.is(g[0], BigInt(d - 1) * 2n ** 30n + 1n);
  assert.is(g[1], BigInt(d - 1) * -32768n * 32767n + 32767n);
  assert.is(g[2], g[1]);
  assert.is(g[3], BigInt(d) * 32767n ** 2n);
});

test("refuses vectors of different lengths", () => {
  assert.throws(() => gram([new Int16Array(3), new Int16Array(2)]), /different lengths/);
});

test.run();
