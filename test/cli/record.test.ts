import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { txId } from "../../crypto/domain.ts";
import { startRpc } from "../../node/rpc/server.ts";
import { MAX_RECORD_BYTES } from "../../types/limits.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { typedPayload } from "../../types/tx.ts";
import { recordWorld } from "../node/recordworld.ts";
import { rpcWorld } from "../node/rpcworld.ts";
import { custodianOf } from "../vm/custody-support.ts";
import { addressFor, seedOf } from "../vm/support.ts";
import { cli, inFolder, type Ran } from "./support.ts";

/** `pofl record …` and `pofl tx redact-…` against a node's RPC on a real chain of the state machine, which makes a block of whatever is sent. */

type World = Awaited<ReturnType<typeof recordWorld>>;
type Run = (args: readonly string[], env?: Record<string, string>) => Promise<Ran>;
type Net = {
  readonly world: World;
  readonly dir: string;
  /** A command line with this home and node. */
  readonly run: Run;
  readonly ok: (...args: string[]) => Promise<string>;
  readonly json: <T>(...args: string[]) => Promise<T>;
};

async function served(work: (net: Net) => Promise<void>, make: () => Promise<unknown> = recordWorld): Promise<void> {
  await inFolder(async (dir) => {
    const world = (await make()) as World;
    const { context, mempool } = world;
    const server = await startRpc(context, { listen: "127.0.0.1:0" }, { error: () => {} });
    let turn = Promise.resolve();
    context.events.on("tx", (id) => {
      const tx = mempool.get(id);
      if (tx) turn = turn.then(async () => void (await world.run({ txs: [tx] })));
    });
    const run: Run = (args, env) => cli([...args, "--home", dir, "--rpc", server.url], env);
    const ok = async (...args: string[]) => {
      const { code, stdout, stderr } = await run(args);
      assert.is(code, 0, `pofl ${args.join(" ")}: ${stderr}`);
      return stdout;
    };
    const json = async <T>(...args: string[]) => JSON.parse(await ok(...args, "--json")) as T;
    try {
      for (const name of ["emil", "fay", "gus", "anna"]) {
        const seed = join(dir, `${name}.seed`);
        writeFileSync(seed, toHex(seedOf(name)).slice(2));
        await ok("keys", "import", name, seed, "--plain");
      }
      await work({ world, dir, run, ok, json });
    } finally {
      await turn;
      await server.close();
    }
  });
}

const refused = ({ code, stdout, stderr }: Ran, expected: string, says: RegExp, exit = 1) => {
  assert.is(code, exit, stderr);
  assert.is(stdout, "");
  assert.match(stderr, new RegExp(`^pofl: [^\n]*\\[${expected}\\]\n$`));
  assert.match(stderr, says);
};

type Put = { record: string; status: string; height: number; tx: { hash: string; fee: string } };

test("put, get, ask, erase: the payload as it was put, then when and why it went", () =>
  served(async ({ world, ok, json, dir, run }) => {
    const { custody } = world;
    const fay = toHex(addressFor("fay"));
    const put = await json<Put>(
      "record",
      "put",
      "--text",
      "consent of patient 7\n",
      "--subject",
      fay,
      "--from",
      "emil",
    );
    assert.is(put.status, "final");
    assert.is(custody.entry(fromHex(put.record)).length, 1024);
    for (const id of [put.record, put.tx.hash]) {
      assert.is(await ok("record", "get", id), "consent of patient 7\n", "exactly as it was put");
      assert.is(await ok("record", id), "consent of patient 7\n");
    }
    assert.is((await json<{ text: string }>("record", put.record)).text, "consent of patient 7\n");
    const file = join(dir, "out.txt");
    await ok("record", "get", put.record, "--out", file);
    assert.is(readFileSync(file, "utf8"), "consent of patient 7\n");
    assert.is(statSync(file).mode & 0o777, 0o600);
    refused(await run(["record", "get", put.record, "--out", file]), "ALREADY_EXISTS", /out\.txt/);

    const asked = await json<{ request: string; tx: { hash: string } }>(
      ...["tx", "redact-request", put.tx.hash, "--reason", "erasure", "--from", "fay"],
    );
    assert.is(asked.request, asked.tx.hash, "a request is named by its transaction");
    const open = await json<{ id: string; status: string; erases: boolean }[]>("record", "requests", "--open");
    assert.equal(
      open.map((r) => [r.id, r.status, r.erases]),
      [[asked.request, "open", true]],
    );
    await ok("tx", "redact-object", asked.request, "--from", "anna");
    const pending = await ok("record", "history", put.record);
    assert.match(
      pending,
      /its subject asked to erase it, for erasure\n {2}anna \(0x[0-9a-f]{40}\) objects, with 25\.0 %/,
    );
    assert.match(await ok("record", "replacement", asked.request), /^it erases: nothing comes/);
    assert.match(pending, /open: can be carried out at heights \d+ to \d+/);

    const id = fromHex(asked.request);
    await world.to(custody.asked(id).opensAt - 1);
    const opening = custody.open(custody.redaction(id), [1, 2, 4]);
    const approvals = custody
      .approvals(id, opening, [1, 2, 4])
      .flatMap((a) => ["--approval", `${a.custodian}:${toHex(a.signature)}`]);
    const { r, s } = opening;
    await ok("tx", "redact-execute", asked.request, "--r", toHex(r), "--s", toHex(s), ...approvals, "--from", "gus");
    world.sidecars.delete(put.record);

    const at = world.chain.state.height;
    assert.is(await ok("record", "get", put.record), `erased at height ${at} for erasure, request ${asked.request}\n`);
    const gone = await json<{ status: string; payload: null }>("record", "get", put.record, "--out", join(dir, "none"));
    assert.equal([gone.status, gone.payload], ["erased", null]);
    assert.not(existsSync(join(dir, "none")));
    const history = await run(["record", "history", put.record]);
    assert.match(history.stdout, new RegExp(`height ${at}: erased: version 1\n  approved by custodian `));
    assert.ok(history.stdout.includes(toHex(custodianOf(4).publicKey)));
    assert.match(history.stdout, /\nErased; 1 edit\n$/);
    const whole = await json<{ requests: unknown[]; edits: unknown[] }>("record", "history", put.record);
    assert.equal([whole.requests.length, whole.edits.length], [1, 1]);
    assert.equal(await json("record", "requests", "--open"), []);
    const [listed] = await json<{ id: string; status: string }[]>("record", "list");
    assert.equal([listed?.id, listed?.status], [put.record, "erased"]);
    assert.match(await ok("record", "list"), new RegExp(`${put.record} .* erased +1 +0\n$`));
    const list = await ok("record", "requests", "--record", put.record);
    assert.match(list, new RegExp(`${asked.request} .*erasure.*executed at ${at}`));
  }));

test("a correction travels beside its request and is what the record holds afterwards", () =>
  served(async ({ world, ok, json, dir }) => {
    const { custody } = world;
    const { record } = await json<Put>("record", "put", "--text", "blood group A", "--from", "emil");
    const right = join(dir, "right.txt");
    writeFileSync(right, "blood group B");
    const args = ["tx", "redact-request", record, "--reason", "correction", "--file", right, "--from", "emil"];
    const { request } = await json<{ request: string }>(...args);
    const sidecar = world.sidecars.get(request);
    assert.ok(sidecar, "the node got what comes in its place");
    assert.is(await ok("record", "replacement", request), "blood group B", "for custodians to read");
    assert.is((await json<{ text: string }>("record", "replacement", request)).text, "blood group B");
    await world.to(custody.asked(fromHex(request)).opensAt - 1);
    await world.done(custody.executeTx(fromHex(request)));
    world.sidecars.set(record, sidecar as NonNullable<typeof sidecar>);
    assert.is(await ok("record", record), "blood group B");
    assert.is(await ok("record", "replacement", request), "it is executed\n");
    assert.match(
      await ok("record", "history", record),
      /asked to replace it, for correction\n.*replaced: version 1\n/s,
    );
  }));

test("fees pay for the padded payload; salts are fresh; the label follows from the nonce that is sent", () =>
  served(async ({ world, json, ok, dir }) => {
    const large = join(dir, "large");
    writeFileSync(large, Buffer.alloc(MAX_RECORD_BYTES - 1, 0xa5));
    const made: Put[] = [];
    for (const file of [large, large]) made.push(await json<Put>("record", "put", "--file", file, "--from", "emil"));
    const [one, two] = made as [Put, Put];
    assert.is.not(one.record, two.record);
    const [a, b] = made.map(({ record }) => world.sidecars.get(record));
    assert.equal(a?.body, b?.body);
    assert.is.not(toHex(a?.salt as Uint8Array), toHex(b?.salt as Uint8Array));
    const small = await json<Put>("tx", "record", "--text", "x", "--from", "emil");
    assert.is(BigInt(one.tx.fee) - BigInt(small.tx.fee), BigInt(MAX_RECORD_BYTES - 1024));
    assert.equal(await ok("record", "get", small.record), "x");
    const leaf = (put: Put) => json<{ leaf: { r: string; s: string } }>("record", put.record);
    assert.is.not((await leaf(one)).leaf.r, (await leaf(two)).leaf.r);
    const out = join(dir, "copy");
    await ok("record", "get", one.record, "--out", out);
    assert.ok(readFileSync(out).equals(readFileSync(large)));
  }));

test("lists go on over pages, and say when there is nothing", () =>
  served(async ({ world, ok, json }) => {
    assert.is(await ok("record", "list"), "There are none.\n");
    assert.is(await ok("record", "requests"), "There are none.\n");
    const { custody, chain } = world;
    const from = chain.state.account(addressFor("emil"))?.record.nonce ?? 0;
    const made = Array.from({ length: 130 }, (_, i) => custody.record("emil", `record ${i}`, {}, from + i));
    await world.done(...made.map((m) => m.tx));
    const listed = await json<{ id: string }[]>("record", "list");
    assert.equal(
      listed.map((r) => r.id),
      made.map((m) => toHex(m.label)),
    );
    const first = chain.state.account(addressFor("emil"))?.record.nonce ?? 0;
    const asked = made.map(({ label }, i) => {
      const { body } = custody.request("emil", label).tx;
      return chain.tx("emil", typedPayload(body.payload), { nonce: first + i });
    });
    await world.done(...asked);
    const requests = await json<{ id: string }[]>("record", "requests");
    assert.equal(
      requests.map((r) => r.id),
      asked.map(({ body }) => toHex(txId(body))),
    );
    const last = await json<{ record: string }[]>("record", "requests", "--record", listed[129]?.id as string);
    assert.equal(last.length, 1);
  }));

test("a dry run sends nothing and gives no salt away; --no-wait gives the id at once", () =>
  served(async ({ world, json, ok }) => {
    const args = ["record", "put", "--text", "secret of patient 7", "--from", "emil"];
    const dry = await json<{ record: string; hash: string; tx: string }>(...args, "--dry-run");
    assert.is(world.mempool.count, 0);
    assert.equal(Object.keys(dry).sort(), ["hash", "record", "tx"]);
    assert.match(await ok(...args, "--dry-run"), /^Record {7}0x.*\n0x.*\n0x.*\nIts salt is thrown away/);
    const sent = await json<{ record: string; hash: string }>(...args, "--no-wait");
    assert.is(sent.record, dry.record, "the same sender and nonce");
    assert.is.not(sent.hash, dry.hash, "another salt");
  }));

test("from stdin", () =>
  served(async ({ ok, json }) => {
    const stdin = Object.getOwnPropertyDescriptor(process, "stdin") as PropertyDescriptor;
    Object.defineProperty(process, "stdin", {
      value: Readable.from([Buffer.from("by a "), Buffer.from("pipe")]),
      configurable: true,
    });
    try {
      const { record } = await json<Put>("record", "put", "--file", "-", "--from", "emil");
      assert.is(await ok("record", record), "by a pipe");
    } finally {
      Object.defineProperty(process, "stdin", stdin);
    }
  }));

/** As if stdout were a terminal. */
async function onTerminal<T>(work: () => Promise<T>): Promise<T> {
  const before = process.stdout.isTTY;
  process.stdout.isTTY = true;
  try {
    return await work();
  } finally {
    process.stdout.isTTY = before;
  }
}

test("a terminal gets plain text only: nothing that a stranger's record could drive it with", () =>
  served(async ({ run, json, dir }) => {
    const file = join(dir, "f");
    const put = async (bytes: string | Uint8Array) => {
      writeFileSync(file, bytes);
      return (await json<Put>("record", "put", "--file", file, "--from", "emil")).record;
    };
    const drives = await put("\u001b]0;title\u0007");
    const binary = await put(Uint8Array.of(0xff, 0xfe, 0x00));
    const plain = await put("Größe: 3 µm\tok");
    await onTerminal(async () => {
      for (const id of [drives, binary])
        refused(await run(["record", id]), "BINARY_PAYLOAD", /give --out F, or a pipe/);
      assert.is((await run(["record", plain])).stdout, "Größe: 3 µm\tok\n", "with a line's end for the prompt");
    });
    assert.is((await run(["record", drives])).code, 0, "a pipe gets everything");
  }));

test("what is wrong with a put, a get and a request: what, where, and what to do", () =>
  served(async ({ world, run, json, dir }) => {
    const put = (...args: string[]) => run(["record", "put", "--from", "emil", ...args]);
    const large = join(dir, "large");
    writeFileSync(large, new Uint8Array(MAX_RECORD_BYTES));
    const huge = join(dir, "huge");
    writeFileSync(huge, new Uint8Array(3 * 1024 * 1024));
    const empty = join(dir, "empty");
    writeFileSync(empty, "");
    refused(await put("--file", large), "RECORD_TOO_LARGE", /262144 bytes; at most 262143 may be: put a hash of/);
    refused(await put("--file", huge), "RECORD_TOO_LARGE", /3145728 bytes; at most 262143/);
    refused(await put("--file", join(dir, "none")), "FILE_UNREADABLE", /none: can't be read/);
    refused(await put("--file", dir), "FILE_UNREADABLE", /can't be read/);
    refused(await put("--file", empty), "USAGE", /is empty/, 2);
    refused(await put(), "USAGE", /give --file F, --file - for stdin, or --text T/, 2);
    refused(await put("--file", large, "--text", "x"), "USAGE", /exclude each other/, 2);
    refused(await put("--text", "x", "--subject", "0x12"), "USAGE", /expected 20 bytes/, 2);
    refused(await run(["record", "put", "--text", "x", "--from", "nobody"]), "NO_ACCOUNT", /pofl keys list/);
    refused(await put("--text", "x", "--fee", "1"), "TX_FEE_TOO_LOW", /need at least/);

    const zero = toHex(new Uint8Array(32));
    refused(await run(["record", zero]), "NOT_FOUND", /there is no record 0x00/);
    refused(await run(["record", "history", zero]), "NOT_FOUND", /there is no record 0x00/);
    refused(await run(["tx", "redact-object", zero, "--from", "anna"]), "TX_UNKNOWN_REQUEST", /nobody has asked/);
    const moved = await json<{ tx: { hash: string } }>(
      ...["tx", "transfer", "--from", "gus", "--to", toHex(addressFor("fay")), "--amount", "5"],
    );
    const ask = (id: string, ...args: string[]) => run(["tx", "redact-request", id, ...args]);
    const wrong = await ask(moved.tx.hash, "--reason", "erasure", "--from", "gus");
    refused(wrong, "NOT_A_RECORD", /is a transfer: only records .* can be edited or erased/);

    const { record } = await json<Put>("record", "put", "--text", "mine", "--from", "emil");
    refused(await ask(record, "--reason", "correction", "--from", "emil"), "USAGE", /needs --file or --text/, 2);
    refused(
      await ask(record, "--reason", "shame", "--from", "emil"),
      "USAGE",
      /erasure, correction, unlawful, emergency/,
      2,
    );
    refused(
      await ask(record, "--reason", "erasure", "--from", "fay"),
      "TX_NOT_ENTITLED",
      /sender, its subject or a regulator/,
    );
    refused(await ask(record, "--reason", "emergency", "--from", "emil"), "TX_NOT_ENTITLED", /only a regulator/);
    const bad = ["tx", "redact-execute", zero, "--r", zero, "--s", zero, "--approval", "1:0x12"];
    refused(await run(bad), "USAGE", /N:SIGNATURE/, 2);

    world.sidecars.delete(record);
    refused(await run(["record", record]), "RECORD_NOT_HERE", /does not have its payload yet/);
    const malformed = toHex(await world.putBody("emil", new Uint8Array(1024)));
    refused(await run(["record", malformed]), "BAD_RECORD", /did not pad it/);
  }));

test("a chain whose custodians have no key yet", () =>
  served(
    async ({ run }) =>
      refused(
        await run(["record", "put", "--text", "x", "--from", "emil"]),
        "TX_NO_CUSTODIANS",
        /have not made their key yet.*pofl custodian dkg/,
      ),
    rpcWorld,
  ));

test.run();
