import { PoflError } from "../types/errors.ts";
import type { Address, Amount, Hash } from "../types/primitives.ts";
import type { Account, Miner, Task } from "../types/state.ts";
import { keyOf, type Table } from "./table.ts";
import {
  type At,
  at,
  type Entries,
  engagedBy,
  INDEX_NAMES,
  type Indexes,
  type IndexName,
  isOpen,
  KEYS,
  type KeyedList,
  type ListName,
  MINER_KEYS,
  type MinerKey,
  perList,
  type Singles,
  type StateParts,
  type StateView,
  statusOf,
  type Tables,
} from "./view.ts";

/** Changed records of one list over the parent's table. */
class TableDraft<T extends object> {
  readonly table: Table<T>;
  readonly changed = new Map<number, T>();
  length: number;

  constructor(table: Table<T>) {
    this.table = table;
    this.length = table.length;
  }

  get(index: number): Readonly<T> | undefined {
    return this.changed.get(index) ?? this.table.get(index);
  }

  seal(): Table<T> {
    return this.table.with(this.changed, this.length);
  }
}

/** A state under way: reads see the writes so far, `atomically` takes back what a failing step wrote, `seal` ends it. */
export class Draft implements StateView {
  readonly #parent: StateParts;
  readonly #tables: { readonly [N in ListName]: TableDraft<Entries[N]> };
  readonly #added = new Map<IndexName, Map<string, number>>(INDEX_NAMES.map((name) => [name, new Map()]));
  #singles: Readonly<Singles>;
  #open: readonly number[];
  /** While a step runs: how to take back each of its writes, oldest first. */
  #journal: (() => void)[] | undefined;

  constructor(parent: StateParts) {
    this.#parent = parent;
    this.#tables = perList((list) => new TableDraft(parent.tables[list] as Table<object>)) as never;
    this.#singles = parent.singles;
    this.#open = parent.open;
  }

  get singles(): Readonly<Singles> {
    return this.#singles;
  }
  account(address: Address): At<Account> | undefined {
    return at(this.#tables.accounts, this.#indexOf("accounts", address));
  }
  *accounts(): Generator<At<Account>> {
    for (let i = 0; i < this.#tables.accounts.length; i++) yield at(this.#tables.accounts, i) as At<Account>;
  }
  miner(address: Address): At<Miner> | undefined {
    return at(this.#tables.miners, this.#indexOf("miners", address));
  }
  minerAt(index: number): Readonly<Miner> | undefined {
    return this.#tables.miners.get(index);
  }
  bondedBy(what: MinerKey, key: Uint8Array): At<Miner> | undefined {
    return engagedBy(at(this.#tables.miners, this.#indexOf(what, key)), what, key);
  }
  *miners(): Generator<At<Miner>> {
    for (let i = 0; i < this.#tables.miners.length; i++) yield at(this.#tables.miners, i) as At<Miner>;
  }
  task(id: Hash): At<Task> | undefined {
    return at(this.#tables.tasks, this.#indexOf("tasks", id));
  }
  taskAt(index: number): Readonly<Task> {
    return this.#tables.tasks.get(index) as Task;
  }
  *tasks(): Generator<At<Task>> {
    for (let i = 0; i < this.#tables.tasks.length; i++) yield at(this.#tables.tasks, i) as At<Task>;
  }
  *openTasks(): Generator<At<Task>> {
    for (const index of this.#open) yield at(this.#tables.tasks, index) as At<Task>;
  }
  activeTask(): At<Task> | undefined {
    for (const task of this.openTasks()) if (statusOf(task.record) === "active") return task;
    return undefined;
  }

  find<N extends KeyedList>(list: N, key: Uint8Array): At<Entries[N]> | undefined {
    return at<Entries[N]>(this.#tables[list], this.#indexOf(list, key));
  }
  entry<N extends ListName>(list: N, index: number): Readonly<Entries[N]> | undefined {
    return this.#tables[list].get(index);
  }
  count(list: ListName): number {
    return this.#tables[list].length;
  }

  /** Replaces an entry; its key stays. */
  set<N extends "records" | "requests" | "epochs" | "ceremonies">(list: N, index: number, entry: Entries[N]): void {
    this.#set<Entries[N]>(this.#tables[list], index, entry);
  }

  /** Appends an entry and returns its index. @throws PoflError TX_STATE_FULL */
  add<N extends "records" | "requests" | "epochs" | "ceremonies">(list: N, entry: Entries[N]): number {
    const index = this.#push<Entries[N]>(this.#tables[list], entry);
    const key = (KEYS as { [L in ListName]?: (entry: never) => Uint8Array })[list];
    if (key) this.#index(list as KeyedList, key(entry as never), index);
    return index;
  }

  setSingles(patch: Partial<Singles>): void {
    const before = this.#singles;
    this.#journal?.push(() => {
      this.#singles = before;
    });
    this.#singles = { ...before, ...patch };
  }

  setAccount(index: number, record: Account): void {
    this.#set(this.#tables.accounts, index, record);
  }

  setMiner(index: number, record: Miner): void {
    const before = this.#tables.miners.get(index);
    this.#set(this.#tables.miners, index, record);
    for (const what of MINER_KEYS) {
      if (before?.[what] !== record[what]) this.#index(what, record[what], index);
    }
  }

  setTask(index: number, record: Task): void {
    this.#set(this.#tables.tasks, index, record);
    const open = this.#open;
    if (open.includes(index) === isOpen(record)) return;
    this.#journal?.push(() => {
      this.#open = open;
    });
    // A task is opened only when it is appended, so its index is the largest.
    this.#open = isOpen(record) ? [...open, index] : open.filter((i) => i !== index);
  }

  addAccount(record: Account): void {
    this.#index("accounts", record.address, this.#push(this.#tables.accounts, record));
  }

  addMiner(record: Miner): void {
    const index = this.#push(this.#tables.miners, undefined);
    this.#index("miners", record.address, index);
    this.setMiner(index, record);
  }

  addTask(record: Task): void {
    const index = this.#push(this.#tables.tasks, undefined);
    this.#index("tasks", record.id, index);
    this.setTask(index, record);
  }

  balance(address: Address): Amount {
    return this.account(address)?.record.balance ?? 0n;
  }

  /** Adds to a balance; the account is made if there is none. */
  credit(address: Address, amount: Amount): void {
    const account = this.account(address);
    if (!account) this.addAccount({ address, balance: amount, nonce: 0 });
    else this.setAccount(account.index, { ...account.record, balance: account.record.balance + amount });
  }

  /** @throws PoflError TX_INSUFFICIENT_BALANCE */
  debit(address: Address, amount: Amount): void {
    const account = this.account(address);
    const balance = account?.record.balance ?? 0n;
    if (!account || balance < amount) {
      throw new PoflError("TX_INSUFFICIENT_BALANCE", `the balance is ${balance}, the transaction needs ${amount}`);
    }
    this.setAccount(account.index, { ...account.record, balance: balance - amount });
  }

  /** Runs one step: all of its writes, or none if it throws. Steps don't nest. */
  atomically<T>(step: () => T): T {
    if (this.#journal) throw new Error("a step of a draft can't run inside another");
    const journal: (() => void)[] = [];
    this.#journal = journal;
    try {
      return step();
    } catch (error) {
      for (const undo of journal.reverse()) undo();
      throw error;
    } finally {
      this.#journal = undefined;
    }
  }

  /** What a State is made of: `new State(draft.seal())`. The draft can be used further; the parts don't change with it. */
  seal(): StateParts {
    const { indexes } = this.#parent;
    const added = (name: IndexName) => [name, indexes[name].with(this.#added.get(name) as Map<string, number>)];
    return {
      singles: this.#singles,
      tables: perList((list) => this.#tables[list].seal()) as Tables,
      indexes: Object.fromEntries(INDEX_NAMES.map(added)) as Indexes,
      open: this.#open,
      changed: perList((list) => new Set(this.#tables[list].changed.keys())),
    };
  }

  #indexOf(name: IndexName, key: Uint8Array): number | undefined {
    const text = keyOf(key);
    return this.#added.get(name)?.get(text) ?? this.#parent.indexes[name].get(text);
  }

  #index(name: IndexName, key: Uint8Array, index: number): void {
    const text = keyOf(key);
    const map = this.#added.get(name) as Map<string, number>;
    this.#restoreLater(map, text);
    map.set(text, index);
  }

  #set<T extends object>(draft: TableDraft<T>, index: number, record: T): void {
    this.#restoreLater(draft.changed, index);
    draft.changed.set(index, record);
  }

  /** Appends and returns the index; without a record, the caller sets it at once. */
  #push<T extends object>(draft: TableDraft<T>, record: T | undefined): number {
    const index = draft.length;
    if (index >= draft.table.kind.limit) {
      throw new PoflError(
        "TX_STATE_FULL",
        `the state holds at most ${draft.table.kind.limit} ${draft.table.kind.name}`,
      );
    }
    this.#journal?.push(() => {
      draft.length = index;
    });
    draft.length = index + 1;
    if (record) this.#set(draft, index, record);
    return index;
  }

  #restoreLater<K, V>(map: Map<K, V>, key: K): void {
    const before = map.get(key);
    this.#journal?.push(() => {
      if (before === undefined) map.delete(key);
      else map.set(key, before);
    });
  }
}
