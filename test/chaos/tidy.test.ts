import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";

/** Starts another, which says its process id and writes into a temporary folder without end; and one more when that one ends. */
const PROGRAM = `
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leaveNothing } from ${JSON.stringify(join(import.meta.dirname, "tidy.js"))};
leaveNothing("pofl-tidy-");
const writer = 'let i = 0; setInterval(() => require("fs").writeFileSync(process.argv[1] + "/" + i++, ""), 1); console.log(process.pid)';
const child = spawn(process.execPath, ["-e", writer, mkdtempSync(join(tmpdir(), "inner-"))], { stdio: ["ignore", "inherit", "inherit"] });
child.once("exit", () => spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]));
if (process.argv.includes("throws")) setTimeout(() => { throw new Error("as it happens"); }, 1000);
`;

async function leftBy(end: NodeJS.Signals | "throws"): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-test-"));
  const env = { ...process.env, TMPDIR: folder, TEMP: folder, TMP: folder };
  const args = ["--input-type=module", "-e", PROGRAM, end];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] });
  // Its output closes when the inner one, which has inherited it, has ended too. That it does not is seen after so long.
  const closed = once(child, "close", { signal: AbortSignal.timeout(30_000) });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const inner = Number(String(line));
  try {
    assert.is(readdirSync(folder).length, 1);
    if (end !== "throws") child.kill(end);
    const [code] = (await closed) as [number | null];
    assert.is(code, { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, throws: 1 }[end as "SIGINT"]);
    assert.equal(readdirSync(folder), [], end);
  } catch (error) {
    process.kill(inner, "SIGKILL");
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
  }
}

test("a program that is ended by a signal or an error leaves no process and no folder", async () => {
  for (const end of ["SIGTERM", "SIGINT", "SIGHUP", "throws"] as const) await leftBy(end);
});

test.run();
