import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { homePaths, writeGenesis } from "../../node/home.ts";
import { type LightBlock, LightBlocks } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { prove } from "../../vm/proof.ts";
import { validatorSet } from "../../vm/validators.ts";
import { type CertifiedChain, changingChain } from "../light/chains.ts";
import { addressFor } from "../vm/support.ts";
import { type Answers, withNode } from "./fakenode.ts";
import { cli, inFolder } from "./support.ts";

const LENGTH = 12;
const ANNA = toHex(addressFor("anna"));
let made: CertifiedChain | undefined;
const chain = () => {
  made ??= changingChain(LENGTH);
  return made;
};

type Lies = {
  readonly light?: (blocks: LightBlock[]) => void;
  readonly account?: (answer: { proof: { record: string; branch: string[] }; account: { balance: string } }) => void;
};

/** What a node with this chain answers, but for its lies. */
function answers(of: CertifiedChain, lies: Lies = {}): Answers {
  const { head } = of;
  return {
    chain_params: () => ({ genesisHash: toHex(of.hash) }),
    chain_getLightBlocks: ({ from, count }: { from: number; count: number }) => {
      const blocks: LightBlock[] = [];
      for (let h = from; h < from + count && h <= head.height; h++) blocks.push(structuredClone(of.light(h)));
      if (blocks.length === 0) throw new PoflError("NOT_FOUND", "no such block");
      lies.light?.(blocks);
      return { from, count: blocks.length, blocks: toHex(LightBlocks.serialize(blocks)) };
    },
    validator_set: ({ height }: { height: number }) => ({
      validators: validatorSet(of.blocks[height - 2]!.head.state, of.genesis).map((v) => ({
        address: toHex(v.address),
        institution: toHex(v.institution),
        consensusKey: toHex(v.consensusKey),
        vrfKey: toHex(v.vrfKey),
        power: String(v.power),
        committeeWeight: String(v.committeeWeight),
      })),
    }),
    account_prove: () => {
      const found = head.state.account(addressFor("anna"))!;
      const { index, record, branch } = prove(head.state, "accounts", found.index);
      const answer = {
        height: head.height,
        headHash: toHex(head.id),
        stateRoot: toHex(head.state.root()),
        account: { address: ANNA, balance: String(found.record.balance), nonce: found.record.nonce },
        proof: { kind: "accounts", index, record: toHex(record), branch: branch.map(toHex) },
      };
      lies.account?.(answer);
      return answer;
    },
  };
}

async function prover(of: CertifiedChain, lies: Lies, args: string[], home = "/nonexistent") {
  let result: Awaited<ReturnType<typeof cli>> | undefined;
  await withNode(answers(of, lies), async (url) => {
    result = await cli(["account", ANNA, "--prove", "--json", "--rpc", url, "--home", home, ...args]);
  });
  return result!;
}

const idAt = (height: number, of = chain()) => `${height}:${toHex(of.blocks[height - 1]!.head.id)}`;

test("an account is proven with headers from genesis or from a trusted block, and what was trusted is said", () =>
  inFolder(async (folder) => {
    const paths = homePaths(folder);
    mkdirSync(join(folder, "config"));
    writeGenesis(paths, chain().genesis);
    const balance = String(chain().head.state.account(addressFor("anna"))!.record.balance);
    for (const { args, trusted, headers } of [
      { args: [], trusted: `genesis ${toHex(chain().hash)}`, headers: LENGTH },
      { args: ["--trust", idAt(6)], trusted: idAt(6), headers: LENGTH - 6 },
      { args: ["--trust", idAt(LENGTH)], trusted: idAt(LENGTH), headers: 0 },
    ]) {
      const { code, stdout, stderr } = await prover(chain(), {}, args, folder);
      assert.is(code, 0, stderr);
      const found = JSON.parse(stdout);
      assert.is(found.account.balance, balance);
      assert.is(found.verified.trusted, trusted);
      assert.is(found.verified.headers, headers);
    }
  }));

test("what a node says without being able to prove it is refused, each with its code", () =>
  inFolder(async (folder) => {
    const home = join(folder, "home");
    mkdirSync(join(home, "config"), { recursive: true });
    writeGenesis(homePaths(home), chain().genesis);
    // The keys of the founders sign another history, in which anna has more.
    const fork = chain().fork(3);
    fork.make([fork.accounts.transfer("ben", "anna", 999n)]);
    fork.grow(LENGTH);
    const cases: { id: string; of?: CertifiedChain; lies?: Lies; args: string[]; home?: string; code: RegExp }[] = [
      {
        id: "another balance",
        lies: { account: (a) => (a.proof.record = a.proof.record.replace(/..$/, "01")) },
        args: [],
        code: /\[BAD_PROOF\]/,
      },
      { id: "another path", lies: { account: (a) => a.proof.branch.reverse() }, args: [], code: /\[BAD_PROOF\]/ },
      {
        id: "another signature",
        lies: { light: (b) => (b[2]!.commit.signatures[0]!.signature[1]! ^= 1) },
        args: [],
        code: /\[BAD_COMMIT\]/,
      },
      {
        id: "another header",
        lies: { light: (b) => (b.at(-1)!.header.stateRoot[1]! ^= 1) },
        args: [],
        code: /\[BAD_COMMIT\]/,
      },
      { id: "a forged history", of: fork, args: ["--trust", idAt(6)], code: /\[NOT_TRUSTED\]/ },
      {
        id: "before the trusted block",
        of: chain().fork(9),
        args: ["--trust", idAt(LENGTH)],
        code: /\[TRUST_TOO_LATE\]/,
      },
      { id: "nothing to trust", args: [], home: join(folder, "none"), code: /genesis\.json.*--trust.*\[NO_TRUST\]/ },
      { id: "no hash", args: ["--trust", "12"], code: /HEIGHT:0xHASH.*\[USAGE\]/ },
    ];
    for (const { id, of = chain(), lies = {}, args, home: at = home, code } of cases) {
      const { code: exit, stdout, stderr } = await prover(of, lies, args, at);
      assert.is(stdout, "", id);
      assert.ok(exit > 0, id);
      assert.match(stderr, code, id);
    }
    // It would not be noticed by whoever trusts genesis alone.
    assert.is((await prover(fork, {}, [], home)).code, 0);
  }));

/** Runs `body` as if it were `now`. */
async function at(now: number, body: () => Promise<void>): Promise<void> {
  const real = Date.now;
  Date.now = () => now;
  try {
    await body();
  } finally {
    Date.now = real;
  }
}

test("the time of the header is said, and a warning given when it is more than an hour old", () =>
  inFolder(async (folder) => {
    mkdirSync(join(folder, "config"));
    writeGenesis(homePaths(folder), chain().genesis);
    const time = chain().head.header!.time;
    for (const { age, says } of [
      { age: -3_000, says: /^$/ },
      { age: 3_600_000, says: /^$/ },
      { age: 3_600_001, says: /^This header is 60 minutes old: .*another node/ },
      { age: 9 * 86_400_000, says: /^This header is 216 hours old: / },
    ]) {
      await at(time + age, async () => {
        const { code, stdout, stderr } = await prover(chain(), {}, [], folder);
        assert.is(code, 0, stderr);
        assert.match(stderr, says, `${age}`);
        const { verified } = JSON.parse(stdout);
        assert.is(verified.headerTime, time);
        assert.ok(
          verified.text.endsWith(`; the last is of ${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`),
        );
      });
    }
  }));

test("that there is no account is the node's word, and said to be", () =>
  inFolder(async (folder) => {
    const missing = () => {
      throw new PoflError("NOT_FOUND", "there is no such account or record");
    };
    await withNode({ account_prove: missing, record_get: missing }, async (url) => {
      const label = `0x${"12".repeat(32)}`;
      for (const args of [
        ["account", ANNA],
        ["record", "get", label],
      ]) {
        const say = async (more: string[]) => (await cli([...args, "--rpc", url, "--home", folder, ...more])).stderr;
        assert.match(
          await say(["--prove"]),
          /no such account or record.*node's word.*not proven.*another node.*\[NOT_FOUND\]\n$/,
        );
        if (args[0] === "record") assert.not.match(await say([]), /proven/);
      }
    });
  }));

test.run();
