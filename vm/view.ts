import { ContainerType, type ValueOf } from "@chainsafe/ssz";
import {
  MAX_ACCOUNTS,
  MAX_CEREMONIES,
  MAX_EPOCHS,
  MAX_MINERS,
  MAX_RECORDS,
  MAX_REQUESTS,
  MAX_TASKS,
} from "../types/limits.ts";
import { type Address, bytesEqual, type Hash } from "../types/primitives.ts";
import {
  Account,
  Ceremony,
  ChainState,
  KeyEpoch,
  Miner,
  RecordEntry,
  RequestEntry,
  TASK_STATUS,
  Task,
  type TaskStatus,
} from "../types/state.ts";
import type { KeyIndex, Table, TableKind } from "./table.ts";

/** What can be read of a state, finished (State) or under way (Draft). */

/** The entries of each list. */
export type Entries = {
  accounts: Account;
  miners: Miner;
  tasks: Task;
  records: RecordEntry;
  requests: RequestEntry;
  epochs: KeyEpoch;
  ceremonies: Ceremony;
};
export type ListName = keyof Entries;

/** The append-only lists of the state, in their order there. */
export const LISTS: { readonly [N in ListName]: TableKind<Entries[N]> } = {
  accounts: { name: "accounts", element: Account, limit: MAX_ACCOUNTS },
  miners: { name: "miners", element: Miner, limit: MAX_MINERS },
  tasks: { name: "tasks", element: Task, limit: MAX_TASKS },
  records: { name: "records", element: RecordEntry, limit: MAX_RECORDS },
  requests: { name: "requests", element: RequestEntry, limit: MAX_REQUESTS },
  epochs: { name: "epochs", element: KeyEpoch, limit: MAX_EPOCHS },
  ceremonies: { name: "ceremonies", element: Ceremony, limit: MAX_CEREMONIES },
};
export const LIST_NAMES = Object.keys(LISTS) as ListName[];

/** Something of every list. */
export type PerList<T> = { readonly [N in ListName]: T };
export function perList<T>(make: (list: ListName) => T): PerList<T> {
  return Object.fromEntries(LIST_NAMES.map((list) => [list, make(list)])) as PerList<T>;
}

/** What the entries of a list are looked up by; those of the other lists by index only. */
export const KEYS = {
  accounts: (a: Readonly<Account>) => a.address,
  miners: (m: Readonly<Miner>) => m.address,
  tasks: (t: Readonly<Task>) => t.id,
  records: (r: Readonly<RecordEntry>) => r.label,
  requests: (r: Readonly<RequestEntry>) => r.id,
  ceremonies: (c: Readonly<Ceremony>) => c.id,
} as const;
export type KeyedList = keyof typeof KEYS;

const {
  accounts: _a,
  miners: _m,
  tasks: _t,
  records: _r,
  requests: _q,
  epochs: _e,
  ceremonies: _c,
  ...singleFields
} = ChainState.fields;

/** All of the chain's state but the lists. */
export const Singles = new ContainerType(singleFields, { typeName: "Singles" });
export type Singles = ValueOf<typeof Singles>;

/** A record with its place in its list. */
export type At<T> = { readonly index: number; readonly record: Readonly<T> };

export interface StateView {
  readonly singles: Readonly<Singles>;
  account(address: Address): At<Account> | undefined;
  /** The record of this address, bonded or not. */
  miner(address: Address): At<Miner> | undefined;
  minerAt(index: number): Readonly<Miner> | undefined;
  /** The bonded or unbonding miner of this institution, consensus key or VRF key; there is at most one. */
  bondedBy(what: MinerKey, key: Uint8Array): At<Miner> | undefined;
  /** In order of registration. */
  miners(): Iterable<At<Miner>>;
  task(id: Hash): At<Task> | undefined;
  /** Queued and active tasks, oldest first. */
  openTasks(): Iterable<At<Task>>;
  activeTask(): At<Task> | undefined;
  /** The entry of a list by its key (see KEYS). */
  find<N extends KeyedList>(list: N, key: Uint8Array): At<Entries[N]> | undefined;
  entry<N extends ListName>(list: N, index: number): Readonly<Entries[N]> | undefined;
  count(list: ListName): number;
}

export const MINER_KEYS = ["institution", "consensusKey", "vrfKey"] as const;
export type MinerKey = (typeof MINER_KEYS)[number];

/** Its stake is at risk: bonded, or on its way out. Only then does a miner occupy its keys and its institution. */
export function isEngaged(miner: Readonly<Miner>): boolean {
  return miner.stake > 0n || miner.unbonding > 0n;
}

export function statusOf(task: Readonly<Task>): TaskStatus {
  return TASK_STATUS[task.status] as TaskStatus;
}

export function statusCode(status: TaskStatus): number {
  return TASK_STATUS.indexOf(status);
}

export function isOpen(task: Readonly<Task>): boolean {
  return statusOf(task) === "queued" || statusOf(task) === "active";
}

/** Key → index: of each keyed list, and of miners by what else they are known by. */
export type IndexName = KeyedList | MinerKey;
export const INDEX_NAMES: readonly IndexName[] = [...(Object.keys(KEYS) as KeyedList[]), ...MINER_KEYS];
export type Indexes = { readonly [I in IndexName]: KeyIndex };

export type Tables = { readonly [N in ListName]: Table<Entries[N]> };

export type StateParts = {
  readonly singles: Readonly<Singles>;
  readonly tables: Tables;
  readonly indexes: Indexes;
  /** Indices of queued and active tasks, ascending. */
  readonly open: readonly number[];
  /** Indices changed since the parent. */
  readonly changed: PerList<ReadonlySet<number>>;
};

/** `miner` if it is engaged and still has this key; a record may have left the key behind. */
export function engagedBy(miner: At<Miner> | undefined, what: MinerKey, key: Uint8Array): At<Miner> | undefined {
  return miner && isEngaged(miner.record) && bytesEqual(miner.record[what], key) ? miner : undefined;
}

/** The record at `index`, if there is one. */
export function at<T extends object>(
  table: { get(index: number): Readonly<T> | undefined },
  index: number | undefined,
): At<T> | undefined {
  if (index === undefined) return undefined;
  const record = table.get(index);
  return record && { index, record };
}
