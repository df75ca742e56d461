import { txId } from "../../crypto/domain.ts";
import {
  type Block,
  blockId,
  CertifiedBlock,
  type Header,
  type Receipt,
  ReceiptList,
  type Validator,
  ValidatorSet,
} from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import type { Commit } from "../../types/vote.ts";
import type { State, StateChanges } from "../../vm/state.ts";
import { LIST_NAMES } from "../../vm/view.ts";
import { appendPuts, blockPuts, type FinalBlock } from "./append.ts";
import { type Database, databaseError } from "./database.ts";
import { findHoles, type Hole, holeError, readHeader, type StoredHead, type WalkPoint } from "./holes.ts";
import { LAYOUT_VERSION, LOST_RECEIPTS, layout } from "./layout.ts";
import { headBytes, number, readHead, readState } from "./read.ts";
import { corruptRecord, type Put, Records } from "./records.ts";
import { type Certificate, readBase, readCertificate, type Snapshot, snapshotPuts } from "./restore.ts";

export type TxPlace = { readonly height: number; readonly index: number };
/** The final chain and the state at its head. Reads give undefined for what is not there, and for blocks in a hole. */
export interface Store {
  /** The last final block; height 0 with an all-zero id at genesis. */
  head(): StoredHead;
  /** Height of the snapshot that this home began with, 0 if it replayed all: blocks below it may not be here yet. */
  base(): number;
  /** Holes that were found and are not filled yet, highest first; only with `acceptHoles`. */
  holes(): readonly Hole[];
  /**
   * Goes on with the walk for holes where opening ended it, down to the first block; what it finds is added to `holes`.
   * @param goOn asked before each block
   */
  walkOn(goOn?: () => boolean): Promise<void>;
  /** @throws PoflError CORRUPT_RECORD, as every read */
  certified(height: number): Promise<CertifiedBlock | undefined>;
  block(height: number): Promise<Block | undefined>;
  header(height: number): Promise<Header | undefined>;
  blockByHash(id: Hash): Promise<Block | undefined>;
  heightOf(id: Hash): Promise<number | undefined>;
  commit(height: number): Promise<Commit | undefined>;
  /** Header and certificate, without decoding the rest of the block. */
  certificate(height: number): Promise<Certificate | undefined>;
  /** Undefined also where they are known to be lost: of a block that was put back into a hole without them. */
  receipts(height: number): Promise<Receipt[] | undefined>;
  /** The validators that decided a stored height. */
  validators(height: number): Promise<Validator[] | undefined>;
  /** The validators that decided the block of this header, which need not be stored. */
  decidedBy(header: Header): Promise<Validator[] | undefined>;
  tx(id: Hash): Promise<TxPlace | undefined>;
  /**
   * The state at the head, its root compared with the head's header: records that LevelDB lost show here.
   * @throws PoflError CORRUPT_RECORD
   */
  loadState(): Promise<State>;
  /**
   * Adds the block after the head with all that it changes, and the set that decided it, in one synced batch. After an error the database is as it was,
   * and takes no more writes until it is opened again: the disk's word is no longer good.
   * @throws PoflError DISK_FULL, READ_ONLY, DISK_FAILED, STORE_FAILED; NOT_NEXT when it does not follow the head
   */
  append(
    certified: CertifiedBlock,
    receipts: readonly Receipt[],
    changes: StateChanges,
    validators: readonly Validator[],
  ): Promise<void>;
  /** Blocks after the head, in order, as `append`: all in one synced batch, so that after a crash all are there or none. */
  appendAll(blocks: readonly FinalBlock[]): Promise<void>;
  /**
   * Begins an empty store with a block, the state after it, and the validator sets from their heights on, all verified; in one synced batch. What was
   * before the block is unknown then, and so are its receipts.
   * @throws PoflError NOT_EMPTY when there is a chain already; the errors of `append`
   */
  restore(snapshot: Snapshot): Promise<void>;
  /**
   * Puts back a block into the top of the highest hole; its body and certificate must have been verified. Receipts that outlived the block stay;
   * of others it is noted that they are lost: only the state before the block could tell them.
   * @throws PoflError NOT_IN_HOLE when it is not that block; the errors of `append`
   */
  fill(certified: CertifiedBlock): Promise<void>;
  close(): Promise<void>;
}

export type StoreOptions = {
  readonly genesisHash: Hash;
  /** State of a new chain; asked for only when the database is empty. */
  readonly genesisState: () => State;
  /** Named in errors. */
  readonly path: string;
  /** Blocks below the head whose links are checked on opening; default 1000, about a tenth of a second. */
  readonly depth?: number;
  /** Open in spite of holes, to fill them; the head block itself must be there. */
  readonly acceptHoles?: boolean;
};

/**
 * Opens the store in `db`, or begins one. On an error `db` is closed.
 * @throws PoflError FOREIGN_DATABASE naming both genesis hashes; BAD_LAYOUT; DATABASE_HOLE naming the heights; CORRUPT_RECORD
 */
export async function openStore(db: Database, options: StoreOptions): Promise<Store> {
  try {
    const disk = new Records(db, options.path);
    const genesis = await disk.get(layout.genesis);
    if (!genesis) await begin(disk, options);
    else if (!bytesEqual(genesis, options.genesisHash)) {
      throw new PoflError(
        "FOREIGN_DATABASE",
        `${options.path} belongs to the chain with genesis ${toHex(genesis)}, but the genesis file has ` +
          `${toHex(options.genesisHash)}; give this node its own --home, or put the right genesis.json back`,
        { database: toHex(genesis), expected: toHex(options.genesisHash) },
      );
    }
    const version = await disk.get(layout.version);
    if (!version || number(version, 0, 4) !== LAYOUT_VERSION) {
      const found = version ? String(number(version, 0, 4)) : "none";
      throw new PoflError(
        "BAD_LAYOUT",
        `${options.path} has layout version ${found}, this program reads ${LAYOUT_VERSION}; move it away to sync afresh`,
      );
    }
    const head = await readHead(disk);
    const base = await readBase(disk);
    const { holes, below } = await findHoles(disk, head, { depth: options.depth ?? 1000, base });
    const first = holes.find((hole) => hole.why !== "before the snapshot");
    if (first && (!options.acceptHoles || first.to === head.height)) throw holeError(options.path, holes, head);
    return new LevelStore(disk, head, base, holes, below);
  } catch (error) {
    await db.close().catch(() => {});
    throw databaseError(error, options.path);
  }
}

async function begin(disk: Records, options: StoreOptions): Promise<void> {
  for await (const [key] of disk.all({})) throw corruptRecord(key, "is there, but the genesis record is not");
  const state = options.genesisState();
  const version = Buffer.alloc(4);
  version.writeUInt32BE(LAYOUT_VERSION);
  const puts: Put[] = [
    [layout.genesis, options.genesisHash],
    [layout.version, version],
    [layout.head, headBytes({ height: 0, id: ZERO_HASH })],
  ];
  const records = state.records();
  puts.push([layout.singles, records.singles]);
  for (const table of LIST_NAMES) {
    let index = 0;
    for (const bytes of records.lists[table]) puts.push([layout.record(table, index++), bytes]);
  }
  await disk.write(puts);
}

class LevelStore implements Store {
  readonly #disk: Records;
  #head: StoredHead;
  /** Of the set stored last; undefined after opening, when the next block stores its set again. */
  #validatorsRoot: string | undefined;
  #base: number;
  #holes: Hole[];
  /** Down to where the links have not been looked at yet. */
  #below: WalkPoint;

  constructor(disk: Records, head: StoredHead, base: number, holes: Hole[], below: WalkPoint) {
    this.#disk = disk;
    this.#head = head;
    this.#base = base;
    this.#holes = holes;
    this.#below = below;
  }

  head(): StoredHead {
    return this.#head;
  }

  base(): number {
    return this.#base;
  }

  holes(): readonly Hole[] {
    return this.#holes;
  }

  async walkOn(goOn?: () => boolean): Promise<void> {
    const { holes, below } = await findHoles(this.#disk, this.#below, { base: this.#base, goOn });
    this.#holes.push(...holes);
    this.#below = below;
  }

  /** A block in a hole may be there, and another chain's. */
  #lost(height: number): boolean {
    return this.#holes.some(({ from, to }) => from <= height && height <= to);
  }

  async certified(height: number): Promise<CertifiedBlock | undefined> {
    if (this.#lost(height)) return undefined;
    return this.#read(layout.block(height), (bytes) => decode(CertifiedBlock, bytes));
  }

  async block(height: number): Promise<Block | undefined> {
    return (await this.certified(height))?.block;
  }

  async commit(height: number): Promise<Commit | undefined> {
    return (await this.certified(height))?.commit;
  }

  async certificate(height: number): Promise<Certificate | undefined> {
    return this.#lost(height) ? undefined : readCertificate(this.#disk, height);
  }

  async header(height: number): Promise<Header | undefined> {
    return this.#lost(height) ? undefined : readHeader(this.#disk, height);
  }

  heightOf(id: Hash): Promise<number | undefined> {
    return this.#read(layout.id(id), (bytes) => number(bytes, 0, 8));
  }

  async blockByHash(id: Hash): Promise<Block | undefined> {
    const height = await this.heightOf(id);
    return height === undefined ? undefined : this.block(height);
  }

  async receipts(height: number): Promise<Receipt[] | undefined> {
    const key = layout.receipts(height);
    const bytes = await this.#disk.get(key);
    if (bytes) return bytesEqual(bytes, LOST_RECEIPTS) ? undefined : decode(ReceiptList, bytes);
    // One batch wrote both: a block without them has lost them.
    if (await this.header(height)) throw corruptRecord(key, "is missing, though its block is there");
    return undefined;
  }

  tx(id: Hash): Promise<TxPlace | undefined> {
    return this.#read(layout.tx(id), (bytes) => ({ height: number(bytes, 0, 8), index: number(bytes, 8, 4) }));
  }

  async loadState(): Promise<State> {
    const header = this.#head.height === 0 ? undefined : await this.header(this.#head.height);
    return readState(this.#disk, this.#head.height, header);
  }

  async validators(height: number): Promise<Validator[] | undefined> {
    const header = await this.header(height);
    return header && this.decidedBy(header);
  }

  /** The last set at or below the height; headers name its root, so a wrong one shows. */
  async decidedBy(header: Header): Promise<Validator[] | undefined> {
    const { height } = header;
    for await (const [key, bytes] of this.#disk.all({ ...layout.validatorsUpTo(height), reverse: true, limit: 1 })) {
      const set = decode(ValidatorSet, bytes);
      if (bytesEqual(ValidatorSet.hashTreeRoot(set), header.validatorsRoot)) return set;
      throw corruptRecord(key, `is not the validator set of block ${height}`);
    }
    return undefined;
  }

  append(
    certified: CertifiedBlock,
    receipts: readonly Receipt[],
    changes: StateChanges,
    validators: readonly Validator[],
  ): Promise<void> {
    return this.appendAll([{ certified, receipts, changes, validators }]);
  }

  async appendAll(blocks: readonly FinalBlock[]): Promise<void> {
    const { puts, tip } = appendPuts({ head: this.#head, validatorsRoot: this.#validatorsRoot }, blocks);
    await this.#disk.write(puts);
    this.#head = tip.head;
    this.#validatorsRoot = tip.validatorsRoot;
  }

  async restore(snapshot: Snapshot): Promise<void> {
    if (this.#head.height > 0) {
      throw new PoflError("NOT_EMPTY", `${this.#disk.path} holds a chain of ${this.#head.height} blocks already`);
    }
    const { certified } = snapshot;
    const { height } = certified.block.header;
    const head = { height, id: blockId(certified.block.header) };
    await this.#disk.write([
      ...blockPuts(certified, head.id),
      ...snapshotPuts(snapshot),
      [layout.receipts(height), LOST_RECEIPTS],
      [layout.head, headBytes(head)],
    ]);
    this.#head = head;
    this.#base = height;
    this.#below = { height: 0, id: undefined };
    if (height > 1) this.#holes = [{ from: 1, to: height - 1, why: "before the snapshot" }];
  }

  async fill(certified: CertifiedBlock): Promise<void> {
    const hole = this.#holes[0];
    const { height } = certified.block.header;
    const id = blockId(certified.block.header);
    const above = hole && (await this.header(hole.to + 1));
    if (!hole || height !== hole.to || !above || !bytesEqual(above.parent, id)) {
      throw new PoflError(
        "NOT_IN_HOLE",
        `block ${height} is not the one that is missing at ${hole?.to ?? "no height"}`,
      );
    }
    const puts = blockPuts(certified, id);
    if (!(await this.#keptReceipts(certified.block))) puts.push([layout.receipts(height), LOST_RECEIPTS]);
    await this.#disk.write(puts);
    if (hole.from === hole.to) this.#holes.shift();
    else this.#holes[0] = { ...hole, to: hole.to - 1 };
    await this.#relink(height - 1, certified.block.header.parent);
  }

  /** Whether the receipts of a block that is put back are here, whole. */
  async #keptReceipts({ header, txs }: Block): Promise<boolean> {
    const receipts = await this.receipts(header.height).catch((error: unknown) => {
      if (isPoflError(error, "CORRUPT_RECORD") || isPoflError(error, "BAD_ENCODING")) return undefined;
      throw error;
    });
    return (
      receipts?.length === txs.length &&
      txs.every((tx, i) => bytesEqual(receipts[i]?.tx ?? tx.signature, txId(tx.body)))
    );
  }

  /** The block under a filled hole was not checked against anything before. */
  async #relink(height: number, expected: Hash): Promise<void> {
    if (height === 0 || this.#holes[0]?.to === height) return;
    if (height === this.#below.height) {
      this.#below = { height, id: expected };
      return;
    }
    const below = await this.header(height);
    if (below && bytesEqual(blockId(below), expected)) return;
    this.#holes.unshift({ from: height, to: height, why: below ? "not linked" : "missing" });
  }

  async close(): Promise<void> {
    await this.#disk.db.close();
  }

  async #read<T>(key: Uint8Array, read: (bytes: Uint8Array) => T): Promise<T | undefined> {
    const bytes = await this.#disk.get(key);
    return bytes && read(bytes);
  }
}
