import type { ValueOf } from "@chainsafe/ssz";
import { ContainerType } from "@chainsafe/ssz";
import { MAX_ACCOUNTS, MAX_MINERS, MAX_TASKS } from "../types/limits.ts";
import { type Address, bytesEqual, type Hash } from "../types/primitives.ts";
import { Account, ChainState, Miner, TASK_STATUS, Task, type TaskStatus } from "../types/state.ts";
import type { KeyIndex, Table, TableKind } from "./table.ts";

/** What can be read of a state, finished (State) or under way (Draft). */

const { accounts: _a, miners: _m, tasks: _t, ...singleFields } = ChainState.fields;

/** All of the chain's state but the three lists. */
export const Singles = new ContainerType(singleFields, { typeName: "Singles" });
export type Singles = ValueOf<typeof Singles>;

export const ACCOUNTS: TableKind<Account> = { name: "accounts", element: Account, limit: MAX_ACCOUNTS };
export const MINERS: TableKind<Miner> = { name: "miners", element: Miner, limit: MAX_MINERS };
export const TASKS: TableKind<Task> = { name: "tasks", element: Task, limit: MAX_TASKS };

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

/** Key → index, for every key that a record is looked up by. */
export type Indexes = {
  readonly accounts: KeyIndex;
  readonly miners: KeyIndex;
  readonly institution: KeyIndex;
  readonly consensusKey: KeyIndex;
  readonly vrfKey: KeyIndex;
  readonly tasks: KeyIndex;
};

/** Indices changed since the parent. */
export type Changed = {
  readonly accounts: ReadonlySet<number>;
  readonly miners: ReadonlySet<number>;
  readonly tasks: ReadonlySet<number>;
};

export type StateParts = {
  readonly singles: Readonly<Singles>;
  readonly accounts: Table<Account>;
  readonly miners: Table<Miner>;
  readonly tasks: Table<Task>;
  readonly indexes: Indexes;
  /** Indices of queued and active tasks, ascending. */
  readonly open: readonly number[];
  readonly changed: Changed;
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
