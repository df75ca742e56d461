import { LeafNode, subtreeFillToContents, Tree } from "@chainsafe/persistent-merkle-tree";
import { ContainerType, ListCompositeType, type Type, type ValueOf } from "@chainsafe/ssz";
import { sha256 } from "../crypto/hash.ts";
import { PoflError } from "../types/errors.ts";
import { Bytes32, bytesEqual, bytesUpTo, decode, type Hash, U8, U32 } from "../types/primitives.ts";
import { ChainState } from "../types/state.ts";
import { State } from "./state.ts";
import { depthOf } from "./table.ts";
import { LIST_NAMES, LISTS, type ListName, type PerList, perList, Singles } from "./view.ts";

/**
 * A state in pieces, each verified against the state root of a header the moment it comes, from whoever sends it. The first piece says
 * everything but the lists, and of each list the length and the root of its records; the others are runs of records, which are subtrees of
 * the state's own tree, with the hashes that lead from there to the list's root. So there is nothing to be trusted between a header and a record.
 */

/**
 * Records of one piece, as a power of two. With every record as large as it may be a piece stays below 4 MiB, with usual ones it has some
 * hundred KiB: a task may hold a page of JSON and a standing of each miner, a ceremony the deals of 128.
 */
const DEPTHS: PerList<number> = {
  accounts: 12,
  miners: 8,
  tasks: 0,
  records: 8,
  requests: 8,
  epochs: 5,
  ceremonies: 3,
};
/** Of a record, or of the singles. */
const MAX_PIECE_BYTES = 5 * 1024 * 1024;

const Proofs = new ListCompositeType(Bytes32, 64);
/** 32 bits of length, as its leaf in the tree has: of a wider one two would share a root. */
const ListTop = new ContainerType({ root: Bytes32, length: U32 }, { typeName: "ListTop" });

/** All of a state but the records of its lists: of each list, in order, the root of its records and their number. */
export const StateTop = new ContainerType(
  { singles: bytesUpTo(MAX_PIECE_BYTES), lists: new ListCompositeType(ListTop, 16) },
  { typeName: "StateTop" },
);
export type StateTop = ValueOf<typeof StateTop>;

/** Which piece: the `index`-th run of the records of a list, which is named by its place among the lists. */
export const PieceName = new ContainerType({ list: U8, index: U32 }, { typeName: "PieceName" });
export type PieceName = ValueOf<typeof PieceName>;

export const StatePiece = new ContainerType(
  { records: new ListCompositeType(bytesUpTo(MAX_PIECE_BYTES), 2 ** 12), proof: Proofs },
  { typeName: "StatePiece" },
);
export type StatePiece = ValueOf<typeof StatePiece>;

/** Singles and the roots of the lists. */
export function topOf(state: State): StateTop {
  return {
    singles: Singles.serialize(state.singles),
    lists: LIST_NAMES.map((list) => {
      const table = state.parts.tables[list];
      return { root: table.node().left.root, length: table.length };
    }),
  };
}

/** A run of records with its proof; undefined if the state has no such run. */
export function pieceOf(state: State, { list, index }: PieceName): StatePiece | undefined {
  const name = LIST_NAMES[list];
  if (!name) return undefined;
  const table = state.parts.tables[name];
  const size = 2 ** DEPTHS[name];
  if (index * size >= table.length) return undefined;
  const { element } = LISTS[name];
  const records = Array.from({ length: Math.min(size, table.length - index * size) }, (_, i) =>
    element.serialize(table.get(index * size + i) as never),
  );
  const depth = table.depth - DEPTHS[name];
  const proof = new Tree(table.node().left).getSingleProof((1n << BigInt(depth)) + BigInt(index));
  return { records, proof };
}

function bad(why: string): never {
  throw new PoflError("BAD_SNAPSHOT", why);
}

type FieldType = { hashTreeRoot(value: unknown): Uint8Array };

/** Puts a state together from pieces that come in any order, and refuses each that does not belong to it. */
export class StateBuilder {
  readonly #root: Hash;
  readonly #top: StateTop;
  /** Of each list, the runs that have come. */
  readonly #runs: PerList<(readonly Uint8Array[] | undefined)[]>;

  /**
   * @param stateRoot of a header that is believed
   * @throws PoflError BAD_SNAPSHOT when `top` is not that state's, BAD_ENCODING
   */
  constructor(stateRoot: Hash, top: StateTop) {
    if (top.lists.length !== LIST_NAMES.length) bad(`it has ${top.lists.length} lists, not ${LIST_NAMES.length}`);
    const singles = decode(Singles as Type<object>, top.singles) as Record<string, unknown>;
    const fields = ChainState.fieldsEntries.map(({ fieldName, fieldType }) => {
      const list = top.lists[LIST_NAMES.indexOf(fieldName as ListName)];
      if (!list) return LeafNode.fromRoot((fieldType as FieldType).hashTreeRoot(singles[fieldName]));
      return LeafNode.fromRoot(sha256(list.root, LeafNode.fromUint32(list.length).root));
    });
    const root = subtreeFillToContents(fields, ChainState.depth).root;
    if (!bytesEqual(root, stateRoot)) bad("it is not the state that the header names");
    this.#root = stateRoot;
    this.#top = top;
    this.#runs = perList((list) =>
      Array.from({ length: Math.ceil(this.#length(list) / 2 ** DEPTHS[list]) }, () => undefined),
    );
  }

  #length(list: ListName): number {
    return (this.#top.lists[LIST_NAMES.indexOf(list)] as { length: number }).length;
  }

  /** What has not come yet. */
  missing(): PieceName[] {
    return LIST_NAMES.flatMap((name, list) =>
      this.#runs[name].flatMap((run, index) => (run === undefined ? [{ list, index }] : [])),
    );
  }

  /** @throws PoflError BAD_SNAPSHOT, BAD_ENCODING when it is not that piece of this state; nothing is kept then */
  add({ list, index }: PieceName, { records, proof }: StatePiece): void {
    const name = LIST_NAMES[list] ?? bad(`there is no list ${list}`);
    const what = `piece ${index} of ${name}`;
    if (index >= this.#runs[name].length) bad(`${what}: there is none`);
    const size = 2 ** DEPTHS[name];
    const expected = Math.min(size, this.#length(name) - index * size);
    if (records.length !== expected) bad(`${what}: ${records.length} records, ${expected} belong there`);
    const element = LISTS[name].element as Type<object>;
    const leaves = records.map((bytes) => LeafNode.fromRoot(element.hashTreeRoot(decode(element, bytes))));
    let node: Hash = subtreeFillToContents(leaves, DEPTHS[name]).root;
    const depth = depthOf(LISTS[name].limit) - DEPTHS[name];
    if (proof.length !== depth) bad(`${what}: ${proof.length} hashes, ${depth} lead to the root`);
    let place = index;
    for (const sibling of proof) {
      node = place % 2 === 0 ? sha256(node, sibling) : sha256(sibling, node);
      place = Math.floor(place / 2);
    }
    const { root } = this.#top.lists[list] as { root: Hash };
    if (!bytesEqual(node, root)) bad(`${what} does not belong to the state`);
    this.#runs[name][index] = records;
  }

  /** The state, once nothing is missing. @throws PoflError BAD_SNAPSHOT */
  finish(): State {
    const left = this.missing().length;
    if (left > 0) bad(`${left} pieces are missing`);
    const lists = perList((list) => this.#runs[list].flatMap((run) => run ?? []));
    const state = State.load({ singles: this.#top.singles, lists });
    if (!bytesEqual(state.root(), this.#root)) bad("its records are not the state that the header names");
    return state;
  }
}
