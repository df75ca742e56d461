import type { Command } from "commander";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { buildProgram } from "../../cli/program.ts";
import { cli } from "./support.ts";

/** Every command with its words, the program itself first. */
function all(command: Command, words: string[] = []): [string[], Command][] {
  return [[words, command], ...command.commands.flatMap((c) => all(c, [...words, c.name()]))];
}

const COMMANDS = all(buildProgram());

/** As a shell would: white space parts words, single quotes hold them together. */
const shellWords = (text: string) => Array.from(text.matchAll(/'([^']*)'|(\S+)/g), (m) => m[1] ?? m[2] ?? "");

for (const [words, command] of COMMANDS) {
  test(`help of pofl ${words.join(" ")}`, async () => {
    const { code, stdout, stderr } = await cli([...words, "--help"]);
    assert.is(code, 0);
    assert.is(stderr, "");
    assert.ok(command.description().length > 5, "it says what the command does");
    for (const global of ["--home", "--rpc", "--json", "--quiet", "--no-color"])
      assert.ok(stdout.includes(global), global);
    assert.match(stdout, /\nExamples:\n/);

    const examples = Array.from(stdout.matchAll(/^ {2}\$ (.*)$/gm), (m) => m[1] as string);
    assert.ok(examples.length > 0);
    for (const example of examples) {
      const line = shellWords(example.slice(example.indexOf("pofl ")).split(/ {3,}/)[0] as string);
      assert.is(line.shift(), "pofl", example);
      let at: Command = buildProgram();
      for (;;) {
        const next = at.commands.find((c) => c.name() === line[0]);
        if (!next) break;
        at = next;
        line.shift();
      }
      if (words.length > 0) assert.is(at.name(), at.commands.length > 0 ? words.at(-1) : at.name(), example);
      const known = new Set([...at.options, ...buildProgram().options].map((o) => o.long));
      for (const flag of line.filter((w) => w.startsWith("--"))) assert.ok(known.has(flag), `${flag} in: ${example}`);
    }
  });
}

test("the version is that of package.json", async () => {
  const { code, stdout } = await cli(["--version"]);
  assert.is(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

const wrong: [id: string, args: string[], says: RegExp][] = [
  ["no command", [], /Usage/],
  ["unknown command", ["tesnet"], /unknown command 'tesnet'.*testnet/],
  ["unknown flag", ["status", "--jsn"], /unknown option '--jsn'/],
  ["unknown flag of a sub-command", ["keys", "list", "--all"], /unknown option '--all'.*pofl keys list --help/],
  ["missing argument", ["account"], /missing required argument 'ADDR'/],
  ["missing flag", ["testnet"], /required option '--out <DIR>'/],
  ["one argument too many", ["status", "now"], /too many arguments/],
  ["flag without its value", ["testnet", "--out"], /argument missing/],
  ["address too short", ["account", "0x12"], /expected 20 bytes, got 1/],
  ["address that is none", ["account", "alice"], /not 0x/],
  ["height that is none", ["block", "first"], /"first" is neither a height nor "latest"/],
  ["hash that is none", ["tx", "0xzz"], /not 0x/],
  ["tx alone", ["tx"], /Usage/],
  ["amount with a point", ["tx", "unbond", "--amount", "1.5"], /not a whole decimal number/],
  ["amount past 64 bits", ["tx", "unbond", "--amount", "18446744073709551616"], /more than 2\^64/],
  ["count of zero", ["testnet", "--nodes", "0", "--out", "x"], /whole number from 1/],
  ["count too large", ["testnet", "--nodes", "101", "--out", "x"], /from 1 to 100/],
  ["data without task", ["testnet", "--data", "x", "--out", "y"], /--data and --task belong together/],
  ["custodians without a threshold", ["testnet", "--custodians", "2", "--out", "y"], /belong together/],
  ["threshold without custodians", ["testnet", "--threshold", "2", "--out", "y"], /belong together/],
  ["threshold too high", ["testnet", "--custodians", "2", "--threshold", "3", "--out", "y"], /more than the 2 cust/],
  ["more custodians than nodes", ["testnet", "--custodians", "5", "--threshold", "3", "--out", "y"], /has 4/],
  [
    "genesis: custodians without a threshold",
    ["genesis", "build", "--chain-id", "x", "--validator", "v", "--custodian", `0x${"11".repeat(32)}`],
    /belong together/,
  ],
  [
    "custodian key too short",
    ["genesis", "build", "--chain-id", "x", "--validator", "v", "--custodian", "0x11"],
    /expected 32 bytes/,
  ],
  ["a threshold of one", ["testnet", "--custodians", "2", "--threshold", "1", "--out", "y"], /whole number from 2/],
  [
    "reshare: threshold too high",
    ["custodian", "reshare", "--epoch", "0", "--threshold", "2", "--keys", `0x${"11".repeat(32)}`],
    /--threshold 2 is more than the 1 of --keys/,
  ],
  [
    "reshare: a custodian twice",
    ["custodian", "reshare", "--epoch", "0", "--threshold", "2", "--keys", `0x${"11".repeat(32)},0x${"11".repeat(32)}`],
    /Names one of them twice/,
  ],
  ["approve: no request", ["custodian", "approve", "0x12"], /expected 32 bytes/],
  ["regulator that is no address", ["testnet", "--regulator", "bob", "--out", "y"], /not 0x/],
  ["unknown attack", ["devnet", "--attack", "bribe:1"], /label-flip, sign-flip, .*equivocate, withhold, crash/],
  ["attack without a count", ["devnet", "--attack", "crash"], /KIND:COUNT/],
  ["nobody honest", ["devnet", "--attack", "crash:4"], /at least one of 4 nodes must be honest/],
  ["unknown metric", ["devnet", "--target", "f1=0.5"], /accuracy, auroc, loss/],
  ["target without a value", ["devnet", "--target", "auroc"], /METRIC=VALUE/],
  ["parameters that are not JSON", ["rpc", "node_status", "{"], /not JSON/],
  ["parameters that are a number", ["rpc", "node_status", "7"], /an object or a list/],
  ["URL that is none", ["status", "--rpc", "localhost"], /localhost/],
  [
    "balance without an amount",
    ["genesis", "build", "--chain-id", "x", "--validator", "v", "--account", "0x12"],
    /ADDRESS=AMOUNT/,
  ],
];
for (const [id, args, says] of wrong) {
  test(`exit code 2: ${id}`, async () => {
    const { code, stdout, stderr } = await cli(args);
    assert.is(code, 2, stderr);
    assert.is(stdout, "");
    assert.match(stderr, says);
    if (!/^Usage/.test(stderr)) {
      assert.is(stderr.trimEnd().split("\n").length, 1, "one line");
      assert.match(stderr, /\[USAGE\]\n$/);
    }
  });
}

test.run();
