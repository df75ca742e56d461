import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot } from "../../crypto/blob.ts";
import { type BlobStore, memoryBlobStore } from "../../node/store/blobs.ts";
import { withRecent } from "../../node/store/recent.ts";
import { toHex } from "../../types/primitives.ts";

const blob = (fill: number, size: number) => new Uint8Array(size).fill(fill);

/** Counts what reaches the store below. */
function counted(): { below: BlobStore; reads: () => number } {
  const store = memoryBlobStore();
  let reads = 0;
  const below: BlobStore = {
    put: (bytes) => store.put(bytes),
    get: (root, size) => {
      reads++;
      return store.get(root, size);
    },
    has: (root) => store.has(root),
    list: () => store.list(),
    prune: (keep) => store.prune(keep),
    get bytes() {
      return store.bytes;
    },
  };
  return { below, reads: () => reads };
}

test("what was put or read last is not read again; the oldest goes first, and the large are not kept", async () => {
  const { below, reads } = counted();
  const blobs = withRecent(below, 400);
  const roots = [];
  for (let i = 0; i < 6; i++) roots.push(await blobs.put(blob(i, 90)));
  const [first, , third, , , last] = roots as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  assert.equal(await blobs.get(last), blob(5, 90));
  assert.equal(await blobs.get(third), blob(2, 90));
  assert.is(reads(), 0);
  assert.equal(await blobs.get(first), blob(0, 90));
  assert.is(reads(), 1);
  const large = await blobs.put(blob(9, 101));
  await blobs.get(large);
  await blobs.get(large);
  assert.is(reads(), 3);
  assert.is(await blobs.get(last, 7), undefined);
  assert.is(await blobs.get(blobRoot(blob(77, 5))), undefined);
});

test("what is pruned is gone from memory too", async () => {
  const { below } = counted();
  const blobs = withRecent(below, 4000);
  const kept = await blobs.put(blob(1, 10));
  const gone = await blobs.put(blob(2, 10));
  assert.is(await blobs.prune((root) => root === toHex(kept)), 1);
  assert.is(await blobs.get(gone), undefined);
  assert.equal(await blobs.get(kept), blob(1, 10));
});

test.run();
