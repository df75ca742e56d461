import {
  BranchNode,
  getNodeAtDepth,
  LeafNode,
  type Node,
  setNodesAtDepth,
  uint8ArrayToHashObject,
  zeroNode,
} from "@chainsafe/persistent-merkle-tree";
import type { Type } from "@chainsafe/ssz";
import { PoflError } from "../types/errors.ts";

/** An append-only SSZ list of records as an immutable hash tree: a new version shares all that did not change. */

/** A leaf of the tree: the root of a record, and the record itself. */
class RecordLeaf<T> extends LeafNode {
  readonly record: T;

  constructor(record: T, root: Uint8Array) {
    const h = uint8ArrayToHashObject(root);
    super(h.h0, h.h1, h.h2, h.h3, h.h4, h.h5, h.h6, h.h7);
    this.record = record;
  }
}

/** Depth of a tree with `limit` leaves, a power of two; counted, since logarithms differ between engines. */
export function depthOf(limit: number): number {
  let depth = 0;
  for (let leaves = 1; leaves < limit; leaves *= 2) depth++;
  return depth;
}

/** What a table holds: the element type, and the limit of the SSZ list (a power of two). */
export type TableKind<T> = { readonly name: string; readonly element: Type<T>; readonly limit: number };

export class Table<T extends object> {
  readonly kind: TableKind<T>;
  readonly length: number;
  /** Depth of the records below `#records`. */
  readonly depth: number;
  readonly #records: Node;

  private constructor(kind: TableKind<T>, records: Node, length: number) {
    this.kind = kind;
    this.depth = depthOf(kind.limit);
    this.#records = records;
    this.length = length;
  }

  static of<T extends object>(kind: TableKind<T>, records: readonly T[]): Table<T> {
    const empty = new Table<T>(kind, zeroNode(depthOf(kind.limit)), 0);
    return empty.with(new Map(records.entries()), records.length);
  }

  get(index: number): Readonly<T> | undefined {
    if (index < 0 || index >= this.length) return undefined;
    return (getNodeAtDepth(this.#records, this.depth, index) as RecordLeaf<T>).record;
  }

  /** A new version with the given records set; `length` is the new length. */
  with(changed: ReadonlyMap<number, T>, length: number): Table<T> {
    if (changed.size === 0) return this;
    if (length > this.kind.limit) {
      throw new PoflError("STATE_FULL", `the state holds at most ${this.kind.limit} ${this.kind.name}`);
    }
    const indexes = [...changed.keys()].sort((a, b) => a - b);
    const leaves = indexes.map((i) => {
      const record = changed.get(i) as T;
      return new RecordLeaf(record, this.kind.element.hashTreeRoot(record));
    });
    return new Table(this.kind, setNodesAtDepth(this.#records, this.depth, indexes, leaves), length);
  }

  /** Root node of the SSZ list: the tree of records, and the length mixed in. */
  node(): Node {
    return new BranchNode(this.#records, LeafNode.fromUint32(this.length));
  }

  *[Symbol.iterator](): Generator<Readonly<T>> {
    for (let i = 0; i < this.length; i++) yield this.get(i) as T;
  }
}

/**
 * Key → index of a record, immutable; states that share most keys share one big map and add a small one.
 * A key that is set again names its latest record.
 */
export class KeyIndex {
  readonly #base: ReadonlyMap<string, number>;
  readonly #recent: ReadonlyMap<string, number>;

  constructor(base: ReadonlyMap<string, number> = new Map(), recent: ReadonlyMap<string, number> = new Map()) {
    this.#base = base;
    this.#recent = recent;
  }

  get(key: string): number | undefined {
    return this.#recent.get(key) ?? this.#base.get(key);
  }

  with(added: ReadonlyMap<string, number>): KeyIndex {
    if (added.size === 0) return this;
    const recent = new Map([...this.#recent, ...added]);
    // Folding the small map in only when it has grown with the big one keeps the cost per added key constant.
    if (recent.size < 256 || recent.size < this.#base.size / 16) return new KeyIndex(this.#base, recent);
    return new KeyIndex(new Map([...this.#base, ...recent]));
  }
}

/** Bytes as a map key: one character per byte is the cheapest that is exact. */
export function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
