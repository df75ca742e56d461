import { test } from "uvu";
import * as assert from "uvu/assert";
import { OwnMessages } from "../../consensus/engine/own.ts";
import { Wal } from "../../consensus/engine/wal.ts";
import { type DurableLog, SignGuard } from "../../consensus/signer.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { isPoflError } from "../../types/errors.ts";
import { evidenceOf } from "../../types/evidence.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import { proposal, valueId, vote } from "./bft-cluster.ts";

/** What was appended, and how much of it would outlive a power failure. */
export class MemoryLog implements DurableLog {
  entries: Uint8Array[] = [];
  synced = 0;
  append(bytes: Uint8Array, { sync }: { sync: boolean }): void {
    this.entries.push(bytes.slice());
    if (sync) this.synced = this.entries.length;
  }
  sync(): void {
    this.synced = this.entries.length;
  }
  reset(entries: readonly Uint8Array[] = []): void {
    this.entries = entries.map((e) => e.slice());
    this.synced = this.entries.length;
  }
}

const bytes = (...b: number[]) => new Uint8Array(b);
const isSame = (want: Uint8Array) => (earlier: Uint8Array) => Buffer.compare(earlier, want) === 0;
const doubleSign = (error: unknown) => isPoflError(error, "DOUBLE_SIGN");

test("one value per slot: the same again gets the same bytes, another is refused, across restarts", () => {
  const log = new MemoryLog();
  const sign = (guard: SignGuard, kind: "prevote" | "pledge", height: number, round: number, value: Uint8Array) =>
    guard.once(kind, height, round, isSame(value), () => value);
  let guard = new SignGuard(log);
  assert.equal(sign(guard, "prevote", 5, 0, bytes(1)), bytes(1));
  assert.is(log.synced, log.entries.length, "a signature leaves only after fsync");
  guard = new SignGuard(log);
  assert.equal(sign(guard, "prevote", 5, 0, bytes(1)), bytes(1));
  assert.throws(() => sign(guard, "prevote", 5, 0, bytes(2)), doubleSign);
  assert.equal(sign(guard, "prevote", 5, 1, bytes(2)), bytes(2));
  assert.equal(sign(guard, "pledge", 5, 0, bytes(3)), bytes(3));
  assert.throws(() => sign(guard, "pledge", 5, 0, bytes(4)), doubleSign);
  assert.equal(sign(guard, "prevote", 6, 0, bytes(9)), bytes(9));
  assert.throws(() => sign(guard, "prevote", 5, 2, bytes(1)), doubleSign);
});

test("the log stays short over many heights, and keeps its high-water mark", () => {
  const log = new MemoryLog();
  let guard = new SignGuard(log);
  for (let height = 1; height <= 2000; height++) {
    for (const kind of ["pledge", "prevote", "precommit"] as const) {
      guard.once(
        kind,
        height,
        0,
        () => false,
        () => bytes(height & 255),
      );
    }
    assert.ok(log.entries.length < 1000);
  }
  guard = new SignGuard(log);
  assert.throws(
    () =>
      guard.once(
        "prevote",
        1999,
        5,
        () => false,
        () => bytes(1),
      ),
    doubleSign,
  );
});

test("a damaged entry stops the signer instead of making it forget", () => {
  const log = new MemoryLog();
  new SignGuard(log).once(
    "prevote",
    5,
    0,
    () => false,
    () => bytes(1),
  );
  log.entries[0] = (log.entries[0] as Uint8Array).subarray(0, 5);
  assert.throws(
    () => new SignGuard(log),
    (e: unknown) => isPoflError(e, "CORRUPT_JOURNAL"),
  );
});

test("the write-ahead log gives back the events of its height, every kind, in order", () => {
  const log = new MemoryLog();
  const wal = new Wal(log);
  wal.begin(4);
  wal.append({ type: "bft", event: { type: "start" } });
  wal.begin(5);
  const opening = { miner: 1, salt: valueId(1, 1), blobRoot: valueId(2, 2), size: 8, samples: 3 };
  const entries = [
    { type: "bft", event: { type: "start" } },
    { type: "bft", event: { type: "proposal", proposal: proposal(2, valueId(0, 0), 1, 1) } },
    { type: "block", bytes: bytes(1, 2, 3) },
    { type: "bft", event: { type: "verdict", blockId: valueId(0, 0), valid: true, builtRound: 2 } },
    { type: "bft", event: { type: "vote", vote: vote(1, 2, valueId(0, 0), 3, 1) } },
    { type: "bft", event: { type: "built", round: 2, blockId: valueId(0, 0) } },
    { type: "bft", event: { type: "timeout", kind: "precommit", round: 2 } },
    { type: "trained", opening },
  ] as const;
  for (const entry of entries) wal.append(entry);
  assert.equal(new Wal(log).replay(5), entries as never);
  assert.equal(new Wal(log).replay(4), []);
  assert.equal(new Wal(log).replay(6), []);
});

test("the write-ahead log carries evidence from file to file while it waits, beside the heights", () => {
  const log = new MemoryLog();
  const wal = new Wal(log);
  const first = vote(PREVOTE, 2, valueId(0, 0), 0);
  const second = vote(PREVOTE, 2, valueId(1, 1), 0);
  const waits = (fill: number) =>
    evidenceOf(bytes(...new Array<number>(32).fill(fill)), { kind: "amnesia", first, second });
  const [a, b] = [waits(1), waits(2)];
  wal.begin(1);
  wal.keep(a);
  wal.keep(b);
  for (let height = 2; height <= 300; height++) {
    wal.begin(height, [a]);
    wal.append({ type: "bft", event: { type: "start" } });
    assert.equal(new Wal(log).evidence(), height <= 128 ? [a, b] : [a], `height ${height}`);
    assert.equal(new Wal(log).replay(height), [{ type: "bft", event: { type: "start" } }]);
  }
  new Wal(log).begin(301);
  assert.equal(new Wal(log).evidence(), []);
  log.append(Uint8Array.of(10, 1, 2), { sync: false });
  assert.throws(
    () => new Wal(log).evidence(),
    (e: unknown) => isPoflError(e, "CORRUPT_JOURNAL"),
  );
});

test("the write-ahead log starts afresh with a height once it is long, however few heights it holds", () => {
  const log = new MemoryLog();
  const wal = new Wal(log);
  wal.begin(1);
  for (let i = 0; i < 17; i++) wal.append({ type: "block", bytes: new Uint8Array(4 * 1024 * 1024 - 1024) });
  assert.is(log.entries.length, 18);
  wal.begin(2);
  assert.is(log.entries.length, 1);
  assert.is(new Wal(log).lastHeight(), 2);
  wal.begin(3);
  assert.is(log.entries.length, 2, "and not with each height from then on");
});

test("a node that lost its log but not its signer's file does not sign against its own precommit, in whatever order", () => {
  const key = keyPair(bytes(...new Array<number>(32).fill(7)));
  const own = (log: MemoryLog) => new OwnMessages(new SignGuard(log), bytes(...new Array<number>(32).fill(1)), key);
  const [V, W] = [valueId(0, 0), valueId(1, 1)];
  const log = new MemoryLog();
  const before = own(log);
  before.vote(vote(PREVOTE, 2, V, 0).message);
  before.vote(vote(PRECOMMIT, 2, V, 0).message);
  const after = own(log);
  for (const validRound of [-1, 1]) {
    assert.throws(() => after.vote(vote(PREVOTE, 5, W, 0, validRound).message), doubleSign);
  }
  assert.equal(after.vote(vote(PREVOTE, 5, ZERO_HASH, 0).message).message.round, 5);
  assert.equal(after.vote(vote(PREVOTE, 6, W, 0, 2).message).message.blockId, W);
  assert.equal(after.vote(vote(PREVOTE, 7, V, 0).message).message.blockId, V);
  // It begins anew at round 0 and hears of a proof-of-lock that it had not seen: its prevotes were of later rounds.
  assert.throws(() => after.vote(vote(PRECOMMIT, 4, V, 0).message), doubleSign);
  assert.equal(after.vote(vote(PRECOMMIT, 2, V, 0).message).message.round, 2);
});

test.run();
