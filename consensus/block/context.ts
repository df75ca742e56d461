import { beaconAlpha, vrfVerify } from "../../crypto/vrf.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import { decodeTask, type TaskSpec } from "../../genesis/task.ts";
import type { Header, Validator } from "../../types/block.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Task } from "../../types/state.ts";
import type { Commit } from "../../types/vote.ts";
import type { State } from "../../vm/state.ts";
import { expectedMiners, validatorSet } from "../../vm/validators.ts";
import { drawCommittee, proposerOf } from "../committee.ts";

/** The last final block and what it leaves: all that the next height depends on. */
export type Head = {
  readonly height: number;
  readonly id: Hash;
  /** Undefined at genesis. */
  readonly header: Header | undefined;
  readonly state: State;
  /** The set that decided this block; empty at genesis. */
  readonly validators: readonly Validator[];
  /** Certificate of this block, verified; without signatures at genesis. */
  readonly commit: Commit;
};

/** The head of a chain without blocks: the hash of its genesis file stands for the block. */
export function genesisHead(genesisHash: Hash, state: State): Head {
  const commit = { height: 0, round: 0, blockId: genesisHash, signatures: [] };
  return { height: 0, id: genesisHash, header: undefined, state, validators: [], commit };
}

/** Fixed for all rounds of a height, from finalised data only. */
export type HeightContext = {
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  readonly parent: Head;
  readonly height: number;
  readonly validators: readonly Validator[];
  /** Index of who may build in the round. Remembered: it is asked for with every message of a proposer. */
  readonly proposer: (round: number) => number;
  readonly committee: readonly number[];
  /** The task that trains at this height. */
  readonly task: Task | undefined;
  readonly spec: TaskSpec | undefined;
  /** Who is waited for in the learning session, by index. */
  readonly expected: readonly boolean[];
  /** Output of a validator's VRF for this height, undefined if the proof is bad. Remembered: a check takes milliseconds. */
  readonly beta: (validator: number, proof: Uint8Array) => Uint8Array | undefined;
};

/** Rounds of a height whose proposer is remembered: more than one ever takes, and few enough whatever rounds peers name. */
const REMEMBERED_ROUNDS = 128;

/** `vrfVerify`, or something that gives the same sooner. */
export type VrfVerify = typeof vrfVerify;

export function heightContext(
  parent: Head,
  genesis: Genesis,
  genesisHash: Hash,
  verify: VrfVerify = vrfVerify,
): HeightContext {
  const { state } = parent;
  const height = parent.height + 1;
  const validators = validatorSet(state, genesis);
  const seed = state.seed;
  const task = state.activeTask()?.record;
  const awaited = new Set((task ? expectedMiners(state, task, validators, genesis) : []).map(toHex));
  const betas = new Map<string, Uint8Array | undefined>();
  const draw = (round: number) =>
    proposerOf({ validators, ranking: state.ranking, learned: state.learned, seed, height, round });
  const proposers: number[] = [];
  return {
    genesis,
    genesisHash,
    parent,
    height,
    validators,
    proposer: (round) => {
      if (round >= REMEMBERED_ROUNDS) return draw(round);
      proposers[round] ??= draw(round);
      return proposers[round];
    },
    committee: drawCommittee(validators, genesis.consensus.committeeSeats, seed),
    task,
    spec: task ? decodeTask(task.spec) : undefined,
    expected: validators.map((v) => awaited.has(toHex(v.address))),
    beta: (validator, proof) => {
      const key = `${validator}/${toHex(proof)}`;
      if (!betas.has(key)) {
        const vrfKey = validators[validator]?.vrfKey;
        betas.set(key, vrfKey && verify(vrfKey, beaconAlpha(seed, height), proof));
      }
      return betas.get(key);
    },
  };
}
