import { test } from "uvu";
import * as assert from "uvu/assert";
import { errorLine, exitCode } from "../../cli/failure.ts";
import { grouped, layout, short } from "../../cli/output.ts";
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

test.run();
