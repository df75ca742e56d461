import { basename, join } from "node:path";
import { Wal } from "../../../consensus/engine/wal.ts";
import { SignGuard, SLOT_KINDS } from "../../../consensus/signer.ts";
import { joinSidecar } from "../../../crypto/record.ts";
import { loadConfig } from "../../../node/config.ts";
import { Holdings } from "../../../node/custodian/holdings.ts";
import { openVault } from "../../../node/custodian/vault.ts";
import { homePaths, openHome } from "../../../node/home.ts";
import { openHomeJournal } from "../../../node/journals.ts";
import { readAccountKey, readCustodianKey, readValidatorKey } from "../../../node/keyfiles.ts";
import { compareWithLastStart } from "../../../node/laststart.ts";
import { RecordFiles } from "../../../node/records/files.ts";
import { openBlobStore } from "../../../node/store/blobs.ts";
import { checkRecords } from "../../../node/store/check.ts";
import { damagedFile, openDatabase } from "../../../node/store/database.ts";
import type { Journal } from "../../../node/store/journal.ts";
import { Records } from "../../../node/store/records.ts";
import { isPoflError } from "../../../types/errors.ts";
import { fromHex, toHex } from "../../../types/primitives.ts";
import { openGrown } from "../../node/grown.ts";
import type { Kind, Template } from "./home.ts";
import { PASSWORD, SEALED } from "./home.ts";

/** What a node makes of a home: what it says, and what the file in question means to it. */

export type Seen = {
  /** Refusals and warnings. */
  readonly said: readonly string[];
  /** What was read, in a canonical form. */
  readonly meaning: string;
  /** What is not here any more comes back: from peers, or from another file. */
  readonly refilled: boolean;
};

/** Looks at what a kind of file is for. Never throws for what the program foresees. */
export async function look(kind: Kind, home: Template, dir: string, file: string): Promise<Seen> {
  try {
    return await LOOKS[kind](home, dir, file);
  } catch (error) {
    if (!isPoflError(error)) throw error;
    return { said: [`${error.code}: ${error.message}`], meaning: "", refilled: false };
  }
}

const json = (value: unknown) =>
  JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array ? toHex(v) : v));

/** As `pofl start` reads what is in config/. */
async function settings({ world }: Template, dir: string): Promise<Seen> {
  const paths = homePaths(dir);
  const config = loadConfig(paths.config, {});
  const home = await openHome(dir);
  if (toHex(home.genesisHash) !== toHex(world.hash)) {
    const db = await openDatabase(paths.chain);
    await openGrown(world, db, { genesisHash: home.genesisHash, path: paths.chain }).finally(() => db.close());
  }
  const { genesis, keys, nodeKey, custodian } = home;
  return {
    said: compareWithLastStart(home, config),
    meaning: json({ config, genesis, keys, nodeKey, custodian }),
    refilled: false,
  };
}

async function database({ world }: Template, dir: string): Promise<Seen> {
  const { chain, data } = homePaths(dir);
  const said: string[] = [];
  const opened = await openDatabase(chain, (damage) => said.push(damagedFile(chain, damage)));
  let height: number;
  try {
    const store = await openGrown(world, opened, { path: chain, acceptHoles: true });
    height = store.head().height;
    await store.loadState();
    for (const { from, to } of store.holes()) said.push(`${chain}: blocks ${from} to ${to} are fetched from peers`);
  } finally {
    await opened.close();
  }
  const db = await openDatabase(chain);
  const report = await checkRecords(new Records(db, chain), world.hash).finally(() => db.close());
  const wal = closed(openHomeJournal(data, "consensus.wal"));
  if (new Wal(wal).lastHeight() > height + 1)
    said.push(`${chain}: the database ends below the consensus log: it catches up from peers`);
  // What `pofl db check` finds must have been announced at the start.
  return { said, meaning: json([report.headHash, report.damages]), refilled: false };
}

function closed(journal: Journal): Journal {
  journal.close();
  return journal;
}

async function signer(_: Template, dir: string): Promise<Seen> {
  const { data } = homePaths(dir);
  const path = join(data, "signer.state");
  const state = openHomeJournal(data, "signer.state");
  const wal = new Wal(closed(openHomeJournal(data, "consensus.wal")));
  const said: string[] = [];
  try {
    const guard = new SignGuard(state);
    const height = wal.lastHeight();
    let adopted = 0;
    // As consensus/engine/height.ts does at its start.
    for (const entry of wal.replay(height)) if (entry.type === "signed" && guard.adopt(entry.slot)) adopted++;
    if (adopted > 0) said.push(`${path}: had lost messages; taken back from consensus.wal`);
    return {
      said,
      meaning: json([guard.height, ...SLOT_KINDS.map((k) => [k, guard.signed(k, height).map(toHex).sort()])]),
      refilled: false,
    };
  } finally {
    state.close();
  }
}

async function wal(_: Template, dir: string): Promise<Seen> {
  const log = closed(openHomeJournal(homePaths(dir).data, "consensus.wal"));
  const height = new Wal(log).lastHeight();
  new Wal(log).replay(height);
  // Whatever is not here any more: the signer's file knows what was signed, and refuses what goes against it.
  return { said: [], meaning: json(log.entries), refilled: true };
}

async function sessions(_: Template, dir: string): Promise<Seen> {
  const log = closed(openHomeJournal(homePaths(dir).data, "custodian.sessions"));
  // Nonces are fresh in each process: what the file remembers is a second net under a source of randomness that repeats itself.
  return { said: [], meaning: json(log.entries), refilled: true };
}

async function vault(_: Template, dir: string): Promise<Seen> {
  const { custodianKey, data } = homePaths(dir);
  const { secret } = await readCustodianKey(custodianKey);
  const holdings = new Holdings(openVault(join(data, "custodian"), secret, (n) => new Uint8Array(n)));
  return { said: [], meaning: json([holdings.joined(), holdings.shares(), holdings.consents()]), refilled: false };
}

async function blob(_: Template, dir: string, file: string): Promise<Seen> {
  const said: string[] = [];
  const blobs = openBlobStore(homePaths(dir).blobs, (path) =>
    said.push(`${path}: damaged, set aside, pulled from peers when needed`),
  );
  const bytes = await blobs.get(fromHex(`0x${basename(file)}`, 32));
  return { said, meaning: bytes ? toHex(bytes) : "", refilled: bytes === undefined };
}

async function record(_: Template, dir: string, file: string): Promise<Seen> {
  const files = await RecordFiles.open(join(homePaths(dir).data, "records"));
  const [id, cm] = basename(file)
    .split(".")
    .map((hex) => fromHex(`0x${hex}`, 32)) as [Uint8Array, Uint8Array];
  const found = await files.read({ id, cm });
  // A wrong one is gone now, and asked for again.
  return { said: [], meaning: found ? toHex(joinSidecar(found)) : "", refilled: !found && !files.has({ id, cm }) };
}

const LOOKS: Readonly<Record<Kind, (home: Template, dir: string, file: string) => Promise<Seen>>> = {
  "config.toml": settings,
  "genesis.json": settings,
  node_key: settings,
  validator_key: settings,
  custodian_key: settings,
  "last_start.json": settings,
  "validator_key, sealed": async (_, dir) => {
    const keys = await readValidatorKey(join(dir, "config", SEALED), () => PASSWORD);
    return { said: [], meaning: json(keys), refilled: false };
  },
  account: async (_, dir) => {
    const keys = await readAccountKey(join(homePaths(dir).accounts, "lab.json"));
    return { said: [], meaning: json(keys), refilled: false };
  },
  "custodian vault": vault,
  "custodian.sessions": sessions,
  "signer.state": signer,
  "consensus.wal": wal,
  "LevelDB log": database,
  "LevelDB table": database,
  "LevelDB MANIFEST": database,
  "LevelDB CURRENT": database,
  blob,
  record,
};
