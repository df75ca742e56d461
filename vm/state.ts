import { LeafNode, type Node, subtreeFillToContents } from "@chainsafe/persistent-merkle-tree";
import type { Type } from "@chainsafe/ssz";
import type { Genesis } from "../genesis/genesis.ts";
import { type Address, decode, type Hash } from "../types/primitives.ts";
import { type Account, ChainState, type Miner, type Task } from "../types/state.ts";
import { Draft } from "./draft.ts";
import { genesisRecords } from "./genesis.ts";
import { KeyIndex, keyOf, Table, type TableKind } from "./table.ts";
import {
  type At,
  at,
  type Entries,
  engagedBy,
  type Indexes,
  isEngaged,
  isOpen,
  KEYS,
  type KeyedList,
  LISTS,
  type ListName,
  MINER_KEYS,
  type MinerKey,
  type PerList,
  perList,
  Singles,
  type StateParts,
  type StateView,
  statusOf,
  type Tables,
} from "./view.ts";

/** An encoded record and its index in its list. */
export type RecordChange = { readonly index: number; readonly bytes: Uint8Array };

/** What a block changed, ready for the store: replaying these over the parent's records gives the state. */
export type StateChanges = { readonly singles: Uint8Array; readonly lists: PerList<readonly RecordChange[]> };

/** Every record of a state, encoded, in the order of the lists. */
export type StateRecords = { readonly singles: Uint8Array; readonly lists: PerList<Iterable<Uint8Array>> };

/** Every record of a state. */
export type StateValues = { readonly [N in ListName]: readonly Entries[N][] };

/**
 * The chain's state after a block: immutable, so that a block can be tried while its parent stays in use.
 * Trees are shared between states (persistent-merkle-tree), which keeps a new state and its root as cheap as its changes.
 */
export class State implements StateView {
  readonly parts: StateParts;
  #node: Node | undefined;

  constructor(parts: StateParts) {
    this.parts = parts;
  }

  /** The state at height 0. @throws PoflError BAD_TASK */
  static genesis(genesis: Genesis): State {
    const { singles, ...values } = genesisRecords(genesis);
    return State.of(singles, values);
  }

  /**
   * The state that these records encode (see `records` and `changes`). The caller compares `root()` with the header's.
   * @throws PoflError BAD_ENCODING
   */
  static load({ singles, lists }: StateRecords): State {
    const decoded = perList((list) => Array.from(lists[list], (b) => decode(LISTS[list].element as Type<object>, b)));
    return State.of(decode(Singles, singles), decoded as unknown as StateValues);
  }

  /** A state from its values, those of lists left out being empty; every record counts as changed. */
  static of(singles: Singles, given: Partial<StateValues>): State {
    const values = { ...perList(() => []), ...given } as StateValues;
    // A key left behind by one miner may be another's now: the engaged one wins, as it did when it registered.
    const minerIndex = (what: MinerKey) =>
      new KeyIndex(new Map(values.miners.flatMap((m, i) => (isEngaged(m) ? [[keyOf(m[what]), i]] : []))));
    const index = (list: KeyedList) => {
      const key = KEYS[list] as (entry: object) => Uint8Array;
      return new KeyIndex(new Map(values[list].map((r, i) => [keyOf(key(r)), i])));
    };
    return new State({
      singles,
      tables: perList((list) => Table.of(LISTS[list] as TableKind<object>, values[list])) as unknown as Tables,
      indexes: Object.fromEntries([
        ...(Object.keys(KEYS) as KeyedList[]).map((list) => [list, index(list)]),
        ...MINER_KEYS.map((what) => [what, minerIndex(what)]),
      ]) as Indexes,
      open: values.tasks.flatMap((t, i) => (isOpen(t) ? [i] : [])),
      changed: perList((list) => new Set(values[list].keys())),
    });
  }

  get singles(): Readonly<Singles> {
    return this.parts.singles;
  }
  get height(): number {
    return this.parts.singles.height;
  }
  get time(): number {
    return this.parts.singles.time;
  }
  /** seed(height). */
  get seed(): Hash {
    return this.parts.singles.seed;
  }
  /** Whether the block at `height` carried learning. */
  get learned(): boolean {
    return this.parts.singles.learned;
  }
  /** Miners of the block at `height`, best first; empty without learning. */
  get ranking(): readonly Address[] {
    return this.parts.singles.ranking;
  }

  accounts(): Generator<At<Account>> {
    return this.#walk("accounts");
  }
  account(address: Address): At<Account> | undefined {
    return this.find("accounts", address);
  }
  miner(address: Address): At<Miner> | undefined {
    return this.find("miners", address);
  }
  minerAt(index: number): Readonly<Miner> | undefined {
    return this.entry("miners", index);
  }
  bondedBy(what: MinerKey, key: Uint8Array): At<Miner> | undefined {
    return engagedBy(at(this.parts.tables.miners, this.parts.indexes[what].get(keyOf(key))), what, key);
  }
  miners(): Generator<At<Miner>> {
    return this.#walk("miners");
  }
  task(id: Hash): At<Task> | undefined {
    return this.find("tasks", id);
  }
  tasks(): Generator<At<Task>> {
    return this.#walk("tasks");
  }
  *openTasks(): Generator<At<Task>> {
    for (const index of this.parts.open) yield at(this.parts.tables.tasks, index) as At<Task>;
  }
  activeTask(): At<Task> | undefined {
    for (const task of this.openTasks()) if (statusOf(task.record) === "active") return task;
    return undefined;
  }
  find<N extends KeyedList>(list: N, key: Uint8Array): At<Entries[N]> | undefined {
    return at<Entries[N]>(this.parts.tables[list], this.parts.indexes[list].get(keyOf(key)));
  }
  entry<N extends ListName>(list: N, index: number): Readonly<Entries[N]> | undefined {
    return this.parts.tables[list].get(index);
  }
  count(list: ListName): number {
    return this.parts.tables[list].length;
  }
  *#walk<N extends ListName>(list: N): Generator<At<Entries[N]>> {
    let index = 0;
    for (const record of this.parts.tables[list]) yield { index: index++, record: record as Entries[N] };
  }

  /** A working copy; this state stays as it is. */
  draft(): Draft {
    return new Draft(this.parts);
  }

  /** Root node of the whole state as an SSZ ChainState. */
  node(): Node {
    if (this.#node) return this.#node;
    const { singles, tables } = this.parts;
    const values = singles as Record<string, unknown>;
    const fields = ChainState.fieldsEntries.map(({ fieldName, fieldType }) =>
      fieldName in tables
        ? tables[fieldName as ListName].node()
        : LeafNode.fromRoot((fieldType as FieldType).hashTreeRoot(values[fieldName])),
    );
    this.#node = subtreeFillToContents(fields, ChainState.depth);
    return this.#node;
  }

  /** SSZ root of the ChainState: the header's stateRoot. */
  root(): Hash {
    return this.node().root;
  }

  /** Encoded records that differ from the parent state's (all of them in a genesis or loaded state). */
  changes(): StateChanges {
    const { singles, tables, changed } = this.parts;
    return {
      singles: Singles.serialize(singles),
      lists: perList((list) => encodeChanged(tables[list] as Table<object>, changed[list])),
    };
  }

  /** Every record, encoded: a snapshot that `State.load` reads. */
  records(): StateRecords {
    const { singles, tables } = this.parts;
    return {
      singles: Singles.serialize(singles),
      lists: perList((list) => {
        const { element } = LISTS[list] as TableKind<object>;
        return Array.from(tables[list] as Iterable<object>, (record) => element.serialize(record));
      }),
    };
  }
}

type FieldType = { hashTreeRoot(value: unknown): Uint8Array };

function encodeChanged<T extends object>(table: Table<T>, changed: ReadonlySet<number>): RecordChange[] {
  return [...changed]
    .sort((a, b) => a - b)
    .map((index) => ({ index, bytes: table.kind.element.serialize(table.get(index) as T) }));
}
