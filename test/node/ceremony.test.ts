import { test } from "uvu";
import * as assert from "uvu/assert";
import { consentSigning } from "../../crypto/custodian.ts";
import { shareFits } from "../../crypto/dealing.ts";
import { complain, envelopeKeys, sealShare } from "../../crypto/envelope.ts";
import { Holdings, MAX_JOINED } from "../../node/custodian/holdings.ts";
import { encodeQuestion, Signatures } from "../../node/custodian/messages.ts";
import { openVault } from "../../node/custodian/vault.ts";
import { CONSENT_CEREMONY } from "../../types/ceremony.ts";
import { SignedShare } from "../../types/custodian.ts";
import { bytesEqual, decode, type Hash, toHex } from "../../types/primitives.ts";
import { ceremonyId, dealOf } from "../../vm/ceremony.ts";
import { custodianOf } from "../vm/custody-support.ts";
import { expectCode } from "../vm/support.ts";
import { type Driver, inWorld, type World } from "./custodyworld.ts";

const keyOf = (n: number): string => toHex(custodianOf(n).publicKey);
const numbers = (count: number): number[] => [...Array(count).keys()];

/** Everyone of the key holds the share that the chain says, no seed is left, and nothing secret is readable in a file. */
function holdsWell(world: World, epoch: number, who: readonly number[]): void {
  const key = world.records.epoch(epoch);
  who.forEach((n, place) => {
    const driver = world.driver(n);
    const [held, ...more] = driver.holdings.shares();
    assert.ok(held && more.length === 0, `custodian ${n} holds ${more.length + 1} shares`);
    assert.ok(shareFits(key.commitments, place, held.share));
    assert.equal(driver.holdings.joined(), []);
    assert.not(driver.files().some((file) => file.includes(Buffer.from(held.share))));
  });
}

test(
  "three of five make a key: everyone holds a share that fits, seeds are gone, nothing is sent twice",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    assert.is(world.records.epoch(0).threshold, 3);
    holdsWell(world, 0, numbers(5));
    assert.equal(world.count("custodian-deal"), { done: 5, failed: 0 });
    assert.equal(world.count("custodian-register"), { done: 1, failed: 0 });
    for (const driver of world.drivers) assert.equal(driver.reports, []);
  }),
);

test(
  "one who is away is waited for by name, and goes on when it is back",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    for (const n of numbers(5)) world.driver(n).join(plan);
    const away = world.driver(4);
    away.online = false;
    // joining took a first step
    await world.rounds(6);
    const waits = world.driver(0).custody.doing(id) ?? "";
    assert.ok(waits.startsWith("waits for the share of") && waits.includes(keyOf(4)), waits);
    away.online = true;
    world.driver(1).online = false;
    await world.rounds(3);
    assert.match(world.driver(0).custody.doing(id) ?? "", keyOf(1));
    world.driver(1).online = true;
    await world.until("the key", () => world.statusOf(id) === "done");
    await world.step();
    holdsWell(world, 0, numbers(5));
  }),
);

test(
  "who has not joined is waited for by name",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    for (const n of [0, 1, 2]) world.driver(n).join(plan);
    await world.rounds(3);
    const doing = world.driver(0).custody.doing(ceremonyId(plan));
    assert.is(doing, `waits for the first round of ${keyOf(3)}, ${keyOf(4)}`);
    for (const n of [3, 4]) world.driver(n).join(plan);
    await world.until("the key", () => world.statusOf(ceremonyId(plan)) === "done");
  }),
);

test(
  "every node is started again after every step",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    for (const driver of world.drivers) driver.join(plan);
    for (let i = 0; i < 20 && world.statusOf(id) !== "done"; i++) {
      for (const driver of world.drivers) driver.restart();
      await world.step();
      for (const driver of world.drivers) driver.restart();
      world.block();
    }
    assert.is(world.statusOf(id), "done");
    for (const driver of world.drivers) driver.restart();
    await world.step();
    holdsWell(world, 0, numbers(5));
    // What it had sent before a restart it does not know: the chain refuses a second deal, and the mempool the attempt.
    assert.equal(world.count("custodian-deal").done, 5);
    assert.equal(world.count("custodian-register").done, 1);
  }),
);

test(
  "a dealer of a bad share is named on the chain, and the next attempt does without it",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    const cheat = world.driver(1);
    cheat.lie = (question, answer, asker) =>
      question === "share" && asker === 3 ? badShare(world, cheat, id, 3, 3) : answer;
    for (const driver of world.drivers) driver.join(plan);
    await world.until("the end", () => world.statusOf(id) === "failed");
    assert.is(toHex(world.records.ceremony(plan).culprit), keyOf(1));
    await world.step();
    // Nothing of it is left, not even in the vaults of those whose shares were good.
    for (const driver of world.drivers) {
      assert.equal(driver.files(), []);
      assert.equal(driver.reports, []);
    }
    assert.equal(world.count("custodian-complain"), { done: 1, failed: 0 });
    assert.is(world.count("custodian-register").done, 0);

    cheat.lie = undefined;
    const honest = [0, 2, 3, 4];
    const keys = honest.map((n) => custodianOf(n).publicKey);
    await world.makeKey({ keys, attempt: 1 }, honest);
    holdsWell(world, 0, honest);
  }),
);

/** A share that the dealer has signed and that does not fit, for the custodian at this place of the plan. */
function badShare(world: World, cheat: Driver, ceremony: Hash, custodian: number, receiver: number): Uint8Array {
  const seed = cheat.holdings.ceremony(ceremony)?.seed as Uint8Array;
  const found = world.chain.state.find("ceremonies", ceremony)?.record;
  const receiverKey = found && dealOf(found, custodianOf(custodian).publicKey)?.envelopeKey;
  if (!receiverKey) throw new Error("the receiver has not dealt");
  const signed = sealShare({
    genesisHash: world.chain.hash,
    custodianSecret: cheat.keys.secret,
    envelopeSecret: envelopeKeys(seed, ceremony).secret,
    receiverKey,
    ceremony,
    dealer: cheat.n,
    receiver,
    share: new Uint8Array(32).fill(1, 0, 1),
  });
  return SignedShare.serialize(signed);
}

test(
  "a share that is not its dealer's, one for another, and garbage accuse nobody but the peer",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    const lies: ((answer: Uint8Array) => Uint8Array)[] = [
      (answer) => new Uint8Array(answer.length).fill(7),
      (answer) => answer.slice(1),
      (answer) => {
        const signed = decode(SignedShare, answer);
        signed.message.ciphertext[0] = (signed.message.ciphertext[0] as number) ^ 1;
        return SignedShare.serialize(signed);
      },
      (answer) => {
        const signed = decode(SignedShare, answer);
        return SignedShare.serialize({ ...signed, message: { ...signed.message, receiver: 0 } });
      },
    ];
    let told = 0;
    world.driver(1).lie = (question, answer) => {
      const lie = lies[told];
      if (question !== "share" || !answer || !lie) return answer;
      told++;
      return lie(answer);
    };
    for (const driver of world.drivers) driver.join(plan);
    await world.until("the key", () => world.statusOf(id) === "done");
    assert.is(told, lies.length);
    const reports = world.drivers.flatMap((d) => d.reports);
    assert.equal(reports, Array(lies.length).fill({ peer: "1", verdict: "reject" }));
    assert.equal(world.count("custodian-complain"), { done: 0, failed: 0 });
  }),
);

test(
  "a receiver that complains of a good share gets nowhere",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    for (const driver of world.drivers) driver.join(plan);
    world.driver(4).online = false;
    await world.rounds(3);
    const liar = world.driver(3);
    const answer = world
      .driver(1)
      .custody.answer("3", encodeQuestion({ kind: "share", value: { ceremony: id, receiver: 3 } }));
    const seed = liar.holdings.ceremony(id)?.seed as Uint8Array;
    const dealerKey = dealOf(world.records.ceremony(plan), custodianOf(1).publicKey)?.envelopeKey as Uint8Array;
    const signed = decode(SignedShare, answer as Uint8Array);
    const complaint = complain({ envelopeSecret: envelopeKeys(seed, id).secret, dealerKey, signed, seed });
    assert.equal(world.chain.send(world.chain.tx("gus", { kind: "custodian-complain", value: complaint })), [
      "TX_BAD_COMPLAINT",
    ]);
    world.driver(4).online = true;
    await world.until("the key", () => world.statusOf(id) === "done");
  }),
);

test(
  "a peer that forges statements, or those of others, is refused; the key comes without it",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    // 3 is asked after 2, so that its own statement is not known yet where 2 has forged it.
    const forged = [63, 3];
    world.driver(2).lie = (question, answer, asker) => {
      if (question !== "statements" || !answer || asker > 1) return answer;
      const custodian = forged.pop();
      if (custodian === undefined) return answer;
      return Signatures.serialize([{ custodian, signature: new Uint8Array(64).fill(9) }]);
    };
    for (const driver of world.drivers) driver.join(plan);
    await world.until("the key", () => world.statusOf(id) === "done");
    assert.equal(forged, []);
    const reports = world.drivers.flatMap((d) => d.reports);
    assert.equal(reports, Array(2).fill({ peer: "2", verdict: "reject" }));
  }),
);

test(
  "no share leaves before everyone has dealt",
  inWorld(3, 2, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    const ask = (to: number, receiver: number) =>
      world.driver(to).custody.answer("1", encodeQuestion({ kind: "share", value: { ceremony: id, receiver } }));
    for (const n of [0, 1]) world.driver(n).join(plan);
    await world.rounds(2);
    assert.equal(world.records.ceremony(plan).deals.length, 2);
    assert.is(ask(0, 1), undefined);
    world.driver(2).join(plan);
    await world.step();
    world.block();
    assert.ok(ask(0, 1));
    assert.is(ask(0, 3), undefined);
    await world.until("the key", () => world.statusOf(id) === "done");
    // The ceremony is over for the chain, if not yet for the node.
    assert.is(ask(0, 1), undefined);
  }),
);

test(
  "what waits for a block is not sent again; what a gap before it keeps from one is",
  inWorld(3, 2, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    const { height } = world.chain.state;
    world.mempool.add(world.chain.transfer("anna", "gus", 1n, { expires: height + 1 }));
    for (const driver of world.drivers) driver.join(plan);
    await world.step();
    assert.is(world.mempool.count, 4);
    for (let i = 0; i < 6; i++) {
      world.block([]);
      await world.step();
    }
    // anna's own has expired, and what custodian 0 sent after it is sent once more in its place.
    assert.is(world.mempool.count, 4);
    await world.until("the key", () => world.statusOf(id) === "done");
    assert.equal(world.count("custodian-deal"), { done: 3, failed: 1 });
  }),
);

test(
  "a transaction that is lost, or whose nonce another takes, is sent again",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    world.driver(0).loses = true;
    for (const driver of world.drivers) driver.join(plan);
    await world.step();
    // ben pays for custodian 1, and sends something of his own that a block takes first.
    world.block([world.chain.transfer("ben", "gus", 1n)]);
    await world.until("the key", () => world.statusOf(id) === "done");
    assert.equal(world.count("custodian-deal"), { done: 5, failed: 0 });
  }),
);

test(
  "when the first who should is away, the outcome comes from another",
  inWorld(5, 3, async (world) => {
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    for (const driver of world.drivers) driver.join(plan);
    await world.until("all statements", () => /^leaves/.test(world.driver(1).custody.doing(id) ?? ""));
    // Its transaction did not make it into a block either.
    world.mempool.onBlock(world.mempool.pick());
    world.driver(0).online = false;
    await world.until("the key", () => world.statusOf(id) === "done");
    assert.equal(world.count("custodian-register"), { done: 1, failed: 0 });
  }),
);

test(
  "two attempts at once: the first to end counts, and the other's shares go",
  inWorld(3, 2, async (world) => {
    const plans = [0, 1].map((attempt) => world.records.plan({ attempt }));
    for (const plan of plans) for (const driver of world.drivers) driver.join(plan);
    await world.until("a key", () => world.chain.state.count("epochs") === 1);
    await world.rounds(2);
    holdsWell(world, 0, numbers(3));
  }),
);

test(
  "handed to others under the same key: old shares are deleted, the new ones fit; who only deals goes without",
  inWorld(
    5,
    3,
    async (world) => {
      await world.makeKey();
      const before = world.records.epoch(0);
      const old = new Map(numbers(5).map((n) => [n, world.driver(n).holdings.shares()[0]?.share as Uint8Array]));
      const next = [2, 4, 5, 6];
      const keys = next.map((n) => custodianOf(n).publicKey);
      const plan = world.records.plan({ epoch: 0, generation: 1, keys, threshold: 2, dealers: [0, 1, 2] });
      // The newcomers are first, and wait for a dealer.
      for (const n of [5, 6]) world.driver(n).join(plan);
      await world.rounds(2);
      assert.is(world.driver(5).custody.doing(ceremonyId(plan)), "waits for a dealer to begin it");
      for (const n of [0, 1, 2, 4]) world.driver(n).join(plan);
      await world.until("the new custodians", () => world.statusOf(ceremonyId(plan)) === "done");
      await world.step();
      const after = world.records.epoch(0);
      assert.equal(after.publicKey, before.publicKey);
      assert.equal([after.generation, after.threshold], [1, 2]);
      holdsWell(world, 0, next);
      for (const n of [0, 1, 3]) assert.equal(world.driver(n).files(), []);
      for (const driver of world.drivers) {
        assert.not(driver.custody.holds(0) && !next.includes(driver.n));
        for (const share of old.values()) assert.not(driver.holdings.shares().some((s) => bytesEqual(s.share, share)));
      }
      assert.equal(world.count("custodian-deal"), { done: 5 + 6, failed: 0 });
      assert.equal(world.count("custodian-rotate"), { done: 1, failed: 0 });
    },
    7,
  ),
);

test(
  "a named dealer that keeps silent is left out of the next attempt",
  inWorld(4, 2, async (world) => {
    await world.makeKey();
    const keys = [1, 2, 3].map((n) => custodianOf(n).publicKey);
    const first = world.records.plan({ epoch: 0, generation: 1, keys, threshold: 2, dealers: [0, 1] });
    for (const n of [1, 2, 3]) world.driver(n).join(first);
    await world.rounds(4);
    assert.is(world.driver(1).custody.doing(ceremonyId(first)), `waits for the first round of ${keyOf(0)}`);
    const second = world.records.plan({ epoch: 0, generation: 1, attempt: 1, keys, threshold: 2, dealers: [1, 2] });
    for (const n of [1, 2, 3]) world.driver(n).join(second);
    await world.until("the new custodians", () => world.statusOf(ceremonyId(second)) === "done");
    await world.rounds(2);
    holdsWell(world, 0, [1, 2, 3]);
  }),
);

test(
  "once the key is handed over, no other attempt gets a share: it would be of the new one, under an old envelope's key",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const keys = numbers(3).map((n) => custodianOf(n).publicKey);
    const plans = [0, 1].map((attempt) =>
      world.records.plan({ epoch: 0, generation: 1, attempt, keys, threshold: 2, dealers: [0, 1] }),
    );
    for (const plan of plans) for (const driver of world.drivers) driver.join(plan);
    await world.until("the new custodians", () => world.records.epoch(0).generation === 1);
    for (const plan of plans) {
      const question = encodeQuestion({ kind: "share", value: { ceremony: ceremonyId(plan), receiver: 2 } });
      for (const n of [0, 1]) {
        world.driver(n).restart();
        assert.is(world.driver(n).custody.answer("2", question), undefined);
      }
    }
    await world.rounds(2);
    holdsWell(world, 0, numbers(3));
  }),
);

test(
  "a cheating dealer of a hand-over is named, and old shares stay until another attempt is final",
  inWorld(4, 2, async (world) => {
    await world.makeKey();
    const keys = [1, 2, 3].map((n) => custodianOf(n).publicKey);
    const plan = world.records.plan({ epoch: 0, generation: 1, keys, threshold: 2, dealers: [0, 1] });
    const id = ceremonyId(plan);
    const cheat = world.driver(0);
    cheat.lie = (question, answer, asker) =>
      question === "share" && asker === 3 ? badShare(world, cheat, id, 3, 2) : answer;
    for (const driver of world.drivers) driver.join(plan);
    await world.until("the end", () => world.statusOf(id) === "failed");
    assert.is(toHex(world.records.ceremony(plan).culprit), keyOf(0));
    await world.step();
    holdsWell(world, 0, numbers(4));
    assert.is(world.records.epoch(0).generation, 0);
  }),
);

test(
  "what can't be joined is refused, each in its own way",
  inWorld(3, 2, async (world) => {
    const [driver, other] = [world.driver(0), world.driver(1)];
    const plan = world.records.plan();
    assert.throws(() => driver.custody.join(plan, new Uint8Array(64)), expectCode("BAD_CONSENT"));
    // Another custodian's word is not this one's.
    const consent = { what: CONSENT_CEREMONY, id: ceremonyId(plan) };
    const signature = consentSigning.sign(world.chain.hash, other.keys.secret, consent);
    assert.throws(() => driver.custody.join(plan, signature), expectCode("BAD_CONSENT"));
    assert.throws(() => driver.join({ ...plan, epoch: 1 }), expectCode("BAD_PLAN"));
    assert.throws(() => driver.join({ ...plan, threshold: 1 }), expectCode("BAD_PLAN"));
    driver.catchingUp = true;
    assert.throws(() => driver.join(plan), expectCode("CATCHING_UP"));
    driver.catchingUp = false;
    for (let attempt = 0; attempt < MAX_JOINED; attempt++) driver.join({ ...plan, attempt });
    assert.throws(() => driver.join({ ...plan, attempt: MAX_JOINED }), expectCode("TOO_MANY_CEREMONIES"));
    driver.join(plan);
    for (const n of [1, 2]) world.driver(n).join(plan);
    await world.until("the key", () => world.statusOf(ceremonyId(plan)) === "done");
    assert.throws(() => driver.join(plan), expectCode("CEREMONY_OVER"));
    const outside = [1, 2].map((n) => custodianOf(n).publicKey);
    const handOver = world.records.plan({ epoch: 0, generation: 1, keys: outside, threshold: 2, dealers: [1, 2] });
    assert.throws(() => driver.join(handOver), expectCode("NOT_IN_PLAN"));
    // All that it had joined for this key is over with it.
    await world.step();
    assert.equal(driver.holdings.joined(), []);
  }),
);

test(
  "a vault under another custodian key says so; under its own it has everything",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const { folder, keys } = world.driver(0);
    const open = (secret: Uint8Array) => new Holdings(openVault(folder, secret, (n) => new Uint8Array(n)));
    assert.throws(() => open(custodianOf(1).secret), expectCode("VAULT_WRONG_KEY"));
    assert.is(open(keys.secret).shares().length, 1);
  }),
);

test(
  "a node that is catching up does nothing, and one whose state is old deletes nothing",
  inWorld(3, 2, async (world) => {
    const genesis = world.chain.state;
    await world.makeKey();
    const late = world.driver(2);
    late.state = genesis;
    late.restart();
    await late.custody.step();
    assert.is(late.holdings.shares().length, 1);
    late.catchingUp = true;
    late.state = undefined;
    const { answered } = world;
    answered.length = 0;
    await late.custody.step();
    assert.equal(answered, []);
  }),
);

test.run();
