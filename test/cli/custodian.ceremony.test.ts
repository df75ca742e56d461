import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { planId } from "../../cli/custodian/plan.ts";
import { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import {
  ceremonyOf,
  epochOf,
  firstId,
  inWorld,
  joining,
  PUBLIC,
  RECORD,
  run,
  status,
  type World,
} from "./custodianworld.ts";
import { type Answers, withNode } from "./fakenode.ts";

/** `pofl custodian dkg` and `reshare`. */

test("dkg: joins with a signed plan, says who has dealt and whom it waits for, and prints the key", () =>
  inWorld(async (world) => {
    const { home, own, keys, others, common } = world;
    const { joined, custodian_join } = joining(world);
    const id = firstId(keys);
    const seen = [
      ...Array(3).fill(status(own)),
      status(own, { ceremonies: [ceremonyOf(keys, id, { dealt: [own], awaited: others })] }),
      status(own, { ceremonies: [ceremonyOf(keys, id, { dealt: [own, others[1]], awaited: [others[0]] })] }),
      status(own, { ceremonies: [ceremonyOf(keys, id, { dealt: keys, here: "signs" })] }),
      status(own, { ceremonies: [ceremonyOf(keys, id, { status: "done" })], epochs: [epochOf(keys)] }),
    ];
    const answers = { ...common, custodian_join, custodian_status: (_: never, n: number) => seen[n] ?? seen.at(-1) };
    await withNode(answers, async (url) => {
      const { code, stdout, stderr } = await run(url, home, "dkg");
      assert.is(code, 0, stderr);
      assert.equal(joined, [id]);
      assert.match(stdout, new RegExp(`^Epoch {7}0\\nPublic key {2}${PUBLIC}\\nThreshold {3}2 of 3 custodians\\n`));
      const lines = stderr.trimEnd().split("\n");
      assert.is(lines.length, 5, stderr);
      assert.match(lines[0] as string, /a key for epoch 0, 2 of 3 custodians, attempt 0$/);
      assert.match(lines[1] as string, /nothing of the ceremony is on the chain yet$/);
      const short = (key: string) => `${key.slice(0, 8)}…${key.slice(-4)}`;
      assert.is(lines[2], `1 of 3 have dealt; waits for ${others.map(short).join(", ")}`);
      assert.is(lines[3], `2 of 3 have dealt; waits for ${short(others[0])}`);
      assert.is(lines[4], "3 of 3 have dealt; here: signs");
    });
  }));

test("dkg --json: one document, of the ceremony; --no-wait ends when the node knows", () =>
  inWorld(async (world) => {
    const { home, own, keys, common } = world;
    const { joined, custodian_join } = joining(world);
    const id = firstId(keys);
    await withNode({ ...common, custodian_join }, async (url) => {
      const { code, stdout } = await run(url, home, "dkg", "--no-wait", "--json", "--quiet");
      assert.is(code, 0);
      const plan = { epoch: 0, generation: 0, attempt: 0, keys, threshold: 2, dealers: [] };
      assert.equal(JSON.parse(stdout), { ceremony: id, ...plan });
      assert.equal(joined, [id]);
    });
    const done = { ceremonies: [ceremonyOf(keys, id, { status: "done" })], epochs: [epochOf(keys)] };
    // Joined before: the node is not told again.
    const seen = (_: never, n: number) => status(own, n < 2 ? { ceremonies: [ceremonyOf(keys, id)] } : done);
    await withNode({ ...common, custodian_status: seen }, async (url) => {
      const { stdout, stderr } = await run(url, home, "dkg", "--json", "--quiet");
      assert.is(stderr, "");
      const result = { ceremony: id, epoch: 0, generation: 0, publicKey: PUBLIC, threshold: 2, keys, share: true };
      assert.equal(JSON.parse(stdout), result);
    });
  }));

test("dkg: exit code 4 when the others don't come, and it says whom to ask", () =>
  inWorld(async (world) => {
    const { home, own, keys, others, common } = world;
    const waits = status(own, { ceremonies: [ceremonyOf(keys, firstId(keys), { dealt: [own], awaited: others })] });
    await withNode({ ...common, custodian_status: () => waits }, async (url) => {
      const { code, stderr } = await run(url, home, "dkg", "--timeout", "1", "--quiet");
      assert.is(code, 4);
      assert.match(
        stderr,
        /^pofl: after 1 s: 1 of 3 have dealt; waits for .*goes on by itself.*--attempt 1 \[TIMED_OUT\]\n$/,
      );
    });
  }));

test("dkg: a failed ceremony names its culprit and what to do; the next leaves it out", () =>
  inWorld(async (world) => {
    const { home, own, keys, others, common } = world;
    const [culprit, left] = others;
    const id = firstId(keys);
    const failed = ceremonyOf(keys, id, { status: "failed", culprit });
    const seen = (_: never, n: number) => status(own, { ceremonies: [n < 3 ? ceremonyOf(keys, id) : failed] });
    await withNode({ ...common, custodian_status: seen }, async (url) => {
      const { code, stderr } = await run(url, home, "dkg", "--quiet");
      assert.is(code, 1);
      assert.match(
        stderr,
        new RegExp(`custodian ${culprit} is proven.*dkg\` again, which leaves it out \\[CEREMONY_FAILED\\]`),
      );
    });
    const { joined, custodian_join } = joining(world);
    const after = () => status(own, { ceremonies: [failed] });
    await withNode({ ...common, custodian_join, custodian_status: after }, async (url) => {
      assert.is((await run(url, home, "dkg", "--no-wait")).code, 0);
      assert.equal(joined, [firstId([own, left], 1)]);
    });
  }));

test("dkg: another ceremony was faster", () =>
  inWorld(async (world) => {
    const { home, own, keys, common } = world;
    const open = ceremonyOf(keys, firstId(keys));
    const seen = (_: never, n: number) => status(own, { ceremonies: [open], epochs: n < 3 ? [] : [epochOf(keys)] });
    await withNode({ ...common, custodian_status: seen }, async (url) => {
      const { code, stderr } = await run(url, home, "dkg");
      assert.is(code, 1);
      assert.match(stderr, /\[CEREMONY_OVERTAKEN\]/);
    });
  }));

test("dkg: a node without money for fees is told before anything begins", () =>
  inWorld(async (world) => {
    const { joined, custodian_join } = joining(world);
    const answers = { ...world.common, custodian_join, account_get: () => ({ balance: "100" }) };
    await withNode(answers, async (url) => {
      const { code, stderr } = await run(url, world.home, "dkg");
      assert.is(code, 1);
      assert.match(stderr, /its own account 0x.*pofl tx transfer --to 0x.* --amount \d+.*\[NO_FEE_MONEY\]/);
      assert.equal(joined, []);
    });
  }));

test("what the node refuses is passed on with its code", () =>
  inWorld(async ({ home, common }) => {
    const custodian_join = () => {
      throw new PoflError("TOO_MANY_CEREMONIES", "it takes part in 16 already");
    };
    await withNode({ ...common, custodian_join }, async (url) => {
      const { code, stderr } = await run(url, home, "dkg");
      assert.is(code, 1);
      assert.match(stderr, /it takes part in 16 already \[TOO_MANY_CEREMONIES\]/);
    });
  }));

const WRONG: [id: string, change: (world: World) => Answers, code: string, says: RegExp][] = [
  [
    "no custodian",
    () => ({ custodian_status: () => status(null) }),
    "WRONG_NODE",
    /has no custodian key.*start it again/,
  ],
  [
    "another custodian",
    ({ others }) => ({ custodian_status: () => status(others[0]) }),
    "WRONG_NODE",
    /has custodian key 0x/,
  ],
  [
    "another chain",
    () => ({ node_status: () => ({ genesisHash: RECORD, chainId: "x" }) }),
    "WRONG_NODE",
    /of the chain x/,
  ],
]; // prettier-ignore
for (const [id, change, code, says] of WRONG) {
  test(`a node that is not this home's: ${id}`, () =>
    inWorld(async (world) => {
      await withNode({ ...world.common, ...change(world) }, async (url) => {
        const { code: exit, stderr } = await run(url, world.home, "dkg");
        assert.is(exit, 1);
        assert.match(stderr, says);
        assert.match(stderr, new RegExp(`\\[${code}\\]\\n$`));
      });
    }));
}

test("a home without a custodian's key, and a damaged one", () =>
  inWorld(async ({ home, common }) => {
    await withNode(common, async (url) => {
      const file = join(home, "config", "custodian_key");
      writeFileSync(file, "{}");
      assert.match((await run(url, home, "dkg")).stderr, /custodian_key: field custodian.*\[BAD_KEY_FILE\]/);
      rmSync(file);
      assert.match((await run(url, home, "dkg")).stderr, /custodian_key.*keygen.*\[NO_CUSTODIAN_KEY\]/);
    });
    const gone = await run("http://127.0.0.1:1", home, "list");
    assert.is(gone.code, 3);
  }));

test("reshare: the same plan at whoever runs it, and the key stays the same", () =>
  inWorld(async (world) => {
    const { home, own, keys, others, common } = world;
    const { joined, custodian_join } = joining(world);
    const to = [others[1], `0x${"77".repeat(32)}`];
    const id = toHex(planId({ epoch: 0, generation: 1, attempt: 0, keys: to, threshold: 2, dealers: [0, 2] }));
    const before = { epochs: [epochOf(keys)] };
    const after = {
      epochs: [epochOf(to, { generation: 1, share: false })],
      ceremonies: [ceremonyOf(to, id, { generation: 1, dealers: [0, 2], status: "done" })],
    };
    const custodian_status = (_: never, n: number) => status(own, n < 2 ? before : after);
    await withNode({ ...common, custodian_join, custodian_status }, async (url) => {
      const hand = ["reshare", "--epoch", "0", "--threshold", "2", "--keys", to.join(",")];
      hand.push("--dealers", [others[1], own].join(","));
      const { code, stdout, stderr } = await run(url, home, ...hand);
      assert.is(code, 0, stderr);
      assert.equal(joined, [id]);
      assert.match(stdout, new RegExp(`Public key {2}${PUBLIC}\\nThreshold {3}2 of 2 custodians\\n.*not on this node`));
    });
  }));

test.run();
