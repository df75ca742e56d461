import { addressOf, signPossession, signTx, signVote, txId } from "../../crypto/domain.ts";
import { type KeyPair, keyPair } from "../../crypto/ed25519.ts";
import { sha256 } from "../../crypto/hash.ts";
import { type Genesis, genesisHash } from "../../genesis/genesis.ts";
import { createGenesis } from "../../genesis/presets.ts";
import { encodeTask, parseTask, type TaskSpec } from "../../genesis/task.ts";
import type { Receipt } from "../../types/block.ts";
import { type Evidence, evidenceOf, type Offence } from "../../types/evidence.ts";
import { type Address, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { type Learning, type Metrics, UPDATE_STATUS, type UpdateResult, type UpdateStatus } from "../../types/round.ts";
import { type Bond, type Tx, type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { PREVOTE, type SignedVote, type Vote, type VoteType } from "../../types/vote.ts";
import { audit } from "../../vm/audit.ts";
import { type BlockInput, executeBlock } from "../../vm/execute.ts";
import { failureName } from "../../vm/failures.ts";
import { voteOffence } from "../../vm/offences.ts";
import type { State } from "../../vm/state.ts";
import { feeSize, minimumFee } from "../../vm/transactions.ts";
import { validatorSet } from "../../vm/validators.ts";

/** A small chain with known keys: four founders and some accounts. */

export const seedOf = (name: string): Uint8Array => sha256(new TextEncoder().encode(name));
const cache = new Map<string, KeyPair>();
export function keys(name: string): KeyPair {
  const known = cache.get(name) ?? keyPair(seedOf(name));
  cache.set(name, known);
  return known;
}
export const addressFor = (name: string): Address => addressOf(keys(name).publicKey);
export const consensusOf = (name: string): KeyPair => keys(`${name}/consensus`);
export const institutionOf = (name: string): Hash => seedOf(`${name}/institution`);

export const FOUNDERS = ["anna", "ben", "cleo", "dora"] as const;
export const OTHERS = ["emil", "fay", "gus"] as const;
export const STAKE = 1_000_000n;
export const BALANCE = 10_000_000n;

export type SpecChange = {
  name?: string;
  bounty?: string;
  rounds?: Partial<TaskSpec["rounds"]>;
  aggregation?: Partial<TaskSpec["aggregation"]>;
};
export function spec(change: SpecChange = {}): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: change.name ?? "heart",
      schema: { features: [{ name: "age", kind: "number", unit: "years", min: 0, max: 100 }], label: { name: "sick" } },
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
      training: { steps: 10, batch: 4, learningRate: 0.01 },
      rounds: { maximum: 3, ...change.rounds },
      aggregation: change.aggregation ?? {},
      bounty: change.bounty ?? "1000",
      split: { test: 0.2, validation: 0.2, seed: 1 },
    }),
  );
}

export type GenesisChange = {
  consensus?: Partial<Genesis["consensus"]>;
  economy?: Partial<Genesis["economy"]>;
  task?: { spec: TaskSpec; escrow: string } | undefined;
  registrars?: string[];
  regulators?: string[];
  custodians?: Genesis["custodians"];
  founders?: readonly string[];
  stakes?: Record<string, bigint>;
};

export function genesisWith(change: GenesisChange = {}): Genesis {
  return createGenesis({
    chainId: "test-1",
    genesisTime: "2026-01-01T00:00:00.000Z",
    validators: (change.founders ?? FOUNDERS).map((name) => ({
      moniker: name,
      address: toHex(addressFor(name)),
      consensusKey: toHex(consensusOf(name).publicKey),
      vrfKey: toHex(keys(`${name}/vrf`).publicKey),
      institution: toHex(institutionOf(name)),
      stake: String(change.stakes?.[name] ?? STAKE),
    })),
    accounts: [...FOUNDERS, ...OTHERS].map((name) => ({ address: toHex(addressFor(name)), balance: String(BALANCE) })),
    task: "task" in change ? change.task : { spec: spec(), escrow: "10000" },
    registrars: change.registrars ?? [],
    regulators: change.regulators ?? [],
    custodians: change.custodians ?? { keys: [], threshold: 0 },
    consensus: {
      maxMissed: 2,
      jailHeights: 5,
      keyDelay: 3,
      evidenceWindow: 10,
      unbondingHeights: 12,
      maxPowerPermille: 1000,
      ...change.consensus,
    },
    economy: {
      issuance: { perRound: "10000", halvingBlocks: 2 },
      shares: { proposer: 100, committee: 300, trainers: 600 },
      fees: { base: "100", perByte: "1" },
      minimumStake: "1000",
      slashDoubleSignPermille: 50,
      failedTask: { heights: 3, fee: "500" },
      ...change.economy,
    },
  });
}

export function expectCode(code: string): (error: unknown) => boolean {
  return (error) => {
    const found = (error as { code?: string }).code;
    if (found !== code) throw new Error(`expected ${code}, got ${found}: ${(error as Error).message}`);
    return true;
  };
}

export const NO_METRICS: Metrics = { n: 0, loss: 0, accuracy: 0, auroc: 0 };

export type UpdateOf = { miner: number; pay?: bigint; status?: UpdateStatus; contribution?: bigint };
export function learningOf(task: Hash, updates: readonly UpdateOf[], modelRoot: Hash = seedOf("model")): Learning {
  return {
    task,
    pledges: [],
    openings: [],
    attestations: [],
    result: {
      exponent: 8,
      nextExponent: 9,
      fKrum: 0,
      medianNorm: 77n,
      modelRoot,
      updates: updates.map(
        (u): UpdateResult => ({
          miner: u.miner,
          commitment: ZERO_HASH,
          status: UPDATE_STATUS.indexOf(u.status ?? "accepted"),
          norm2: 0n,
          krumScore: 0n,
          harmful: 0,
          neutral: 0,
          helpful: 0,
          contribution: BigInt.asUintN(64, u.contribution ?? 0n),
          weight: 1n,
          scale: 1 << 16,
          credit: 0n,
          variance: 0n,
          pay: u.pay ?? 0n,
        }),
      ),
    },
  };
}

/** A chain that is driven block by block; every block is audited. */
export class Chain {
  readonly genesis: Genesis;
  readonly hash: Hash;
  state: State;
  receipts: readonly Receipt[] = [];

  constructor(genesis: Genesis, state: State) {
    this.genesis = genesis;
    this.hash = genesisHash(genesis);
    this.state = state;
  }

  input(change: Partial<BlockInput> = {}): BlockInput {
    const height = this.state.height + 1;
    const first = validatorSet(this.state, this.genesis)[0]?.address as Address;
    return {
      height,
      time: this.state.time + 1000,
      proposer: first,
      seed: seedOf(`seed ${height}`),
      txs: [],
      learning: undefined,
      metrics: NO_METRICS,
      evidence: [],
      committee: [],
      proposedRound: 0,
      expectedProposer: first,
      ...change,
    };
  }

  run(change: Partial<BlockInput> = {}): this {
    const done = executeBlock(this.state, this.input(change), this.genesis, this.hash);
    audit(done.state);
    this.state = done.state;
    this.receipts = done.receipts;
    return this;
  }

  /** Runs empty blocks up to this height. */
  to(height: number): this {
    while (this.state.height < height) this.run();
    return this;
  }

  /** Runs one block with these transactions and returns what became of them ("" = done). */
  send(...txs: Tx[]): string[] {
    this.run({ txs });
    return this.receipts.map((r) => failureName(r.code) ?? "");
  }

  /** A signed transaction with the sender's next nonce and the least fee. */
  tx(name: string, payload: TypedPayload, change: Partial<Tx["body"]> = {}): Tx {
    const account = this.state.account(addressFor(name))?.record;
    const body = {
      sender: addressFor(name),
      nonce: account?.nonce ?? 0,
      fee: 0n,
      expires: 0,
      payload: untypedPayload(payload),
      ...change,
    };
    if (change.fee === undefined) {
      const unsigned = { body, publicKey: new Uint8Array(32), signature: new Uint8Array(64) };
      body.fee = minimumFee(this.genesis, feeSize(unsigned));
    }
    return signTx(this.hash, keys(name), body);
  }

  transfer(from: string, to: string, amount: bigint, change: Partial<Tx["body"]> = {}): Tx {
    return this.tx(from, { kind: "transfer", value: { to: addressFor(to), amount } }, change);
  }

  bond(name: string, amount: bigint, change: Partial<Bond> = {}): Tx {
    return this.tx(name, { kind: "bond", value: { ...this.bondOf(name, amount), ...change } });
  }

  bondOf(name: string, amount: bigint): Bond {
    return {
      amount,
      consensusKey: consensusOf(name).publicKey,
      vrfKey: keys(`${name}/vrf`).publicKey,
      institution: institutionOf(name),
      certificate: new Uint8Array(0),
      moniker: new TextEncoder().encode(name),
      possession: signPossession(this.hash, consensusOf(name).secret, addressFor(name)),
    };
  }

  publish(name: string, task: TaskSpec, escrow: bigint): { tx: Tx; id: Hash } {
    const tx = this.tx(name, { kind: "task-publish", value: { spec: encodeTask(task), escrow } });
    return { tx, id: txId(tx.body) };
  }

  balance(name: string): bigint {
    return this.state.account(addressFor(name))?.record.balance ?? 0n;
  }

  miner(name: string) {
    const found = this.state.miner(addressFor(name));
    if (!found) throw new Error(`${name} is no miner`);
    return found.record;
  }

  validators(): string[] {
    return validatorSet(this.state, this.genesis).map((v) => nameOf(v.address));
  }

  doubleVote(name: string, height: number, change: { type?: VoteType; round?: number } = {}): Evidence {
    const vote = (blockId: Hash) => this.vote(name, { height, blockId, ...change });
    return this.evidence(name, voteOffence(vote(seedOf("a")), vote(seedOf("b"))));
  }

  /** A prevote of round 0 for the block "a", unless changed. */
  vote(name: string, change: Partial<Vote>): SignedVote {
    const message = { type: PREVOTE, height: 1, round: 0, blockId: seedOf("a"), validRound: 0, time: 0, validator: 0 };
    return signVote(this.hash, consensusOf(name).secret, { ...message, ...change });
  }

  evidence(name: string, offence: Offence | undefined): Evidence {
    if (!offence) throw new Error("the two messages prove nothing");
    return evidenceOf(consensusOf(name).publicKey, offence);
  }
}

export function nameOf(address: Address): string {
  const names: readonly string[] = [...FOUNDERS, ...OTHERS];
  return names.find((n) => toHex(addressFor(n)) === toHex(address)) ?? toHex(address);
}
