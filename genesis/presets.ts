import { type Genesis, genesisSchema, validateGenesis } from "./genesis.ts";
import { checkJson } from "./json.ts";
import type { TaskSpec } from "./task.ts";

/** One token in the smallest unit, in which every amount is counted. */
export const TOKEN = 1_000_000n;

const tokens = (n: number): string => (BigInt(n) * TOKEN).toString();

/**
 * The consortium: hospitals that know each other, at most about a hundred, a block each second at rest and as fast as training
 * goes otherwise. Heights are turned into time at one block a second: a busy chain is faster, so these times are upper bounds.
 */
export const CONSORTIUM: Pick<Genesis, "consensus" | "economy"> = {
  consensus: {
    timeouts: {
      // A proposal carries attestations and waits for blobs of a few MiB: seconds on a hospital's uplink.
      proposeMs: 3_000,
      // Votes are 150 bytes: twice the slowest round trip around the world leaves room for verifying a hundred of them.
      prevoteMs: 1_000,
      precommitMs: 1_000,
      // Ten rounds more than double the wait, so that any fixed delay is outlasted (the algorithm needs growth, not speed).
      deltaMs: 500,
    },
    // One empty block a second keeps finality of a transfer near a second; fewer would save little disk.
    idleIntervalMs: 1_000,
    // Every validator sends two votes to every other: 10,000 pairs are what a round of a second carries.
    maxValidators: 100,
    // 3 · 8 + 1: tolerates 8. With 20 of 100 bad, more than that are drawn in 2.5 % of heights (7 seats: 14 %); with 10 bad in
    // 1 of 100,000. The cost is that each seat evaluates every update. Up to 25 hospitals everyone is in, and is paid for it.
    committeeSeats: 25,
    // Below a third: no single institution can halt the chain alone, whatever its stake.
    maxPowerPermille: 330,
    // A key of a new VRF is chosen ten seeds before its first use: one honest proposer among ten makes the choice blind.
    keyDelay: 10,
    // 7 days at one block a second: long enough for an operator to notice and file evidence over a holiday weekend.
    evidenceWindow: 604_800,
    // An hour more than the window, so that evidence in its last block still finds the stake.
    unbondingHeights: 608_400,
    // High, because jailing shrinks the set: with 4 nodes, one down for minutes must not be out when a second one fails.
    maxMissed: 50,
    // 10 minutes: time to find out why, short enough not to lose a day's rounds.
    jailHeights: 600,
    // 1,000 rounds of updates for whoever audits or catches up by recomputing; 100 updates of 64 KiB each are 6 GiB.
    retentionHeights: 1_000,
    // A day for validators to see a request and object; a minute where a regulator calls it an emergency. Then a month, within which data
    // protection law wants an answer (GDPR article 12(3)).
    redaction: { delay: 86_400, emergencyDelay: 60, window: 2_592_000 },
  },
  economy: {
    // 100 tokens a learning round, halved each million rounds: at most 200 million ever (2·10^14 units, far below 2^63).
    issuance: { perRound: tokens(100), halvingBlocks: 1_000_000 },
    // Trainers do the work. The committee's share pays for judging with real data, and carries the hospitals whose patients
    // are unlike the others' (see "Who earns what"); the proposer's is only an incentive to include every attestation.
    shares: { proposer: 100, committee: 300, trainers: 600 },
    // A transfer (177 bytes) costs 0.0028 tokens, a task of 4 KiB 0.044: nothing to a member, but 10,700 tokens to fill 1 GiB.
    fees: { base: "1000", perByte: "10" },
    // Ten rounds of issuance: what a false identity has to risk where no registrar vouches.
    minimumStake: tokens(1_000),
    // As in Cosmos: a restored backup that signs twice is a costly accident, not ruin; it is jailed as well.
    slashDoubleSignPermille: 50,
    // A task for which nobody trains gives way after about two minutes, and pays for the time that it blocked the others.
    failedTask: { heights: 100, fee: tokens(10) },
  },
};

/** What a network has of its own; everything else comes from the preset. Hex and decimal strings as in the file. */
export type GenesisOptions = {
  readonly chainId: string;
  /** ISO 8601 in UTC with milliseconds. */
  readonly genesisTime: string;
  readonly validators: readonly Genesis["validators"][number][];
  /** Balances at height 0, the faucet's among them. */
  readonly accounts: readonly Genesis["accounts"][number][];
  readonly task?: { readonly spec: TaskSpec; readonly escrow: string } | undefined;
  readonly registrars?: readonly string[];
  readonly regulators?: readonly string[];
  readonly custodians?: { readonly keys: readonly string[]; readonly threshold: number };
  readonly bootnodes?: readonly string[];
  readonly allowlist?: readonly string[];
  /** Parameters other than the preset's. */
  readonly consensus?: Partial<Genesis["consensus"]>;
  readonly economy?: Partial<Genesis["economy"]>;
};

/**
 * A checked genesis on the consortium preset.
 * @throws PoflError BAD_GENESIS with the JSON path
 */
export function createGenesis(options: GenesisOptions): Genesis {
  const genesis = checkJson("genesis", genesisSchema, {
    registrars: [],
    custodians: { keys: [], threshold: 0 },
    bootnodes: [],
    ...options,
    consensus: { ...CONSORTIUM.consensus, ...options.consensus },
    economy: { ...CONSORTIUM.economy, ...options.economy },
  });
  validateGenesis(genesis);
  return genesis;
}

/**
 * The genesis of `testnet` and `devnet`: the consortium preset, so that what is tried out is what is run.
 * @throws PoflError BAD_GENESIS with the JSON path
 */
export const devnetGenesis: (options: GenesisOptions) => Genesis = createGenesis;
