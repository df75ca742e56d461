import { join } from "node:path";
import type { Logger } from "pino";
import { genesisHead, type Head } from "../consensus/block/context.ts";
import { State } from "../vm/state.ts";
import type { Config } from "./config.ts";
import type { Home } from "./home.ts";
import { type JournalName, mustHaveSignerState, newSignerState, openHomeJournal } from "./journals.ts";
import { compareWithLastStart, lastStart } from "./laststart.ts";
import { type BlobStore, openBlobStore } from "./store/blobs.ts";
import { damagedFile, openDatabase } from "./store/database.ts";
import type { Journal } from "./store/journal.ts";
import { withRecent } from "./store/recent.ts";
import { openStore, type Store } from "./store/store.ts";

/** What a node finds in its home at its start. All that has changed or is damaged is said here. */

/** Updates and models kept in memory besides on disk. */
const RECENT_BLOB_BYTES = 64 * 1024 * 1024;

/** Remembers how to close a part. */
export type Opened = <T>(name: string, part: T, close: (part: T) => unknown) => T;

export type Stored = {
  readonly store: Store;
  readonly head: Head;
  readonly blobs: BlobStore;
  readonly signer: Journal;
  readonly wal: Journal;
  /** Only a custodian's: sessions that it has signed for. */
  readonly sessions: Journal | undefined;
};

/**
 * @param opened told of each part as soon as it is open
 * @throws PoflError FOREIGN_DATABASE, DATABASE_LOCKED, DATABASE_DAMAGED, DATABASE_HOLE, CORRUPT_RECORD, BAD_LAYOUT, CORRUPT_JOURNAL, SIGNER_STATE_MISSING, KEY_MISSING, disk errors
 */
export async function openStored(
  { home, config, log }: { readonly home: Home; readonly config: Config; readonly log: Pick<Logger, "warn"> },
  opened: Opened,
): Promise<Stored> {
  const { paths } = home;
  const warn = (damage: string) => log.warn(damagedFile(paths.chain, damage));
  const last = lastStart(home);
  mustHaveSignerState(paths.data, last.withThisKey ? last.path : undefined);
  const store = opened("the store", await openHomeStore(home, warn), (s) => s.close());
  const onDisk = openBlobStore(paths.blobs, (path) =>
    log.warn({ path }, "a stored blob is damaged; it was set aside and is pulled from peers when needed"),
  );
  const journal = (name: string, file: JournalName) => {
    const open = opened(name, openHomeJournal(paths.data, file), (j) => j.close());
    const path = join(paths.data, file);
    if (open.tornBytes > 0) log.warn({ path, bytes: open.tornBytes }, "cut off what a crash left unfinished");
    return open;
  };
  // Before the log and the record of this start: either of them without the signer's file means that the file was lost.
  const signer = journal("the signer state", "signer.state");
  for (const change of compareWithLastStart(home, config, last)) log.warn(change);
  const head = await loadHead(store, home);
  if (!last.ran && mayHaveSigned(head, home)) log.warn(newSignerState(paths.data, head.height));
  return {
    store,
    blobs: withRecent(onDisk, RECENT_BLOB_BYTES),
    signer,
    wal: journal("the consensus log", "consensus.wal"),
    sessions: home.custodian && journal("the custodian's sessions", "custodian.sessions"),
    head,
  };
}

/** The key counts on the chain, which others may have made: whether with this key nobody can tell here. */
function mayHaveSigned({ height, state }: Head, { keys }: Home): boolean {
  return height > 0 && state.bondedBy("consensusKey", keys.consensus.publicKey) !== undefined;
}

async function openHomeStore({ paths, genesis, genesisHash }: Home, warn: (damage: string) => void): Promise<Store> {
  const db = await openDatabase(paths.chain, warn);
  return openStore(db, {
    genesisHash,
    genesisState: () => State.genesis(genesis),
    path: paths.chain,
    acceptHoles: true,
  });
}

/** The last final block, from the store. */
async function loadHead(store: Store, { genesisHash }: Home): Promise<Head> {
  const { height, id } = store.head();
  const state = await store.loadState();
  if (height === 0) return genesisHead(genesisHash, state);
  const certified = await store.certified(height);
  const validators = await store.validators(height);
  if (!certified || !validators) throw new Error(`the store has no block ${height}, though it is its head`);
  return { height, id, header: certified.block.header, state, validators, commit: certified.commit };
}
