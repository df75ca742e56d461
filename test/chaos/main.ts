import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { orExit } from "../flags.ts";
import { chaosFlags, PARTS } from "./flags.ts";
import { PLANTS } from "./points/plants.ts";
import { exitBy, onSignal } from "./tidy.ts";

const { only, kills, seed, jobs: of } = orExit(() => chaosFlags(process.argv.slice(2)));

const running = new Set<ChildProcess>();
/** What ends this process, as soon as those that it has started have tidied up. */
let ending: NodeJS.Signals | undefined;
onSignal((signal) => {
  ending = signal;
  for (const child of running) child.kill(signal);
  if (running.size === 0) exitBy(signal);
});

/** Runs a file of this folder; its standard output. */
function run(file: string, args: readonly string[], shown = false): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve, reject) => {
    const path = join(import.meta.dirname, file);
    const child = spawn(process.execPath, ["--enable-source-maps", path, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk;
      if (shown) process.stdout.write(chunk);
    });
    running.add(child);
    child.once("error", reject);
    child.once("close", (code) => {
      running.delete(child);
      if (!ending) resolve({ code, out });
      else if (running.size === 0) exitBy(ending);
    });
  });
}

type Share = {
  runs: number;
  torn: number;
  repeated: number;
  cases: number;
  counts: Record<string, number>;
  violations: string[];
};

async function points(): Promise<boolean> {
  let ok = true;
  for (const cuts of [false, true]) {
    const shares = await Promise.all(
      Array.from({ length: of }, (_, i) =>
        run("points/main.js", ["--share", String(i), "--of", String(of), ...(cuts ? ["--cuts"] : [])]),
      ),
    );
    const done = shares.map(
      ({ out }) => JSON.parse(out || '{"violations":["it printed nothing"],"counts":{}}') as Share,
    );
    const sum = (pick: (s: Share) => number) => done.reduce((n, s) => n + (pick(s) || 0), 0);
    const violations = done.flatMap((s) => s.violations);
    const [runs, cases] = [sum((s) => s.runs), done[0]?.cases ?? 0];
    if (runs !== cases || cases === 0) violations.push(`${runs} of ${cases} cases were run`);
    const ops: Record<string, number> = {};
    for (const { counts } of done) {
      for (const [kind, n] of Object.entries(counts)) ops[kind] = (ops[kind] ?? 0) + n;
    }
    console.log(
      `crash points${cuts ? ", with files begun anew at each height" : ""}: ${runs} run to the end, ` +
        `${sum((s) => s.torn)} torn writes shown to be one of them; ${sum((s) => s.repeated)} signatures repeated byte for byte; ` +
        `${violations.length} violations`,
    );
    console.log(
      `  ${Object.entries(ops)
        .sort()
        .map(([kind, n]) => `${kind} ${n}`)
        .join(", ")}`,
    );
    for (const violation of violations.slice(0, 20)) console.log(`  ${violation}`);
    ok &&= violations.length === 0 && shares.every(({ code }) => code === 0);
  }
  return ok;
}

async function planted(): Promise<boolean> {
  let found = 0;
  for (const name of Object.keys(PLANTS)) {
    const { code, out } = await run("points/main.js", ["--plant", name]);
    const violations = code === 0 || out === "" ? [] : (JSON.parse(out) as Share).violations;
    if (violations.length > 0) found++;
    console.log(`planted: ${name}: ${violations[0] ?? "NOT FOUND"}`);
  }
  console.log(`planted bugs: ${found} of ${Object.keys(PLANTS).length} found`);
  return found === Object.keys(PLANTS).length;
}

let failed = false;
for (const part of PARTS) {
  if (!only.includes(part)) continue;
  const started = performance.now();
  let ok: boolean;
  if (part === "points") ok = await points();
  else if (part === "planted") ok = await planted();
  else if (part === "corruption") ok = (await run("corruption/main.js", ["--seed", String(seed)], true)).code === 0;
  else ok = (await run("kill.js", ["--kills", String(kills), "--seed", String(seed)], true)).code === 0;
  console.log(`${part}: ${ok ? "ok" : "FAILED"} in ${Math.round((performance.now() - started) / 1000)} s\n`);
  failed ||= !ok;
}
process.exitCode = failed ? 1 : 0;
