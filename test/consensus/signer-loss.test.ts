import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeMessage } from "../../consensus/messages.ts";
import { SignGuard } from "../../consensus/signer.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { CrashLog, TASK, testGenesis, World } from "./world.ts";

/** The signer's file loses its end, which no checksum shows: what was signed is known from the consensus log. */

const NAMES = ["a", "b", "c", "d"];

/** What `a` signs and sends, by slot; fails at a second value for one. */
function watched(world: World): { readonly slots: Map<string, Uint8Array>; readonly doubles: string[] } {
  const slots = new Map<string, Uint8Array>();
  const doubles: string[] = [];
  world.filter = (from, _to, frame) => {
    const message = decodeMessage(frame);
    if (from !== "a") return true;
    const signed =
      message.kind === "proposal"
        ? message.value.proposal
        : "message" in (message.value as object)
          ? (message.value as never)
          : undefined;
    if (!signed) return true;
    const { message: m, signature } = signed as unknown as { message: Record<string, number>; signature: Uint8Array };
    if ((m.validator ?? m.miner ?? m.member ?? m.proposer) !== 0) return true;
    const slot = `${message.kind} ${m.type ?? ""} ${m.height}/${m.round ?? 0}`;
    const earlier = slots.get(slot);
    if (earlier && !bytesEqual(earlier, signature)) doubles.push(slot);
    slots.set(slot, signature);
    return true;
  };
  return { slots, doubles };
}

test("whatever part of the height's signatures is lost, none is made a second time", async () => {
  const genesis = testGenesis(NAMES, TASK);
  let adopted = 0;
  for (const after of [430, 460]) {
    for (const lost of [1, 3, 100]) {
      const world = new World({ names: NAMES, genesis, seed: 3, steady: true });
      const { doubles } = watched(world);
      for (const name of NAMES) world.start(name);
      assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 2)));
      await world.run(after, () => false);
      const engine = world.engines.get("a");
      world.engines.delete("a");
      await engine?.stop();
      const { signer } = world.disks.get("a") as { signer: CrashLog };
      signer.reset(signer.entries.slice(0, Math.max(0, signer.entries.length - lost)));
      world.start("a");
      const top = world.height("b") + 2;
      assert.ok(
        await world.run(120_000, () => NAMES.every((n) => world.height(n) >= top)),
        `${after} ms, ${lost} lost`,
      );
      assert.equal(doubles, [], `${after} ms, ${lost} lost`);
      if (world.warnings.some((w) => w.includes("signer.state had lost"))) adopted++;
    }
  }
  assert.ok(adopted >= 3, String(adopted));
});

test("a database that ends below the consensus log is said, with both heights", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 3 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 4)));
  world.kill("a");
  const disk = world.disks.get("a") as { blocks: unknown[]; signer: CrashLog };
  disk.blocks.length -= 2;
  // Not from the signer alone: a node that only follows has none.
  disk.signer = new CrashLog();
  const ends = disk.blocks.length;
  world.start("a");
  assert.ok(
    world.warnings.some((w) => w.includes(`ends at height ${ends} (data/chain), though this node was at`)),
    world.warnings.join(),
  );
  assert.ok(await world.run(60_000, () => world.height("a") >= 5));
});

test("a database that was reset is said once, with the height from which on it signs again, and not at every signature", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 3 });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 4)));
  world.kill("a");
  const disk = world.disks.get("a") as { blocks: unknown[]; signer: CrashLog };
  const signed = new SignGuard(disk.signer).height;
  disk.blocks.length = 0;
  const before = world.warnings.length;
  world.start("a");
  assert.ok(await world.run(60_000, () => world.height("a") > signed));
  const said = world.warnings.slice(before);
  assert.match(said[0] ?? "", `before it votes again, from height ${signed} on`);
  assert.equal(
    said.filter((w) => /ends at height|is below/.test(w)),
    [said[0]],
  );
});

/** The machine of `a` is new: of what it had only its keys are left. */
function newDisk(world: World): void {
  world.kill("a");
  const [wal, signer] = [new CrashLog(), new CrashLog()];
  world.disks.set("a", { wal, signer, blobs: new Map(), records: new Map(), blocks: [] });
}

test("a validator restored without what it had signed, and without blocks, signs nothing at heights long decided", async () => {
  for (const newSignerWaits of [false, true]) {
    const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 5, newSignerWaits });
    const { slots, doubles } = watched(world);
    for (const name of NAMES) world.start(name);
    await world.run(1_000, () => false);
    assert.is(slots.size > 0, !newSignerWaits, "peers have not had the time to say where they are");
    assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 3)));
    newDisk(world);
    assert.ok(await world.run(60_000, () => world.height("b") >= 5));
    const before = slots.size;
    world.start("a");
    const top = world.height("b") + 4;
    assert.ok(await world.run(60_000, () => world.height("a") >= top));
    assert.is(doubles.length > 0, !newSignerWaits, `${doubles}`);
    assert.ok(await world.run(60_000, () => slots.size > before), "it takes part again");
    assert.is(doubles.length > 0, !newSignerWaits, `${doubles}`);
  }
});

test("what peers know that the lost disk's key has signed in the height in progress stands", async () => {
  for (const seed of [5, 6, 7]) {
    const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed, newSignerWaits: true });
    const { doubles } = watched(world);
    for (const name of NAMES) world.start(name);
    assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 2)));
    // Two of four: the height can't end, and b has what a said there.
    world.kill("c");
    world.kill("d");
    await world.run(5_000, () => false);
    newDisk(world);
    world.start("a");
    await world.run(20_000, () => false);
    assert.ok(world.warnings.some((w) => w.startsWith("a: peers know what this key has signed")));
    world.start("c");
    world.start("d");
    const top = world.height("b") + 3;
    assert.ok(await world.run(240_000, () => NAMES.every((n) => world.height(n) >= top)));
    assert.equal(doubles, []);
    const evidence = (world.disks.get("b")?.blocks ?? []).flatMap(({ certified }) => certified.block.evidence);
    assert.equal(evidence, []);
  }
});

test("a disk that does not take what peers know of the key ends the node, as any that refuses", async () => {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 5, newSignerWaits: true });
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => NAMES.every((n) => world.height(n) >= 2)));
  world.kill("c");
  world.kill("d");
  await world.run(5_000, () => false);
  newDisk(world);
  const { signer } = world.disks.get("a") as { signer: CrashLog };
  signer.append = () => {
    throw new Error("ENOSPC: no room");
  };
  world.start("a");
  try {
    await world.run(20_000, () => false);
    assert.unreachable("it went on");
  } catch (error) {
    assert.match((error as Error).message, /^a: fatal: Error: ENOSPC/);
  }
});

test.run();
