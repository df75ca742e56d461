import { existsSync } from "node:fs";
import { idKey } from "../consensus/bft/votes.ts";
import { verifyCommit } from "../consensus/block/commit.ts";
import { genesisHead, type Head, type HeightContext, heightContext } from "../consensus/block/context.ts";
import { type Derived, validateBlock } from "../consensus/block/derive.ts";
import type { ResultSource } from "../consensus/block/learn.ts";
import { modelBytes, modelFromBytes } from "../consensus/round/model.ts";
import { blobRoot } from "../crypto/blob.ts";
import { txId } from "../crypto/domain.ts";
import { type Genesis, genesisHash } from "../genesis/genesis.ts";
import { initialModel } from "../genesis/model.ts";
import { type Block, blockId, type CertifiedBlock, Receipt } from "../types/block.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../types/primitives.ts";
import type { Learning } from "../types/round.ts";
import { TX_KINDS } from "../types/tx.ts";
import { State } from "../vm/state.ts";
import { homePaths, readGenesis } from "./home.ts";
import { takeLock } from "./lock.ts";
import { verifyHistory } from "./snapshots/history.ts";
import { readBlob } from "./store/blobs.ts";
import { damagedFile, mustHaveDatabase, noChain, openDatabase } from "./store/database.ts";
import { openStore, type Store } from "./store/store.ts";
import { VrfAhead } from "./vrf/ahead.ts";
import { BlockReader } from "./vrf/reader.ts";

/**
 * Verifies a stored chain again from its genesis file, height by height, with the code that judges a new block: nothing that the
 * database says is taken for true but what the genesis file, signatures and roots vouch for. A round whose updates and model are still in
 * the blob folder is recomputed; of any other the result is what more than two thirds of the stake signed, and the report says which.
 */

/** Consecutive rounds whose result came from the same place; blocks without learning in between don't part them. Inclusive. */
export type RoundRange = { readonly from: number; readonly to: number; readonly source: "recomputed" | "certificate" };

/** What was verified; hashes as 0x…. */
export type VerifyReport = {
  readonly chainId: string;
  readonly genesisHash: string;
  readonly height: number;
  /** That of genesis at height 0. */
  readonly headHash: string;
  readonly stateRoot: string;
  readonly blocks: number;
  /**
   * 1: every block was replayed from genesis. Else the home began with a snapshot and lacks the blocks below this height: of those that it has, certificates, links and
   * bodies were verified, and that the state is the head's; what came of transactions and rounds was not.
   */
  readonly from: number;
  /** In certificates: those stored with the blocks, and those that the next blocks carry. */
  readonly signatures: number;
  readonly transactions: number;
  readonly rounds: {
    readonly recomputed: number;
    readonly fromCertificate: number;
    readonly ranges: readonly RoundRange[];
  };
  /** Edits of records that were executed. */
  readonly redactions: number;
  /** Heights whose receipts are not here, so that there was nothing to compare: blocks that the disk had lost, or from before a snapshot. */
  readonly lostReceipts: readonly number[];
  readonly seconds: number;
};

export type VerifyOptions = {
  readonly onProgress?: (height: number, head: number) => void;
  /** Told of damaged files of the database that could be opened all the same, a sentence for each. */
  readonly onDamage?: (what: string) => void;
};

/** What is verified, and against which genesis. */
export type VerifyParts = {
  readonly genesis: Genesis;
  readonly store: Store;
  /** A blob by its root, undefined if it is not here. @throws PoflError BLOB_DAMAGED */
  readonly blob: (root: Hash) => Promise<Uint8Array | undefined>;
};

/**
 * Verifies the chain in a home whose node is stopped. Keys are not read, blobs stay as they are; LevelDB can't be opened for reading alone and
 * tidies its own files (the log becomes a table), which changes no record.
 * @throws PoflError VERIFY_FAILED with the height; NO_HOME, NO_GENESIS, BAD_JSON, BAD_GENESIS; NO_CHAIN; HOME_LOCKED or DATABASE_LOCKED
 *   while a node runs; FOREIGN_DATABASE, BAD_LAYOUT, DATABASE_HOLE, DATABASE_DAMAGED, CORRUPT_RECORD and disk errors
 */
export async function verifyHome(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const paths = homePaths(dir);
  if (!existsSync(paths.dir)) {
    throw new PoflError("NO_HOME", `${paths.dir}: no such folder; give the --home of a node`, { file: paths.dir });
  }
  const genesis = readGenesis(paths.genesis);
  mustHaveDatabase(paths.chain);
  const unlock = takeLock(paths.lock);
  try {
    const warn = (what: string) => options.onDamage?.(damagedFile(paths.chain, what));
    const store = await openStore(await openDatabase(paths.chain, warn), {
      genesisHash: genesisHash(genesis),
      genesisState: () => {
        throw noChain(paths.chain);
      },
      path: paths.chain,
      depth: Number.POSITIVE_INFINITY,
    });
    try {
      return await verifyChain({ genesis, store, blob: (root) => readBlob(paths.blobs, root) }, options);
    } finally {
      await store.close();
    }
  } finally {
    unlock();
  }
}

/**
 * Verifies all that `store` holds, a few heights in memory at a time.
 * @throws PoflError VERIFY_FAILED with the height; what the store throws, with the height
 */
export async function verifyChain(parts: VerifyParts, { onProgress }: VerifyOptions = {}): Promise<VerifyReport> {
  const started = performance.now();
  const { genesis, store } = parts;
  const hash = genesisHash(genesis);
  const stored = store.head();
  const from = 1 + (store.holes()[0]?.to ?? 0);
  if (from > 1) return verifySnapshot(parts, from, started, onProgress);
  const counts = { signatures: 0, transactions: 0, redactions: 0 };
  const rounds = {
    recomputed: 0,
    fromCertificate: 0,
    ranges: [] as { -readonly [K in keyof RoundRange]: RoundRange[K] }[],
  };
  const lostReceipts: number[] = [];
  let head = genesisHead(hash, State.genesis(genesis));
  let model: KnownModel | undefined;
  const ahead = new VrfAhead();
  const reader = new BlockReader((h) => store.certified(h), ahead, head.state.seed, stored.height);
  const one = async (parent: Head, known: KnownModel | undefined) => {
    const certified = await reader.take(parent.state);
    return verifyHeight(parts, heightContext(parent, genesis, hash, ahead.verify), certified, known);
  };
  try {
    while (head.height < stored.height) {
      const height = head.height + 1;
      const parent = head;
      const next = await atHeight(height, () => one(parent, model));
      head = next.head;
      model = next.model ?? model;
      const { block } = next;
      counts.signatures += head.commit.signatures.length + block.lastCommit.signatures.length;
      counts.transactions += block.txs.length;
      counts.redactions += next.redactions;
      if (next.lostReceipts) lostReceipts.push(height);
      if (next.source) {
        rounds[next.source === "recomputed" ? "recomputed" : "fromCertificate"]++;
        const last = rounds.ranges.at(-1);
        if (last?.source === next.source) last.to = height;
        else rounds.ranges.push({ from: height, to: height, source: next.source });
      }
      onProgress?.(height, stored.height);
    }
  } finally {
    await ahead.rest();
  }
  await atHeight(head.height, () => checkHead(parts, head));
  return {
    chainId: genesis.chainId,
    genesisHash: toHex(hash),
    height: head.height,
    headHash: toHex(head.id),
    stateRoot: toHex(head.state.root()),
    blocks: head.height,
    from,
    ...counts,
    rounds,
    lostReceipts,
    seconds: Math.round(performance.now() - started) / 1000,
  };
}

/** As far as it goes without the state that the blocks here began with. */
async function verifySnapshot(
  { genesis, store, blob }: VerifyParts,
  from: number,
  started: number,
  onProgress: VerifyOptions["onProgress"],
): Promise<VerifyReport> {
  const { height, id } = store.head();
  const { rounds, ...counts } = await verifyHistory(genesis, store, from, atHeight, (h) => onProgress?.(h, height));
  return atHeight(height, async () => {
    // Compares its root with the head's header.
    const state = await store.loadState();
    for (const { record } of state.tasks()) await blob(record.modelRoot);
    const ranges = rounds.length > 0 ? [{ from: rounds[0] as number, to: rounds.at(-1) as number }] : [];
    return {
      chainId: genesis.chainId,
      genesisHash: toHex(genesisHash(genesis)),
      height,
      headHash: toHex(id),
      stateRoot: toHex(state.root()),
      blocks: height - from + 1,
      from,
      ...counts,
      redactions: 0,
      rounds: {
        recomputed: 0,
        fromCertificate: rounds.length,
        ranges: ranges.map((r) => ({ ...r, source: "certificate" as const })),
      },
      lostReceipts: [],
      seconds: Math.round(performance.now() - started) / 1000,
    };
  });
}

/** What a verified height leaves to the next. */
type Verified = {
  readonly head: Head;
  readonly block: Block;
  readonly source: RoundRange["source"] | undefined;
  readonly model: KnownModel | undefined;
  readonly redactions: number;
  readonly lostReceipts: boolean;
};

/** A model that was computed here, and its root. */
type KnownModel = { readonly root: Hash; readonly value: Int32Array };

async function verifyHeight(
  parts: VerifyParts,
  ctx: HeightContext,
  certified: CertifiedBlock | undefined,
  known: KnownModel | undefined,
): Promise<Verified> {
  const { height, validators } = ctx;
  if (!certified) return failed("the block is missing");
  const { block, commit } = certified;
  verifyCommit(ctx.genesisHash, validators, height, blockId(block.header), commit);
  const learning = block.learning[0];
  const source = learning && (await collect(parts, ctx, learning, known));
  const derived = validateBlock(ctx, block, source ?? { from: "certificate", result: learning?.result });
  const receipts = await checkRecords(parts.store, derived);
  const edits = block.txs.filter(
    ({ body }, i) => TX_KINDS[body.payload.selector] === "redact-execute" && derived.receipts[i]?.code === 0,
  );
  return {
    head: { height, id: derived.id, header: block.header, state: derived.state, validators, commit },
    block,
    source: learning && (source ? "recomputed" : "certificate"),
    model: learning && derived.model && { root: learning.result.modelRoot, value: derived.model },
    redactions: edits.length,
    lostReceipts: receipts === "lost",
  };
}

/**
 * Everything that a round is recomputed from: the model before it, its updates and those of the round before. Undefined if any is not
 * here; all that are here are read, so that a damaged file shows.
 */
async function collect(
  { blob }: VerifyParts,
  { task, spec }: HeightContext,
  learning: Learning,
  known: KnownModel | undefined,
): Promise<ResultSource | undefined> {
  if (!task || !spec) return undefined;
  const blobs = new Map<string, Uint8Array>();
  const roots = [...learning.openings, ...(learning.openings.length > 0 ? task.recorded : [])].map((o) => o.blobRoot);
  let missing = false;
  for (const root of roots) {
    const bytes = blobs.get(idKey(root)) ?? (await blob(root));
    if (bytes) blobs.set(idKey(root), bytes);
    else missing = true;
  }
  const stored = await blob(task.modelRoot);
  if (missing) return undefined;
  const model = stored ? modelFromBytes(stored) : withoutFile(task.modelRoot, known, () => initialModel(spec, task.id));
  return model && { from: "blobs", model, blob: (root) => blobs.get(idKey(root)) };
}

/** A model that no file holds may have been computed a height before, or be the one that its task begins with. */
function withoutFile(root: Hash, known: KnownModel | undefined, initial: () => Int32Array): Int32Array | undefined {
  if (known && bytesEqual(known.root, root)) return known.value;
  const first = initial();
  return bytesEqual(blobRoot(modelBytes(first)), root) ? first : undefined;
}

/**
 * What the store says beside the block: receipts, the set that decided, and the ways to find block and transactions. Receipts may be noted
 * as lost: then nothing false is said of them, and what they were was derived here again.
 */
async function checkRecords(store: Store, { block, id, receipts }: Derived): Promise<"stored" | "lost"> {
  const { height } = block.header;
  const [stored, set, named] = await Promise.all([
    // Throws where they are missing and nothing says that they are lost.
    store.receipts(height),
    // Compared with the header there, and that has been with what was derived.
    store.validators(height),
    store.heightOf(id),
  ]);
  // Of blocks before a snapshot the sets may be forgotten; the header has named them, and that was derived.
  if (!set && height >= store.base()) failed("its validator set is missing");
  if (named !== height) failed("the index of block hashes does not name it");
  if (stored && stored.length !== receipts.length) {
    failed(`${stored.length} receipts are stored of ${receipts.length} transactions`);
  }
  for (const [i, receipt] of stored ? receipts.entries() : []) {
    if (!Receipt.equals((stored as readonly Receipt[])[i] as Receipt, receipt)) {
      failed(`the stored receipt of transaction ${toHex(receipt.tx)} is not what came of it`);
    }
  }
  for (const [index, { body }] of block.txs.entries()) {
    const tx = txId(body);
    const place = await store.tx(tx);
    if (place?.height !== height || place.index !== index) {
      failed(`the index of transactions does not name ${toHex(tx)}`);
    }
  }
  return stored ? "stored" : "lost";
}

/** The store's state is the replayed one; the models that the next rounds start from are whole. */
async function checkHead({ store, blob }: VerifyParts, { height, id, state }: Head): Promise<void> {
  if (height > 0 && !bytesEqual(store.head().id, id)) failed("the stored head is another block");
  const stored = await store.loadState();
  if (!bytesEqual(stored.root(), state.root())) failed("the stored state is not that of the head");
  for (const { record } of state.tasks()) await blob(record.modelRoot);
}

function failed(why: string): never {
  throw new PoflError("VERIFY_FAILED", why);
}

/** Codes of what was found wrong; the others (a record, the disk) have their own remedy and keep their code. */
const FINDINGS = ["VERIFY_FAILED", "INVALID_BLOCK", "BAD_COMMIT", "BAD_ENCODING"];
const REMEDY = "move data/chain away and start the node: the chain is fetched from peers (keep data/signer.state)";

/** Says at which height something was found. */
async function atHeight<T>(height: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isPoflError(cause)) throw cause;
    const found = FINDINGS.includes(cause.code);
    const code = found || cause.code === "BLOB_DAMAGED" ? "VERIFY_FAILED" : cause.code;
    const text = `height ${height}: ${cause.message}${found ? `; ${REMEDY}` : ""}`;
    throw new PoflError(code, text, { ...cause.data, height }, { cause });
  }
}
