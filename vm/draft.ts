import { PoflError } from "../types/errors.ts";
import type { Address, Amount, Hash } from "../types/primitives.ts";
import type { Account, Miner, Task } from "../types/state.ts";
import { keyOf, type Table } from "./table.ts";
import {
  type At,
  at,
  engagedBy,
  type Indexes,
  isOpen,
  MINER_KEYS,
  type MinerKey,
  type Singles,
  type StateParts,
  type StateView,
  statusOf,
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
  readonly #accounts: TableDraft<Account>;
  readonly #miners: TableDraft<Miner>;
  readonly #tasks: TableDraft<Task>;
  readonly #added: Record<keyof Indexes, Map<string, number>> = {
    accounts: new Map(),
    miners: new Map(),
    institution: new Map(),
    consensusKey: new Map(),
    vrfKey: new Map(),
    tasks: new Map(),
  };
  #singles: Readonly<Singles>;
  #open: readonly number[];
  /** While a step runs: how to take back each of its writes, oldest first. */
  #journal: (() => void)[] | undefined;

  constructor(parent: StateParts) {
    this.#parent = parent;
    this.#accounts = new TableDraft(parent.accounts);
    this.#miners = new TableDraft(parent.miners);
    this.#tasks = new TableDraft(parent.tasks);
    this.#singles = parent.singles;
    this.#open = parent.open;
  }

  get singles(): Readonly<Singles> {
    return this.#singles;
  }
  account(address: Address): At<Account> | undefined {
    return at(this.#accounts, this.#indexOf("accounts", address));
  }
  *accounts(): Generator<At<Account>> {
    for (let i = 0; i < this.#accounts.length; i++) yield at(this.#accounts, i) as At<Account>;
  }
  miner(address: Address): At<Miner> | undefined {
    return at(this.#miners, this.#indexOf("miners", address));
  }
  minerAt(index: number): Readonly<Miner> | undefined {
    return this.#miners.get(index);
  }
  bondedBy(what: MinerKey, key: Uint8Array): At<Miner> | undefined {
    return engagedBy(at(this.#miners, this.#indexOf(what, key)), what, key);
  }
  *miners(): Generator<At<Miner>> {
    for (let i = 0; i < this.#miners.length; i++) yield at(this.#miners, i) as At<Miner>;
  }
  task(id: Hash): At<Task> | undefined {
    return at(this.#tasks, this.#indexOf("tasks", id));
  }
  taskAt(index: number): Readonly<Task> {
    return this.#tasks.get(index) as Task;
  }
  *tasks(): Generator<At<Task>> {
    for (let i = 0; i < this.#tasks.length; i++) yield at(this.#tasks, i) as At<Task>;
  }
  *openTasks(): Generator<At<Task>> {
    for (const index of this.#open) yield at(this.#tasks, index) as At<Task>;
  }
  activeTask(): At<Task> | undefined {
    for (const task of this.openTasks()) if (statusOf(task.record) === "active") return task;
    return undefined;
  }

  setSingles(patch: Partial<Singles>): void {
    const before = this.#singles;
    this.#journal?.push(() => {
      this.#singles = before;
    });
    this.#singles = { ...before, ...patch };
  }

  setAccount(index: number, record: Account): void {
    this.#set(this.#accounts, index, record);
  }

  setMiner(index: number, record: Miner): void {
    const before = this.#miners.get(index);
    this.#set(this.#miners, index, record);
    for (const what of MINER_KEYS) {
      if (before?.[what] !== record[what]) this.#index(what, record[what], index);
    }
  }

  setTask(index: number, record: Task): void {
    this.#set(this.#tasks, index, record);
    const open = this.#open;
    if (open.includes(index) === isOpen(record)) return;
    this.#journal?.push(() => {
      this.#open = open;
    });
    // A task is opened only when it is appended, so its index is the largest.
    this.#open = isOpen(record) ? [...open, index] : open.filter((i) => i !== index);
  }

  addAccount(record: Account): void {
    this.#index("accounts", record.address, this.#push(this.#accounts, record));
  }

  addMiner(record: Miner): void {
    const index = this.#push(this.#miners, undefined);
    this.#index("miners", record.address, index);
    this.setMiner(index, record);
  }

  addTask(record: Task): void {
    const index = this.#push(this.#tasks, undefined);
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
    const added = this.#added;
    return {
      singles: this.#singles,
      accounts: this.#accounts.seal(),
      miners: this.#miners.seal(),
      tasks: this.#tasks.seal(),
      indexes: {
        accounts: indexes.accounts.with(added.accounts),
        miners: indexes.miners.with(added.miners),
        institution: indexes.institution.with(added.institution),
        consensusKey: indexes.consensusKey.with(added.consensusKey),
        vrfKey: indexes.vrfKey.with(added.vrfKey),
        tasks: indexes.tasks.with(added.tasks),
      },
      open: this.#open,
      changed: {
        accounts: new Set(this.#accounts.changed.keys()),
        miners: new Set(this.#miners.changed.keys()),
        tasks: new Set(this.#tasks.changed.keys()),
      },
    };
  }

  #indexOf(name: keyof Indexes, key: Uint8Array): number | undefined {
    const text = keyOf(key);
    return this.#added[name].get(text) ?? this.#parent.indexes[name].get(text);
  }

  #index(name: keyof Indexes, key: Uint8Array, index: number): void {
    const text = keyOf(key);
    const map = this.#added[name];
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
