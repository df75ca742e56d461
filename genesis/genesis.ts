import { z } from "zod";
import { addressOf } from "../crypto/domain.ts";
import { checkPublicKey } from "../crypto/ed25519.ts";
import { taggedHash } from "../crypto/hash.ts";
import { MAX_CUSTODIANS, MAX_MONIKER_BYTES, MAX_TASK_BYTES, MAX_VALIDATORS } from "../types/limits.ts";
import { fromHex, type Hash, toHex } from "../types/primitives.ts";
import { leastUpdates } from "./aggregation.ts";
import {
  amountIn,
  amountSchema,
  canonicalJson,
  hexSchema,
  parseJson,
  problem,
  textSchema,
  wholeSchema,
} from "./json.ts";
import { encodeTask, type TaskSpec, taskSchema } from "./task.ts";

/** The genesis file: identity, parameters with units and reasons, and the first members. */

const permille = wholeSchema(0, 1000);
const ms = wholeSchema(10, 3_600_000);

const HALF = 1n << 63n;
/** More learning blocks than a chain sees: three years at 20 a second. */
const FOREVER = 1n << 31n;
/** Days from 1 March of the year 0 to 1 January 1970. */
const DAYS_TO_1970 = 719_468;

const consensus = z.strictObject({
  /** Tendermint timeouts: init + round · delta. */
  timeouts: z.strictObject({ proposeMs: ms, prevoteMs: ms, precommitMs: ms, deltaMs: ms }),
  /** Without learning and without transactions, at most one block per interval. */
  idleIntervalMs: ms,
  maxValidators: wholeSchema(1, MAX_VALIDATORS),
  /** Seats of the committee of a height; networks up to this size take everyone. */
  committeeSeats: wholeSchema(1, MAX_VALIDATORS),
  /** Largest share of the power that one validator's stake may count for. */
  maxPowerPermille: wholeSchema(1, 1000),
  /** Heights between the registration of a key and its first use: a VRF key can't be chosen knowing the seed. */
  keyDelay: wholeSchema(1, 100_000),
  /** Heights for which a double signature can be punished; stake on its way out stays at risk that long. */
  evidenceWindow: wholeSchema(1, 10_000_000),
  unbondingHeights: wholeSchema(1, 10_000_000),
  /** Consecutive missed proposals that jail a validator, and for how many heights. */
  maxMissed: wholeSchema(1, 1_000_000),
  jailHeights: wholeSchema(1, 10_000_000),
  /** Heights for which the blobs of updates are kept. */
  retentionHeights: wholeSchema(1, 10_000_000),
  /**
   * Heights from a request for redaction to the first at which it can be executed (for the reason "emergency", which only regulators may
   * give: another), in which validators may object; and for how many more it can be.
   */
  redaction: z.strictObject({
    delay: wholeSchema(1, 10_000_000),
    emergencyDelay: wholeSchema(1, 10_000_000),
    window: wholeSchema(1, 100_000_000),
  }),
});

const economy = z
  .strictObject({
    /** Minted by each learning block, halved every `halvingBlocks` learning blocks (0 = never). */
    issuance: z.strictObject({ perRound: amountSchema, halvingBlocks: wholeSchema(0, 1_000_000_000) }),
    /** How issuance, bounty and fees are divided; sums to 1000. */
    shares: z.strictObject({ proposer: permille, committee: permille, trainers: permille }),
    fees: z.strictObject({ base: amountSchema, perByte: amountSchema }),
    minimumStake: amountSchema,
    /** Share of the stake that a double signature burns. */
    slashDoubleSignPermille: permille,
    /** Burned from its escrow when a task is put at the back of the queue after `failedHeights` heights without learning. */
    failedTask: z.strictObject({ heights: wholeSchema(1, 1_000_000), fee: amountSchema }),
  })
  .refine((e) => e.shares.proposer + e.shares.committee + e.shares.trainers === 1000, {
    path: ["shares"],
    message: "must sum to 1000",
  });

const validator = z.strictObject({
  moniker: textSchema(1, MAX_MONIKER_BYTES),
  /** Address of the account that earns. */
  address: hexSchema(20),
  consensusKey: hexSchema(32),
  vrfKey: hexSchema(32),
  institution: hexSchema(32),
  stake: amountSchema,
});

export const genesisSchema = z
  .strictObject({
    chainId: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be 1 to 63 of a-z, 0-9 and -"),
    /** ISO 8601 in UTC with milliseconds. */
    genesisTime: z.iso
      .datetime({ precision: 3, error: "must be a time in UTC like 2026-01-31T12:00:00.000Z" })
      .refine((t) => !/^[0-9]{4}-/.test(t) || t >= "1970", "must not be before 1970"),
    consensus,
    economy,
    /** Keys that certify institutions; none = an open network where stake alone limits identities. */
    registrars: z.array(hexSchema(32)).max(16).default([]),
    /** Accounts that may ask for the redaction of any record. */
    regulators: z.array(hexSchema(20)).max(16).default([]),
    /** Custodian keys of those who make the first key of editable records; none = a chain without records. */
    custodians: z.strictObject({
      keys: z.array(hexSchema(32)).max(MAX_CUSTODIANS),
      threshold: wholeSchema(0, MAX_CUSTODIANS),
    }),
    validators: z.array(validator).min(1).max(MAX_VALIDATORS),
    accounts: z.array(z.strictObject({ address: hexSchema(20), balance: amountSchema })).max(100_000),
    /** The first task and what it may spend. */
    task: z.strictObject({ spec: taskSchema, escrow: amountSchema }).optional(),
    bootnodes: z.array(z.string().min(1).max(512)).max(64),
    /** Peer ids that may connect; left out = anyone. */
    allowlist: z.array(z.string().min(1).max(128)).max(4096).optional(),
  })
  .superRefine((g, ctx) => {
    const fail = (path: (string | number)[], message: string) => ctx.addIssue({ code: "custom", path, message });
    for (const key of ["address", "consensusKey", "vrfKey", "institution"] as const) {
      const seen = new Map<string, number>();
      for (const [i, v] of g.validators.entries()) {
        const first = seen.get(v[key]);
        if (first !== undefined) fail(["validators", i, key], `is that of validators[${first}] too`);
        else seen.set(v[key], i);
      }
    }
    const accounts = new Set<string>();
    for (const [i, a] of g.accounts.entries()) {
      if (accounts.has(a.address)) fail(["accounts", i, "address"], "is listed twice");
      accounts.add(a.address);
    }
    const { minimumStake, issuance } = g.economy;
    for (const [i, v] of g.validators.entries()) {
      if ((amountIn(v.stake) ?? 0n) < (amountIn(minimumStake) ?? 0n)) {
        fail(["validators", i, "stake"], `is below economy.minimumStake (${minimumStake})`);
      }
    }
    if (amountIn(minimumStake) === 0n) fail(["economy", "minimumStake"], "must be positive: power is stake");
    if (g.validators.length > g.consensus.maxValidators) {
      fail(["validators"], `has more than consensus.maxValidators (${g.consensus.maxValidators})`);
    }
    const { keys, threshold } = g.custodians;
    if (threshold > keys.length) fail(["custodians", "threshold"], "is more than there are keys");
    // With a threshold of 1 every custodian would hold the key.
    if (threshold < 2 && keys.length > 0) fail(["custodians", "threshold"], "must be at least 2 where there are keys");
    if (g.consensus.unbondingHeights < g.consensus.evidenceWindow) {
      fail(["consensus", "unbondingHeights"], "must not be below evidenceWindow, or a cheat could leave in time");
    }
    if (g.task && g.task.spec.rounds.minimumUpdates > g.validators.length) {
      fail(["task", "spec", "rounds", "minimumUpdates"], `is more than there are validators (${g.validators.length})`);
    }
    const least = g.task ? leastUpdates(g.task.spec.aggregation) : 0;
    if (least > g.validators.length) {
      fail(
        ["task", "spec", "aggregation", "f"],
        `needs 2f + 3 = ${least} updates in a round, and there are ${g.validators.length} validators; or "auto"`,
      );
    }
    const supply = [...g.validators.map((v) => v.stake), ...g.accounts.map((a) => a.balance), g.task?.escrow ?? "0"]
      .map((s) => amountIn(s) ?? 0n)
      .reduce((sum, amount) => sum + amount, 0n);
    // Each half of u64 holds one of the two sources of money, so that no sum of balances passes it.
    if (supply >= HALF) fail(["accounts"], "balances, stakes and escrow must sum to less than 2^63");
    // Each of the halvings pays at most half as much as all before it, so the sum stays below twice the first period.
    const rounds = issuance.halvingBlocks === 0 ? FOREVER : 2n * BigInt(issuance.halvingBlocks);
    if ((amountIn(issuance.perRound) ?? 0n) * rounds >= HALF) {
      fail(["economy", "issuance", "perRound"], "could mint 2^63 or more; lower it or halvingBlocks");
    }
  });

export type Genesis = z.output<typeof genesisSchema>;

/**
 * Parses a genesis file.
 * @throws PoflError BAD_JSON; BAD_GENESIS with the JSON path
 */
export function parseGenesis(text: string): Genesis {
  const genesis = parseJson("genesis", genesisSchema, text);
  validateGenesis(genesis);
  return genesis;
}

/**
 * What the schema can't see: every key is a point that may be registered (see `checkPublicKey`), no key has two purposes, and
 * the task fits into its encoding.
 * @throws PoflError BAD_GENESIS with the JSON path
 */
export function validateGenesis(genesis: Genesis): void {
  const purposes = new Map<string, string>();
  const check = (key: string, path: readonly PropertyKey[], place: string) => {
    if (!checkPublicKey(fromHex(key))) throw problem("genesis", path, "is not an Ed25519 public key of prime order");
    const other = purposes.get(key);
    if (other !== undefined) throw problem("genesis", path, `is the key of ${other} too; each purpose needs its own`);
    purposes.set(key, place);
  };
  const spenders = new Set([...genesis.validators, ...genesis.accounts].map(({ address }) => address));
  const checkSpends = (key: string, path: readonly PropertyKey[]) => {
    if (!spenders.has(toHex(addressOf(fromHex(key))))) return;
    throw problem("genesis", path, "is an account's key too; each purpose needs its own");
  };
  genesis.registrars.forEach((key, i) => {
    check(key, ["registrars", i], `registrars[${i}]`);
  });
  genesis.custodians.keys.forEach((key, i) => {
    check(key, ["custodians", "keys", i], `custodians.keys[${i}]`);
    checkSpends(key, ["custodians", "keys", i]);
  });
  genesis.validators.forEach((v, i) => {
    for (const name of ["consensusKey", "vrfKey"] as const) {
      check(v[name], ["validators", i, name], `validators[${i}].${name}`);
      checkSpends(v[name], ["validators", i, name]);
    }
  });
  if (!genesis.task) return;
  const bytes = Buffer.byteLength(canonicalJson(genesis.task.spec));
  if (bytes > MAX_TASK_BYTES) {
    throw problem("genesis", ["task", "spec"], `takes ${bytes} bytes, at most ${MAX_TASK_BYTES} are allowed`);
  }
}

/** The identity of the chain: the tagged hash of the canonical form, with the defaults written out. */
export function genesisHash(genesis: Genesis): Hash {
  // Bootnodes are advice on how to join, not part of what is agreed: they may change in a living network.
  const { bootnodes: _advice, ...agreed } = genesis;
  return taggedHash("pofl/genesis/1", new TextEncoder().encode(canonicalJson(agreed)));
}

/** seed(0), from which the beacon goes on. */
export function genesisSeed(hash: Hash): Hash {
  return taggedHash("pofl/beacon/genesis/1", hash);
}

/** The id of the task in genesis; that of a published one is its transaction's. */
export function genesisTaskId(spec: TaskSpec): Hash {
  return taggedHash("pofl/task/1", encodeTask(spec));
}

/** `genesisTime` in milliseconds since 1970: the time of height 0. */
export function genesisTimeMs(genesis: Pick<Genesis, "genesisTime">): number {
  return utcMs(genesis.genesisTime);
}

/** Milliseconds since 1970 of an ISO time that the schema accepted. Here because the pure rooms have no Date. */
function utcMs(iso: string): number {
  const [year, month, day, hour, minute, second, ms] = iso.split(/\D/).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // Years start in March here, so that the leap day is the last of its year.
  const y = month > 2 ? year : year - 1;
  const leaps = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const days = 365 * y + leaps + dayOfYear - DAYS_TO_1970;
  return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms;
}
