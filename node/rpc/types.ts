import { z } from "zod";
import { genesisSchema } from "../../genesis/genesis.ts";
import { OFFENCE_KINDS } from "../../types/evidence.ts";
import { UPDATE_STATUS } from "../../types/round.ts";
import { TASK_STATUS } from "../../types/state.ts";
import { TX_KINDS } from "../../types/tx.ts";
import type { CustodianApproved, CustodianJoined, CustodianStatus } from "./custodiantypes.ts";
import type { RecordJson, RecordPage, RedactionFull, RedactionPage } from "./recordtypes.ts";
import { address, amount, bytes, hash, signed, whole } from "./scalars.ts";

/**
 * The results of every RPC method, as schemas from which the types, the OpenRPC document and the tests' checks come. Amounts and other
 * 64-bit integers are decimal strings, bytes are lower-case `0x` hex; heights and milliseconds since 1970 fit a JSON number.
 */

export const nodeStatus = z.strictObject({
  chainId: z.string(),
  genesisHash: hash,
  height: whole,
  headHash: hash,
  /** Of the head block; genesis time before the first. */
  headTime: whole,
  catchingUp: z.boolean(),
  /** Connected peers. */
  peers: whole,
  /** Whether this node's account validates the next height. */
  validator: z.boolean(),
  /** The block that jailed this node's miner, and the first height at which it may `unjail`; null = it is free, or not bonded. */
  jailed: z.strictObject({ since: whole, until: whole }).nullable(),
  version: z.string(),
  moniker: z.string(),
  /** Of this node's account; null for one that only follows. */
  address: address.nullable(),
  peerId: z.string(),
  /** Round and phase of the height in progress, head + 1. */
  round: whole,
  phase: z.string(),
});
export const nodeHealth = z.strictObject({
  status: z.enum(["ok", "syncing", "failing"]),
  height: whole,
  peers: whole,
  /** Why it fails; or that it is jailed, which is no failure. */
  reason: z.string().nullable(),
});
export const peer = z.strictObject({
  peer: z.string(),
  address: z.string(),
  direction: z.enum(["inbound", "outbound"]),
  connectedAt: whole,
  score: z.number(),
  queuedBytes: whole,
  bytesIn: whole,
  bytesOut: whole,
});
const traffic = z.strictObject({ in: whole, out: whole });
/** Bytes since the start, and refused messages by reason. */
export const netCounters = z.strictObject({
  direct: traffic,
  gossip: traffic,
  blobs: traffic,
  requests: traffic,
  rejected: z.record(z.string(), whole),
});
export const timing = z.strictObject({
  height: whole,
  startedAt: whole,
  /** Milliseconds from the start of the height to the end of each phase that took place here. */
  phases: z.record(z.string(), z.number()),
  /** Milliseconds from the moment a block could be proposed to the decision; null when this node did not vote on it. */
  finalityMs: z.number().nullable(),
});

/** Attested medians of the model that the round started from. */
export const metrics = z.strictObject({
  /** Members that reported. */
  n: whole,
  /** Log loss in nats. */
  loss: z.number(),
  accuracy: z.number(),
  /** null where it is not defined. */
  auroc: z.number().nullable(),
});

export const tx = z.strictObject({
  hash,
  sender: address,
  nonce: whole,
  fee: amount,
  expires: whole,
  kind: z.enum(TX_KINDS),
  /** The fields of the payload; bytes that are text (moniker, task) as text. */
  payload: z.record(z.string(), z.union([z.string(), z.number()])),
  publicKey: bytes,
  signature: bytes,
});
export const header = z.strictObject({
  version: whole,
  height: whole,
  round: whole,
  time: whole,
  parent: hash,
  proposer: address,
  seed: hash,
  vrfProof: bytes,
  task: hash.nullable(),
  metrics: metrics.nullable(),
  stateRoot: hash,
  txRoot: hash,
  recordRoot: hash,
  attestationRoot: hash,
  resultRoot: hash,
  modelRoot: hash.nullable(),
  validatorsRoot: hash,
  nextValidatorsRoot: hash,
  lastCommitRoot: hash,
  evidenceRoot: hash,
});
export const headerResult = z.strictObject({ hash, header });
export const commit = z.strictObject({
  height: whole,
  round: whole,
  blockHash: hash,
  signatures: z.array(z.strictObject({ validator: whole, time: whole, signature: bytes })),
});
export const block = z.strictObject({
  hash,
  header,
  txs: z.array(tx),
  /** Updates and attestations in the block; `round_get` has the result. null = without learning. */
  learning: z.strictObject({ task: hash, updates: whole, attestations: whole, modelRoot: hash }).nullable(),
  /** Offences that this block punishes; `round` is that of the later message, null for what is signed once a height. */
  evidence: z.array(
    z.strictObject({ kind: z.enum(OFFENCE_KINDS), consensusKey: bytes, height: whole, round: whole.nullable() }),
  ),
  lastCommit: commit,
  /** Bytes of the encoded block. */
  size: whole,
});
export const receipt = z.strictObject({
  tx: hash,
  /** A failed transaction paid its fee and did nothing else. */
  status: z.enum(["done", "failed"]),
  /** TX_… of a failure. */
  code: z.string().nullable(),
  fee: amount,
});
export const txSent = z.strictObject({ hash });
export const txFound = z.strictObject({
  status: z.enum(["pending", "final"]),
  tx,
  height: whole.nullable(),
  index: whole.nullable(),
  receipt: receipt.nullable(),
});
export const txPending = z.strictObject({ count: whole, bytes: whole, hashes: z.array(hash) });

export const account = z.strictObject({
  address,
  balance: amount,
  nonce: whole,
  /** The nonce for the next transaction: after what waits in this node's mempool. */
  nextNonce: whole,
  height: whole,
});
/** `blocks` is an SSZ List[LightBlock, 64]; fewer than asked for where the chain ends, or what proves the next is not here. */
export const lightBlocks = z.strictObject({ from: whole, count: whole, blocks: bytes });
export const accountProof = z.strictObject({
  height: whole,
  headHash: hash,
  stateRoot: hash,
  account: z.strictObject({ address, balance: amount, nonce: whole }),
  /** The record (SSZ) at its index in the state's list, and sibling hashes up to `stateRoot`. */
  proof: z.strictObject({ kind: z.literal("accounts"), index: whole, record: bytes, branch: z.array(hash) }),
});
export const miner = z.strictObject({
  address,
  moniker: z.string(),
  institution: hash,
  consensusKey: bytes,
  vrfKey: bytes,
  stake: amount,
  unbonding: amount,
  unbondingHeight: whole,
  bondedAt: whole,
  /** In [0, 1]. */
  reputation: z.number(),
  /** In the latest learning block; null when it had no update there. */
  contribution: signed.nullable(),
  jailed: z.boolean(),
  jailedUntil: whole,
  missed: whole,
  lastReveal: whole,
  accepted: whole,
  rejected: whole,
  blocksProposed: whole,
  /** All pay so far. */
  earned: amount,
});
export const validatorSetResult = z.strictObject({
  height: whole,
  /** Of all. */
  power: amount,
  validators: z.array(
    z.strictObject({
      index: whole,
      address,
      moniker: z.string(),
      institution: hash,
      consensusKey: bytes,
      vrfKey: bytes,
      power: amount,
      committeeWeight: amount,
    }),
  ),
});
const taskFields = {
  id: hash,
  name: z.string(),
  publisher: address,
  status: z.enum(TASK_STATUS),
  escrow: amount,
  bounty: amount,
  publishedAt: whole,
  /** Learning rounds done; `failed` heights in a row without learning since. */
  round: whole,
  failed: whole,
  modelRoot: hash,
  exponent: whole,
  medianNorm: amount,
  lastLearning: whole,
  endedAt: whole,
};
export const taskSummary = z.strictObject(taskFields);
export const task = z.strictObject({
  ...taskFields,
  spec: z.record(z.string(), z.unknown()),
  /** Who trained for it, in order of registration: moving sum of contributions, and pay from it so far. */
  standings: z.array(z.strictObject({ miner: address, moniker: z.string(), credit: signed, earned: amount })),
});

export const updateResult = z.strictObject({
  index: whole,
  miner: address,
  moniker: z.string(),
  commitment: hash,
  status: z.enum(UPDATE_STATUS),
  norm2: amount,
  krumScore: amount,
  votes: z.strictObject({ harmful: whole, neutral: whole, helpful: whole }),
  weight: amount,
  /** Clipping factor, of 2^16. */
  scale: whole,
  /** Agreement of what is new in it with what is new in the others, and the miner's moving sum of it; of 2^16. */
  contribution: signed,
  credit: signed,
  pay: amount,
});
export const round = z.strictObject({
  height: whole,
  blockHash: hash,
  time: whole,
  proposer: address,
  task: hash,
  /** Tolerance of the selection, and how many distinct updates it was chosen from. */
  fKrum: whole,
  distinct: whole,
  exponent: whole,
  nextExponent: whole,
  medianNorm: amount,
  modelRoot: hash,
  metrics: metrics.nullable(),
  /** Committee members whose attestation the block includes. */
  committee: z.array(
    z.strictObject({ index: whole, member: address, moniker: z.string(), metrics: metrics.nullable() }),
  ),
  updates: z.array(updateResult),
});
export const model = z.strictObject({
  /** The block after which this is the model; 0 = before the first round. */
  height: whole,
  task: hash,
  name: z.string(),
  root: hash,
  /** int32 little-endian fixed point: value = integer / 2^scaleBits. */
  size: whole,
  chunks: whole,
  parameters: whole,
  scaleBits: whole,
  tensors: z.array(z.strictObject({ name: z.string(), shape: z.array(whole), offset: whole, size: whole })),
  /** Attested in that block, of the model that its round started from. */
  metrics: metrics.nullable(),
  /** Whether this node holds the bytes. */
  stored: z.boolean(),
});
export const modelChunk = z.strictObject({
  root: hash,
  size: whole,
  index: whole,
  chunks: whole,
  bytes,
  /** Sibling hashes from the chunk to the top (docs/protocol.md, blobs). */
  proof: z.array(hash),
});

/** Of genesis: what all nodes of the chain agree on for ever. */
export const chainParams = z.strictObject({
  chainId: z.string(),
  genesisHash: hash,
  consensus: genesisSchema.shape.consensus,
  economy: genesisSchema.shape.economy,
  registrars: genesisSchema.shape.registrars,
  regulators: genesisSchema.shape.regulators,
  custodians: genesisSchema.shape.custodians,
});

/** Messages of `chain_subscribe`. */
export const headEvent = z.strictObject({
  height: whole,
  hash,
  time: whole,
  proposer: address,
  txs: whole,
  learning: z.boolean(),
});
export const txEvent = z.strictObject({
  hash,
  status: z.enum(["pending", "final"]),
  height: whole.nullable(),
  code: z.string().nullable(),
});

export type NodeStatus = z.output<typeof nodeStatus>;
export type NodeHealth = z.output<typeof nodeHealth>;
export type Peer = z.output<typeof peer>;
export type NetCounters = z.output<typeof netCounters>;
export type Timing = z.output<typeof timing>;
export type Metrics = z.output<typeof metrics>;
export type TxJson = z.output<typeof tx>;
export type HeaderJson = z.output<typeof header>;
export type HeaderResult = z.output<typeof headerResult>;
export type CommitJson = z.output<typeof commit>;
export type BlockJson = z.output<typeof block>;
export type ReceiptJson = z.output<typeof receipt>;
export type TxSent = z.output<typeof txSent>;
export type TxFound = z.output<typeof txFound>;
export type TxPending = z.output<typeof txPending>;
export type AccountJson = z.output<typeof account>;
export type LightBlocksJson = z.output<typeof lightBlocks>;
export type AccountProof = z.output<typeof accountProof>;
export type MinerJson = z.output<typeof miner>;
export type ValidatorSetResult = z.output<typeof validatorSetResult>;
export type TaskSummary = z.output<typeof taskSummary>;
export type TaskJson = z.output<typeof task>;
export type UpdateResultJson = z.output<typeof updateResult>;
export type RoundJson = z.output<typeof round>;
export type ModelJson = z.output<typeof model>;
export type ModelChunk = z.output<typeof modelChunk>;
export type ChainParams = z.output<typeof chainParams>;
export type HeadEvent = z.output<typeof headEvent>;
export type TxEvent = z.output<typeof txEvent>;

/** Method → result: what the typed client returns. */
export type Results = {
  node_status: NodeStatus;
  node_health: NodeHealth;
  node_timings: Timing[];
  net_peers: Peer[];
  net_counters: NetCounters;
  chain_params: ChainParams;
  chain_getBlock: BlockJson;
  chain_getHeader: HeaderResult;
  chain_getCommit: CommitJson;
  chain_getLightBlocks: LightBlocksJson;
  chain_getReceipts: ReceiptJson[];
  tx_send: TxSent;
  tx_get: TxFound;
  tx_pending: TxPending;
  account_get: AccountJson;
  account_prove: AccountProof;
  miner_list: MinerJson[];
  miner_get: MinerJson;
  validator_set: ValidatorSetResult;
  task_list: TaskSummary[];
  task_get: TaskJson;
  round_get: RoundJson;
  record_get: RecordJson;
  record_list: RecordPage;
  redaction_get: RedactionFull;
  redaction_list: RedactionPage;
  model_get: ModelJson;
  model_chunk: ModelChunk;
  custodian_status: CustodianStatus;
  custodian_join: CustodianJoined;
  custodian_approve: CustodianApproved;
};
