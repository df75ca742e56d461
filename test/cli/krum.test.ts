import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Random } from "../../learning/random.ts";
import { cli } from "./support.ts";

/** `pofl krum` against an implementation in another language. */

const python = spawnSync("python3", ["--version"]).status === 0;

function updates(n: number, d: number, kind: string, random: Random): number[][] {
  const size = { small: 3, lanes: 4095, safe: 2 ** 32 }[kind] as number;
  return Array.from({ length: n }, () =>
    Array.from({ length: d }, () => {
      const value = random.below(size) - Math.floor(size / 2);
      return kind === "safe" ? value * 2 ** 20 : value;
    }),
  );
}

const cases: [n: number, d: number, kind: string][] = [
  [3, 1, "small"],
  [5, 2, "small"],
  [8, 3, "small"],
  [64, 1, "small"],
  [64, 1000, "lanes"],
  [63, 999, "lanes"],
  [20, 40, "safe"],
];
for (const [n, d, kind] of cases) {
  const name = `n = ${n}, d = ${d}, ${kind}`;
  (python ? test : test.skip)(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), "pofl-krum-"));
    try {
      const random = new Random("krum", n, d, kind);
      const most = Math.floor((n - 3) / 2);
      const few = d > 100 ? [most] : [0, Math.floor(most / 3), Math.floor((2 * most) / 3), most];
      for (const f of new Set(few)) {
        const input = JSON.stringify({ f, updates: updates(n, d, kind, random) });
        const file = join(folder, "updates.json");
        writeFileSync(file, input);
        const theirs = spawnSync("python3", [join("test", "independent", "krum.py")], { input, maxBuffer: 2 ** 26 });
        assert.is(theirs.status, 0, String(theirs.stderr));
        const ours = await cli(["krum", "--in", file]);
        assert.is(ours.code, 0, ours.stderr);
        assert.equal(JSON.parse(ours.stdout), JSON.parse(String(theirs.stdout)), `f = ${f}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
if (!python) console.log("skipped: no python3");

test.run();
