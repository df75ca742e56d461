import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot } from "../../crypto/blob.ts";
import { type BlobStore, memoryBlobStore, openBlobStore } from "../../node/store/blobs.ts";
import { isPoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-blobs-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const A = new Uint8Array(300_000).map((_, i) => i % 251);
const B = new TextEncoder().encode("small");

async function complies(store: BlobStore): Promise<void> {
  assert.is(await store.get(blobRoot(A)), undefined);
  const root = await store.put(A);
  assert.equal(root, blobRoot(A));
  // Several at once, of one blob, as when an update arrives from two peers.
  await Promise.all([store.put(B), store.put(B), store.put(A), store.put(new Uint8Array(0))]);
  assert.ok(store.has(root) && store.has(blobRoot(B)) && !store.has(new Uint8Array(32)));
  assert.equal(new Uint8Array((await store.get(root)) as Uint8Array), A);
  assert.equal(await store.get(root, A.length - 1), undefined);
  assert.is((await store.get(root, A.length))?.length, A.length);
  assert.is(store.bytes, A.length + B.length);
  assert.equal(store.list().sort(), [A, B, new Uint8Array(0)].map((b) => toHex(blobRoot(b))).sort());
  assert.is(store.list(Date.now() + 1000).length, 3);
  assert.is(store.list(Date.now() - 60_000).length, 0);
  assert.is(await store.prune((name) => name === toHex(blobRoot(B))), 2);
  assert.not(store.has(root));
  assert.equal(new Uint8Array((await store.get(blobRoot(B))) as Uint8Array), B);
}

test("memory: a blob store", () => complies(memoryBlobStore()));

test("files: a blob store, and the same one when opened again", () =>
  inFolder(async (folder) => {
    await complies(openBlobStore(join(folder, "blobs")));
    const again = openBlobStore(join(folder, "blobs"));
    assert.equal(again.list(), [toHex(blobRoot(B))]);
    assert.equal([again.list(Date.now() - 60_000).length, again.list(Date.now() + 1000).length], [0, 1]);
    assert.equal(readdirSync(join(folder, "blobs")), [toHex(blobRoot(B)).slice(2)]);
  }));

test("a damaged, shortened or lost file is missing, said aloud, and can be put again", () =>
  inFolder(async (folder) => {
    const damaged: string[] = [];
    const store = openBlobStore(folder, (path) => damaged.push(path));
    const root = await store.put(A);
    const path = join(folder, toHex(root).slice(2));
    const table: Record<string, (whole: Buffer) => Uint8Array> = {
      "one bit": (whole) => whole.fill((whole[299_999] as number) ^ 1, 299_999),
      "cut short": (whole) => whole.subarray(0, 1000),
      empty: () => new Uint8Array(0),
    };
    for (const [id, damage] of Object.entries(table)) {
      writeFileSync(path, damage(readFileSync(path)));
      assert.is(await store.get(root), undefined, id);
      assert.equal(damaged.splice(0), [`${path}.damaged`], id);
      assert.not(store.has(root), id);
      await store.put(A);
      assert.is((await store.get(root))?.length, A.length, id);
    }
    rmSync(path);
    assert.is(await store.get(root), undefined);
    assert.not(store.has(root));
  }));

test("what a crash left half-written is cleared away; other files are not blobs", () =>
  inFolder(async (folder) => {
    const name = toHex(blobRoot(A)).slice(2);
    writeFileSync(join(folder, `${name}.1.new`), "half");
    writeFileSync(join(folder, "README"), "not a blob");
    const store = openBlobStore(folder);
    assert.equal(store.list(), []);
    assert.equal(readdirSync(folder), ["README"]);
    assert.not(store.has(blobRoot(A)));
  }));

test("a folder that can't be made is said with its path", () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, "file"), "");
    assert.throws(
      () => openBlobStore(join(folder, "file", "blobs")),
      (error: unknown) => isPoflError(error, "DISK_FAILED") && error.message.includes(join(folder, "file", "blobs")),
    );
  }));

test.run();
