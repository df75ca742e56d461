import { test } from "uvu";
import * as assert from "uvu/assert";
import { computeRound, type RoundInput, type RoundOutcome } from "../../consensus/round/compute.ts";
import { RoundPool, type RoundPoolOptions } from "../../node/rounds/pool.ts";
import { random } from "../consensus/bft-cluster.ts";
import { round, task, update } from "../consensus/round-fixture.ts";

/** Rounds with everything in them: malformed and copied updates, harmful votes, a record, clipped ones; also rounds that fail. */
function rounds(): RoundInput[] {
  const rand = random(11);
  const lanes = (d: number, size: number) => Array.from({ length: d }, () => Math.floor((2 * rand() - 1) * size));
  const some = Array.from({ length: 12 }, (_, r) => {
    const d = 1 + Math.floor(rand() * 400);
    const n = 4 + Math.floor(rand() * 12);
    const updates = Array.from({ length: n }, (_, i) =>
      update(i, lanes(d, i === 1 ? 30_000 : 200 + 150 * i), {
        helpful: Math.floor(rand() * 4),
        harmful: i % 5 === 3 ? n : 0,
        samples: 1 + Math.floor(rand() * 500),
      }),
    );
    updates[2] = { ...updates[2]!, blob: updates[3]!.blob };
    const past = Array.from({ length: 3 }, (_, i) => ({
      blob: update(i, lanes(d, 500)).blob,
      coefficient: BigInt(i + 1) << 20n,
    }));
    const { miner, institution, commitment, harmful, neutral, helpful } = update(40, []);
    return round(updates, {
      model: Int32Array.from(lanes(d, 1e6)),
      exponent: r % 7,
      medianNorm: r % 2 ? 1n << 30n : 0n,
      past,
      notHeld: [{ miner, institution, commitment, harmful, neutral, helpful }],
    });
  });
  const two = [update(0, [1, 2]), update(1, [2, 1])];
  return [
    ...some,
    round(two, { spec: task({ f: 1 }) }),
    round([update(0, [2047])], { model: Int32Array.of(2 ** 31 - 1), exponent: 4 }),
    round([], { model: new Int32Array(3) }),
  ];
}

const inputs = rounds();
const inline = inputs.map(computeRound);

async function withPool<T>(options: RoundPoolOptions, act: (pool: RoundPool) => Promise<T>): Promise<T> {
  const pool = new RoundPool({ inlineLanes: 0, ...options });
  try {
    return await act(pool);
  } finally {
    await pool.close();
  }
}

const all = (pool: RoundPool): Promise<RoundOutcome[]> => Promise.all(inputs.map((input) => pool.compute(input)));

test("the rounds differ in what comes of them", () => {
  const seen = inline.flatMap((o): (string | number)[] =>
    o.failure ? [o.failure] : o.result.updates.map((u) => u.status),
  );
  assert.ok(new Set(seen).size >= 7, [...new Set(seen)].join());
});

for (const threads of [1, 2, 3]) {
  test(`${threads} thread${threads > 1 ? "s" : ""}: the same outcomes, bit for bit`, async () => {
    assert.equal(await withPool({ threads }, all), inline);
  });
}

test("callers keep their bytes: nothing of a round is moved away", async () => {
  const input = inputs[0] as RoundInput;
  const [first, second] = await withPool({ threads: 1 }, async (p) => [await p.compute(input), await p.compute(input)]);
  assert.equal(first, second);
  assert.ok(input.model.length > 0 && input.updates.every((u) => u.blob.length === 2 * input.model.length));
});

test("views into large buffers arrive as what they show", async () => {
  const input = inputs[0] as RoundInput;
  const view = (bytes: Uint8Array) => {
    const large = new Uint8Array(bytes.length + 4096).fill(9);
    large.set(bytes, 33);
    return large.subarray(33, 33 + bytes.length);
  };
  const updates = input.updates.map((u) => ({ ...u, blob: view(u.blob), institution: view(u.institution) }));
  assert.equal(
    await withPool({ threads: 1 }, (p) => p.compute({ ...input, updates, seed: view(input.seed) })),
    inline[0],
  );
});

test("small rounds need no thread", async () => {
  const lines: string[] = [];
  const pool = new RoundPool({ threads: 1, entry: new URL("data:text/javascript,throw 1"), log: (l) => lines.push(l) });
  assert.equal(await all(pool), inline);
  assert.equal(lines, []);
  await pool.close();
});

const DYING: Record<string, string> = {
  "at once": "throw new Error('broken')",
  "over a round": "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(3))",
};
for (const [when, code] of Object.entries(DYING)) {
  test(`threads that die ${when} change no outcome`, async () => {
    const lines: string[] = [];
    const entry = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
    assert.equal(await withPool({ threads: 2, entry, log: (l) => lines.push(l) }, all), inline);
    assert.is(lines.length, inputs.length);
    assert.match(lines[0] as string, /its round is computed on the main thread/);
  });
}

test("closing rejects what waits, and what comes after", async () => {
  const entry = new URL(
    "data:text/javascript,import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => {})",
  );
  const pool = new RoundPool({ threads: 1, inlineLanes: 0, entry });
  const waiting = [pool.compute(inputs[0] as RoundInput), pool.compute(inputs[1] as RoundInput)];
  const results = Promise.allSettled(waiting);
  await pool.close();
  assert.equal(
    (await results).map((r) => r.status),
    ["rejected", "rejected"],
  );
  let error: unknown;
  await pool.compute(inputs[0] as RoundInput).catch((e) => {
    error = e;
  });
  assert.match(String(error), /closing/);
});

test("what computeRound throws is thrown here too, and the pool goes on", async () => {
  const bad = { ...(inputs[0] as RoundInput), past: [{ blob: new Uint8Array(3), coefficient: 1n }] };
  assert.throws(() => computeRound(bad), /3 bytes/);
  await withPool({ threads: 1 }, async (pool) => {
    let error: unknown;
    await pool.compute(bad).catch((e) => {
      error = e;
    });
    assert.match(String(error), /3 bytes/);
    assert.equal(await pool.compute(inputs[1] as RoundInput), inline[1]);
  });
});

test("many rounds at once, twice: none is mixed up with another", async () => {
  const twice = await withPool({ threads: 2 }, async (pool) => [await all(pool), await all(pool)]);
  assert.equal(twice, [inline, inline]);
});

test.run();
