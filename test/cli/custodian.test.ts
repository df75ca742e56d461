import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { planId } from "../../cli/custodian/plan.ts";
import { confirm } from "../../cli/prompt.ts";
import { makeTestnet } from "../../cli/testnet.ts";
import { consentSigning } from "../../crypto/custodian.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { openHome } from "../../node/home.ts";
import { CeremonyPlan, CONSENT_CEREMONY, CONSENT_REDACTION } from "../../types/ceremony.ts";
import { PoflError } from "../../types/errors.ts";
import { decode, fromHex, type Hash, toHex } from "../../types/primitives.ts";
import { type Answers, withNode } from "./fakenode.ts";
import { cli, inFolder, refused } from "./support.ts";

/** The custodians' commands against a node that answers as told, and checks every signature as a node does. */

type World = {
  readonly home: string;
  readonly own: string;
  readonly others: readonly [string, string];
  readonly keys: readonly string[];
  readonly custodian: KeyPair;
  readonly genesisHash: Hash;
  /** What every node answers. */
  readonly common: Answers;
};

/** Homes of three custodians of whom two make an edit; the first is who types. */
async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  await inFolder(async (dir) => {
    const net = await makeTestnet({ out: join(dir, "net"), nodes: 3, empty: true, custodians: 3, threshold: 2 });
    const home = join(dir, "net", "node0");
    const { custodian, genesis, genesisHash } = await openHome(home);
    const address = net.nodes[0]?.address;
    const { keys } = genesis.custodians;
    const [own, ...others] = keys as [string, string, string];
    const common: Answers = {
      node_status: () => ({ genesisHash: toHex(genesisHash), chainId: genesis.chainId, address, height: 50 }),
      chain_params: () => genesis,
      account_get: () => ({ balance: "1000000" }),
      custodian_status: () => status(own),
    };
    assert.ok(custodian);
    await body({ home, own, others, keys, custodian: custodian as KeyPair, genesisHash, common });
  });
}

const status = (custodian: string | null, parts: object = {}) => ({
  custodian,
  epochs: [],
  ceremonies: [],
  requests: [],
  ...parts,
});
const PUBLIC = `0x${"ee".repeat(32)}`;
const RECORD = `0x${"aa".repeat(32)}`;
const REQUEST = `0x${"bb".repeat(32)}`;
const REQUESTER = `0x${"cd".repeat(20)}`;

const run = (url: string, home: string, ...args: string[]) => cli(["custodian", ...args, "--rpc", url, "--home", home]);

const epochOf = (keys: readonly string[], change: object = {}) => ({
  ...{ epoch: 0, publicKey: PUBLIC, generation: 0, threshold: 2, keys, registeredAt: 9, since: 9, share: true },
  ...change,
});
const ceremonyOf = (keys: readonly string[], id: string, change: object = {}) => ({
  ...{ id, epoch: 0, generation: 0, attempt: 0, keys, threshold: 2, status: "open", startedAt: 3, endedAt: 0 },
  ...{ dealers: [], dealt: [], awaited: [], culprit: null, here: "deals" },
  ...change,
});
const firstId = (keys: readonly string[], attempt = 0) =>
  toHex(planId({ epoch: 0, generation: 0, attempt, keys, threshold: 2, dealers: [] }));

/** Takes a plan in as a node does; `joined` holds its id. */
function joining({ custodian, genesisHash }: World) {
  const joined: string[] = [];
  const custodian_join = ({ plan, signature }: { plan: string; signature: string }) => {
    const id = CeremonyPlan.hashTreeRoot(decode(CeremonyPlan, fromHex(plan)));
    const consent = { what: CONSENT_CEREMONY, id };
    if (!consentSigning.verify(genesisHash, custodian.publicKey, consent, fromHex(signature)))
      throw new PoflError("BAD_CONSENT", "not signed by this node's custodian key");
    joined.push(toHex(id));
    return { ceremony: toHex(id) };
  };
  return { joined, custodian_join };
}

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
    /is of custodian 0x/,
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

const requestOf = (change: object = {}) => ({
  ...{
    id: REQUEST,
    record: RECORD,
    epoch: 0,
    reason: "erasure",
    erases: true,
    opensAt: 60,
    lapsesAt: 900,
    threshold: 2,
  },
  ...{ approvedHere: false, approvals: 0, state: "open: can be executed from height 60 on", ...change },
});
const redactionOf = (change: object = {}) => ({
  ...{ id: REQUEST, record: RECORD, reason: "erasure", requester: REQUESTER, erases: true, askedAt: 40, opensAt: 60 },
  ...{ lapsesAt: 900, status: "open", endedAt: null, objectionsPermille: 125, approvals: [], ...change },
});

/** Takes approvals as a node does. */
function approving({ custodian, genesisHash }: World) {
  const approved: string[] = [];
  const custodian_approve = ({ request, signature }: { request: string; signature: string }) => {
    const consent = { what: CONSENT_REDACTION, id: fromHex(request) };
    if (!consentSigning.verify(genesisHash, custodian.publicKey, consent, fromHex(signature)))
      throw new PoflError("BAD_CONSENT", "not signed by this node's custodian key");
    approved.push(request);
    return { request };
  };
  return { approved, custodian_approve };
}

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
    // Two pages: the request is on the second.
    const redaction_list = ({ record, from }: { record: string; from: number }, n: number) => {
      assert.is(record, RECORD);
      if (from === 0) return { requests: [redactionOf({ id: RECORD })], next: 7 };
      const over = { status: "executed", endedAt: 61, approvals: keys.slice(0, 2) };
      return { requests: [redactionOf(n < 3 ? {} : over)], next: null };
    };
    await withNode({ ...common, custodian_status, custodian_approve, redaction_list }, async (url) => {
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
    const redaction_list = () => ({ requests: [redactionOf({ erases: false })], next: null });
    const here = (_: never, n: number) =>
      status(own, { requests: [requestOf({ erases: false, approvals: n < 2 ? 0 : 1, approvedHere: n >= 2 })] });
    await withNode({ ...common, custodian_status: here, custodian_approve, redaction_list }, async (url) => {
      const args = ["approve", REQUEST, "--yes", "--no-wait"];
      const { stdout, stderr } = await run(url, home, ...args, "--json");
      const { state } = requestOf();
      assert.equal(JSON.parse(stdout), { request: REQUEST, approvals: 1, threshold: 2, state });
      assert.match(stderr, /puts another payload in its place/);
      assert.match((await run(url, home, ...args)).stderr, /approved it already/);
      assert.equal(approved, [REQUEST]);
    });
  }));

test("approve: nothing is signed without a terminal to ask on, or for a request that does not wait", () =>
  inWorld(async (world) => {
    const { home, own, common } = world;
    const { approved, custodian_approve } = approving(world);
    const redaction_list = () => ({ requests: [redactionOf()], next: null });
    const custodian_status = () => status(own, { requests: [requestOf()] });
    await withNode({ ...common, custodian_status, custodian_approve, redaction_list }, async (url) => {
      const { code, stderr } = await run(url, home, "approve", REQUEST);
      assert.is(code, 2);
      assert.match(stderr, /no terminal to ask on; say --yes.*\[USAGE\]/);
      assert.match((await run(url, home, "approve", RECORD, "--yes")).stderr, /custodian list.*\[NOT_FOUND\]/);
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
      const redaction_list = (_: never, n: number) => ({
        requests: [redactionOf(n < 1 ? {} : { status: over, endedAt: 70 })],
        next: null,
      });
      await withNode({ ...common, custodian_status, custodian_approve, redaction_list }, async (url) => {
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
    const redaction_list = () => ({ requests: [redactionOf()], next: null });
    const account_get = () => ({ balance: "0" });
    await withNode({ ...common, custodian_status, custodian_approve, redaction_list, account_get }, async (url) => {
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
