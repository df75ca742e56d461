import { test } from "uvu";
import * as assert from "uvu/assert";
import { Penalties } from "../../node/penalty.ts";
import { healthOf } from "../../node/rpc/methods/node.ts";
import { offence } from "../vm/offences.ts";
import { addressFor, consensusOf, keys } from "../vm/support.ts";
import { rpcWorld } from "./rpcworld.ts";

/** What a node says when the chain punishes its own validator. */

async function watched(name: string) {
  const world = await rpcWorld();
  const said: string[] = [];
  const line = (level: string) => (data: object, text: string) =>
    void said.push(`${level}: ${text} ${JSON.stringify(data)}`);
  const { genesis } = world.context;
  const own = { account: keys(name), consensus: consensusOf(name) };
  const penalties = new Penalties({ genesis, keys: own }, { warn: line("warn"), error: line("error") });
  return {
    ...world,
    penalties,
    run: async (change?: Parameters<typeof world.run>[0]) => {
      penalties.onBlock(await world.run(change));
      return said.splice(0);
    },
    start: () => {
      penalties.onState(world.context.head().state);
      return said.splice(0);
    },
  };
}

test("evidence against the own key is an error once, its jail a warning, and one at the next start", async () => {
  const { chain, run, start } = await watched("anna");
  assert.equal(await run(), []);
  assert.equal(start(), []);
  const said = await run({ evidence: [offence(chain, "double-vote", "anna", 1)] });
  assert.is(said.length, 2, said.join());
  assert.match(
    said[0] ?? "",
    /^error: height 2 punished this node's key for a double-vote at height 1: another process signs with it, or did: find the copy, stop it, then `pofl tx unjail`/,
  );
  assert.match(said[1] ?? "", /^warn: jailed since height 2: .* from height 7 on: `pofl tx unjail`/);
  assert.equal(await run(), []);
  assert.match(start().join(), /^warn: jailed since height 2/);
  // In jail already, and for another height.
  const again = await run({ evidence: [offence(chain, "double-pledge", "anna", 2)] });
  assert.is(again.length, 2, again.join());
  assert.match(again[0] ?? "", /^error: height 4 punished .* double-pledge at height 2/);
  assert.match(again[1] ?? "", /^warn: jailed since height 4: .* from height 9 on/);
});

test("jail for absence is a warning; others' punishment is none of this node's", async () => {
  const { chain, run } = await watched("dora");
  assert.equal(await run({ evidence: [offence(chain, "double-vote", "anna", 1)] }), []);
  const absent = { proposedRound: 1, expectedProposer: addressFor("dora"), proposer: addressFor("ben") };
  const other = await watched("dora");
  const said: string[] = [];
  for (let i = 0; i < 2; i++) said.push(...(await other.run(absent)));
  assert.is(said.length, 1, said.join());
  assert.match(said[0] ?? "", /^warn: jailed since height/);
});

test("health says it and stays what it is", async () => {
  const { chain, run, context } = await watched("anna");
  assert.is(healthOf(context).reason, null);
  await run();
  await run({ evidence: [offence(chain, "double-vote", "anna", 1)] });
  const { status, reason } = healthOf(context);
  assert.is(status, "ok");
  assert.match(reason ?? "", /^jailed since height 2/);
});

test.run();
