import { type Genesis, genesisHash, genesisSeed, genesisTaskId, genesisTimeMs } from "../genesis/genesis.ts";
import { encodeTask } from "../genesis/task.ts";
import { type Address, fromHex, parseAmount } from "../types/primitives.ts";
import { type Account, blankMiner, type Miner, type Task } from "../types/state.ts";
import { activated, NOBODY, newTask } from "./tasks.ts";
import type { Singles } from "./view.ts";

export type GenesisRecords = { singles: Singles; accounts: Account[]; miners: Miner[]; tasks: Task[] };

/**
 * The records at height 0: accounts and validators in the order of the file, then accounts for validators that have none, the task
 * active at once. seed(0) is the genesis hash, and everything that exists counts as minted.
 * @throws PoflError BAD_TASK when the task's layers don't fit together
 */
export function genesisRecords(genesis: Genesis): GenesisRecords {
  const accounts = genesis.accounts.map((a) => newAccount(fromHex(a.address, 20), parseAmount(a.balance)));
  const known = new Set(genesis.accounts.map((a) => a.address));
  for (const { address } of genesis.validators) {
    if (!known.has(address)) accounts.push(newAccount(fromHex(address, 20), 0n));
  }
  const miners = genesis.validators.map((v) => ({
    ...blankMiner(fromHex(v.address, 20)),
    institution: fromHex(v.institution, 32),
    consensusKey: fromHex(v.consensusKey, 32),
    vrfKey: fromHex(v.vrfKey, 32),
    moniker: new TextEncoder().encode(v.moniker),
    stake: parseAmount(v.stake),
  }));
  const tasks = genesis.task ? [genesisTask(genesis.task)] : [];
  const minted = [
    ...accounts.map((a) => a.balance),
    ...miners.map((m) => m.stake),
    ...tasks.map((t) => t.escrow),
  ].reduce((sum, amount) => sum + amount, 0n);
  const singles = {
    height: 0,
    time: genesisTimeMs(genesis),
    seed: genesisSeed(genesisHash(genesis)),
    minted,
    burned: 0n,
    learningBlocks: 0,
    learned: false,
    ranking: [],
  };
  return { singles, accounts, miners, tasks };
}

function newAccount(address: Address, balance: bigint): Account {
  return { address, balance, nonce: 0 };
}

function genesisTask({ spec, escrow }: NonNullable<Genesis["task"]>): Task {
  return activated(newTask(genesisTaskId(spec), NOBODY, encodeTask(spec), parseAmount(escrow), 0));
}
