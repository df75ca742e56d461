import { LeafNode, type Node, subtreeFillToContents } from "@chainsafe/persistent-merkle-tree";
import type { Genesis } from "../genesis/genesis.ts";
import { type Address, decode, type Hash } from "../types/primitives.ts";
import { type Account, ChainState, type Miner, type Task } from "../types/state.ts";
import { Draft } from "./draft.ts";
import { genesisRecords } from "./genesis.ts";
import { KeyIndex, keyOf, Table } from "./table.ts";
import {
  ACCOUNTS,
  type At,
  at,
  engagedBy,
  isEngaged,
  isOpen,
  MINERS,
  type MinerKey,
  Singles,
  type StateParts,
  type StateView,
  statusOf,
  TASKS,
} from "./view.ts";

/** An encoded record and its index in its list. */
export type RecordChange = { readonly index: number; readonly bytes: Uint8Array };

/** What a block changed, ready for the store: replaying these over the parent's records gives the state. */
export type StateChanges = {
  readonly singles: Uint8Array;
  readonly accounts: readonly RecordChange[];
  readonly miners: readonly RecordChange[];
  readonly tasks: readonly RecordChange[];
};

/** Every record of a state, encoded, in the order of the lists. */
export type StateRecords = {
  readonly singles: Uint8Array;
  readonly accounts: Iterable<Uint8Array>;
  readonly miners: Iterable<Uint8Array>;
  readonly tasks: Iterable<Uint8Array>;
};

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
    const { singles, accounts, miners, tasks } = genesisRecords(genesis);
    return State.of(singles, accounts, miners, tasks);
  }

  /**
   * The state that these records encode (see `records` and `changes`). The caller compares `root()` with the header's.
   * @throws PoflError BAD_ENCODING
   */
  static load(records: StateRecords): State {
    const list = <T>(of: Iterable<Uint8Array>, decoder: (bytes: Uint8Array) => T) => Array.from(of, decoder);
    return State.of(
      decode(Singles, records.singles),
      list(records.accounts, (b) => decode(ACCOUNTS.element, b)),
      list(records.miners, (b) => decode(MINERS.element, b)),
      list(records.tasks, (b) => decode(TASKS.element, b)),
    );
  }

  /** A state from its values; every record counts as changed. */
  static of(singles: Singles, accounts: Account[], miners: Miner[], tasks: Task[]): State {
    const index = <T>(records: T[], key: (record: T) => Uint8Array) =>
      new KeyIndex(new Map(records.map((r, i) => [keyOf(key(r)), i])));
    // A key left behind by one miner may be another's now: the engaged one wins, as it did when it registered.
    const minerIndex = (what: MinerKey) => {
      const map = new Map<string, number>();
      miners.forEach((m, i) => {
        if (isEngaged(m)) map.set(keyOf(m[what]), i);
      });
      return new KeyIndex(map);
    };
    const all = (n: number) => new Set(Array.from({ length: n }, (_, i) => i));
    return new State({
      singles,
      accounts: Table.of(ACCOUNTS, accounts),
      miners: Table.of(MINERS, miners),
      tasks: Table.of(TASKS, tasks),
      indexes: {
        accounts: index(accounts, (a) => a.address),
        miners: index(miners, (m) => m.address),
        institution: minerIndex("institution"),
        consensusKey: minerIndex("consensusKey"),
        vrfKey: minerIndex("vrfKey"),
        tasks: index(tasks, (t) => t.id),
      },
      open: tasks.flatMap((t, i) => (isOpen(t) ? [i] : [])),
      changed: { accounts: all(accounts.length), miners: all(miners.length), tasks: all(tasks.length) },
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

  *accounts(): Generator<At<Account>> {
    let index = 0;
    for (const record of this.parts.accounts) yield { index: index++, record };
  }
  account(address: Address): At<Account> | undefined {
    return at(this.parts.accounts, this.parts.indexes.accounts.get(keyOf(address)));
  }
  miner(address: Address): At<Miner> | undefined {
    return at(this.parts.miners, this.parts.indexes.miners.get(keyOf(address)));
  }
  minerAt(index: number): Readonly<Miner> | undefined {
    return this.parts.miners.get(index);
  }
  bondedBy(what: MinerKey, key: Uint8Array): At<Miner> | undefined {
    return engagedBy(at(this.parts.miners, this.parts.indexes[what].get(keyOf(key))), what, key);
  }
  *miners(): Generator<At<Miner>> {
    let index = 0;
    for (const record of this.parts.miners) yield { index: index++, record };
  }
  task(id: Hash): At<Task> | undefined {
    return at(this.parts.tasks, this.parts.indexes.tasks.get(keyOf(id)));
  }
  *tasks(): Generator<At<Task>> {
    let index = 0;
    for (const record of this.parts.tasks) yield { index: index++, record };
  }
  *openTasks(): Generator<At<Task>> {
    for (const index of this.parts.open) yield at(this.parts.tasks, index) as At<Task>;
  }
  activeTask(): At<Task> | undefined {
    for (const task of this.openTasks()) if (statusOf(task.record) === "active") return task;
    return undefined;
  }

  /** A working copy; this state stays as it is. */
  draft(): Draft {
    return new Draft(this.parts);
  }

  /** Root node of the whole state as an SSZ ChainState. */
  node(): Node {
    if (this.#node) return this.#node;
    const { singles, accounts, miners, tasks } = this.parts;
    const lists: Partial<Record<string, Node>> = {
      accounts: accounts.node(),
      miners: miners.node(),
      tasks: tasks.node(),
    };
    const values = singles as Record<string, unknown>;
    const fields = ChainState.fieldsEntries.map(
      ({ fieldName, fieldType }) =>
        lists[fieldName] ?? LeafNode.fromRoot((fieldType as FieldType).hashTreeRoot(values[fieldName])),
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
    const { singles, accounts, miners, tasks, changed } = this.parts;
    return {
      singles: Singles.serialize(singles),
      accounts: encodeChanged(accounts, changed.accounts),
      miners: encodeChanged(miners, changed.miners),
      tasks: encodeChanged(tasks, changed.tasks),
    };
  }

  /** Every record, encoded: a snapshot that `State.load` reads. */
  records(): StateRecords {
    const { singles, accounts, miners, tasks } = this.parts;
    return {
      singles: Singles.serialize(singles),
      accounts: Array.from(accounts, (a) => ACCOUNTS.element.serialize(a)),
      miners: Array.from(miners, (m) => MINERS.element.serialize(m)),
      tasks: Array.from(tasks, (t) => TASKS.element.serialize(t)),
    };
  }
}

type FieldType = { hashTreeRoot(value: unknown): Uint8Array };

function encodeChanged<T extends object>(table: Table<T>, changed: ReadonlySet<number>): RecordChange[] {
  return [...changed]
    .sort((a, b) => a - b)
    .map((index) => ({ index, bytes: table.kind.element.serialize(table.get(index) as T) }));
}
