import { test } from "uvu";
import * as assert from "uvu/assert";
import { Bft } from "../../consensus/bft/machine.ts";
import { makeStatus, missingFrom } from "../../consensus/engine/exchange.ts";
import { MAX_STATUS_ROUNDS } from "../../consensus/messages.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { PREVOTE } from "../../types/vote.ts";
import { proposal, TIMEOUTS, validators, valueId, vote } from "./bft-cluster.ts";

/** What peers tell each other of the vote. */

const N = 31;

function machine(): Bft {
  const set = validators(Array.from({ length: N }, () => 1));
  return new Bft({ height: 1, validators: set, self: N - 1, proposer: (r) => r % N, timeouts: TIMEOUTS });
}

/** Ten of thirty-one, each at two far rounds of its own. */
function flood(bft: Bft): void {
  for (let i = 0; i < 10; i++) {
    for (const round of [100 + i, 200 + i]) bft.handle({ type: "vote", vote: vote(PREVOTE, round, ZERO_HASH, i) });
  }
}

const status = (bft: Bft) => makeStatus(1, ZERO_HASH, bft, undefined, () => false, N - 1);

test("far rounds of faulty validators don't crowd out the round that is on", () => {
  const bft = machine();
  const fresh = status(bft);
  bft.handle({ type: "start" });
  const id = valueId(0, 0);
  bft.handle({ type: "proposal", proposal: proposal(0, id, 0) });
  for (let i = 10; i < 25; i++) bft.handle({ type: "vote", vote: vote(PREVOTE, 0, id, i) });
  flood(bft);
  const told = status(bft).rounds;
  assert.ok(told.length <= MAX_STATUS_ROUNDS);
  assert.ok(told.some((r) => r.round === 0));
  const sent = missingFrom(fresh, bft, undefined, () => new Uint8Array(1));
  assert.is(sent.filter((m) => m.kind === "proposal").length, 1);
  assert.is(sent.filter((m) => m.kind === "vote" && m.value.message.round === 0).length, 15);
});

test("of many rounds that were, the newest are told", () => {
  const bft = machine();
  bft.handle({ type: "start" });
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 25; i++) bft.handle({ type: "vote", vote: vote(PREVOTE, round, ZERO_HASH, i) });
  }
  assert.is(bft.round, 39);
  const told = status(bft).rounds.map((r) => r.round);
  assert.ok(
    [37, 38, 39].every((r) => told.includes(r)),
    told.join(),
  );
});

test.run();
