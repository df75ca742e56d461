import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sessionAskSigning, sessionOfferSigning } from "../../crypto/custodian.ts";
import { signSignatureShare } from "../../crypto/threshold.ts";
import { encodeQuestion, type TypedQuestion } from "../../node/custodian/messages.ts";
import { COMPACT_ENTRIES, MAX_SESSIONS } from "../../node/custodian/signer.ts";
import { SessionAsk, SignedSessionOffer, SignedSignatureShare } from "../../types/custodian.ts";
import { bytesEqual, decode, type Hash, toHex } from "../../types/primitives.ts";
import { ceremonyId } from "../../vm/ceremony.ts";
import { requestStatus } from "../../vm/records.ts";
import { custodianOf, REDACTION } from "../vm/custody-support.ts";
import { expectCode, FOUNDERS, seedOf } from "../vm/support.ts";
import { type Driver, inWorld, type World } from "./custodyworld.ts";

const statusOf = (world: World, id: Hash): string => requestStatus(world.records.asked(id));
const keyOf = (n: number): string => toHex(custodianOf(n).publicKey);

async function executed(world: World, id: Hash): Promise<void> {
  await world.until("the edit", () => statusOf(world, id) === "executed");
  await world.step();
}
/** Parts of signatures that custodians gave away. */
const parts = (world: World) => world.answered.filter(({ kind }) => kind === "part");

test(
  "three of five edit a record: one transaction, and no share before the delay is over",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { label, id } = world.ask();
    for (const n of [1, 2, 4]) world.driver(n).approve(id);
    await executed(world, id);
    const record = world.records.entry(label);
    assert.equal([record.version, record.length], [1, 0]);
    assert.equal(world.records.asked(id).approvals.map(toHex), [1, 2, 4].map(keyOf));
    assert.equal(world.count("redact-execute"), { done: 1, failed: 0 });
    assert.is(parts(world).length, 2);
    assert.ok(parts(world).every(({ height }) => height + 1 >= world.records.asked(id).opensAt));
    assert.ok(world.records.asked(id).endedAt <= world.records.asked(id).opensAt + 1);
    for (const driver of world.drivers) {
      assert.equal(driver.holdings.consents(), []);
      assert.equal(driver.reports, []);
      assert.is(driver.custody.working(id), null);
    }
  }),
);

test(
  "two of five can't; each says for how many it waits, and forgets it when it has lapsed",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const n of [0, 3]) world.driver(n).approve(id);
    await world.rounds(3);
    assert.is(world.driver(0).custody.working(id), "approved here; waits for the approval of 1 more custodians");
    assert.is(world.driver(0).custody.approvals(id), 2);
    await world.rounds(REDACTION.delay + REDACTION.window);
    assert.is(statusOf(world, id), "open");
    assert.equal(parts(world), []);
    assert.is(world.count("redact-execute").done, 0);
    for (const driver of world.drivers) assert.equal(driver.holdings.consents(), []);
    assert.throws(() => world.driver(1).approve(id), expectCode("REQUEST_OVER"));
  }),
);

test(
  "a custodian who signs a wrong share is named, and done without",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    world.driver(1).lie = (kind, answer) => {
      if (kind !== "part" || !answer) return answer;
      const { message } = decode(SignedSignatureShare, answer);
      const wrong = { ...message, share: new Uint8Array(32).fill(3, 0, 1) };
      return SignedSignatureShare.serialize(signSignatureShare(world.chain.hash, custodianOf(1).secret, wrong));
    };
    for (const n of [0, 1, 2, 3]) world.driver(n).approve(id);
    await world.until("naming", () => world.driver(0).custody.named(id).length > 0, REDACTION.delay + 2);
    assert.equal(world.driver(0).custody.named(id), [keyOf(1)]);
    await executed(world, id);
    assert.equal(world.driver(0).reports, [{ peer: "1", verdict: "reject" }]);
    assert.equal(world.count("redact-execute"), { done: 1, failed: 0 });
    for (const n of [1, 2, 3]) assert.equal(world.driver(n).reports, []);
  }),
);

test(
  "with no other to take its place, the node says who was left out",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    world.driver(1).lie = (kind, answer) => {
      if (kind !== "part" || !answer) return answer;
      const { message } = decode(SignedSignatureShare, answer);
      const wrong = { ...message, share: new Uint8Array(32).fill(255) };
      return SignedSignatureShare.serialize(signSignatureShare(world.chain.hash, custodianOf(1).secret, wrong));
    };
    for (const n of [0, 1]) world.driver(n).approve(id);
    await world.rounds(REDACTION.delay + 1);
    const says = world.driver(0).custody.working(id) ?? "";
    assert.ok(says.includes("waits for 1 more") && says.includes(keyOf(1)), says);
    world.driver(2).approve(id);
    await executed(world, id);
    assert.equal(world.records.asked(id).approvals.length, 2);
  }),
);

test(
  "silent, garbled and foreign answers are done without, and only lies are held against a peer",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    world.driver(1).lie = (kind, answer) => (kind === "part" ? undefined : answer);
    world.driver(2).lie = (kind, answer) => (kind === "part" ? new Uint8Array(5) : answer);
    for (const driver of world.drivers) driver.approve(id);
    await executed(world, id);
    assert.ok(world.driver(0).reports.every(({ peer }) => peer === "2"));
    assert.is(world.driver(0).reports.length, 1);
    assert.equal(world.driver(0).custody.named(id), []);
    // Silence does not cost a custodian its approval.
    assert.equal(world.records.asked(id).approvals.length, 3);
  }),
);

test(
  "nonce commitments that are no points, signed, name their custodian",
  inWorld(4, 2, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    world.driver(1).lie = (kind, answer) => {
      if (kind !== "session" || !answer) return answer;
      const { message } = decode(SignedSessionOffer, answer);
      const bad = { ...message, hiding: new Uint8Array(32).fill(255) };
      const signature = sessionOfferSigning.sign(world.chain.hash, custodianOf(1).secret, bad);
      return SignedSessionOffer.serialize({ message: bad, signature });
    };
    for (const n of [0, 1, 2]) world.driver(n).approve(id);
    await executed(world, id);
    assert.equal(world.driver(0).reports, [{ peer: "1", verdict: "reject" }]);
  }),
);

test(
  "when the first of those who approve is away, another carries it out",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const n of [0, 1, 2, 3]) world.driver(n).approve(id);
    await world.rounds(2);
    world.driver(0).online = false;
    await world.until("the edit", () => statusOf(world, id) === "executed");
    assert.equal(world.records.asked(id).approvals.map(toHex), [1, 2, 3].map(keyOf));
    assert.equal(world.count("redact-execute"), { done: 1, failed: 0 });
  }),
);

test(
  "restarted after every step, it is carried out once",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const n of [0, 1, 2]) world.driver(n).approve(id);
    for (let i = 0; i < 20 && statusOf(world, id) === "open"; i++) {
      for (const driver of world.drivers) driver.restart();
      await world.step();
      for (const driver of world.drivers) driver.restart();
      world.block();
    }
    assert.is(statusOf(world, id), "executed");
    assert.is(world.count("redact-execute").done, 1);
  }),
);

test(
  "objections stop it: nothing is signed, before or after",
  inWorld(5, 3, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const driver of world.drivers) driver.approve(id);
    await world.rounds(2);
    world.block(
      FOUNDERS.slice(0, 3).map((name) => world.chain.tx(name, { kind: "redact-object", value: { request: id } })),
    );
    assert.is(statusOf(world, id), "stopped");
    await world.rounds(REDACTION.delay + 3);
    assert.equal(parts(world), []);
    assert.is(world.count("redact-execute").done, 0);
    for (const driver of world.drivers) {
      assert.equal(driver.holdings.consents(), []);
      assert.is(driver.sessions.entries.length, 0);
    }
    assert.throws(() => world.driver(0).approve(id), expectCode("REQUEST_OVER"));
  }),
);

test(
  "what a node's own final state does not know, it neither approves nor signs",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const before = world.chain.state;
    const { id } = world.ask();
    const late = world.driver(1);
    late.state = before;
    assert.throws(() => late.approve(id), expectCode("NOT_FOUND"));
    late.state = undefined;
    late.approve(id);
    late.state = before;
    world.driver(0).approve(id);
    await world.rounds(REDACTION.delay + 2);
    assert.equal(parts(world), []);
    late.state = undefined;
    late.catchingUp = true;
    await world.rounds(2);
    assert.equal(parts(world), []);
    assert.throws(() => world.driver(1).approve(seedOf("nothing")), expectCode("CATCHING_UP"));
    late.catchingUp = false;
    await executed(world, id);
  }),
);

test(
  "an approval needs this node's own key, office and share",
  inWorld(
    3,
    2,
    async (world) => {
      await world.makeKey();
      const { id } = world.ask();
      const driver = world.driver(0);
      assert.throws(() => driver.custody.approve(id, new Uint8Array(64)), expectCode("BAD_CONSENT"));
      assert.throws(() => world.driver(3).approve(id), expectCode("NOT_IN_OFFICE"));
      const [held] = driver.holdings.shares();
      if (!held) throw new Error("no share");
      driver.holdings.forget(held);
      assert.throws(() => driver.approve(id), expectCode("NO_SHARE"));
    },
    4,
  ),
);

test(
  "the key in new hands: they edit records made before, and the old custodians' consents are worth nothing",
  inWorld(
    3,
    2,
    async (world) => {
      await world.makeKey();
      const { label, id } = world.ask();
      for (const n of [0, 1]) world.driver(n).approve(id);
      const keys = [2, 3, 4].map((n) => custodianOf(n).publicKey);
      const plan = world.records.plan({ epoch: 0, generation: 1, keys, threshold: 3, dealers: [0, 2] });
      for (const n of [0, 2, 3, 4]) world.driver(n).join(plan);
      // Faster than the delay of the request: five blocks.
      await world.until("the new custodians", () => world.statusOf(ceremonyId(plan)) === "done", REDACTION.delay);
      await world.rounds(REDACTION.delay + 2);
      assert.is(statusOf(world, id), "open");
      assert.match(world.driver(0).custody.working(id) ?? "", /none of those in office/);
      for (const n of [2, 3, 4]) world.driver(n).approve(id);
      await executed(world, id);
      assert.is(world.records.entry(label).version, 1);
      assert.equal(world.records.asked(id).approvals.map(toHex), [2, 3, 4].map(keyOf));
    },
    5,
  ),
);

/** A coordinator that does as it likes: custodian 0's key, and a request that all have approved; only the test leads sessions. */
async function due(world: World) {
  await world.makeKey();
  const led = lead(world);
  while (world.chain.state.height + 1 < world.records.asked(led.id).opensAt) world.block();
  return led;
}

function lead(world: World) {
  const { id } = world.ask();
  for (const driver of world.drivers) driver.approve(id);
  const ask = (nonce: string, coordinator = 0, change: Partial<SessionAsk> = {}) => {
    const message = { request: id, generation: 0, coordinator, nonce: seedOf(nonce), ...change };
    const { secret } = custodianOf(coordinator);
    return { message, signature: sessionAskSigning.sign(world.chain.hash, secret, message) };
  };
  const put = (driver: Driver, question: TypedQuestion) => driver.custody.answer("0", encodeQuestion(question));
  const offer = (driver: Driver, asked: ReturnType<typeof ask>): SignedSessionOffer => {
    const answer = put(driver, { kind: "session", value: asked });
    if (!answer) throw new Error("no offer");
    return decode(SignedSessionOffer, answer);
  };
  const part = (driver: Driver, asked: ReturnType<typeof ask>, offers: readonly SignedSessionOffer[]) =>
    put(driver, { kind: "part", value: { session: SessionAsk.hashTreeRoot(asked.message), offers: [...offers] } });
  return { id, ask, put, offer, part };
}

test(
  "one who leads with two lists gets one share of each custodian, and none twice",
  inWorld(5, 3, async (world) => {
    const { ask, offer, part } = await due(world);
    const [a, b, c, d] = [1, 2, 3, 4].map((n) => world.driver(n)) as [Driver, Driver, Driver, Driver];
    const asked = ask("one");
    const offers = [a, b, c, d].map((driver) => offer(driver, asked));
    const [oa, ob, oc, od] = offers as [SignedSessionOffer, SignedSessionOffer, SignedSessionOffer, SignedSessionOffer];
    assert.ok(part(a, asked, [oa, ob, oc]));
    assert.is(part(a, asked, [oa, ob, od]), undefined);
    assert.is(part(a, asked, [oa, ob, oc]), undefined);
    // Asked again in the same words it offers fresh nonces, with which the old list does not go.
    const again = offer(a, asked);
    assert.not.equal(again.message.hiding, oa.message.hiding);
    assert.is(part(a, asked, [oa, ob, oc]), undefined);
  }),
);

test(
  "lists that are short, unordered, without the signer, with foreign or forged nonces get no share",
  inWorld(5, 3, async (world) => {
    const { ask, offer, part } = await due(world);
    const [a, b, c] = [1, 2, 3].map((n) => world.driver(n)) as [Driver, Driver, Driver];
    const asked = ask("one");
    const [oa, ob, oc] = [a, b, c].map((d) => offer(d, asked)) as [
      SignedSessionOffer,
      SignedSessionOffer,
      SignedSessionOffer,
    ];
    const other = offer(c, ask("two"));
    const forged = { ...oc, message: { ...oc.message, binding: ob.message.binding } };
    const stranger = { ...oc, message: { ...oc.message, custodian: 40 } };
    const lists = [
      [],
      [oa, ob],
      [oa, oc, ob],
      [oa, oa, ob],
      [ob, oc],
      [oa, ob, other],
      [oa, ob, forged],
      [oa, ob, stranger],
    ];
    for (const list of lists) assert.is(part(a, asked, list), undefined);
    // None of them cost the nonces: they were never near them.
    assert.ok(part(a, asked, [oa, ob, oc]));
  }),
);

test(
  "only custodians in office begin sessions, for this generation, for requests that are approved here",
  inWorld(4, 2, async (world) => {
    const { ask, put } = await due(world);
    const driver = world.driver(1);
    const answer = (asked: ReturnType<typeof ask>) => put(driver, { kind: "session", value: asked });
    assert.is(answer(ask("x", 0, { generation: 1 })), undefined);
    assert.is(answer(ask("x", 0, { request: seedOf("unknown") })), undefined);
    const claims = ask("x", 2);
    claims.message.coordinator = 0;
    assert.is(answer(claims), undefined);
    assert.is(answer(ask("x", 0, { coordinator: 9 })), undefined);
    assert.ok(answer(ask("x")));
  }),
);

test(
  "nonces and sessions don't come back after a restart, not even when the randomness does",
  inWorld(3, 2, async (world) => {
    const { ask, offer, part } = await due(world);
    const [a, b] = [world.driver(1), world.driver(2)];
    const stuck = (bytes: number) => new Uint8Array(bytes).fill(5);
    a.random = stuck;
    a.restart();
    const asked = ask("one");
    const oa = offer(a, asked);
    const ob = offer(b, asked);
    const first = part(a, asked, [oa, ob]);
    assert.ok(first);
    a.restart();
    const again = offer(a, asked);
    assert.equal(again.message.hiding, oa.message.hiding);
    assert.is(part(a, asked, [again, ob]), undefined);
    // With another list these nonces would give its share away.
    const fresh = ask("two");
    const reused = offer(a, fresh);
    assert.equal(reused.message.hiding, oa.message.hiding);
    assert.is(part(a, fresh, [reused, offer(b, fresh)]), undefined);
    // With good randomness everything goes on.
    a.random = (bytes) => crypto.getRandomValues(new Uint8Array(bytes));
    const later = ask("three");
    assert.ok(part(a, later, [offer(a, later), offer(b, later)]));
    // Its nonces were in memory only: a restart forgets the offer.
    const last = ask("four");
    const lost = offer(a, last);
    a.restart();
    assert.is(part(a, last, [lost, offer(b, last)]), undefined);
  }),
);

test(
  "whoever begins many sessions harms only itself",
  inWorld(3, 2, async (world) => {
    const { ask, put, offer, part } = await due(world);
    const [a, b] = [world.driver(1), world.driver(2)];
    const kept = ask("kept", 2);
    const offers = [offer(a, kept), offer(b, kept)];
    for (let i = 0; i < 300; i++) assert.ok(put(a, { kind: "session", value: ask(`flood ${i}`) }));
    let given = 0;
    for (let i = 0; i < MAX_SESSIONS + 2; i++) {
      const asked = ask(`share ${i}`);
      if (part(a, asked, [offer(a, asked), offer(b, asked)])) given++;
    }
    assert.is(given, MAX_SESSIONS);
    assert.ok(part(a, kept, offers));
  }),
);

test(
  "before the delay is over there are neither shares nor approvals, whoever asks",
  inWorld(3, 2, async (world) => {
    const made = await world.makeKey();
    for (const { n, holdings } of world.drivers) {
      world.records.shares.set(`${toHex(made)}/${n}`, holdings.shares()[0]?.share as Uint8Array);
    }
    const { id, ask, put, offer, part } = lead(world);
    const [a, b] = [world.driver(1), world.driver(2)];
    const opening = world.records.open(world.records.redaction(id), [0, 1]);
    const approval = () => put(a, { kind: "approval", value: { request: id, ...opening } });
    const asked = ask("early");
    const offers = [offer(a, asked), offer(b, asked)];
    const { opensAt } = world.records.asked(id);
    while (world.chain.state.height + 1 < opensAt) {
      assert.is(part(a, asked, offers), undefined);
      assert.is(approval(), undefined);
      world.block();
    }
    assert.ok(approval());
    assert.ok(part(a, asked, offers));
    const forged = { request: id, r: opening.s, s: opening.r };
    assert.is(put(a, { kind: "approval", value: forged }), undefined);
  }),
);

test(
  "sessions that fail are tried again after longer and longer",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const n of [0, 1]) {
      world.driver(n).lie = (kind, answer) => (kind === "part" ? undefined : answer);
      world.driver(n).approve(id);
    }
    await world.rounds(REDACTION.delay + 12);
    const led = parts(world).filter(({ to }) => to === 1).length;
    assert.ok(led >= 2 && led <= 4, `${led} sessions`);
    for (const n of [0, 1]) world.driver(n).lie = undefined;
    await executed(world, id);
  }),
);

test(
  "the journal of sessions forgets those of requests that are over when the node starts",
  inWorld(3, 2, async (world) => {
    await world.makeKey();
    const { id } = world.ask();
    for (const n of [0, 1]) world.driver(n).approve(id);
    await executed(world, id);
    const driver = world.driver(1);
    const open = world.ask("another").id;
    const entry = (request: Hash) => new Uint8Array([...request, ...seedOf("session"), ...seedOf("nonce")]);
    for (let i = 0; i < COMPACT_ENTRIES; i++) driver.sessions.append(entry(id), { sync: false });
    driver.sessions.append(entry(open), { sync: true });
    driver.restart();
    driver.restart();
    assert.equal(driver.sessions.entries, [entry(open)]);
  }),
);

test(
  "any bytes are answered with nothing, and reported",
  inWorld(3, 2, async (world) => {
    await due(world);
    const driver = world.driver(1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const before = driver.reports.length;
        try {
          assert.is(driver.custody.answer("2", bytes), undefined);
        } catch (error) {
          expectCode("BAD_ENCODING")(error);
          assert.is(driver.reports.length, before + 1);
        }
      }),
      { numRuns: 300 },
    );
    const text = driver.lines.join("\n");
    const share = driver.holdings.shares()[0]?.share as Uint8Array;
    assert.not(text.includes(toHex(share).slice(2)));
    assert.ok(driver.files().every((file) => !file.includes(Buffer.from(share))));
    assert.ok(bytesEqual(driver.custody.key, custodianOf(1).publicKey));
  }),
);

test.run();
