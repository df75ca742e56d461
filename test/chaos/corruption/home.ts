import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyPair } from "../../../crypto/ed25519.ts";
import { sealSecret } from "../../../crypto/keystore.ts";
import { joinSidecar, recordCommitment } from "../../../crypto/record.ts";
import { loadConfig } from "../../../node/config.ts";
import { Holdings } from "../../../node/custodian/holdings.ts";
import { openVault } from "../../../node/custodian/vault.ts";
import { createCustodianKey, createHome, openHome, writeGenesis } from "../../../node/home.ts";
import { accountText } from "../../../node/keyfiles.ts";
import { compareWithLastStart, lastStart } from "../../../node/laststart.ts";
import { placeName } from "../../../node/records/files.ts";
import { openDatabase } from "../../../node/store/database.ts";
import { openJournal } from "../../../node/store/journal.ts";
import { toHex } from "../../../types/primitives.ts";
import { type CrashLog, testKeys, type World } from "../../consensus/world.ts";
import { grownWorld, openGrown } from "../../node/grown.ts";
import { Chance } from "../../sim/clock.ts";

/** A home with every kind of file that a node of a hospital that is a custodian has. */

const HEIGHT = 24;
/** Blocks that have become a table; those after them are in the log. */
const IN_TABLE = 16;

export type Kind =
  | "config.toml"
  | "genesis.json"
  | "node_key"
  | "validator_key"
  | "validator_key, sealed"
  | "custodian_key"
  | "account"
  | "last_start.json"
  | "custodian vault"
  | "custodian.sessions"
  | "signer.state"
  | "consensus.wal"
  | "LevelDB log"
  | "LevelDB table"
  | "LevelDB MANIFEST"
  | "LevelDB CURRENT"
  | "blob"
  | "record";

/** Files of each kind, relative to the home. */
export type Template = {
  readonly dir: string;
  readonly world: World;
  readonly files: Readonly<Record<Kind, readonly string[]>>;
};

export const PASSWORD = "correct horse";
export const SEALED = "sealed_key";

export async function makeHome(dir: string): Promise<Template> {
  const world = await grownWorld(HEIGHT, 12);
  // Into the next height, so that something is signed for which the height is not over.
  await world.run(430, () => false);
  const chance = new Chance(5);
  const { paths } = await createHome(dir, {
    node: { moniker: "north" },
    p2p: { listen: "/ip4/127.0.0.1/tcp/0" },
    rpc: { listen: "127.0.0.1:0" },
    metrics: { listen: "" },
  });
  writeGenesis(paths, world.genesis);
  // Of the machine whose disk this is: another's keys would not repeat what it has signed.
  const hex = (of: "secret" | "publicKey") =>
    Object.fromEntries(Object.entries(testKeys("a")).map(([name, pair]) => [name, toHex(pair[of])]));
  writeFileSync(paths.validatorKey, `${JSON.stringify({ ...hex("secret"), publicKeys: hex("publicKey") }, null, 2)}\n`);
  await createCustodianKey(paths);
  writeFileSync(
    join(dir, "config", SEALED),
    sealSecret(readFileSync(paths.validatorKey, "utf8"), PASSWORD, { logN: 10 }),
  );
  mkdirSync(paths.accounts);
  writeFileSync(join(paths.accounts, "lab.json"), await accountText(keyPair(chance.bytes(32)), ""));

  const disk = world.disks.get("a") as NonNullable<ReturnType<World["disks"]["get"]>>;
  let store = await openGrown(world, await openDatabase(paths.chain), { path: paths.chain });
  for (const [i, { certified, receipts, head }] of disk.blocks.entries()) {
    if (i === IN_TABLE) {
      // Opening makes a table of the log.
      await store.close();
      store = await openGrown(world, await openDatabase(paths.chain), { path: paths.chain });
    }
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  // As a kill leaves it.
  cpSync(paths.chain, `${paths.chain}.killed`, { recursive: true });
  await store.close();
  rmSync(paths.chain, { recursive: true });
  renameSync(`${paths.chain}.killed`, paths.chain);

  journal(join(paths.data, "signer.state"), disk.signer);
  journal(join(paths.data, "consensus.wal"), disk.wal);
  journal(join(paths.data, "custodian.sessions"), { entries: [1, 2, 3].map(() => chance.bytes(96)) });
  mkdirSync(paths.blobs);
  for (const [root, bytes] of disk.blobs) writeFileSync(join(paths.blobs, root.slice(2)), bytes);
  const records = join(paths.data, "records");
  mkdirSync(records);
  for (let i = 0; i < 4; i++) {
    const sidecar = { salt: chance.bytes(32), body: chance.bytes(256 << i) };
    writeFileSync(
      join(records, placeName({ id: chance.bytes(32), cm: recordCommitment(sidecar) })),
      joinSidecar(sidecar),
    );
  }
  const home = await openHome(dir);
  const holdings = new Holdings(
    openVault(join(paths.data, "custodian"), home.custodian?.secret as Uint8Array, (n) => chance.bytes(n)),
  );
  holdings.keep({ ceremony: chance.bytes(32), epoch: 0, generation: 0, share: chance.bytes(32) });
  holdings.join(
    { epoch: 1, generation: 0, attempt: 0, keys: [chance.bytes(32), chance.bytes(32)], threshold: 2, dealers: [] },
    chance.bytes(32),
  );
  holdings.setConsents([{ request: chance.bytes(32), signature: chance.bytes(64) }]);
  compareWithLastStart(home, loadConfig(paths.config, {}), lastStart(home));

  const under = (folder: string, match: (name: string) => boolean) =>
    readdirSync(join(dir, folder))
      .filter(match)
      .map((name) => join(folder, name));
  const files: Template["files"] = {
    "config.toml": ["config/config.toml"],
    "genesis.json": ["config/genesis.json"],
    node_key: ["config/node_key"],
    validator_key: ["config/validator_key"],
    "validator_key, sealed": [`config/${SEALED}`],
    custodian_key: ["config/custodian_key"],
    account: ["accounts/lab.json"],
    "last_start.json": ["data/last_start.json"],
    "custodian vault": under("data/custodian", () => true),
    "custodian.sessions": ["data/custodian.sessions"],
    "signer.state": ["data/signer.state"],
    "consensus.wal": ["data/consensus.wal"],
    "LevelDB log": under("data/chain", (f) => /^\d+\.log$/.test(f)),
    "LevelDB table": under("data/chain", (f) => f.endsWith(".ldb")),
    "LevelDB MANIFEST": under("data/chain", (f) => f.startsWith("MANIFEST-")),
    "LevelDB CURRENT": ["data/chain/CURRENT"],
    blob: under("data/blobs", () => true),
    record: under("data/records", () => true),
  };
  for (const [kind, list] of Object.entries(files)) if (list.length === 0) throw new Error(`the home has no ${kind}`);
  return { dir, world, files };
}

function journal(path: string, log: Pick<CrashLog, "entries">): void {
  const made = openJournal(path);
  for (const entry of log.entries) made.append(entry, { sync: false });
  made.close();
}
