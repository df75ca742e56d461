import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Head } from "../../consensus/block/context.ts";
import { blobRoot } from "../../crypto/blob.ts";
import { Retention } from "../../node/retention.ts";
import { memoryBlobStore } from "../../node/store/blobs.ts";
import type { Store } from "../../node/store/store.ts";
import type { Block } from "../../types/block.ts";
import type { Hash } from "../../types/primitives.ts";

/** Blobs leave the disk after their time, whatever became of them, and none before. */

const KEEP = 100;
/** Prunings are so many heights apart: nothing has to be gone before the next one. */
const EVERY = 64;
/** Between two blocks. */
const STEP_MS = 1000;

const bytesOf = (name: string) => new TextEncoder().encode(name);
const rootOf = (name: string) => blobRoot(bytesOf(name));

type Named = { model?: Hash; updates?: Hash[] };

/** A chain of which only what blobs depend on is there. */
function chain() {
  let height = 0;
  const blobs = memoryBlobStore(() => height * STEP_MS + 1);
  const blocks = new Map<number, Block>();
  const store = { block: async (height: number) => blocks.get(height) } as unknown as Store;
  let retention = new Retention(store, blobs, KEEP);
  const world = {
    blobs,
    blocks,
    /** Of the tasks in the state. */
    needed: [] as { modelRoot: Hash; recorded: { blobRoot: Hash }[] }[],
    get height() {
      return height;
    },
    put: (name: string) => blobs.put(bytesOf(name)),
    async block({ model, updates = [] }: Named = {}) {
      height += 1;
      const learning = model && [{ result: { modelRoot: model }, openings: updates.map((blobRoot) => ({ blobRoot })) }];
      const block = { header: { height, time: height * STEP_MS }, learning: learning ?? [] } as unknown as Block;
      blocks.set(height, block);
      const state = { tasks: () => world.needed.map((record) => ({ record })) };
      await retention.onBlock(block, { height, state } as unknown as Head);
    },
    async upTo(last: number) {
      while (height < last) await world.block();
    },
    restart() {
      retention = new Retention(store, blobs, KEEP);
    },
  };
  return world;
}

test("what a block names stays for the retention, counted from the last that names it", async () => {
  const world = chain();
  const [model, update, zeros] = [await world.put("model"), await world.put("update"), await world.put("zeros")];
  await world.block({ model, updates: [update, zeros] });
  await world.upTo(89);
  await world.block({ model: await world.put("next"), updates: [zeros] });
  await world.upTo(1 + KEEP);
  assert.ok(world.blobs.has(model) && world.blobs.has(update));
  await world.upTo(1 + KEEP + EVERY);
  assert.not(world.blobs.has(model) || world.blobs.has(update));
  await world.upTo(90 + KEEP);
  assert.ok(world.blobs.has(zeros));
  await world.upTo(90 + KEEP + EVERY);
  assert.equal(world.blobs.list(), []);
});

test("restarts leave nothing behind that is older than the retention, be they rare or frequent", async () => {
  for (const each of [30, KEEP - 1, 150, 1000]) {
    const world = chain();
    while (world.height < 1500) {
      const name = world.height + 1;
      await world.put(`withheld ${name}`);
      await world.block({ model: await world.put(`model ${name}`), updates: [await world.put(`update ${name}`)] });
      if (world.height % each === 0) world.restart();
      if (world.height === 700) {
        // Away for longer than the retention: others named nothing that is here.
        await world.upTo(900);
        world.restart();
      }
    }
    const stay = KEEP + EVERY;
    assert.ok(world.blobs.list().length <= 3 * (2 * stay), `restarts each ${each}: ${world.blobs.list().length}`);
    for (let h = 1500 - KEEP; h <= 1500; h++) {
      assert.ok(world.blobs.has(rootOf(`model ${h}`)) && world.blobs.has(rootOf(`update ${h}`)));
    }
  }
});

test("a restart takes nothing that a block of the retention names, nor what is younger", async () => {
  const world = chain();
  await world.upTo(20);
  const old = await world.put("never in a block");
  await world.upTo(60);
  const [model, young] = [await world.put("model"), await world.put("never in a block either")];
  await world.block({ model });
  await world.upTo(126);
  const own = await world.put("trained for 127");
  world.restart();
  const fetched = await world.put("fetched for 127");
  await world.block({ model: await world.put("next"), updates: [own, fetched] });
  const late = await world.put("came after its round");
  await world.upTo(128);
  for (const root of [model, young, own, fetched, late]) assert.ok(world.blobs.has(root));
  assert.not(world.blobs.has(old));
});

test("a restart leaves the model with which a task began, which no block names", async () => {
  const world = chain();
  const first = await world.put("first");
  await world.block({ model: await world.put("next") });
  await world.upTo(30);
  world.restart();
  await world.upTo(EVERY);
  assert.ok(world.blobs.has(first));
});

test("a task's model and recorded updates stay while it rests, and the retention longer", async () => {
  const world = chain();
  const [model, recorded] = [await world.put("model"), await world.put("recorded")];
  await world.block({ model, updates: [recorded] });
  world.needed = [{ modelRoot: model, recorded: [{ blobRoot: recorded }] }];
  await world.upTo(400);
  world.restart();
  await world.upTo(10 * EVERY);
  assert.ok(world.blobs.has(model) && world.blobs.has(recorded));
  const next = await world.put("next");
  world.needed = [{ modelRoot: next, recorded: [] }];
  await world.block({ model: next });
  await world.upTo(10 * EVERY + KEEP);
  assert.ok(world.blobs.has(model) && world.blobs.has(recorded), "whoever verifies that round begins with them");
  await world.upTo(10 * EVERY + 1 + KEEP + EVERY);
  assert.not(world.blobs.has(model) || world.blobs.has(recorded));
  assert.ok(world.blobs.has(next));
});

test("an update that never enters a block stays for the retention, not for ever", async () => {
  const world = chain();
  await world.upTo(EVERY - 1);
  const update = await world.put("update");
  await world.upTo(EVERY - 1 + KEEP);
  assert.ok(world.blobs.has(update));
  await world.upTo(EVERY + KEEP + EVERY);
  assert.not(world.blobs.has(update));
});

test("where blocks of the retention are not here, what they may name stays the retention longer", async () => {
  const world = chain();
  await world.upTo(200);
  const update = await world.put("update");
  await world.block({ model: await world.put("model"), updates: [update] });
  world.blocks.delete(201);
  world.restart();
  await world.upTo(256 + KEEP);
  assert.ok(world.blobs.has(update));
  await world.upTo(256 + KEEP + EVERY);
  assert.equal(world.blobs.list(), []);
});

test.run();
