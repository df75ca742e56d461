import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  blobRoot,
  blobTree,
  chunkCount,
  chunkLength,
  chunkOf,
  chunkProof,
  treeProof,
  verifyChunk,
} from "../../crypto/blob.ts";
import { sha256, taggedHash } from "../../crypto/hash.ts";
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from "../../types/limits.ts";

/** A blob of `size` bytes in which every chunk differs. */
const blob = (size: number): Uint8Array => {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 1021) bytes[i] = (i >> 8) ^ i;
  for (let c = 0; c * BLOB_CHUNK_BYTES < size; c++) bytes[c * BLOB_CHUNK_BYTES] = c + 1;
  return bytes;
};
const K = BLOB_CHUNK_BYTES;
const SIZES = [0, 1, K - 1, K, K + 1, 2 * K, 2 * K + 1, 3 * K, 5 * K - 7, 7 * K, 8 * K, 9 * K + 1];

test("every chunk of blobs of odd and even counts is proven; the whole-blob and the tree forms agree", () => {
  for (const size of SIZES) {
    const bytes = blob(size);
    const tree = blobTree(bytes);
    assert.equal(blobRoot(bytes), tree.root);
    assert.is(tree.leaves.length, chunkCount(size));
    let total = 0;
    for (let i = 0; i < chunkCount(size); i++) {
      const chunk = chunkOf(bytes, i);
      assert.is(chunk.length, chunkLength(size, i));
      total += chunk.length;
      assert.ok(verifyChunk(tree.root, size, i, chunk, treeProof(tree, i)), `${size}, chunk ${i}`);
    }
    assert.is(total, size);
    assert.equal(chunkProof(bytes, 0), treeProof(tree, 0));
    for (const index of [-1, 0.5, chunkCount(size), Number.NaN]) {
      assert.throws(() => treeProof(tree, index), RangeError);
    }
  }
});

test("a changed byte, index, size, proof or root is refused", () => {
  fc.assert(
    fc.property(fc.constantFrom(...SIZES), fc.nat(), fc.nat(), fc.nat(), (size, at, other, flip) => {
      const bytes = blob(size);
      const tree = blobTree(bytes);
      const count = chunkCount(size);
      const i = at % count;
      const chunk = chunkOf(bytes, i);
      const proof = treeProof(tree, i);
      const refuse = (id: string, ...[root, s, index, c, p]: Parameters<typeof verifyChunk>) =>
        assert.not.ok(verifyChunk(root, s, index, c, p), `${size}, chunk ${i}: ${id}`);
      const flipped = (of: Uint8Array): Uint8Array => {
        const copy = of.slice();
        const bit = flip % (8 * copy.length);
        copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
        return copy;
      };
      if (chunk.length > 0) {
        refuse("a bit of the chunk", tree.root, size, i, flipped(chunk), proof);
        refuse("a chunk cut short", tree.root, size, i, chunk.slice(1), proof);
      }
      refuse("a chunk too long", tree.root, size, i, new Uint8Array([...chunk.subarray(0, 10), 0]), proof);
      refuse("a bit of the root", flipped(tree.root), size, i, chunk, proof);
      refuse("a hash too many", tree.root, size, i, chunk, [...proof, tree.root]);
      if (proof.length > 0) {
        const j = other % proof.length;
        refuse("a hash too few", tree.root, size, i, chunk, proof.slice(1));
        refuse("a bit of the proof", tree.root, size, i, chunk, proof.with(j, flipped(proof[j] as Uint8Array)));
        refuse("a short hash", tree.root, size, i, chunk, proof.with(j, (proof[j] as Uint8Array).slice(1)));
        if (proof.length > 1) refuse("proof reversed", tree.root, size, i, chunk, proof.toReversed());
      }
      for (let index = -1; index <= count; index++) {
        if (index !== i) refuse(`index ${index}`, tree.root, size, index, chunk, proof);
      }
      for (const s of [size - 1, size + 1, size + K, 0, -1, 0.5, MAX_BLOB_BYTES + 1, 2 ** 60, Number.NaN]) {
        if (s !== size) refuse(`size ${s}`, tree.root, s, i, chunk, proof);
      }
    }),
    { numRuns: 60 },
  );
});

test("the size is in the root: the same chunks under another size can't be passed off", () => {
  // Zero bytes, so that the last chunk of one is a prefix of the other's.
  const roots = [0, 1, 2, K, K + 1, 2 * K].map((n) => Buffer.from(blobRoot(new Uint8Array(n))).toString("hex"));
  assert.is(new Set(roots).size, roots.length);
});

test("leaves, nodes and roots are hashed apart: no inner node passes for a chunk", () => {
  const bytes = blob(2 * K);
  const tree = blobTree(bytes);
  const [left, right] = tree.leaves as [Uint8Array, Uint8Array];
  const pair = new Uint8Array([...left, ...right]);
  assert.not.equal(blobRoot(pair), tree.root);
  assert.not.ok(verifyChunk(tree.root, 64, 0, pair, []));
  assert.not.equal(taggedHash("pofl/blob/leaf/1", pair), taggedHash("pofl/blob/node/1", pair));
});

test("hashes: the known answer, the split of parts, one domain per tag", () => {
  const abc = new TextEncoder().encode("abc");
  assert.is(
    Buffer.from(sha256(abc)).toString("hex"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  assert.equal(sha256(abc.slice(0, 1), abc.slice(1)), sha256(abc));
  const tag = sha256(new TextEncoder().encode("pofl/test"));
  assert.equal(taggedHash("pofl/test", abc), sha256(tag, tag, abc));
  assert.not.equal(taggedHash("pofl/test", abc), taggedHash("pofl/tes", abc));
});

test.run();
