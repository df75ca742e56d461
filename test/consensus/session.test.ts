import { test } from "uvu";
import * as assert from "uvu/assert";
import { Session } from "../../consensus/session/machine.ts";
import type { SessionConfig, SessionEffect, SessionEvent } from "../../consensus/session/types.ts";
import type { Hash } from "../../types/primitives.ts";
import { HELD, HELPFUL, NO_REVEAL, NOT_HELD } from "../../types/round.ts";
import { validators } from "./bft-cluster.ts";

const TASK = new Uint8Array(32).fill(7);
const SIGNATURE = new Uint8Array(64);

function commitment(miner: number, salt = 0): Hash {
  const id = new Uint8Array(32);
  id.set([9, miner, salt]);
  return id;
}

function opening(miner: number, salt = 0) {
  return { miner, salt: commitment(miner, salt), blobRoot: commitment(miner, salt), size: 4, samples: 10 };
}

function session(options: Partial<SessionConfig> & { n?: number } = {}): Session {
  const n = options.n ?? 4;
  const set = validators(Array.from({ length: n }, () => 1));
  return new Session({
    height: 5,
    task: TASK,
    validators: set,
    self: 0,
    committee: set.map((_, i) => i),
    expected: set.map(() => true),
    trains: true,
    windows: { pledgeMs: 100, revealMs: 50, attestMs: 20 },
    ...options,
  });
}

const pledge = (miner: number, salt = 0): SessionEvent => ({
  type: "pledge",
  pledge: { message: { height: 5, task: TASK, miner, commitment: commitment(miner, salt) }, signature: SIGNATURE },
});
const closing = (member: number, miners: readonly number[], salt = 0): SessionEvent => ({
  type: "closing",
  closing: {
    message: {
      height: 5,
      task: TASK,
      member,
      commitments: miners.map((miner) => ({ miner, commitment: commitment(miner, salt) })),
    },
    signature: SIGNATURE,
  },
});
const reveal = (miner: number, salt = 0): SessionEvent => ({
  type: "reveal",
  reveal: { height: 5, task: TASK, opening: opening(miner, salt), inline: new Uint8Array(0) },
  commitment: commitment(miner, salt),
});
const held = (miner: number, salt = 0): SessionEvent => ({ type: "held", miner, commitment: commitment(miner, salt) });
const attestation = (member: number): SessionEvent => ({
  type: "attestation",
  attestation: { message: { height: 5, task: TASK, member, updates: [], metrics: [] }, signature: SIGNATURE },
});
const trained: SessionEvent = { type: "trained", opening: opening(0), commitment: commitment(0) };
const over = (timer: "pledge" | "reveal" | "attest"): SessionEvent => ({ type: "timeout", timer });
const judged: SessionEvent = {
  type: "judged",
  votes: new Map([
    [1, HELPFUL],
    [2, HELPFUL],
  ]),
  metrics: undefined,
};

/** Own signed messages come back at once, as the shell does it. */
function feed(s: Session, ...events: SessionEvent[]): SessionEffect[] {
  const effects: SessionEffect[] = [];
  const queue = [...events];
  for (let event = queue.shift(); event; event = queue.shift()) {
    for (const effect of s.handle(event)) {
      effects.push(effect);
      const { self } = s.config;
      if (effect.type === "pledge") queue.unshift(pledge(self));
      if (effect.type === "close") {
        queue.unshift({
          type: "closing",
          closing: {
            message: { height: 5, task: TASK, member: self, commitments: effect.commitments },
            signature: SIGNATURE,
          },
        });
      }
      if (effect.type === "reveal") queue.unshift(reveal(self), held(self));
      if (effect.type === "attest") queue.unshift(attestation(self));
    }
  }
  return effects;
}

const kinds = (effects: readonly SessionEffect[]) => effects.filter((e) => e.type !== "timeout").map((e) => e.type);

test("everyone answers: every phase ends at once, no timer is needed", () => {
  const s = session();
  assert.equal(kinds(feed(s, { type: "start" })), ["train"]);
  assert.equal(kinds(feed(s, trained)), ["pledge"]);
  assert.equal(kinds(feed(s, pledge(1), pledge(2))), []);
  assert.equal(kinds(feed(s, pledge(3))), ["close"]);
  // Own closing and two more make c − f_c = 3.
  assert.equal(kinds(feed(s, closing(1, [0, 1, 2, 3]))), []);
  assert.equal(kinds(feed(s, closing(2, [0, 1, 2, 3]))), ["reveal", "fetch"]);
  assert.equal(kinds(feed(s, closing(3, [0, 1, 2, 3]))), []);
  assert.equal(kinds(feed(s, reveal(1), held(1), reveal(2), held(2), reveal(3))), ["fetch", "fetch", "fetch"]);
  assert.equal(kinds(feed(s, held(3))), ["judge"]);
  const [attest] = feed(s, judged).filter((e) => e.type === "attest");
  assert.ok(attest?.type === "attest");
  assert.equal(
    attest.updates.map((u) => [u.miner, u.status, u.vote]),
    [
      [0, HELD, 0],
      [1, HELD, HELPFUL],
      [2, HELD, HELPFUL],
      [3, HELD, 0],
    ],
  );
  assert.equal(kinds(feed(s, attestation(1), attestation(2))), []);
  assert.equal(kinds(feed(s, attestation(3))), ["ready"]);
});

test("whoever has seen a reveal can't get a new commitment in: closings are counted, not clocks", () => {
  const s = session({ self: 3, trains: false });
  feed(s, { type: "start" }, pledge(0), pledge(1), pledge(2), over("pledge"));
  feed(s, closing(0, [0, 1, 2]), closing(1, [0, 1, 2]), reveal(0), held(0));
  // Miner 3 saw miner 0's update and pledges a copy now; one faulty member would list it.
  feed(s, pledge(3), closing(2, [0, 1, 2, 3]), reveal(3), held(3));
  assert.equal(
    s.eligible().map((c) => c.miner),
    [0, 1, 2],
  );
});

test("a member closes with what it saw first, and accepts nothing after", () => {
  const s = session({ self: 1, trains: false });
  feed(s, { type: "start" }, pledge(0), pledge(0, 1), pledge(2));
  const [close] = feed(s, over("pledge")).filter((e) => e.type === "close");
  assert.ok(close?.type === "close");
  assert.equal(close.commitments, [
    { miner: 0, commitment: commitment(0) },
    { miner: 2, commitment: commitment(2) },
  ]);
  assert.equal(kinds(feed(s, pledge(3))), []);
});

test("of a miner that pledged twice, the commitment that a quorum closed is the one", () => {
  const s = session({ self: 1, trains: false });
  feed(s, { type: "start" }, pledge(0), pledge(0, 1), over("pledge"));
  feed(s, closing(0, [0], 1), closing(2, [0], 1), closing(3, [0], 1), reveal(0, 1), held(0, 1));
  assert.equal(
    s.eligible().map((c) => c.commitment),
    [commitment(0, 1)],
  );
  for (let salt = 2; salt < 100; salt++) feed(s, pledge(0, salt));
  assert.is(s.pledges().length, 2);
});

test("a dead miner stalls nobody once it is not expected; one that is expected costs a window", () => {
  for (const expected of [false, true]) {
    const s = session({ self: 0, trains: false, expected: [true, true, true, expected] });
    const early = kinds(feed(s, { type: "start" }, pledge(0), pledge(1), pledge(2)));
    assert.is(early.includes("close"), !expected);
    if (expected) assert.ok(kinds(feed(s, over("pledge"))).includes("close"));
    feed(s, closing(1, [0, 1, 2]), closing(2, [0, 1, 2]), reveal(0), held(0), reveal(1), held(1), reveal(2));
    const last = kinds(feed(s, held(2)));
    assert.is(last.includes("judge"), !expected);
    if (expected) assert.ok(kinds(feed(s, over("reveal"))).includes("judge"));
    feed(s, judged, attestation(1));
    assert.is(kinds(feed(s, attestation(2))).includes("ready"), !expected);
    if (expected) assert.ok(kinds(feed(s, over("attest"))).includes("ready"));
  }
});

test("attests what is held, what is not, and what nobody revealed", () => {
  const s = session({ self: 0, trains: false });
  feed(s, { type: "start" }, pledge(1), pledge(2), pledge(3), over("pledge"));
  feed(s, closing(1, [1, 2, 3]), closing(2, [1, 2, 3]), reveal(1), held(1), reveal(2), over("reveal"));
  const [attest] = feed(s, judged).filter((e) => e.type === "attest");
  assert.ok(attest?.type === "attest");
  assert.equal(
    attest.updates.map((u) => u.status),
    [HELD, NOT_HELD, NO_REVEAL],
  );
});

test("too few closings: attests that nothing is eligible, so that the height can end", () => {
  const s = session({ self: 0, trains: false });
  const effects = feed(s, { type: "start" }, pledge(1), over("pledge"), closing(1, [1]), over("reveal"), judged);
  const attest = effects.find((e) => e.type === "attest");
  assert.ok(attest?.type === "attest");
  assert.equal(attest.updates, []);
  assert.equal(kinds(feed(s, over("attest"))), ["ready"]);
});

test("a reveal without its pledge is not taken; a follower without a seat neither closes nor attests", () => {
  const s = session({ self: -1, trains: false });
  const effects = feed(s, { type: "start" }, reveal(1), pledge(1), reveal(1), held(1), over("pledge"), over("reveal"));
  assert.equal(kinds(effects), ["fetch"]);
  assert.ok(kinds(feed(s, over("attest"))).includes("ready"));
});

test("seven seats of twenty: quorums count seats only", () => {
  const committee = [1, 4, 6, 9, 12, 15, 19];
  const s = session({ n: 20, self: 4, trains: false, committee });
  assert.is(s.quorum, 5);
  feed(s, { type: "start" }, ...Array.from({ length: 20 }, (_, i) => pledge(i)));
  const all = Array.from({ length: 20 }, (_, i) => i);
  feed(s, closing(0, all), closing(2, all), closing(3, all), closing(5, all), closing(7, all));
  assert.equal(s.eligible(), []);
  feed(s, closing(1, all), closing(6, all), closing(9, all), closing(12, all));
  assert.is(s.eligible().length, 20);
});

test.run();
