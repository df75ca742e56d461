import { PassThrough } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { confirm } from "../../cli/prompt.ts";
import { PoflError } from "../../types/errors.ts";
import {
  approving,
  ceremonyOf,
  epochOf,
  inWorld,
  PUBLIC,
  RECORD,
  REQUEST,
  REQUESTER,
  redactionOf,
  requestOf,
  run,
  status,
} from "./custodianworld.ts";
import { withNode } from "./fakenode.ts";
import { refused } from "./support.ts";

/** `pofl custodian approve` and `list`. */

test("approve: shows what is asked, signs, counts the others, and waits until it is executed", () =>
  inWorld(async (world) => {
    const { home, own, keys, common } = world;
    const { approved, custodian_approve } = approving(world);
    const states = [
      requestOf(),
      requestOf(),
      requestOf({ approvedHere: true, approvals: 1, state: "waits for others" }),
      requestOf({ approvedHere: true, approvals: 2, state: "sends the edit" }),
    ];
    const custodian_status = (_: never, n: number) =>
      status(own, { epochs: [epochOf(keys)], requests: states.slice(n, n + 1) });
    const redaction_get = ({ id }: { id: string }, n: number) => {
      assert.is(id, REQUEST);
      return redactionOf(n < 1 ? {} : { status: "executed", endedAt: 61, approvals: keys.slice(0, 2) });
    };
    await withNode({ ...common, custodian_status, custodian_approve, redaction_get }, async (url) => {
      const { code, stdout, stderr } = await run(url, home, "approve", REQUEST, "--yes");
      assert.is(code, 0, stderr);
      assert.equal(approved, [REQUEST]);
      for (const says of [
        new RegExp(`^Record {6}${RECORD}`, "m"),
        /^Reason {6}erasure$/m,
        new RegExp(`^Asked by {4}${REQUESTER} at height 40$`, "m"),
        /^Does {8}erases the payload$/m,
        /^Delay {7}can be executed from height 60 to 900, 10 blocks from now$/m,
        /^Objections {2}12\.5 % of the power$/m,
        /^Approvals {3}0 of 2$/m,
        /^1 of 2 have approved; waits for others$/m,
        /^2 of 2 have approved; sends the edit$/m,
      ])
        assert.match(stderr, says);
      assert.is(stdout, `Record ${RECORD}: erased in block 61, approved by 2 custodians (2 were needed)\n`);
    });
  }));

test("approve: --no-wait says how it stands; what was approved here is not signed again", () =>
  inWorld(async (world) => {
    const { home, own, common } = world;
    const { approved, custodian_approve } = approving(world);
    const redaction_get = () => redactionOf({ erases: false });
    const here = (_: never, n: number) =>
      status(own, { requests: [requestOf({ erases: false, approvals: n < 2 ? 0 : 1, approvedHere: n >= 2 })] });
    await withNode({ ...common, custodian_status: here, custodian_approve, redaction_get }, async (url) => {
      const args = ["approve", REQUEST, "--yes", "--no-wait"];
      const { stdout, stderr } = await run(url, home, ...args, "--json");
      const { state } = requestOf();
      assert.equal(JSON.parse(stdout), { request: REQUEST, approvals: 1, threshold: 2, state });
      assert.match(stderr, /replaces the payload: `pofl record replacement 0xbb/);
      assert.match((await run(url, home, ...args)).stderr, /approved it already/);
      assert.equal(approved, [REQUEST]);
    });
  }));

test("approve: nothing is signed without a terminal to ask on, or for a request that does not wait", () =>
  inWorld(async (world) => {
    const { home, own, common } = world;
    const { approved, custodian_approve } = approving(world);
    const redaction_get = ({ id }: { id: string }) => {
      if (id === RECORD) throw new PoflError("NOT_FOUND", `there is no request ${id}`);
      return redactionOf(id === REQUEST ? {} : { id, status: "executed", endedAt: 45 });
    };
    const custodian_status = () => status(own, { requests: [requestOf()] });
    await withNode({ ...common, custodian_status, custodian_approve, redaction_get }, async (url) => {
      const { code, stderr } = await run(url, home, "approve", REQUEST);
      assert.is(code, 2);
      assert.match(stderr, /no terminal to ask on; say --yes.*\[USAGE\]/);
      const over = await run(url, home, "approve", PUBLIC, "--yes");
      assert.match(over.stderr, /0xeeee.* has been executed already \[REQUEST_OVER\]/);
      assert.match((await run(url, home, "approve", RECORD, "--yes")).stderr, /no request 0xaaaa.*\[NOT_FOUND\]/);
    });
    assert.equal(approved, []);
  }));

for (const [over, says] of [
  ["stopped", /stopped by validators/],
  ["lapsed", /lapsed/],
  ["superseded", /another edit/],
] as const) {
  test(`approve: a request that is ${over} while one waits`, () =>
    inWorld(async (world) => {
      const { home, own, common } = world;
      const { custodian_approve } = approving(world);
      const custodian_status = (_: never, n: number) => status(own, { requests: n < 3 ? [requestOf()] : [] });
      const redaction_get = (_: never, n: number) => redactionOf(n < 1 ? {} : { status: over, endedAt: 70 });
      await withNode({ ...common, custodian_status, custodian_approve, redaction_get }, async (url) => {
        const { code, stderr } = await run(url, home, "approve", REQUEST, "--yes", "--quiet");
        assert.is(code, 1);
        assert.match(stderr, says);
        assert.match(stderr, /\[REQUEST_OVER\]\n$/);
      });
    }));
}

test("approve: exit code 4 when too few approve; a poor node says that another must send the edit", () =>
  inWorld(async (world) => {
    const { home, own, common } = world;
    const { custodian_approve } = approving(world);
    const custodian_status = () => status(own, { requests: [requestOf({ approvals: 1, state: "waits for others" })] });
    const redaction_get = () => redactionOf();
    const account_get = () => ({ balance: "0" });
    await withNode({ ...common, custodian_status, custodian_approve, redaction_get, account_get }, async (url) => {
      const { code, stderr } = await run(url, home, "approve", REQUEST, "--yes", "--timeout", "1");
      assert.is(code, 4);
      assert.match(stderr, /can't pay for the edit.*another custodian/);
      assert.match(stderr, /after 1 s: 1 of 2 have approved; waits for others.*\[TIMED_OUT\]\n$/);
    });
  }));

test("list: who is in office, keys, ceremonies, requests; --json is the RPC result", () =>
  inWorld(async ({ home, own, keys, others, common }) => {
    const whole = status(own, {
      epochs: [epochOf(keys), epochOf(keys.slice(0, 2), { epoch: 1, share: false })],
      ceremonies: [
        ceremonyOf(keys, RECORD, { status: "done" }),
        ceremonyOf(keys, REQUEST, { status: "failed", epoch: 2, culprit: others[1] }),
        ceremonyOf(keys, PUBLIC, { epoch: 2, attempt: 1, dealt: [own], awaited: others }),
      ],
      requests: [requestOf({ approvals: 1 })],
    });
    await withNode({ ...common, custodian_status: () => whole }, async (url) => {
      const { code, stdout } = await run(url, home, "list");
      assert.is(code, 0);
      for (const says of [
        new RegExp(`^This node {2}is custodian ${own}$`, "m"),
        /^In office {2}2 of 2 make an edit$/m,
        new RegExp(`^${own} +0 +0, 1 +this node$`, "m"),
        new RegExp(`^${others[1]} +– +0$`, "m"),
        new RegExp(`^ *0 +${PUBLIC} +0 +2 of 3 +9 +yes$`, "m"),
        new RegExp(`failed +${others[1]} dealt a bad share$`, "m"),
        /open +1 of 3 have dealt; waits for /,
        new RegExp(`^${REQUEST} +.* +erasure +erases +1 of 2 +– +open: can be executed`, "m"),
      ])
        assert.match(stdout, says);
      assert.not.match(stdout, "done");
      assert.equal(JSON.parse((await run(url, home, "list", "--json")).stdout), whole);
    });
    await withNode({ ...common, custodian_status: () => status(null) }, async (url) => {
      const { stdout } = await run(url, home, "list");
      assert.match(stdout, /is no custodian\nIn office {2}2 of 3 make an edit, by genesis: they have no key yet/);
    });
    const none = { chain_params: () => ({ custodians: { keys: [], threshold: 0 } }) };
    await withNode({ ...common, ...none }, async (url) => {
      assert.match((await run(url, home, "list")).stdout, /genesis names none, and this chain has no editable records/);
    });
  }));

test("a question: only y and yes are yes; it goes to stderr, and without a terminal it is not asked", async () => {
  for (const [typed, yes] of [
    ["y\n", true],
    ["YES\n", true],
    ["\n", false],
    ["n\n", false],
    ["yesterday\n", false],
    ["", false],
  ] as const) {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const stderr = new PassThrough();
    const asked = confirm("Really?", { stdin: stdin as never, stderr });
    stdin.end(typed);
    assert.is(await asked, yes, JSON.stringify(typed));
    assert.match(String(stderr.read()), /Really\? \[y\/N\] /);
  } // prettier-ignore
  await refused(() => confirm("Really?", { stdin: new PassThrough() as never, stderr: new PassThrough() }), "USAGE");
});

test.run();
