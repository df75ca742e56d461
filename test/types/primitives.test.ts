import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isPoflError } from "../../types/errors.ts";
import { decode, fromHex, parseAmount, toHex } from "../../types/primitives.ts";
import { Vote } from "../../types/vote.ts";

const code = (expected: string) => (error: unknown) => isPoflError(error, expected);

test("hex: round trip, and nothing half-valid is cut short", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      assert.equal(fromHex(toHex(bytes)), bytes);
    }),
  );
  for (const bad of ["", "ab", "0xabc", "0xzz", "0xab\n", "0X00"]) {
    assert.throws(() => fromHex(bad), code("BAD_HEX"), bad);
  }
  assert.throws(() => fromHex("0x0011", 3), code("BAD_HEX"));
});

test("amounts: decimal strings within u64 only", () => {
  assert.is(parseAmount("18446744073709551615"), (1n << 64n) - 1n);
  for (const bad of ["18446744073709551616", "-1", "1.0", "01", "1e3", "", " 1", "9".repeat(1_000_000)]) {
    assert.throws(() => parseAmount(bad), code("BAD_AMOUNT"), bad.slice(0, 10));
  }
});

test("decode refuses integers that a double can't hold, short and long input", () => {
  const vote = { type: 1, height: 5, round: 0, blockId: new Uint8Array(32), validRound: 0, time: 0, validator: 3 };
  const bytes = Vote.serialize(vote);
  assert.equal(decode(Vote, bytes), vote);
  const huge = bytes.slice();
  huge.fill(255, 1, 9);
  assert.throws(() => decode(Vote, huge), code("BAD_ENCODING"));
  assert.throws(() => decode(Vote, bytes.subarray(1)), code("BAD_ENCODING"));
  assert.throws(() => decode(Vote, new Uint8Array([...bytes, 0])), code("BAD_ENCODING"));
});

test.run();
