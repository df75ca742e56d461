import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

/**
 * Runs every `*.test.js` below this folder in a process of its own and trusts none of them: uvu exits 0 when a `before` hook
 * throws and when a file forgets `test.run()`. A file passes only if it printed a summary in which passed = total (uvu counts the
 * skipped apart), total + skipped > 0, and it then exited 0 by itself in time.
 *
 * Usage: node dist/test/harness.js [--jobs N] [PART OF A PATH …]
 */

const FILE_TIMEOUT_MS = 240_000;
/** After the summary, a file that is still alive holds a leaked handle. */
const EXIT_GRACE_MS = 10_000;
/** Real networks share two cores badly: these folders run one file at a time, after the rest. */
const ALONE = /^(net|chaos)\//;

type Outcome = {
  file: string;
  passed: number;
  skipped: number;
  failed: number;
  why: string;
  output: string;
  ms: number;
};

const root = import.meta.dirname;
const args = process.argv.slice(2);
const jobsAt = args.indexOf("--jobs");
const jobs = jobsAt >= 0 ? Number(args.splice(jobsAt, 2)[1]) : availableParallelism();

const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".test.js"))
  .filter((f) => args.length === 0 || args.some((part) => f.includes(part)))
  .sort();

function number(output: string, label: string): number | undefined {
  const match = output.match(new RegExp(`^\\s*${label}:\\s+(\\d+)\\s*$`, "m"));
  return match ? Number(match[1]) : undefined;
}

function run(file: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const started = performance.now();
    const child = spawn(process.execPath, ["--enable-source-maps", join(root, file)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
      detached: true,
    });
    let output = "";
    let why = "";
    let grace: NodeJS.Timeout | undefined;
    const kill = (reason: string) => {
      why = reason;
      try {
        // The whole group: a test that hangs may have started processes of its own.
        process.kill(-(child.pid as number), "SIGKILL");
      } catch {}
    };
    const limit = setTimeout(() => kill(`still running after ${FILE_TIMEOUT_MS / 1000} s`), FILE_TIMEOUT_MS);
    const onData = (chunk: Buffer) => {
      output += chunk.toString();
      if (!grace && number(output, "Skipped") !== undefined) {
        grace = setTimeout(() => kill("did not exit after its tests: a handle leaks"), EXIT_GRACE_MS);
      }
    };
    child.stdout.on("data", onData);
    child.stderr.on("data", onData);
    child.on("close", (code) => {
      clearTimeout(limit);
      clearTimeout(grace);
      const plain = stripVTControlCharacters(output);
      const total = number(plain, "Total") ?? 0;
      const passed = number(plain, "Passed") ?? 0;
      const skipped = number(plain, "Skipped") ?? 0;
      if (why === "" && total + skipped === 0) why = "ran no test (is test.run() missing?)";
      if (why === "" && passed !== total) why = `${total - passed} of ${total} failed`;
      if (why === "" && code !== 0) why = `exit code ${code}`;
      const failed = why === "" ? 0 : Math.max(1, total - passed);
      resolve({ file, passed, skipped, failed, why, output, ms: performance.now() - started });
    });
  });
}

const outcomes: Outcome[] = [];
async function drain(queue: string[], workers: number): Promise<void> {
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const o = await run(file);
      outcomes.push(o);
      const counts = `${o.passed} passed${o.skipped > 0 ? `, ${o.skipped} skipped` : ""}`;
      console.log(
        `${o.why === "" ? "ok  " : "FAIL"} ${o.file.replace(/\.js$/, "")} (${counts}, ${(o.ms / 1000).toFixed(1)} s)`,
      );
      if (o.why !== "") console.log(`${o.output}\n     ${o.file}: ${o.why}`);
      else
        for (const line of o.output.split("\n").filter((l) => l.startsWith("skipped: "))) console.log(`     ${line}`);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, workers) }, worker));
}

await drain(
  files.filter((f) => !ALONE.test(f)),
  jobs,
);
await drain(
  files.filter((f) => ALONE.test(f)),
  1,
);

const sum = (pick: (o: Outcome) => number) => outcomes.reduce((n, o) => n + pick(o), 0);
const passed = sum((o) => o.passed);
const failed = sum((o) => o.failed);
const skipped = sum((o) => o.skipped);
if (outcomes.length === 0) {
  console.log(`no test file matches ${args.join(" ")} below ${relative(process.cwd(), root)}`);
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
