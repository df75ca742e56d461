import { test } from "uvu";
import * as assert from "uvu/assert";
import { misbehaving, type NodeAttack } from "../../node/attacks.ts";
import { offenceOf } from "../../types/evidence.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { TASK, testGenesis, testKeys, World } from "../consensus/world.ts";

/** Nodes that misbehave with their voice, against honest engines. */

const NAMES = ["a", "b", "c", "d", "e"];
const HONEST = NAMES.slice(0, 4);

async function network(attack: NodeAttack, seed: number): Promise<World> {
  const world: World = new World({
    names: NAMES,
    genesis: testGenesis(NAMES, TASK),
    seed,
    net: (name, net) => (name === "e" ? misbehaving(net, attack, testKeys("e").consensus.secret, world.hash) : net),
  });
  for (const name of NAMES) world.start(name);
  return world;
}

const stateOf = (world: World) => world.disks.get("a")?.blocks.at(-1)?.head.state;
const minerOf = (world: World, name: string) =>
  stateOf(world)?.bondedBy("consensusKey", testKeys(name).consensus.publicKey)?.record;

test("equivocate: jailed and slashed at once, nobody else; the chain goes on with one update less", async () => {
  const world = await network("equivocate", 51);
  assert.ok(await world.run(60_000, () => minerOf(world, "e")?.jailed === true));
  assert.ok(world.height("a") <= 3, `only at height ${world.height("a")}`);
  const target = world.height("a") + 5;
  assert.ok(await world.run(60_000, () => HONEST.every((n) => world.height(n) >= target)));
  const blocks = world.disks.get("a")?.blocks ?? [];
  const evidence = blocks.flatMap(({ certified }) => certified.block.evidence);
  assert.ok(evidence.length > 0);
  for (const e of evidence) assert.ok(bytesEqual(e.consensusKey, testKeys("e").consensus.publicKey), offenceOf(e).kind);
  assert.ok((minerOf(world, "e")?.stake ?? 0n) < (minerOf(world, "a")?.stake ?? 0n));
  for (const name of HONEST) assert.not(minerOf(world, name)?.jailed, name);
  const last = world.certified("a", target)?.block.learning[0];
  assert.is(last?.result.updates.filter((u) => u.weight > 0n).length, 4);
});

test("withhold: its turns pass and its updates do not count; it is not punished for silence, and the chain goes on", async () => {
  const world = await network("withhold", 52);
  assert.ok(await world.run(240_000, () => HONEST.every((n) => world.height(n) >= 12)));
  const blocks = world.disks.get("a")?.blocks ?? [];
  assert.equal(
    blocks.flatMap(({ certified }) => certified.block.evidence),
    [],
  );
  const liar = world.engines
    .get("a")
    ?.run.ctx.validators.findIndex((v) => bytesEqual(v.consensusKey, testKeys("e").consensus.publicKey));
  for (const { certified } of blocks) {
    const updates = certified.block.learning[0]?.result.updates ?? [];
    for (const u of updates) if (u.miner === liar) assert.is(u.weight, 0n);
    assert.not(bytesEqual(certified.block.header.proposer, minerOf(world, "e")?.address ?? new Uint8Array(20)));
  }
  assert.is(minerOf(world, "e")?.stake, minerOf(world, "a")?.stake);
});

test.run();
