import { txId } from "../../crypto/domain.ts";
import { blockId, bodyRoots, CertifiedBlock, type Header, ReceiptList, ValidatorSet } from "../../types/block.ts";
import { errorText, isPoflError, type PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, type Hash, toHex } from "../../types/primitives.ts";
import type { StoredHead } from "./holes.ts";
import { KEY_BYTES, keyText, LAYOUT_VERSION, LOST_RECEIPTS, layout } from "./layout.ts";
import { number, readHead, readState } from "./read.ts";
import { openRecord, type Records } from "./records.ts";
import { readBase } from "./restore.ts";

/**
 * Looks at everything in a database and names all that is not as it must be. It knows the shape of the data, no rules of the chain: whether
 * blocks are valid and certificates signed is what `pofl verify` proves.
 */

export type Damage = {
  /** The record, as errors name it; "" = the database as a whole. */
  readonly key: string;
  readonly height: number | null;
  readonly what: string;
  readonly remedy: string;
};

export type CheckReport = {
  /** Of the stored head; 0 where that can't be read. */
  readonly height: number;
  readonly headHash: string;
  readonly records: number;
  /** Of keys and values. */
  readonly bytes: number;
  readonly blocks: number;
  readonly transactions: number;
  /** Blocks above `base` that were put back after they had been lost, whose receipts are lost for good. */
  readonly lostReceipts: number;
  /** Height of the snapshot that the home began with: receipts up to it were never here. 0 = it began with genesis. */
  readonly base: number;
  /** Blocks below it that are not here yet. */
  readonly missing: number;
  readonly damages: readonly Damage[];
  /** Further damages, of which only the first MAX_DAMAGES are listed. */
  readonly more: number;
};

export const MAX_DAMAGES = 1000;

const REFETCH = "move data/chain away and start the node: the chain is fetched from peers (keep data/signer.state)";
const REFILL = "start the node and leave it running: it fetches the block from peers";

class Checker {
  readonly #disk: Records;
  readonly damages: Damage[] = [];
  more = 0;
  readonly counts = { records: 0, bytes: 0, blocks: 0, transactions: 0, lostReceipts: 0, missing: 0, ids: 0, txs: 0 };
  readonly #seen = new Set<string>();
  /** Of the snapshot that the home began with: what is below it may be missing, in one piece from the bottom. */
  base = 0;
  /** Heights whose block can't be read: what else names them says nothing. */
  readonly #gone = new Set<number>();

  constructor(disk: Records) {
    this.#disk = disk;
  }

  found(key: Uint8Array | undefined, what: string, height: number | null = null, remedy = REFETCH): void {
    const name = key ? keyText(key) : "";
    // One record is met on several ways.
    const once = `${name} ${key ? "" : what}`;
    if (this.#seen.has(once)) return;
    this.#seen.add(once);
    if (this.damages.length < MAX_DAMAGES) this.damages.push({ key: name, height, what, remedy });
    else this.more++;
  }

  /** What a read gave, or undefined after noting why it gave nothing. */
  async read<T>(key: Uint8Array, height: number | null, open: (value: Uint8Array) => T, remedy = REFETCH) {
    try {
      const value = await this.#disk.get(key);
      if (value) return open(value);
      this.found(key, "is missing", height, remedy);
    } catch (error) {
      if (!isPoflError(error) || (error.code !== "CORRUPT_RECORD" && error.code !== "BAD_ENCODING")) throw error;
      this.found(key, shortWhy(error), height, remedy);
    }
    return undefined;
  }

  /** Every record there is: its checksum, and that it is one of the layout. */
  async all(head: StoredHead | undefined): Promise<void> {
    const { counts } = this;
    try {
      for await (const [key, record] of this.#disk.db.iterator()) {
        counts.records++;
        counts.bytes += key.length + record.length;
        const height = layout.heightOf(key) ?? null;
        const remedy = height !== null && head && height < head.height && key[0] === BLOCK ? REFILL : REFETCH;
        if (KEY_BYTES.get(key[0] as number) !== key.length) this.found(key, "is no record of this layout");
        else if (head && height !== null && height > head.height)
          this.found(key, `is beyond the head ${head.height}`, height);
        else {
          try {
            openRecord(key, record);
            if (key[0] === IDS) counts.ids++;
            if (key[0] === TXS) counts.txs++;
          } catch (error) {
            this.found(key, shortWhy(error as PoflError), height, remedy);
          }
        }
      }
    } catch (error) {
      this.found(
        undefined,
        `can't be read to its end: ${errorText(error instanceof Error ? (error.cause ?? error) : error)}`,
      );
    }
  }

  /** From the head down: links, bodies, receipts, validator sets, and that the indexes name what is there. */
  async chain(head: StoredHead, onProgress: (height: number, head: number) => void): Promise<Header | undefined> {
    let expected: Hash | undefined = head.id;
    let first: Header | undefined;
    const sets = await this.#sets();
    for (let height = head.height; height > 0; height--) {
      onProgress(height, head.height);
      const key = layout.block(height);
      if (height < this.base && !(await this.#disk.db.get(key))) {
        this.#gone.add(height);
        this.counts.missing++;
        expected = undefined;
        continue;
      }
      const remedy = height < head.height ? REFILL : REFETCH;
      const certified = await this.read(key, height, (v) => decode(CertifiedBlock, v), remedy);
      const header = certified?.block.header;
      const id = header && blockId(header);
      if (certified && header && id && header.height === height && (!expected || bytesEqual(id, expected))) {
        expected = header.parent;
        first ??= height === head.height ? header : undefined;
        this.counts.blocks++;
        await this.#block(certified, id, sets, remedy);
      } else {
        if (certified) this.found(key, "is not the block that the one above names", height, remedy);
        this.#gone.add(height);
        expected = undefined;
      }
    }
    return first;
  }

  async #block({ block, commit }: CertifiedBlock, id: Hash, sets: Sets, remedy: string): Promise<void> {
    const { header, txs } = block;
    const { height } = header;
    const roots = bodyRoots(block);
    for (const name of Object.keys(roots) as (keyof typeof roots)[]) {
      if (!bytesEqual(roots[name], header[name])) {
        this.found(layout.block(height), `its ${name} is not that of its header`, height, remedy);
      }
    }
    if (!bytesEqual(commit.blockId, id))
      this.found(layout.block(height), "its certificate is of another", height, remedy);
    const named = await this.read(layout.id(id), height, (v) => number(v, 0, 8));
    if (named !== undefined && named !== height) this.found(layout.id(id), `names height ${named}`, height);
    this.counts.transactions += txs.length;
    const ids = txs.map(({ body }) => txId(body));
    for (const [index, tx] of ids.entries()) {
      const place = await this.read(layout.tx(tx), height, (v) => [number(v, 0, 8), number(v, 8, 4)]);
      if (place && (place[0] !== height || place[1] !== index))
        this.found(layout.tx(tx), `names ${place.join(", ")}`, height);
    }
    const key = layout.receipts(height);
    const receipts = await this.read(key, height, (v) =>
      bytesEqual(v, LOST_RECEIPTS) ? "lost" : decode(ReceiptList, v),
    );
    if (receipts === "lost") {
      if (height > this.base) this.counts.lostReceipts++;
    } else if (
      receipts &&
      (receipts.length !== ids.length || !ids.every((tx, i) => bytesEqual(receipts[i]?.tx ?? id, tx)))
    ) {
      this.found(key, "are not those of the block's transactions", height);
    }
    const set = sets.findLast((s) => s.from <= height);
    if (!set && height >= this.base) this.found(layout.validators(height), "no validator set is stored for it", height);
    else if (set && !bytesEqual(set.root, header.validatorsRoot)) {
      this.found(layout.validators(set.from), `is not the validator set of block ${height}`, height);
    }
  }

  async #sets(): Promise<Sets> {
    const sets: { from: number; root: Hash }[] = [];
    // Those that don't check are noted already.
    const range = layout.validatorsUpTo(Number.MAX_SAFE_INTEGER - 1);
    try {
      for await (const [key, record] of this.#disk.db.iterator(range)) {
        try {
          const from = layout.heightOf(key) as number;
          sets.push({ from, root: ValidatorSet.hashTreeRoot(decode(ValidatorSet, openRecord(key, record))) });
        } catch (error) {
          this.found(key, shortWhy(error as PoflError), layout.heightOf(key) ?? null);
        }
      }
    } catch {
      // Noted as well: the same records can't be read.
    }
    return sets;
  }

  /** The other way: whatever the indexes name is there. Asked only when they hold more than the blocks. */
  async indexes(): Promise<void> {
    if (this.counts.ids === this.counts.blocks && this.counts.txs === this.counts.transactions) return;
    for (const range of [layout.ids, layout.txs]) {
      for await (const [key, record] of this.#disk.db.iterator(range)) {
        let value: Uint8Array;
        try {
          value = openRecord(key, record);
        } catch {
          continue;
        }
        const height = number(value, 0, 8);
        if (this.#gone.has(height)) continue;
        const bytes = await this.#disk.get(layout.block(height)).catch(() => undefined);
        const block = bytes && decode(CertifiedBlock, bytes).block;
        const hash = key.subarray(1);
        const tx = range === layout.txs ? block?.txs[number(value, 8, 4)] : undefined;
        const names = range === layout.ids ? block && blockId(block.header) : tx && txId(tx.body);
        if (!names || !bytesEqual(names, hash)) this.found(key, `names height ${height}, where it is not`, height);
      }
    }
  }

  async state(head: StoredHead, header: Header | undefined): Promise<void> {
    if (head.height > 0 && !header) return;
    const key = layout.singles;
    try {
      await readState(this.#disk, head.height, header);
    } catch (error) {
      if (!isPoflError(error)) throw error;
      // A record that does not check is named already.
      if (this.damages.every(({ key: k }) => k === "" || k !== error.data.key))
        this.found(key, `the state: ${shortWhy(error)}`, head.height);
    }
  }
}

type Sets = readonly { readonly from: number; readonly root: Hash }[];
const BLOCK = layout.block(0)[0];
const IDS = layout.ids.gte[0];
const TXS = layout.txs.gte[0];

/** Of "record b01 of the database WHY: the disk …; remedy" only WHY. */
function shortWhy(error: PoflError): string {
  return /^record \S+ of the database (.*?): the disk/.exec(error.message)?.[1] ?? error.message;
}

/**
 * Checks everything in an open database.
 * @param onProgress called with each height, from the head down
 * @throws PoflError FOREIGN_DATABASE is not one of its errors: another genesis is a damage as any; disk errors
 */
export async function checkRecords(
  disk: Records,
  genesisHash: Hash,
  onProgress: (height: number, head: number) => void = () => {},
): Promise<CheckReport> {
  const checker = new Checker(disk);
  const genesis = await checker.read(layout.genesis, null, (v) => v);
  if (genesis && !bytesEqual(genesis, genesisHash)) {
    checker.found(
      layout.genesis,
      `is of the chain ${toHex(genesis)}, not of this genesis file`,
      null,
      "put the right genesis.json back",
    );
  }
  const version = await checker.read(layout.version, null, (v) => number(v, 0, 4));
  if (version !== undefined && version !== LAYOUT_VERSION) {
    checker.found(layout.version, `says layout ${version}, this program reads ${LAYOUT_VERSION}`);
  }
  await checker.read(layout.head, null, (v) => v);
  const head = await readHead(disk).catch((error) => {
    if (!isPoflError(error, "CORRUPT_RECORD")) throw error;
    checker.found(layout.head, shortWhy(error));
    return undefined;
  });
  await checker.all(head);
  checker.base = await readBase(disk).catch(() => 0);
  if (head) {
    const header = await checker.chain(head, onProgress);
    await checker.indexes();
    await checker.state(head, header);
  }
  const { ids: _ids, txs: _txs, ...counts } = checker.counts;
  return {
    height: head?.height ?? 0,
    headHash: toHex(head?.id ?? new Uint8Array(32)),
    ...counts,
    base: checker.base,
    damages: checker.damages,
    more: checker.more,
  };
}
