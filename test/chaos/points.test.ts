import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { install } from "../sim/install.ts";
import { PLANTS } from "./points/plants.ts";
import type { Case } from "./points/points.ts";

/** The small share of the crash points that every test run has. All of them: `npm run test:chaos`, docs/assurance.md. */

install({ keyed: true });
const { nameOf, reference, runCase, tornBytes } = await import("./points/points.js");
const { WAL } = await import("./points/machine.js");

const known = reference();

async function holds(cases: readonly Case[]): Promise<void> {
  for (const one of cases) assert.is((await runCase(one)).violation, undefined, nameOf(one));
}

test("the points are all there: every kind of effect, both roles, three heights", async () => {
  const { cases } = await known;
  assert.ok(cases.length > 3000, String(cases.length));
  const distinct = (of: (c: Case) => string | number) => [...new Set(cases.map(of))].sort();
  const ops = ["batch", "batch-done", "blob", "create", "fsync", "rename", "send", "signature", "write"];
  assert.equal(
    distinct((c) => c.point.op),
    ops,
  );
  assert.equal(distinct((c) => `${c.height} ${c.role}`).length, 6);
});

test("one of each kind of effect and of what can go wrong with it", async () => {
  const { cases } = await known;
  const kinds = new Map<string, Case>();
  for (const one of cases.filter((c) => c.height === 2 || c.point.op === "create" || c.point.op === "rename")) {
    const kind = `${one.point.op} ${one.fault.kind} ${one.fault.kind === "fails" ? one.fault.code : ""}`;
    // The one in the middle of a height, by and by, not the first of all.
    if (!kinds.has(kind) || one.point.index % 7 === 0) kinds.set(kind, one);
  }
  assert.ok(kinds.size >= 25, String(kinds.size));
  await holds([...kinds.values()]);
});

test("a full disk at a proposal ends the node with its reason, and no peer is punished for it", async () => {
  const { cases } = await known;
  const largest = cases
    .filter((c) => c.role === "validator" && c.height === 3 && c.point.path === WAL && c.point.op === "write")
    .filter((c) => c.fault.kind === "fails" && c.fault.code === "ENOSPC" && c.loss === "kill")
    .sort((a, b) => b.point.bytes - a.point.bytes);
  await holds(largest.slice(0, 2));
});

test("a write torn at any byte leaves what was there before it", async () => {
  const { world } = await known;
  const points = world.points.get("a") ?? [];
  assert.ok(tornBytes(points, 120) > 1000);
});

test("every planted bug still finds its place in the compiled program", () => {
  const root = join(import.meta.dirname, "../..");
  for (const [name, edits] of Object.entries(PLANTS)) {
    for (const { file, find } of edits) {
      assert.is(readFileSync(join(root, file), "utf8").split(find).length, 2, `${name}: ${file}`);
    }
  }
});

test.run();
