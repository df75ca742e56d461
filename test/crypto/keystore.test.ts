import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openSecret, sealSecret } from "../../crypto/keystore.ts";
import { isPoflError } from "../../types/errors.ts";

/** Cheap scrypt: what is tested is the file. */
const FAST = { logN: 10 };
const secret = '{"secret":"0x00112233445566778899aabbccddeeff"}';
const code = (expected: string) => (error: unknown) => isPoflError(error, expected);

test("opens what was sealed, with this password only; two files of one secret share nothing", () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ minLength: 1, unit: "grapheme" }), (text, password) => {
      const sealed = sealSecret(text, password, FAST);
      assert.is(openSecret(sealed, password), text);
      assert.throws(() => openSecret(sealed, `${password}x`), code("WRONG_PASSWORD"));
    }),
    { numRuns: 30 },
  );
  const [one, two] = [sealSecret(secret, "p", FAST), sealSecret(secret, "p", FAST)].map((t) => JSON.parse(t));
  for (const field of ["salt", "nonce", "ciphertext", "checksum"]) assert.is.not(one[field], two[field], field);
  assert.not.ok(JSON.stringify(one).includes("00112233445566778899aabbccddeeff"));
});

test("a password typed composed or decomposed is the same password; an empty one is refused", () => {
  assert.is(openSecret(sealSecret(secret, "\u00fcber", FAST), "u\u0308ber"), secret);
  assert.throws(() => sealSecret(secret, "", FAST), code("EMPTY_PASSWORD"));
});

test("any changed character of a field is damage, not a wrong password", () => {
  const sealed = sealSecret(secret, "p", FAST);
  const fields = JSON.parse(sealed) as Record<string, string>;
  for (const field of ["salt", "nonce", "ciphertext", "checksum"]) {
    const value = fields[field] as string;
    for (const at of [2, value.length >> 1, value.length - 1]) {
      const changed = value.slice(0, at) + (value[at] === "0" ? "1" : "0") + value.slice(at + 1);
      const file = JSON.stringify({ ...fields, [field]: changed });
      assert.throws(() => openSecret(file, "p"), code("BAD_KEYSTORE"), `${field} at ${at}`);
    }
  }
});

test("what is no keystore of ours is named as such, before any work is done", () => {
  const fields = JSON.parse(sealSecret(secret, "p", FAST)) as Record<string, unknown>;
  const table: [string, string][] = [
    ["empty", ""],
    ["cut off", JSON.stringify(fields).slice(0, -20)],
    ["null", "null"],
    ["a list", "[]"],
    ["a number", "7"],
    ["another version", JSON.stringify({ ...fields, version: 2 })],
    ["no salt", JSON.stringify({ ...fields, salt: undefined })],
    ["a number as ciphertext", JSON.stringify({ ...fields, ciphertext: 5 })],
    ["no checksum", JSON.stringify({ ...fields, checksum: undefined })],
    ["cost of 2^40", JSON.stringify({ ...fields, logN: 40 })],
    ["cost as text", JSON.stringify({ ...fields, logN: "10" })],
  ];
  for (const [id, text] of table) assert.throws(() => openSecret(text, "p"), code("BAD_KEYSTORE"), id);
});

test("the default cost works within scrypt's memory limit", () => {
  assert.is(openSecret(sealSecret(secret, "p"), "p"), secret);
});

test.run();
