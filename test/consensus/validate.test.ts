import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { heightContext } from "../../consensus/block/context.ts";
import { validateBlock } from "../../consensus/block/derive.ts";
import { commitmentOf, signAttestation, signPledge } from "../../crypto/domain.ts";
import { type Block, blockId } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import type { Learning } from "../../types/round.ts";
import { TASK, testGenesis, testKeys, World } from "./world.ts";

const NAMES = ["a", "b", "c", "d"];

/** Six learning blocks with fixed inputs. */
async function chain(): Promise<World> {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 2, steady: true });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 6)));
  return world;
}

test("the same inputs give the same blocks, on every machine and Node version", async () => {
  const world = await chain();
  const ids = [1, 2, 3, 4, 5, 6].map((h) => toHex(blockId(world.certified("a", h)?.block.header as Block["header"])));
  const file = resolve(import.meta.dirname, "../../../test/vectors/blocks.json");
  const pinned = JSON.parse(readFileSync(file, "utf8")) as { ids: string[] };
  assert.equal(ids, pinned.ids);
});

test("a block is refused for anything in it that is not signed, not in order or does not follow", async () => {
  const world = await chain();
  const disk = world.disks.get("a");
  const parent = disk?.blocks[3]?.head;
  const block = disk?.blocks[4]?.certified.block;
  const model = await world.engines.get("a")?.model();
  assert.ok(disk && parent && block && model);
  const ctx = heightContext(parent, world.genesis, world.hash);
  const before = disk.blobs.get(toHex(ctx.task?.modelRoot as Uint8Array)) as Uint8Array;
  const start = new Int32Array(before.buffer.slice(before.byteOffset, before.byteOffset + before.byteLength));
  const source = {
    from: "blobs" as const,
    model: start,
    blob: (root: Uint8Array) => disk.blobs.get(toHex(root)),
  };
  assert.equal(validateBlock(ctx, block, source).id, blockId(block.header));

  const keyOf = (index: number) => {
    const name = NAMES.find(
      (n) => toHex(testKeys(n).consensus.publicKey) === toHex(ctx.validators[index]!.consensusKey),
    );
    return testKeys(name as string).consensus.secret;
  };
  const learn = (change: (l: Learning) => void): Block => {
    const copy = structuredClone(block);
    change(copy.learning[0] as Learning);
    return copy;
  };
  const cases: { id: string; block: Block; why: RegExp }[] = [
    { id: "another parent", block: { ...block, header: { ...block.header, parent: world.hash } }, why: /parent/ },
    { id: "another height", block: { ...block, header: { ...block.header, height: 9 } }, why: /height 9/ },
    {
      id: "built by another",
      block: { ...block, header: { ...block.header, round: 1, proposer: new Uint8Array(20) } },
      why: /builder/,
    },
    {
      id: "a time of its own",
      block: { ...block, header: { ...block.header, time: block.header.time + 1 } },
      why: /header.time/,
    },
    { id: "another seed", block: { ...block, header: { ...block.header, seed: world.hash } }, why: /header.seed/ },
    {
      id: "a bad VRF proof",
      block: { ...block, header: { ...block.header, vrfProof: new Uint8Array(80) } },
      why: /VRF/,
    },
    { id: "no certificate", block: { ...block, lastCommit: { ...block.lastCommit, signatures: [] } }, why: /signed/ },
    {
      id: "no learning in round 0",
      block: { ...block, learning: [], header: { ...block.header, resultRoot: new Uint8Array(32) } },
      why: /task is active/,
    },
    { id: "too few attestations", block: learn((l) => l.attestations.splice(0, 2)), why: /attestations, 3 are needed/ },
    { id: "an attestation twice", block: learn((l) => l.attestations.unshift(l.attestations[0]!)), why: /ascending/ },
    {
      id: "an attestation changed after signing",
      block: learn((l) => {
        l.attestations[0]!.message.updates[1]!.vote = 0;
      }),
      why: /not signed by it/,
    },
    {
      id: "an attestation of a member about another height",
      block: learn((l) => {
        const { message } = l.attestations[0]!;
        l.attestations[0] = signAttestation(world.hash, keyOf(message.member), { ...message, height: 4 });
      }),
      why: /another height/,
    },
    { id: "an update left out", block: learn((l) => l.openings.pop()), why: /openings are not exactly/ },
    { id: "openings out of order", block: learn((l) => l.openings.reverse()), why: /ascending/ },
    {
      id: "an opening with more samples",
      block: learn((l) => {
        l.openings[0]!.samples += 1;
      }),
      why: /opens no pledge/,
    },
    {
      id: "an update swapped for another that its miner signed too",
      block: learn((l) => {
        const opening = { ...l.openings[0]!, samples: 7 };
        const commitment = commitmentOf({ height: 5, task: l.task, opening });
        l.openings[0] = opening;
        const message = { ...l.pledges[0]!.message, commitment };
        l.pledges[0] = signPledge(world.hash, keyOf(message.miner), message);
      }),
      why: /openings are not exactly/,
    },
    {
      id: "more pay",
      block: learn((l) => {
        l.result.updates[0]!.pay += 1n;
      }),
      why: /round result/,
    },
  ];
  for (const { id, block: forged, why } of cases) {
    assert.throws(
      () => validateBlock(ctx, forged, source),
      (e: unknown) => isPoflError(e) && why.test(e.message),
      id,
    );
  }
});

test("missing updates are no verdict", async () => {
  const world = await chain();
  const disk = world.disks.get("a");
  const parent = disk?.blocks[3]?.head;
  const block = disk?.blocks[4]?.certified.block;
  assert.ok(parent && block);
  const ctx = heightContext(parent, world.genesis, world.hash);
  assert.throws(
    () => validateBlock(ctx, block, { from: "blobs", model: new Int32Array(3), blob: () => undefined }),
    (e: unknown) => isPoflError(e, "MISSING_BLOBS"),
  );
});

test.run();
