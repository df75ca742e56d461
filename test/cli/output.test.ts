import { test } from "uvu";
import * as assert from "uvu/assert";
import { printReport } from "../../cli/devnet/display.ts";
import type { DevnetReport } from "../../cli/devnet/report.ts";
import { errorLine, exitCode } from "../../cli/failure.ts";
import { createOutput, grouped, layout, short } from "../../cli/output.ts";
import { PoflError } from "../../types/errors.ts";

test("columns are as wide as what is seen; numbers stand to the right", () => {
  const bold = "\u001b[1mname\u001b[22m";
  assert.equal(
    layout([
      [bold, "stake"],
      ["a", "1,000"],
      ["bcdef", "–"],
    ]),
    [`${bold}   stake`, "a      1,000", "bcdef      –"],
  );
});

test("amounts and hashes", () => {
  assert.equal(["0", "999", "1000", "18446744073709551615"].map(grouped), [
    "0",
    "999",
    "1,000",
    "18,446,744,073,709,551,615",
  ]);
  assert.is(short(`0x${"ab".repeat(32)}`), "0xababab…abab");
  assert.is(short("0x12"), "0x12");
});

test("exit codes and one line", () => {
  const table: [Error, number][] = [
    [new PoflError("USAGE", "x"), 2],
    [new PoflError("RPC_UNREACHABLE", "x"), 3],
    [new PoflError("RPC_TIMEOUT", "x"), 4],
    [new PoflError("TIMED_OUT", "x"), 4],
    [new PoflError("BAD_GENESIS", "x"), 1],
    [new Error("x"), 1],
  ];
  for (const [error, code] of table) assert.is(exitCode(error), code, error.message);
  assert.is(errorLine(new PoflError("BAD_JSON", "a\n  b")), "pofl: a b [BAD_JSON]");
});

test("a devnet that ended before its first block says so, and its verdict is a sentence", () => {
  const report: DevnetReport = {
    ok: false,
    reason: "the task is not over after 3 s (no node answered); give a longer --timeout",
    code: "TIMED_OUT",
    chainId: "devnet",
    height: 0,
    headHash: null,
    nodes: [0, 1].map((i) => ({ moniker: `n${i}`, address: `0x${i}`, height: 0, headHash: null, honest: true })),
    task: {
      name: "sepsis",
      rule: "multi-krum",
      metric: null,
      target: null,
      reached: false,
      rounds: 0,
      fKrum: 0,
      distinct: 0,
    },
    rounds: [],
    test: null,
    miners: [],
    finality: { p50Ms: null, p95Ms: null, roundsPerSecond: 0 },
    bytes: { gossip: 0, blobs: 0, direct: 0, disk: 0 },
    seconds: 6.52,
  };
  const lastLines = (r: DevnetReport) => {
    let text = "";
    const stream = { write: (line: string) => (text += line) } as unknown as NodeJS.WriteStream;
    printReport(createOutput({ json: false, quiet: false, color: false }, stream, stream), r);
    return text.trimEnd().split("\n").slice(-2);
  };
  assert.equal(lastLines(report), [
    "No block was made.",
    "Failed after 6.5 s: the task is not over after 3 s (no node answered); give a longer --timeout.",
  ]);
  const [known, lost] = ["0xab", null].map((headHash) => ({ ...report, height: 7, headHash }));
  const at = (headHash: string | null) => report.nodes.map((n) => ({ ...n, headHash }));
  assert.equal(lastLines({ ...known!, ok: true, nodes: at("0xab") }), [
    "Head 0xab at height 7 on every honest node.",
    "Done in 6.5 s.",
  ]);
  assert.is(lastLines({ ...lost!, nodes: at(null) })[0], "Height 7: NOT every honest node gave the same head.");
});

test.run();
