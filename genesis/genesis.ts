import { createHash } from "node:crypto";
import { z } from "zod";
import { MAX_VALIDATORS } from "../types/limits.ts";
import type { Hash } from "../types/primitives.ts";
import { amountSchema, canonicalJson, hexSchema, parseJson, wholeSchema } from "./json.ts";
import { taskSchema } from "./task.ts";

/** The genesis file: identity, parameters with units and reasons, and the first members. */

const permille = wholeSchema(0, 1000);
const ms = wholeSchema(10, 3_600_000);

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
});

const economy = z
  .strictObject({
    /** Minted by each learning block, halved every `halvingRounds` learning heights (0 = never). */
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
  moniker: z.string().min(1).max(64),
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
    genesisTime: z.iso.datetime({ precision: 3 }),
    consensus,
    economy,
    /** Keys that certify institutions; none = an open network where stake alone limits identities. */
    registrars: z.array(hexSchema(32)).max(16).default([]),
    custodians: z.strictObject({ keys: z.array(hexSchema(32)).max(64), threshold: wholeSchema(0, 64) }),
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
      g.validators.forEach((v, i) => {
        const first = seen.get(v[key]);
        if (first !== undefined) fail(["validators", i, key], `is that of validators[${first}] too`);
        else seen.set(v[key], i);
      });
    }
    const accounts = new Set<string>();
    g.accounts.forEach((a, i) => {
      if (accounts.has(a.address)) fail(["accounts", i, "address"], "is listed twice");
      accounts.add(a.address);
    });
    g.validators.forEach((v, i) => {
      if (/^[0-9]{1,20}$/.test(v.stake) && BigInt(v.stake) < BigInt(g.economy.minimumStake)) {
        fail(["validators", i, "stake"], `is below economy.minimumStake (${g.economy.minimumStake})`);
      }
    });
    if (g.validators.length > g.consensus.maxValidators) {
      fail(["validators"], `has more than consensus.maxValidators (${g.consensus.maxValidators})`);
    }
    if (g.custodians.threshold > g.custodians.keys.length) {
      fail(["custodians", "threshold"], "is more than there are keys");
    }
    if (g.consensus.unbondingHeights < g.consensus.evidenceWindow) {
      fail(["consensus", "unbondingHeights"], "must not be below evidenceWindow, or a cheat could leave in time");
    }
    const supply = [...g.validators.map((v) => v.stake), ...g.accounts.map((a) => a.balance), g.task?.escrow ?? "0"]
      .filter((s) => /^[0-9]{1,20}$/.test(s))
      .reduce((sum, s) => sum + BigInt(s), 0n);
    // Half of u64: later issuance has the other half, so no sum of balances can pass it.
    if (supply >= 1n << 63n) fail(["accounts"], "balances, stakes and escrow must sum to less than 2^63");
  });

export type Genesis = z.output<typeof genesisSchema>;

/**
 * Parses a genesis file.
 * @throws PoflError BAD_JSON; BAD_GENESIS with the JSON path
 */
export function parseGenesis(text: string): Genesis {
  return parseJson("genesis", genesisSchema, text);
}

/** The identity of the chain: SHA-256 of the canonical form, with the defaults written out. */
export function genesisHash(genesis: Genesis): Hash {
  // Bootnodes are advice on how to join, not part of what is agreed: they may change in a living network.
  const { bootnodes: _advice, ...agreed } = genesis;
  return new Uint8Array(createHash("sha256").update("pofl/genesis/1\n").update(canonicalJson(agreed)).digest());
}
