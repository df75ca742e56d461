import { basename, join } from "node:path";
import type { Logger } from "pino";
import { Wal } from "../../../consensus/engine/wal.ts";
import { SignGuard, SLOT_KINDS } from "../../../consensus/signer.ts";
import { joinSidecar } from "../../../crypto/record.ts";
import { type Config, loadConfig } from "../../../node/config.ts";
import { Holdings } from "../../../node/custodian/holdings.ts";
import { openVault } from "../../../node/custodian/vault.ts";
import { type Home, homePaths, openHome } from "../../../node/home.ts";
import { readAccountKey, readCustodianKey, readValidatorKey } from "../../../node/keyfiles.ts";
import { RecordFiles } from "../../../node/records/files.ts";
import { openBlobStore } from "../../../node/store/blobs.ts";
import { checkRecords } from "../../../node/store/check.ts";
import { openDatabase } from "../../../node/store/database.ts";
import { Records } from "../../../node/store/records.ts";
import { openStored, type Stored } from "../../../node/stored.ts";
import { isPoflError } from "../../../types/errors.ts";
import { fromHex, toHex } from "../../../types/primitives.ts";
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

/** What the node opens at its start, and what it says meanwhile. `work` gets both; all is closed afterwards. */
async function opened(
  dir: string,
  work: (stored: Stored, home: Home, config: Config, said: string[]) => Promise<string> | string,
): Promise<Seen> {
  const said: string[] = [];
  const closing: (() => unknown)[] = [];
  const warn = (...given: unknown[]) => {
    const text = given.map((g) => (typeof g === "string" ? g : json(g))).join(" ");
    // Every kill may leave that: what is left counts.
    if (!text.includes("cut off what a crash left unfinished")) said.push(text);
  };
  try {
    const config = loadConfig(homePaths(dir).config, {});
    const home = await openHome(dir);
    const stored = await openStored({ home, config, log: { warn: warn as Logger["warn"] } }, (_name, part, close) => {
      closing.unshift(() => close(part));
      return part;
    });
    return { said, meaning: await work(stored, home, config, said), refilled: false };
  } finally {
    for (const close of closing) await close();
  }
}

const settings = (_: Template, dir: string): Promise<Seen> =>
  opened(dir, (_stored, { genesis, keys, nodeKey, custodian }, config) =>
    json({ config, genesis, keys, nodeKey, custodian }),
  );

async function database({ world }: Template, dir: string): Promise<Seen> {
  const { chain } = homePaths(dir);
  const seen = await opened(dir, ({ store, head, wal }, _home, _config, said) => {
    // As node/refill.ts and consensus/engine/engine.ts do.
    for (const { from, to } of store.holes()) said.push(`${chain}: blocks ${from} to ${to} are fetched from peers`);
    if (new Wal(wal).lastHeight() > head.height + 1)
      said.push(`${chain}: the database ends early: it catches up from peers`);
    return "";
  });
  const db = await openDatabase(chain);
  const report = await checkRecords(new Records(db, chain), world.hash).finally(() => db.close());
  // What `pofl db check` finds must have been announced at the start.
  return { ...seen, meaning: json([report.headHash, report.damages]) };
}

const signer = (_: Template, dir: string): Promise<Seen> =>
  opened(dir, (stored, _home, _config, said) => {
    const wal = new Wal(stored.wal);
    const guard = new SignGuard(stored.signer);
    const height = wal.lastHeight();
    let adopted = 0;
    // As consensus/engine/height.ts does at its start.
    for (const entry of wal.replay(height)) if (entry.type === "signed" && guard.adopt(entry.slot)) adopted++;
    if (adopted > 0) said.push("signer.state: had lost messages; taken back from consensus.wal");
    return json([guard.height, ...SLOT_KINDS.map((k) => [k, guard.signed(k, height).map(toHex).sort()])]);
  });

/** Whatever the log has lost: the signer's file knows what was signed, and refuses what goes against it. */
async function wal(_: Template, dir: string): Promise<Seen> {
  const seen = await opened(dir, ({ wal: log }) => {
    new Wal(log).replay(new Wal(log).lastHeight());
    return json(log.entries);
  });
  return { ...seen, refilled: true };
}

/** Nonces are fresh in each process: what the file remembers is a second net under a source of randomness that repeats itself. */
async function sessions(_: Template, dir: string): Promise<Seen> {
  return { ...(await opened(dir, (stored) => json(stored.sessions?.entries))), refilled: true };
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
