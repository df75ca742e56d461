import { test } from "uvu";
import * as assert from "uvu/assert";
import { EvidencePool } from "../../consensus/engine/evidence.ts";
import { OFFENCE_KINDS, offenceOf } from "../../types/evidence.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { offenceHeight } from "../../vm/offences.ts";
import { State } from "../../vm/state.ts";
import { offence } from "../vm/offences.ts";
import { Chain, consensusOf, expectCode, genesisWith } from "../vm/support.ts";

function start(height: number): { chain: Chain; pool: EvidencePool } {
  const genesis = genesisWith({ consensus: { evidenceWindow: 500, unbondingHeights: 500 } });
  const chain = new Chain(genesis, State.genesis(genesis)).to(height);
  return { chain, pool: new EvidencePool(genesis, chain.hash) };
}

test("a key that confesses offences at hundreds of heights takes nobody else's place, and little room", () => {
  const { chain, pool } = start(300);
  let kept = 0;
  for (let height = 1; height <= 300; height++) {
    kept += Number(pool.add(offence(chain, "double-vote", "dora", height), chain.state));
  }
  assert.is(kept, 8);
  assert.ok(pool.add(offence(chain, "double-closing", "cleo", 299), chain.state));
  const block = pool.forBlock(chain.state);
  assert.equal(
    block.map((e) => [bytesEqual(e.consensusKey, consensusOf("dora").publicKey), offenceHeight(offenceOf(e))]),
    [
      [true, 1],
      [false, 299],
    ],
  );
  chain.run({ evidence: block });
  pool.prune(chain.state);
  assert.is(pool.waiting().length, 7);
  assert.ok(pool.add(offence(chain, "double-vote", "dora", 100), chain.state), "room for one more");
});

test("one piece for each key and height, of whatever kind; nothing that is past, to come or punished", () => {
  const { chain, pool } = start(10);
  for (const [i, kind] of OFFENCE_KINDS.entries()) {
    assert.is(pool.add(offence(chain, kind, "dora", 5), chain.state), i === 0, kind);
  }
  assert.not(pool.add(offence(chain, "amnesia", "dora", 12), chain.state));
  assert.ok(pool.add(offence(chain, "amnesia", "dora", 11), chain.state), "the height in progress");
  assert.not(pool.add(offence(chain, "amnesia", "gus", 5), chain.state));
  chain.run({ evidence: pool.forBlock(chain.state) });
  assert.not(pool.add(offence(chain, "amnesia", "dora", 5), chain.state));
  const forged = { ...offence(chain, "amnesia", "dora", 7), consensusKey: consensusOf("anna").publicKey };
  assert.throws(() => pool.add(forged, chain.state), expectCode("BAD_EVIDENCE"));
  chain.to(505);
  pool.prune(chain.state);
  assert.equal(
    pool.waiting().map((e) => offenceHeight(offenceOf(e))),
    [11],
  );
  chain.to(511);
  pool.prune(chain.state);
  assert.equal(pool.waiting(), []);
});

test.run();
