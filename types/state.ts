import { ContainerNodeStructType, ContainerType, ListBasicType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { CeremonyPlan } from "./ceremony.ts";
import {
  MAX_ACCOUNTS,
  MAX_CEREMONIES,
  MAX_CUSTODIANS,
  MAX_EDITS,
  MAX_EPOCHS,
  MAX_MINERS,
  MAX_MONIKER_BYTES,
  MAX_RECORDS,
  MAX_REQUESTS,
  MAX_SLASHED_HEIGHTS,
  MAX_TASK_BYTES,
  MAX_TASKS,
  MAX_VALIDATORS,
} from "./limits.ts";
import { type Address, Bool, Bytes20, Bytes32, bytesUpTo, U8, U32, U53, U64 } from "./primitives.ts";

export const Account = new ContainerNodeStructType(
  { address: Bytes20, balance: U64, nonce: U53 },
  { typeName: "Account" },
);

/** Reputation 1.0. */
export const REPUTATION_ONE = 1 << 16;

export const Miner = new ContainerType(
  {
    address: Bytes20,
    institution: Bytes32,
    consensusKey: Bytes32,
    vrfKey: Bytes32,
    moniker: bytesUpTo(MAX_MONIKER_BYTES),
    stake: U64,
    /** Stake on its way out, and the height at which it is returned (0 = none). */
    unbonding: U64,
    unbondingHeight: U53,
    /** Height of the registration; keys count a genesis-set number of heights later. */
    bondedAt: U53,
    /** Moving average in [0, REPUTATION_ONE]; falls only for proven conduct. */
    reputation: U32,
    jailed: Bool,
    /** First height at which `unjail` is allowed. */
    jailedUntil: U53,
    /** Heights within the evidence window for which it was punished: each once, whatever it did there. */
    slashed: new ListBasicType(U53, MAX_SLASHED_HEIGHTS),
    /** Consecutive proposals missed in round 0. */
    missed: U32,
    /** Height of the last block in which this miner's reveal was held; 0 = none. */
    lastReveal: U53,
    /** Rounds in which its update entered the model; and sums over all rounds. */
    accepted: U53,
    rejected: U53,
    blocksProposed: U53,
    earned: U64,
  },
  { typeName: "Miner" },
);

export const TASK_STATUS = ["queued", "active", "reached", "exhausted", "cancelled"] as const;
export type TaskStatus = (typeof TASK_STATUS)[number];

/** An update of a task's last learning round: what the next ones are compared with. */
export const RecordedUpdate = new ContainerType(
  {
    blobRoot: Bytes32,
    size: U32,
    /** Weight times clipping factor in the mean of its round. */
    coefficient: U64,
  },
  { typeName: "RecordedUpdate" },
);
/** What a miner did for a task. */
export const Standing = new ContainerType(
  {
    /** Index in the list of miners. */
    miner: U32,
    /** Moving sum of its agreements, two's complement, and its variance under chance (consensus/round/credit.ts). */
    credit: U64,
    variance: U64,
    /** Trainer's pay from this task so far. */
    earned: U64,
  },
  { typeName: "Standing" },
);

export const Task = new ContainerType(
  {
    /** SSZ root of the publishing transaction's body; for the task in genesis, the hash of its canonical JSON. */
    id: Bytes32,
    publisher: Bytes20,
    spec: bytesUpTo(MAX_TASK_BYTES),
    escrow: U64,
    publishedAt: U53,
    status: U8,
    /** Learning rounds done. */
    round: U32,
    /** Heights in a row, while active, without learning. */
    failed: U32,
    /** Times that failed heights sent it to the back of the queue: fewer come first. */
    requeues: U32,
    /** Global model after `round` rounds. */
    modelRoot: Bytes32,
    /** Exponent of the next round's lanes. */
    exponent: U8,
    /** Lower median of accepted norms, model units; 0 before the first. */
    medianNorm: U64,
    /** Heights of the last two learning blocks, newest first (0 = none): they say who is expected. */
    lastLearning: U53,
    priorLearning: U53,
    endedAt: U53,
    /** Updates of the last learning round that were well-formed and distinct, by miner. */
    recorded: new ListCompositeType(RecordedUpdate, MAX_VALIDATORS),
    /** Ascending by miner. */
    standings: new ListCompositeType(Standing, MAX_MINERS),
  },
  { typeName: "Task" },
);

/** An editable record as it stands. */
export const RecordEntry = new ContainerType(
  {
    label: Bytes32,
    sender: Bytes20,
    /** All zero = nobody. */
    subject: Bytes20,
    /** Height of the block that made it. */
    height: U53,
    /** Of the custodians' key. */
    epoch: U32,
    /** C: never changes. */
    digest: Bytes32,
    /** Edits so far. */
    version: U32,
    /** Of the payload as it is now, and its padded length; 0 = erased. */
    cm: Bytes32,
    length: U32,
    /** Requests that were executed, by index, oldest first. */
    edits: new ListBasicType(U32, MAX_EDITS),
  },
  { typeName: "RecordEntry" },
);

export const REQUEST_STATUS = ["open", "executed", "stopped"] as const;
export type RequestStatus = (typeof REQUEST_STATUS)[number];

/** A request for redaction. */
export const RequestEntry = new ContainerType(
  {
    /** Of the transaction that asked. */
    id: Bytes32,
    label: Bytes32,
    requester: Bytes20,
    /** Version of the record that it would replace. */
    version: U32,
    reason: U8,
    cm: Bytes32,
    length: U32,
    askedAt: U53,
    /** First and last height at which it can be executed. */
    opensAt: U53,
    lapsesAt: U53,
    status: U8,
    /** Height at which it was executed or stopped. */
    endedAt: U53,
    /** Miners that objected, by index. */
    objections: new ListBasicType(U32, MAX_VALIDATORS),
    /** Custodian keys that approved the edit. */
    approvals: new ListCompositeType(Bytes32, MAX_CUSTODIANS),
  },
  { typeName: "RequestEntry" },
);

const Points = new ListCompositeType(Bytes32, MAX_CUSTODIANS);

/** A key of custodians; its index is the epoch. */
export const KeyEpoch = new ContainerType(
  {
    publicKey: Bytes32,
    /** Times that it was handed to new custodians. */
    generation: U32,
    threshold: U32,
    /** Custodian keys (Ed25519) of those who hold shares now, in the order of their numbers. */
    keys: Points,
    /** Public polynomial of the shares, [0] = publicKey; and each share times G. */
    commitments: Points,
    verifyingShares: Points,
    /** Root of the deals of its last ceremony. */
    transcript: Bytes32,
    registeredAt: U53,
    /** Height since which these custodians hold it. */
    since: U53,
  },
  { typeName: "KeyEpoch" },
);

export const Deal = new ContainerType(
  { custodian: Bytes32, envelopeKey: Bytes32, commitments: Points },
  { typeName: "Deal" },
);
export const Deals = new ListCompositeType(Deal, 2 * MAX_CUSTODIANS);

export const CEREMONY_STATUS = ["open", "done", "failed"] as const;
export type CeremonyStatus = (typeof CEREMONY_STATUS)[number];

export const Ceremony = new ContainerType(
  {
    id: Bytes32,
    plan: CeremonyPlan,
    startedAt: U53,
    status: U8,
    endedAt: U53,
    /** In the order in which they came. */
    deals: Deals,
    /** Custodian key of who is proven to have dealt a bad share; all zero = nobody. */
    culprit: Bytes32,
  },
  { typeName: "Ceremony" },
);

export const Accounts = new ListCompositeType(Account, MAX_ACCOUNTS);
export const Miners = new ListCompositeType(Miner, MAX_MINERS);
export const Tasks = new ListCompositeType(Task, MAX_TASKS);
export const RecordEntries = new ListCompositeType(RecordEntry, MAX_RECORDS);
export const RequestEntries = new ListCompositeType(RequestEntry, MAX_REQUESTS);
export const KeyEpochs = new ListCompositeType(KeyEpoch, MAX_EPOCHS);
export const Ceremonies = new ListCompositeType(Ceremony, MAX_CEREMONIES);

/** Append-only lists in order of creation, so that a record keeps its index and its proof path. */
export const ChainState = new ContainerType(
  {
    height: U53,
    time: U53,
    /** seed(height). */
    seed: Bytes32,
    minted: U64,
    burned: U64,
    /** Blocks with learning so far, over all tasks: the clock of the issuance. */
    learningBlocks: U53,
    /** Whether the block at `height` carried learning, and its miners, best first. */
    learned: Bool,
    ranking: new ListCompositeType(Bytes20, MAX_VALIDATORS),
    accounts: Accounts,
    miners: Miners,
    tasks: Tasks,
    records: RecordEntries,
    requests: RequestEntries,
    epochs: KeyEpochs,
    ceremonies: Ceremonies,
  },
  { typeName: "ChainState" },
);

export type Account = ValueOf<typeof Account>;
export type Miner = ValueOf<typeof Miner>;
export type RecordedUpdate = ValueOf<typeof RecordedUpdate>;
export type Standing = ValueOf<typeof Standing>;
export type Task = ValueOf<typeof Task>;
export type ChainState = ValueOf<typeof ChainState>;
export type RecordEntry = ValueOf<typeof RecordEntry>;
export type RequestEntry = ValueOf<typeof RequestEntry>;
export type KeyEpoch = ValueOf<typeof KeyEpoch>;
export type Deal = ValueOf<typeof Deal>;
export type Ceremony = ValueOf<typeof Ceremony>;

/** A miner that has done nothing yet, without keys and stake. */
export function blankMiner(address: Address): Miner {
  return {
    address,
    institution: new Uint8Array(32),
    consensusKey: new Uint8Array(32),
    vrfKey: new Uint8Array(32),
    moniker: new Uint8Array(0),
    stake: 0n,
    unbonding: 0n,
    unbondingHeight: 0,
    bondedAt: 0,
    reputation: REPUTATION_ONE,
    jailed: false,
    jailedUntil: 0,
    slashed: [],
    missed: 0,
    lastReveal: 0,
    accepted: 0,
    rejected: 0,
    blocksProposed: 0,
    earned: 0n,
  };
}
