import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Kind } from "./corruption/home.ts";
import type { Seen } from "./corruption/judge.ts";
import { COUNTS, corrupt, judge } from "./corruption/run.ts";

/** A small share of the changed files that `npm run test:chaos` tries; docs/assurance.md. */

const KINDS = Object.keys(COUNTS) as Kind[];

test("every kind of file changed some times: said with file and remedy, made good, or without meaning", async () => {
  const outcome = await corrupt(Object.fromEntries(KINDS.map((kind) => [kind, 8])), 7, 8);
  assert.equal(outcome.undetected, []);
  assert.is(outcome.total, 8 * KINDS.length);
  assert.ok(outcome.whole >= 8);
  for (const [kind, row] of outcome.table) assert.ok(row.detected + row["made good"] > 0, kind);
});

test("the judge lets nothing pass that is silent, names no file or gives no remedy", () => {
  const whole: Seen = { said: [], meaning: "a", refilled: false };
  const verdict = (seen: Partial<Seen>, kind: Kind = "node_key") =>
    judge(kind, { ...whole, ...seen }, whole, "/home/config/node_key");
  assert.is(verdict({}), "same meaning");
  assert.is(verdict({ meaning: "b" }), "UNDETECTED");
  assert.is(verdict({ meaning: "b", refilled: true }), "made good");
  assert.is(verdict({ said: ["/home/config/node_key: not JSON"] }), "UNDETECTED");
  assert.is(verdict({ said: ["not JSON; restore it from a backup"] }), "UNDETECTED");
  assert.is(verdict({ said: ["/home/config/node_key: not JSON; restore it from a backup"] }), "detected");
  assert.is(verdict({ said: ["/home/data/chain: damaged; move it away"] }, "LevelDB log"), "detected");
});

test.run();
