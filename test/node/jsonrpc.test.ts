import { test } from "uvu";
import * as assert from "uvu/assert";
import { z } from "zod";
import { createDispatcher, type Method, method } from "../../node/rpc/jsonrpc.ts";
import { PoflError } from "../../types/errors.ts";

/** The methods of the specification's examples, and some that fail. */
function dispatcher() {
  const calls: string[] = [];
  const bugs: string[] = [];
  const any = z
    .strictObject({ a: z.unknown(), b: z.unknown(), c: z.unknown(), d: z.unknown(), e: z.unknown() })
    .partial();
  const log = (name: string) =>
    method({
      summary: name,
      params: any,
      result: z.null(),
      run: () => {
        calls.push(name);
        return null;
      },
    });
  const methods = new Map<string, Method>(
    Object.entries({
      subtract: method({
        summary: "a − b",
        params: z.strictObject({ minuend: z.number(), subtrahend: z.number() }),
        result: z.number(),
        run: ({ minuend, subtrahend }) => minuend - subtrahend,
      }),
      sum: method({
        summary: "a + b + c",
        params: z.strictObject({ a: z.number(), b: z.number(), c: z.number() }),
        result: z.number(),
        run: ({ a, b, c }) => a + b + c,
      }),
      get_data: method({
        summary: "data",
        params: z.strictObject({}),
        result: z.array(z.union([z.string(), z.number()])),
        run: async () => ["hello", 5],
      }),
      update: log("update"),
      foobar_known: log("foobar_known"),
      notify_hello: log("notify_hello"),
      notify_sum: log("notify_sum"),
      refuses: method({
        summary: "refuses",
        params: z.strictObject({}),
        result: z.null(),
        run: () => {
          throw new PoflError("NOT_FOUND", "there is none", { height: 5 });
        },
      }),
      broken: method({
        summary: "has a bug",
        params: z.strictObject({}),
        result: z.null(),
        run: () => {
          throw new TypeError("secret path /root/key");
        },
      }),
    }),
  );
  const { answer } = createDispatcher(methods, (name, error) => bugs.push(`${name}: ${error}`));
  return { answer: async (text: string) => answer(text, undefined), calls, bugs };
}

/** Without message and data: the specification leaves their words to us. */
function bare(answer: string | undefined): unknown {
  if (answer === undefined) return undefined;
  const strip = (r: { error?: { code: number } }) => (r.error ? { ...r, error: { code: r.error.code } } : r);
  const value = JSON.parse(answer);
  return Array.isArray(value) ? value.map(strip) : strip(value);
}
const result = (value: unknown, id: unknown) => ({ jsonrpc: "2.0", id, result: value });
const error = (code: number, id: unknown = null) => ({ jsonrpc: "2.0", id, error: { code } });

/** jsonrpc.org/specification, section 7, in its order. */
const EXAMPLES: [string, string, unknown][] = [
  ["positional", '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', result(19, 1)],
  ["positional, turned", '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', result(-19, 2)],
  [
    "named",
    '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
    result(19, 3),
  ],
  [
    "named, turned",
    '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
    result(19, 4),
  ],
  ["notification", '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', undefined],
  ["notification of nothing", '{"jsonrpc": "2.0", "method": "foobar"}', undefined],
  ["no such method", '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', error(-32601, "1")],
  ["not JSON", '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', error(-32700)],
  ["invalid request", '{"jsonrpc": "2.0", "method": 1, "params": "bar"}', error(-32600)],
  [
    "batch, not JSON",
    '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
    error(-32700),
  ],
  ["empty batch", "[]", error(-32600)],
  ["invalid batch, not empty", "[1]", [error(-32600)]],
  ["invalid batch", "[1,2,3]", [error(-32600), error(-32600), error(-32600)]],
  [
    "batch",
    `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
      {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
      {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
      {"foo": "boo"},
      {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
      {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,
    [result(7, "1"), result(19, "2"), error(-32600), error(-32601, "5"), result(["hello", 5], "9")],
  ],
  [
    "batch of notifications",
    '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]',
    undefined,
  ],
];

test("the examples of the specification", async () => {
  const { answer, calls } = dispatcher();
  for (const [id, text, expected] of EXAMPLES) assert.equal(bare(await answer(text)), expected, id);
  assert.equal(calls, ["update", "notify_hello", "notify_sum", "notify_hello"]);
});

test("malformed input: each with its number and stable code", async () => {
  const { answer } = dispatcher();
  const call = (fields: object) => JSON.stringify({ jsonrpc: "2.0", method: "subtract", id: 1, ...fields });
  const batch = (n: number) => JSON.stringify(Array(n).fill({ jsonrpc: "2.0", method: "get_data", id: 1 }));
  const nested = (n: number) => `${"[".repeat(n)}${"]".repeat(n)}`;
  const table: [string, string, number, string, string?][] = [
    ["empty", "", -32700, "PARSE_ERROR"],
    ["two values", "{} {}", -32700, "PARSE_ERROR"],
    ["a string", '"hello"', -32600, "INVALID_REQUEST"],
    ["null", "null", -32600, "INVALID_REQUEST"],
    ["version 1", call({ jsonrpc: "1.0" }), -32600, "INVALID_REQUEST"],
    ["no method", call({ method: undefined }), -32600, "INVALID_REQUEST"],
    ["params a string", call({ params: "x" }), -32600, "INVALID_REQUEST"],
    ["params null", call({ params: null }), -32600, "INVALID_REQUEST"],
    ["id an object", call({ id: {} }), -32600, "INVALID_REQUEST"],
    ["id a fraction", call({ id: 1.5 }), -32600, "INVALID_REQUEST"],
    ["id past 2^53", '{"jsonrpc":"2.0","method":"get_data","id":9007199254740993}', -32600, "INVALID_REQUEST"],
    ["id too long", call({ id: "x".repeat(129) }), -32600, "INVALID_REQUEST"],
    ["a method of Object", call({ method: "toString" }), -32601, "METHOD_NOT_FOUND"],
    ["__proto__", call({ method: "__proto__" }), -32601, "METHOD_NOT_FOUND"],
    ["missing parameter", call({ params: { minuend: 1 } }), -32602, "INVALID_PARAMS", "$.subtrahend"],
    ["wrong type", call({ params: { minuend: "1", subtrahend: 1 } }), -32602, "INVALID_PARAMS", "$.minuend"],
    ["unknown parameter", call({ params: { minuend: 1, subtrahend: 1, x: 1 } }), -32602, "INVALID_PARAMS", "$"],
    [
      "a __proto__ parameter",
      '{"jsonrpc":"2.0","method":"subtract","id":1,"params":{"__proto__":{"minuend":1,"subtrahend":1}}}',
      -32602,
      "INVALID_PARAMS",
    ],
    ["too many parameters", call({ params: [1, 2, 3] }), -32602, "INVALID_PARAMS", "$[2]"],
    ["batch of 21", batch(21), -32600, "BATCH_TOO_LARGE"],
    ["too deep", nested(33), -32600, "TOO_DEEP"],
    ["far too deep", nested(400_000), -32600, "TOO_DEEP"],
    ["deep after a string with brackets and quotes", `["\\"[[", ${nested(32)}]`, -32600, "TOO_DEEP"],
    ["refused", call({ method: "refuses" }), -32001, "NOT_FOUND"],
    ["a bug", call({ method: "broken" }), -32603, "INTERNAL"],
  ];
  for (const [id, text, number, code, path] of table) {
    const { error, jsonrpc } = JSON.parse((await answer(text)) as string);
    assert.is(jsonrpc, "2.0", id);
    assert.is(error?.code, number, id);
    assert.is(error.data.code, code, id);
    if (path) assert.is(error.data.path, path, id);
    assert.not.ok(error.message.includes("secret"), id);
  }
  assert.is(JSON.parse((await answer(batch(20))) as string).length, 20);
  assert.is(JSON.parse((await answer(`[${nested(31)}]`)) as string).length, 1, "32 deep is allowed");
});

test("a bug is told to the log, by the name of the method; a refusal is not", async () => {
  const { answer, bugs } = dispatcher();
  await answer('{"jsonrpc":"2.0","method":"refuses","id":1}');
  await answer('{"jsonrpc":"2.0","method":"broken"}');
  assert.equal(bugs, ["broken: TypeError: secret path /root/key"]);
});

test.run();
