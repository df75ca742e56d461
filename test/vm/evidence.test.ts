import { test } from "uvu";
import * as assert from "uvu/assert";
import { Evidence, evidenceOf, OFFENCE_KINDS, type Offence, offenceOf } from "../../types/evidence.ts";
import { bytesEqual, decode, ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import { offenceHeight, offenceRound, voteOffence } from "../../vm/offences.ts";
import { State } from "../../vm/state.ts";
import { offence } from "./offences.ts";
import {
  addressFor,
  Chain,
  consensusOf,
  expectCode,
  type GenesisChange,
  genesisWith,
  STAKE,
  seedOf,
} from "./support.ts";

function start(change: GenesisChange = {}): Chain {
  const genesis = genesisWith(change);
  return new Chain(genesis, State.genesis(genesis));
}

const [A, B] = [seedOf("a"), seedOf("b")];

for (const kind of OFFENCE_KINDS) {
  test(`${kind}: burns its share of stake and unbonding, jails, takes the reputation; once`, () => {
    const chain = start();
    chain.send(chain.tx("dora", { kind: "unbond", value: { amount: 400_000n } }));
    const { burned } = chain.state.singles;
    const evidence = offence(chain, kind, "dora", 1);
    assert.equal(decode(Evidence, Evidence.serialize(evidence)), evidence, "it survives the wire");
    chain.run({ evidence: [evidence] });
    const punished = chain.miner("dora");
    assert.equal([punished.stake, punished.unbonding], [570_000n, 380_000n]);
    assert.is(chain.state.singles.burned, burned + 50_000n);
    assert.equal([punished.jailed, punished.jailedUntil, punished.reputation], [true, 7, 0]);
    assert.equal(chain.validators(), ["anna", "ben", "cleo"]);
    for (const other of OFFENCE_KINDS) {
      assert.throws(
        () => chain.run({ evidence: [offence(chain, other, "dora", 1)] }),
        expectCode("USELESS_EVIDENCE"),
        other,
      );
    }
    const later = offence(chain, kind, "dora", 2);
    assert.throws(() => chain.run({ evidence: [later, later] }), expectCode("USELESS_EVIDENCE"));
    chain.run({ evidence: [later] });
    assert.equal(chain.miner("dora").slashed, [1, 2]);
  });

  test(`${kind}: has one order, and needs both signatures of the key that it names, on this chain`, () => {
    const chain = start();
    const good = offence(chain, kind, "dora", 1);
    const { first, second } = offenceOf(good);
    const swapped = evidenceOf(good.consensusKey, { kind, first: second, second: first } as Offence);
    const others = offenceOf(offence(chain, kind, "anna", 1));
    const forged = { kind, first, second: { ...second, signature: others.second.signature } } as Offence;
    const half = { kind, first: { ...first, signature: others.first.signature }, second } as Offence;
    const foreign = offence(start({ founders: ["anna", "dora"] }), kind, "dora", 1);
    const wrong: [string, Evidence][] = [
      ["the other order", swapped],
      ["another's second signature", evidenceOf(good.consensusKey, forged)],
      ["another's first signature", evidenceOf(good.consensusKey, half)],
      ["laid on somebody else", { ...good, consensusKey: consensusOf("anna").publicKey }],
      ["of another chain", foreign],
      ["one message twice", evidenceOf(good.consensusKey, { kind, first, second: first } as Offence)],
    ];
    if (kind === "double-vote" || kind === "amnesia") {
      const other = kind === "amnesia" ? "double-vote" : "amnesia";
      wrong.push(["under another name", evidenceOf(good.consensusKey, { kind: other, first, second } as Offence)]);
    }
    for (const [id, evidence] of wrong) {
      assert.throws(() => chain.run({ evidence: [evidence] }), expectCode("BAD_EVIDENCE"), id);
    }
    chain.run({ evidence: [good] });
  });

  test(`${kind}: is of a height within the window, of a bonded key that counted then`, () => {
    const chain = start();
    chain.to(10);
    chain.send(chain.bond("emil", STAKE));
    chain.run();
    const useless: [string, string, number][] = [
      ["a height to come", "dora", chain.state.height + 2],
      ["a height before the window", "dora", 2],
      ["a stranger", "gus", 12],
      ["a key before its first height", "emil", 12],
    ];
    for (const [id, name, height] of useless) {
      assert.throws(
        () => chain.run({ evidence: [offence(chain, kind, name, height)] }),
        expectCode("USELESS_EVIDENCE"),
        id,
      );
    }
    chain.run({ evidence: [offence(chain, kind, "dora", 3), offence(chain, kind, "anna", 12)] });
    assert.equal([chain.miner("dora").slashed, chain.miner("anna").slashed], [[3], [12]]);
  });
}

const lock = { type: PRECOMMIT, round: 2, blockId: A } as const;
const nothing: { id: string; first: Partial<Parameters<Chain["vote"]>[1]>; second: Parameters<Chain["vote"]>[1] }[] = [
  { id: "the same prevote", first: {}, second: {} },
  { id: "prevotes of two rounds", first: {}, second: { round: 1, blockId: B } },
  { id: "a prevote and a precommit of one round", first: {}, second: { type: PRECOMMIT, blockId: B } },
  { id: "votes of two heights", first: {}, second: { height: 2, blockId: B } },
  { id: "one precommit at two times", first: { type: PRECOMMIT, time: 1 }, second: { type: PRECOMMIT, time: 2 } },
  {
    id: "a prevote with a proof-of-lock of the lock's round",
    first: lock,
    second: { round: 3, blockId: B, validRound: 3 },
  },
  { id: "a prevote with a newer proof-of-lock", first: lock, second: { round: 5, blockId: B, validRound: 5 } },
  { id: "a later prevote for the same block", first: lock, second: { round: 3 } },
  { id: "a later prevote for nil", first: lock, second: { round: 3, blockId: ZERO_HASH } },
  { id: "an earlier prevote for another block", first: lock, second: { round: 1, blockId: B } },
  { id: "a prevote for another block in the same round", first: lock, second: { round: 2, blockId: B } },
  {
    id: "a precommit for nil and a later prevote",
    first: { ...lock, blockId: ZERO_HASH },
    second: { round: 3, blockId: B },
  },
  { id: "a precommit of another height", first: { ...lock, height: 2 }, second: { round: 3, blockId: B } },
  { id: "two precommits of two rounds", first: lock, second: { ...lock, round: 3, blockId: B } },
];
for (const { id, first, second } of nothing) {
  test(`no offence: ${id}`, () => {
    const chain = start();
    assert.is(voteOffence(chain.vote("dora", first), chain.vote("dora", second)), undefined);
    assert.is(voteOffence(chain.vote("dora", second), chain.vote("dora", first)), undefined);
  });
}

test("what a prevote is for is a block and its validRound together; a vote of no known type proves nothing", () => {
  const chain = start();
  const twoRounds = voteOffence(chain.vote("dora", { round: 3 }), chain.vote("dora", { round: 3, validRound: 2 }));
  chain.run({ evidence: [chain.evidence("dora", twoRounds)] });
  assert.is(chain.miner("dora").jailed, true);
  const odd = (blockId: Uint8Array) => {
    const vote = chain.vote("anna", { blockId });
    return { ...vote, message: { ...vote.message, type: 3 } };
  };
  const evidence = chain.evidence("anna", voteOffence(odd(A), odd(B)));
  assert.throws(() => chain.run({ evidence: [evidence] }), expectCode("BAD_EVIDENCE"));
});

test("amnesia is told by precommit and later prevote in either order of arrival, with no or an older proof-of-lock", () => {
  const chain = start();
  const precommit = chain.vote("dora", { type: PRECOMMIT, round: 2 });
  for (const validRound of [0, 1, 2]) {
    const prevote = chain.vote("dora", { type: PREVOTE, round: 9, blockId: B, validRound });
    const found = voteOffence(prevote, precommit);
    assert.equal(found, voteOffence(precommit, prevote));
    assert.equal(found, { kind: "amnesia", first: precommit, second: prevote });
    assert.equal([offenceHeight(found as Offence), offenceRound(found as Offence)], [1, 9]);
  }
});

test("one pair has one encoding, whichever message was seen first", () => {
  const chain = start();
  const [a, b] = [chain.vote("dora", { blockId: A }), chain.vote("dora", { blockId: B })];
  const bytes = [voteOffence(a, b), voteOffence(b, a)].map((o) => Evidence.serialize(chain.evidence("dora", o)));
  assert.ok(bytesEqual(bytes[0] as Uint8Array, bytes[1] as Uint8Array));
});

test("a member remembers 32 punished heights; after that it has paid enough within the window", () => {
  const chain = start({ consensus: { evidenceWindow: 100, unbondingHeights: 100 } });
  chain.to(40);
  for (let height = 1; height <= 32; height++) chain.run({ evidence: [offence(chain, "double-vote", "dora", height)] });
  assert.is(chain.miner("dora").slashed.length, 32);
  const more = offence(chain, "double-vote", "dora", 33);
  assert.throws(() => chain.run({ evidence: [more] }), expectCode("USELESS_EVIDENCE"));
});

test("evidence still finds the stake in the last block of its window, after everything was unbonded", () => {
  const chain = start({ consensus: { unbondingHeights: 10 } });
  chain.send(chain.tx("dora", { kind: "unbond", value: { amount: STAKE } }));
  chain.to(10);
  const { balance } = chain.state.account(addressFor("dora"))?.record ?? { balance: 0n };
  chain.run({ evidence: [offence(chain, "double-pledge", "dora", 1)] });
  assert.is(chain.balance("dora"), balance + STAKE - STAKE / 20n);
  assert.is(chain.miner("dora").unbonding, 0n);
});

test.run();
