import type { KeyPair } from "../../crypto/ed25519.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { CertifiedBlock, Receipt } from "../../types/block.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Metrics, UpdateVote } from "../../types/round.ts";
import type { Tx } from "../../types/tx.ts";
import type { Beside } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import type { Head, VrfVerify } from "../block/context.ts";
import type { RoundInput, RoundOutcome } from "../round/compute.ts";
import type { DurableLog } from "../signer.ts";

/** Everything that consensus asks of the world. Handed in by the node, or by a simulation under a virtual clock. */
export type EngineDeps = {
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  /** Undefined for a node that only follows. */
  readonly keys: { readonly consensus: KeyPair; readonly vrf: KeyPair } | undefined;
  /** A signer that has signed nothing yet waits until the node is known not to be behind (newcomer.ts). Left out: it signs at once. */
  readonly newSignerWaits?: boolean;
  readonly clock: Clock;
  /** 32 fresh random bytes: salts of commitments. */
  readonly random: () => Uint8Array;
  readonly net: EngineNet;
  readonly blobs: EngineBlobs;
  readonly records: EngineRecords;
  readonly wal: DurableLog;
  readonly signerLog: DurableLog;
  readonly trainer: EngineTrainer | undefined;
  readonly rounds: EngineRounds;
  /** Left out: `vrfVerify`. */
  readonly vrf?: VrfVerify;
  /** Transactions for the next block, in an order that the state machine accepts. */
  readonly pickTxs: () => Tx[];
  /**
   * Stores final blocks, one or several in order, in one synced batch: all of them or, when it rejects, none. After it resolves none is ever
   * lost, and not before it resolves anybody is told of them.
   */
  readonly commit: (applied: readonly Applied[]) => Promise<void>;
  /** A final block by height, for a peer that is one behind. */
  readonly certified: (height: number) => Promise<CertifiedBlock | undefined>;
  /** Whether a block may be taken for final here: below a trusted one only those are that lead to it. Left out: all may. */
  readonly allowed?: (height: number, id: Hash) => boolean;
  /** A peer says that it works on a height beyond the next one. */
  readonly behind: (peer: string, height: number) => void;
  readonly log: EngineLog;
  /** Something after which the node must not go on: a full disk, a corrupt store. */
  readonly fatal: (error: unknown) => void;
};

export type Clock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once after `ms`; returns its cancellation. */
  timer(ms: number, act: () => void): () => void;
};

export type EngineNet = {
  send(peer: string, frame: Uint8Array): void;
  broadcast(frame: Uint8Array): void;
  /** Peers with an open stream. */
  peers(): number;
  fetchBlob(root: Hash, size: number): Promise<Uint8Array>;
  report(peer: string, verdict: "ignore" | "reject", why: string): void;
};

export type EngineBlobs = {
  get(root: Hash): Promise<Uint8Array | undefined>;
  put(bytes: Uint8Array): Promise<Hash>;
};

export type EngineRecords = {
  /**
   * Resolves when all of it is here and outlives a power failure: only then is a block with it voted for or proposed.
   * Rejects with PoflError MISSING_RECORDS when some of it has not been received, which says nothing about the block.
   */
  ensure(beside: readonly Beside[]): Promise<void>;
};

export type EngineTrainer = {
  train(job: { task: TaskSpec; model: Int32Array; exponent: number; height: number }): Promise<{
    blob: Uint8Array;
    samples: number;
  }>;
  judge(job: {
    task: TaskSpec;
    model: Int32Array;
    exponent: number;
    medianNorm: bigint;
    updates: { miner: number; blob: Uint8Array }[];
  }): Promise<{ votes: UpdateVote[]; metrics: Metrics | undefined }>;
};

export type EngineRounds = {
  /** The outcome of `computeRound`, wherever it runs. Rejects when there is none, which says nothing about the block. */
  compute(input: RoundInput): Promise<RoundOutcome>;
};

export type EngineLog = {
  debug(data: Record<string, unknown>, text: string): void;
  info(data: Record<string, unknown>, text: string): void;
  warn(data: Record<string, unknown>, text: string): void;
  error(data: Record<string, unknown>, text: string): void;
};

export type Applied = {
  readonly certified: CertifiedBlock;
  readonly receipts: readonly Receipt[];
  readonly parent: State;
  readonly head: Head;
  readonly timings: Timings | undefined;
};

/** When each phase of a height ended, ms since the height began; what did not happen is absent. */
export const PHASES = [
  "trained",
  "closed",
  "revealed",
  "judged",
  "ready",
  "proposed",
  "prevoted",
  "precommitted",
  "decided",
  "stored",
] as const;
export type PhaseMark = (typeof PHASES)[number];
export type Timings = { readonly height: number; readonly startedAt: number } & { readonly [P in PhaseMark]?: number };
