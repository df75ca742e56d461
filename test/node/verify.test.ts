import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { addressOf, signTx } from "../../crypto/domain.ts";
import { TOKEN } from "../../genesis/presets.ts";
import { type HomePaths, homePaths, writeGenesis } from "../../node/home.ts";
import { isLock, takeLock } from "../../node/lock.ts";
import { openDatabase } from "../../node/store/database.ts";
import { LOST_RECEIPTS, layout } from "../../node/store/layout.ts";
import { openRecord, sealRecord } from "../../node/store/records.ts";
import { openStore } from "../../node/store/store.ts";
import { type VerifyReport, verifyHome } from "../../node/verify.ts";
import { blockId, CertifiedBlock, ReceiptList, ValidatorSet } from "../../types/block.ts";
import type { PoflError } from "../../types/errors.ts";
import { fromHex, type Hash, toHex } from "../../types/primitives.ts";
import { Account } from "../../types/state.ts";
import { type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";
import { cli, inFolder, refused } from "../cli/support.ts";
import { TASK, testGenesis, testKeys, World } from "../consensus/world.ts";

const NAMES = ["a", "b", "c", "d"];
const HEIGHT = 9;

let grown: Promise<World> | undefined;
/** Made once: a second of work. */
const world = () => {
  grown ??= grow();
  return grown;
};

/** A chain that learns at every height, with a change of the validator set: d, funded by the faucet, bonds more. */
async function grow(): Promise<World> {
  const made = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 2, steady: true });
  const send = (name: string, nonce: number, payload: TypedPayload) => {
    const { account } = testKeys(name);
    const body = { sender: addressOf(account.publicKey), nonce, fee: 100_000n, expires: 0 };
    made.mempool.push(signTx(made.hash, account, { ...body, payload: untypedPayload(payload) }));
  };
  const reached = (height: number) => made.run(60_000, () => NAMES.every((n) => made.height(n) >= height));
  for (const name of NAMES) made.start(name);
  const d = made.genesis.validators[3] as (typeof made.genesis.validators)[number];
  send("faucet", 0, { kind: "transfer", value: { to: fromHex(d.address), amount: 700n * TOKEN } });
  // More than there is: the receipt says so.
  send("faucet", 1, { kind: "transfer", value: { to: fromHex(d.address), amount: 2n ** 60n } });
  assert.ok(await reached(3));
  const empty = new Uint8Array(0);
  send("d", 0, {
    kind: "bond",
    value: {
      amount: 600n * TOKEN,
      consensusKey: fromHex(d.consensusKey),
      vrfKey: fromHex(d.vrfKey),
      institution: fromHex(d.institution),
      certificate: empty,
      moniker: empty,
      possession: new Uint8Array(64),
    },
  });
  assert.ok(await reached(HEIGHT));
  return made;
}

/** The home of `a` as its node would have left it. */
async function homeOf(made: World, dir: string): Promise<HomePaths> {
  const paths = homePaths(dir);
  mkdirSync(join(dir, "config"), { recursive: true });
  mkdirSync(paths.data);
  writeGenesis(paths, made.genesis);
  const { blocks, blobs } = made.disks.get("a") as NonNullable<ReturnType<World["disks"]["get"]>>;
  const store = await openStore(await openDatabase(paths.chain), {
    genesisHash: made.hash,
    genesisState: () => State.genesis(made.genesis),
    path: paths.chain,
  });
  for (const { certified, receipts, head } of blocks.slice(0, HEIGHT)) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  await store.close();
  // Not by the blob store, which flushes each.
  mkdirSync(paths.blobs);
  for (const [root, bytes] of blobs) writeFileSync(join(paths.blobs, root.slice(2)), bytes);
  return paths;
}

/** Every file of a folder with its time and bytes. */
function snapshot(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((f) => f.isFile())
    .map((f) => join(f.parentPath, f.name))
    .sort()
    .map((f) => `${f} ${statSync(f).mtimeMs} ${readFileSync(f).toString("base64")}`);
}

/** Replaces a value under a checksum that is right again; undefined deletes it. */
async function forge(paths: HomePaths, key: Uint8Array, change: (value: Uint8Array) => Uint8Array | undefined) {
  const db = await openDatabase(paths.chain);
  const value = change(openRecord(key, (await db.get(key)) as Uint8Array));
  if (value) await db.put(key, sealRecord(key, value));
  else await db.del(key);
  await db.close();
}

const certified = (change: (c: CertifiedBlock) => void) => (value: Uint8Array) => {
  const c = CertifiedBlock.deserialize(value);
  change(c);
  return CertifiedBlock.serialize(c);
};

const fileOf = (paths: HomePaths, root: Uint8Array) => join(paths.blobs, toHex(root).slice(2));

type Damage = {
  readonly id: string;
  readonly damage: (paths: HomePaths, made: World) => Promise<void>;
  readonly code?: string;
  readonly says: RegExp;
};

const opening = (made: World, height: number, i = 0) =>
  made.certified("a", height)?.block.learning[0]?.openings[i]?.blobRoot as Uint8Array;

const DAMAGES: Damage[] = [
  {
    id: "two signatures of a certificate swapped",
    damage: (paths) =>
      forge(
        paths,
        layout.block(4),
        certified(({ commit: { signatures } }) => {
          const [one, two] = signatures as [(typeof signatures)[number], (typeof signatures)[number]];
          [one.signature, two.signature] = [two.signature, one.signature];
        }),
      ),
    says: /^height 4: .*the signature of validator \d is bad; .*data\/chain/,
  },
  {
    id: "a certificate without a quorum",
    damage: (paths) =>
      forge(
        paths,
        layout.block(HEIGHT),
        certified(({ commit }) => commit.signatures.splice(2)),
      ),
    says: /^height 9: .*more than two thirds are needed/,
  },
  {
    id: "a transaction changed under its header",
    damage: (paths) =>
      forge(
        paths,
        layout.block(1),
        certified(({ block }) => {
          (block.txs[0] as (typeof block.txs)[number]).body.fee += 1n;
        }),
      ),
    says: /^height 1: .*(TX_|txRoot)/,
  },
  {
    id: "more pay in a round result",
    damage: (paths) =>
      forge(
        paths,
        layout.block(5),
        certified(({ block }) => {
          const learning = block.learning[0] as (typeof block.learning)[number];
          (learning.result.updates[0] as (typeof learning.result.updates)[number]).pay += 1n;
        }),
      ),
    says: /^height 5: its round result is not the header's/,
  },
  {
    id: "a head block of one's own making, with everything that names it",
    damage: async (paths) => {
      let id: Hash = new Uint8Array(32);
      await forge(
        paths,
        layout.block(HEIGHT),
        certified((c) => {
          c.block.header.time += 1;
          id = blockId(c.block.header);
          c.commit.blockId = id;
        }),
      );
      await forge(paths, layout.head, (value) => Buffer.concat([value.subarray(0, 8), id]));
    },
    says: /^height 9: .*signature/,
  },
  {
    id: "a receipt that says done",
    damage: (paths, made) => {
      const at = [1, 2, 3].find((h) => (made.certified("a", h)?.block.txs.length ?? 0) > 1) as number;
      return forge(paths, layout.receipts(at), (value) => {
        const [first, second] = ReceiptList.deserialize(value) as [ReceiptItem, ReceiptItem];
        assert.is.not(second.code, 0);
        return ReceiptList.serialize([first, { ...second, code: 0 }]);
      });
    },
    says: /^height [123]: the stored receipt of transaction 0x/,
  },
  {
    id: "no receipts",
    damage: (paths) => forge(paths, layout.receipts(6), () => undefined),
    code: "CORRUPT_RECORD",
    says: /^height 6: record r0+6 of the database is missing, though its block is there/,
  },
  {
    id: "a validator set",
    damage: (paths) =>
      forge(paths, layout.validators(1), (value) => {
        const set = ValidatorSet.deserialize(value);
        (set[0] as (typeof set)[number]).power += 1n;
        return ValidatorSet.serialize(set);
      }),
    code: "CORRUPT_RECORD",
    says: /^height 1: .*is not the validator set of block 1/,
  },
  {
    id: "an index that leads to another height",
    damage: (paths, made) =>
      forge(paths, layout.id(blockId(made.certified("a", 7)?.block.header as never)), () => Buffer.alloc(8, 0)),
    says: /^height 7: the index of block hashes/,
  },
  {
    id: "an account of the state",
    damage: (paths) =>
      forge(paths, layout.record("accounts", 0), (value) => {
        const account = Account.deserialize(value);
        return Account.serialize({ ...account, balance: account.balance + 1n });
      }),
    code: "CORRUPT_RECORD",
    says: /^height 9: .*state are not those of block 9/,
  },
  {
    id: "another block in the place of one",
    damage: async (paths) => {
      let other: Uint8Array | undefined;
      await forge(paths, layout.block(3), (value) => {
        other = value;
        return value;
      });
      await forge(paths, layout.block(6), () => other);
    },
    code: "DATABASE_HOLE",
    says: /6 \(not linked\)/,
  },
  {
    id: "no head block",
    damage: (paths) => forge(paths, layout.block(HEIGHT), () => undefined),
    code: "DATABASE_HOLE",
    says: /9 \(missing\)/,
  },
  {
    id: "no record of the head",
    damage: (paths) => forge(paths, layout.head, () => undefined),
    code: "CORRUPT_RECORD",
    says: /is missing/,
  },
  {
    id: "an update's file",
    damage: async (paths, made) => writeFileSync(fileOf(paths, opening(made, 2)), new Uint8Array(6)),
    says: /^height 2: .*does not match its name; delete it/,
  },
  {
    id: "the model that the next round starts from",
    damage: async (paths, made) => {
      const root = made.certified("a", HEIGHT)?.block.header.modelRoot as Uint8Array;
      writeFileSync(fileOf(paths, root), new Uint8Array(12));
    },
    says: /^height 9: .*does not match its name/,
  },
];
type ReceiptItem = ReturnType<typeof ReceiptList.deserialize>[number];

test("a sound chain: everything recomputed, through a change of the validator set; every damage named with its height", () =>
  inFolder(async (folder) => {
    const made = await world();
    const whole = await homeOf(made, join(folder, "whole"));
    const roots = Array.from({ length: HEIGHT }, (_, i) => made.certified("a", i + 1)?.block.header.validatorsRoot);
    assert.ok(new Set(roots.map((r) => toHex(r as Uint8Array))).size > 1, "the set changes");

    const blobs = snapshot(whole.blobs);
    const heights: number[] = [];
    const report = await verifyHome(whole.dir, { onProgress: (height) => heights.push(height) });
    const { seconds, signatures, ...rest } = report;
    assert.ok(seconds > 0 && signatures >= 3 * (2 * HEIGHT - 1), `${signatures} signatures`);
    assert.equal(rest, {
      chainId: "test",
      genesisHash: toHex(made.hash),
      height: HEIGHT,
      headHash: toHex(made.certified("a", HEIGHT)?.commit.blockId as Uint8Array),
      stateRoot: toHex(made.certified("a", HEIGHT)?.block.header.stateRoot as Uint8Array),
      blocks: HEIGHT,
      from: 1,
      transactions: 3,
      rounds: { recomputed: HEIGHT, fromCertificate: 0, ranges: [{ from: 1, to: HEIGHT, source: "recomputed" }] },
      redactions: 0,
      lostReceipts: [],
    } satisfies Omit<VerifyReport, "seconds" | "signatures">);
    assert.equal(
      heights,
      Array.from({ length: HEIGHT }, (_, i) => i + 1),
    );
    assert.equal(snapshot(whole.blobs), blobs, "no blob is touched");
    assert.not(readdirSync(whole.data).some(isLock));

    for (const { id, damage, code, says } of DAMAGES) {
      const paths = homePaths(join(folder, "copy"));
      cpSync(whole.dir, paths.dir, { recursive: true });
      await damage(paths, made);
      const error = (await refused(() => verifyHome(paths.dir), code ?? "VERIFY_FAILED")) as PoflError;
      assert.match(error.message, says, id);
      if (code === undefined) assert.is(`height ${error.data.height}:`, error.message.split(" ", 2).join(" "), id);
      assert.not(readdirSync(paths.data).some(isLock), `${id}: the lock is given back`);
      rmSync(paths.dir, { recursive: true });
    }
    const { code, stdout, stderr } = await cli(["verify", "--home", whole.dir, "--json"]);
    assert.is(code, 0, stderr);
    assert.equal({ ...JSON.parse(stdout), seconds }, { ok: true, ...report });
  }));

test("rounds whose files are gone are read from certificates, and the report says which", () =>
  inFolder(async (folder) => {
    const made = await world();
    const { dir, ...paths } = await homeOf(made, join(folder, "home"));
    const ranges = async () => (await verifyHome(dir)).rounds.ranges.map((r) => `${r.source} ${r.from}-${r.to}`);
    const modelAfter = (height: number) => made.certified("a", height)?.block.header.modelRoot as Uint8Array;
    // Its model is known from the height before, or from the task.
    for (const height of [2, 5]) rmSync(fileOf({ dir, ...paths }, modelAfter(height)));
    assert.equal(await ranges(), [`recomputed 1-${HEIGHT}`]);
    // Both rounds that an update takes part in: its own, and the next, which pays for what is new.
    rmSync(fileOf({ dir, ...paths }, opening(made, 4, 1)));
    // After them the model of 5 is in no file, and was not computed: 6 is lost too.
    assert.equal(await ranges(), ["recomputed 1-3", "certificate 4-6", `recomputed 7-${HEIGHT}`]);
    const human = await cli(["verify", "--home", dir]);
    assert.match(human.stdout, /6 recomputed .*: heights 1–3, 7–9\n.*3 read from certificates.*: heights 4–6\n/);
    for (const height of [1, 2, 3, 5, 8]) await forge({ dir, ...paths }, layout.receipts(height), () => LOST_RECEIPTS);
    const lost = await cli(["verify", "--home", dir]);
    assert.match(lost.stdout, /\nReceipts {2}of 5 blocks are not here and could not be compared: heights 1–3, 5, 8\n/);
    rmSync(paths.blobs, { recursive: true });
    assert.equal(await ranges(), [`certificate 1-${HEIGHT}`]);
    assert.not(existsSync(paths.blobs));
  }));

test("what can't be verified is one line with a code, and nothing is made", () =>
  inFolder(async (folder) => {
    const paths = homePaths(join(folder, "home"));
    await refused(() => verifyHome(paths.dir), "NO_HOME");
    mkdirSync(join(paths.dir, "config"), { recursive: true });
    await refused(() => verifyHome(paths.dir), "NO_GENESIS");
    const genesis = testGenesis(NAMES);
    writeGenesis(paths, genesis);
    await refused(() => verifyHome(paths.dir), "NO_CHAIN");
    assert.not(existsSync(paths.data));
    // A database that was opened and not begun.
    await (await openDatabase(paths.chain)).close();
    await refused(() => verifyHome(paths.dir), "NO_CHAIN");

    const fresh = await openStore(await openDatabase(paths.chain), {
      genesisHash: new World({ names: [], genesis, seed: 1 }).hash,
      genesisState: () => State.genesis(genesis),
      path: paths.chain,
    });
    const busy = await refused(() => verifyHome(paths.dir), "DATABASE_LOCKED");
    assert.match(busy.message, /stop that node first/);
    await fresh.close();
    const report = await verifyHome(paths.dir);
    assert.is(report.height, 0);
    assert.is(report.headHash, report.genesisHash);

    const unlock = takeLock(paths.lock);
    const { code, stdout, stderr } = await cli(["verify", "--home", paths.dir, "--json"]);
    unlock();
    assert.is(code, 1);
    assert.is(stdout, "");
    assert.match(stderr, /^pofl: .*stop it.*\[HOME_LOCKED\]\n$/);
    writeFileSync(paths.genesis, JSON.stringify({ ...genesis, chainId: "another" }));
    await refused(() => verifyHome(paths.dir), "FOREIGN_DATABASE");
  }));

test.run();
