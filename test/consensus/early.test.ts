import { test } from "uvu";
import * as assert from "uvu/assert";
import { EarlyFrames } from "../../consensus/engine/early.ts";

const frame = (length: number, fill = 0): Uint8Array => new Uint8Array(length).fill(fill);
const senders = (early: EarlyFrames) => early.take().map(({ peer }) => peer);

test("frames come back in the order they came in, once", () => {
  const early = new EarlyFrames();
  for (const [i, peer] of ["a", "b", "a", "c"].entries()) early.add(peer, frame(10, i));
  assert.equal(
    early.take().map(({ peer, frame: [first] }) => [peer, first]),
    [
      ["a", 0],
      ["b", 1],
      ["a", 2],
      ["c", 3],
    ],
  );
  assert.equal(early.take(), []);
});

for (const { name, length, kept } of [
  { name: "thousands of small frames", length: 1, kept: 1023 },
  { name: "large ones", length: 4 * 1024 * 1024, kept: 3 },
]) {
  test(`a peer that sends ${name} fills the room only while nobody else sends any`, () => {
    const early = new EarlyFrames();
    const flooding = frame(length);
    for (let i = 0; i < 5000; i++) early.add("flood", flooding);
    for (let i = 0; i < 100; i++) for (const peer of ["b", "c", "d"]) early.add(peer, frame(200));
    for (let i = 0; i < 5000; i++) early.add("flood", flooding);
    const got = senders(early);
    for (const peer of ["b", "c", "d"]) assert.is(got.filter((p) => p === peer).length, 100, peer);
    const flood = got.filter((p) => p === "flood").length;
    assert.ok(flood > 0 && flood <= kept, `${flood} of the flood`);
  });
}

test("among many that send as much, each has its share", () => {
  const early = new EarlyFrames();
  for (let i = 0; i < 1000; i++) early.add("first", frame(100));
  for (let i = 0; i < 1000; i++) for (let n = 0; n < 7; n++) early.add(`peer ${n}`, frame(100));
  const counts = new Map<string, number>();
  for (const peer of senders(early)) counts.set(peer, (counts.get(peer) ?? 0) + 1);
  assert.is(counts.size, 8);
  assert.ok(Math.max(...counts.values()) - Math.min(...counts.values()) <= 1, JSON.stringify([...counts]));
});

test.run();
