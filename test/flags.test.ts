import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { CommanderError } from "commander";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chaosFlags } from "./chaos/flags.ts";
import { simFlags } from "./sim/flags.ts";

/** A gate that was asked for nothing, or for something else than it runs, must not be green: the flags of `test:sim` and `test:chaos`. */

/** Refused for a reason that has all these words. */
function refused(parse: (argv: string[]) => unknown, line: string, ...words: readonly string[]): void {
  let why: unknown;
  try {
    assert.unreachable(`${line}: ${JSON.stringify(parse(line.split(" ")))}`);
  } catch (error) {
    why = error;
  }
  if (!(why instanceof CommanderError)) throw why;
  for (const word of words) assert.ok(why.message.includes(word), `${line}: ${why.message}`);
}

test("numbers that are none, or too small, are refused with the flag and what it takes", () => {
  for (const value of ["abc", "0", "-5", "1.5", "1e3"]) {
    for (const flag of ["--seeds", "--jobs", "--n", "--heights"])
      refused(simFlags, `${flag} ${value}`, flag, value, "whole number from 1");
    refused(simFlags, `--seeds=${value}`, "--seeds", value, "whole number from 1");
    for (const flag of ["--kills", "--jobs"])
      refused(chaosFlags, `${flag} ${value}`, flag, value, "whole number from 1");
    refused(chaosFlags, `--only points --jobs=${value}`, "--jobs", value, "whole number from 1");
  }
  for (const value of ["abc", "-1"]) {
    refused(simFlags, `--from ${value}`, "--from", value, "whole number from 0");
    refused(chaosFlags, `--seed=${value}`, "--seed", value, "whole number from 0");
  }
});

test("unknown names are refused with those there are", () => {
  refused(simFlags, "--planted nosuch", "nosuch", "no-log", "unlimited-messages");
  refused(simFlags, "--planted no-log nosuch", "nosuch", "unlimited-messages");
  refused(simFlags, "--sedes 5", "--sedes");
  refused(chaosFlags, "--only points,nosuch", "nosuch", "points, planted, corruption, kills");
  refused(chaosFlags, "nosuch", "arguments");
});

test("what would be ignored is refused", () => {
  refused(simFlags, "no-log", "no-log", "--planted");
  refused(simFlags, "--planted --seeds 5", "--planted", "--seeds");
  refused(simFlags, "--from 1 --planted no-log", "--planted", "--from");
  refused(simFlags, "--n 7", "--n", "--seeds");
  refused(chaosFlags, "--only points --kills 100", "--kills", "--only");
});

test("what is asked for is what is run", () => {
  const sim = { from: 1, jobs: 2, names: [] };
  assert.equal(simFlags(["--jobs", "2"]), sim);
  assert.equal(simFlags("--seeds 5 --from 0 --n 7 --real --jobs 2".split(" ")), {
    ...sim,
    seeds: 5,
    from: 0,
    n: 7,
    real: true,
  });
  assert.equal(simFlags("--planted no-log no-pull".split(" ")).names, ["no-log", "no-pull"]);
  assert.equal(chaosFlags([]).only, ["points", "planted", "corruption", "kills"]);
  assert.equal(chaosFlags(["--kills", "100"]).only, ["kills"]);
  assert.equal(chaosFlags("--only points,kills --kills 3".split(" ")).only, ["points", "kills"]);
});

test("the programs end with 2 and one line, and with 0 after help that has every flag", () => {
  for (const [program, flags] of [
    ["sim/main.js", ["--seeds", "--from", "--n", "--heights", "--real", "--planted", "--jobs"]],
    ["chaos/main.js", ["--only", "--kills", "--seed", "--jobs"]],
  ] as const) {
    const run = (flag: string) =>
      spawnSync(process.execPath, [join(import.meta.dirname, program), flag], { encoding: "utf8", timeout: 30_000 });
    const help = run("--help");
    assert.is(help.status, 0, help.stderr);
    for (const flag of flags) assert.match(help.stdout, new RegExp(`^ +${flag} .*`, "m"));
    assert.match(help.stdout, "(default: 1)");
    const wrong = run(`${flags[0]}=abc`);
    assert.is(wrong.status, 2, wrong.stderr);
    assert.is(wrong.stdout, "");
    assert.match(wrong.stderr, new RegExp(`^error: .*${flags[0]}.*abc.*\\n$`));
  }
});

test.run();
