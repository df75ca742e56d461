import { test } from "uvu";
import * as assert from "uvu/assert";
import { Newcomer } from "../../consensus/engine/newcomer.ts";

const START = 1_000_000_000;
/** Genesis, made long ago. */
const GENESIS = { height: 0, time: START - 86_400_000 };
const old = (height: number) => ({ height, time: START - 3_600_000 });

/** Whether it may sign, asked every second from `from` to `to` after its start; the first second at which it may. */
function firstReady(newcomer: Newcomer, from: number, to: number, head = GENESIS, alone = false): number | undefined {
  for (let s = from; s <= to; s++) if (newcomer.ready({ now: START + s * 1000, head, alone })) return s;
  return undefined;
}

test("where nobody is ahead it waits for a moment; without anybody it waits on, unless it decides alone", () => {
  const newcomer = new Newcomer(START);
  assert.is(firstReady(newcomer, 0, 600), undefined, "whoever is there may be ahead");
  newcomer.heard("b", 1);
  assert.is(firstReady(newcomer, 600, 601), 600);
  const first = new Newcomer(START);
  first.heard("b", 1);
  assert.is(firstReady(first, 0, 600), 2);
  assert.is(firstReady(new Newcomer(START), 0, 600, GENESIS, true), 2);
});

test("while a peer is ahead and blocks come it signs nothing, however long that takes; near the end of the chain it does", () => {
  const newcomer = new Newcomer(START);
  newcomer.heard("b", 5_000);
  for (let s = 0; s < 4_000; s++) assert.not(newcomer.ready({ now: START + s * 1000, head: old(s), alone: false }));
  const now = START + 4_000_000;
  assert.ok(newcomer.ready({ now, head: { height: 4_990, time: now - 10_000 }, alone: false }));
});

test("peers that lie about their height cost a minute at most, whether the chain stands at its beginning or runs", () => {
  const standing = new Newcomer(START);
  for (const liar of ["x", "y"]) standing.heard(liar, Number.MAX_SAFE_INTEGER);
  assert.is(firstReady(standing, 0, 600), 60);
  const running = new Newcomer(START);
  for (const liar of ["x", "y"]) running.heard(liar, Number.MAX_SAFE_INTEGER);
  assert.is(firstReady(running, 0, 600, { height: 900, time: START }), 2);
});

test("a peer that has gone says nothing any more", () => {
  const newcomer = new Newcomer(START);
  newcomer.heard("ahead", 100);
  newcomer.heard("b", 1);
  assert.is(firstReady(newcomer, 0, 10), undefined);
  newcomer.gone("ahead");
  assert.is(firstReady(newcomer, 11, 20), 11);
});

test.run();
