import { existsSync } from "node:fs";
import type { Command } from "commander";
import type { Anchor, Checkpoint } from "../consensus/light/chain.ts";
import { homePaths, readGenesis } from "../node/home.ts";
import type { RpcClient } from "../node/rpc/client.ts";
import type { ValidatorSetResult } from "../node/rpc/types.ts";
import { CHECKPOINT_FORM, parseCheckpoint } from "../node/snapshots/checkpoint.ts";
import { type Header, type LightBlock, LightBlocks, type Validator } from "../types/block.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { decode, fromHex, toHex } from "../types/primitives.ts";
import type { RecordKind, StateProof } from "../vm/proof.ts";
import { contextOf } from "./context.ts";
import { usage } from "./failure.ts";
import type { Output } from "./output.ts";

/** Headers that this command verifies itself, asking a node that it does not believe. */

export const TRUST_HELP = "with --prove: a block that you trust, HEIGHT:0xHASH (default: the genesis file of --home)";

export function trustOf(text: string): Checkpoint {
  return parseCheckpoint(text) ?? refuseTrust(text);
}

function refuseTrust(text: string): never {
  throw usage(`--trust ${text.slice(0, 90)}: must be ${CHECKPOINT_FORM}`);
}

export type Verified = {
  /** "genesis 0x…", or the block. */
  readonly trusted: string;
  readonly headers: number;
  /** Of the last one, milliseconds since the epoch. */
  readonly headerTime: number;
  readonly text: string;
};

/** A header older than this is no news: longer than a height takes, windows of learning included, on all but the slowest chains. */
const STALE_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** A node proves what was, and can keep what came after to itself. */
function warnIfStale(out: Output, { time }: Header): void {
  const age = Date.now() - time;
  if (age <= STALE_MS) return;
  const minutes = Math.floor(age / MINUTE_MS);
  const text = minutes < 120 ? `${minutes} minutes` : `${Math.floor(minutes / 60)} hours`;
  out.progress(
    `This header is ${text} old: the chain stands still, or the node is behind or hides what came after. Ask another node too.`,
  );
}

/** What a node answers to `ask`; its word that there is nothing is said to be no more than that. */
export async function orUnproven<T>(ask: Promise<T>): Promise<T> {
  try {
    return await ask;
  } catch (cause) {
    if (!isPoflError(cause, "NOT_FOUND")) throw cause;
    const why = "this is the node's word and not proven, for there are no proofs of absence; ask another node too";
    throw new PoflError("NOT_FOUND", `${cause.message}; ${why}`, cause.data, { cause });
  }
}

/**
 * The header of a height, verified from what is trusted. Warns if it is old.
 * @throws PoflError NO_TRUST, TRUST_TOO_LATE, NOT_TRUSTED, BAD_HEADER, BAD_COMMIT, FORKED; those of RPC
 */
export async function verifiedHeader(
  self: Command,
  client: RpcClient,
  height: number,
  trust: Checkpoint | undefined,
): Promise<{ readonly header: Header; readonly verified: Verified }> {
  const { genesisAnchor } = await import("../consensus/light/chain.ts");
  const { Follower } = await import("../consensus/light/follower.ts");
  const { globals, out } = contextOf(self);
  const file = homePaths(globals.home).genesis;
  if (!trust && !existsSync(file)) {
    throw new PoflError(
      "NO_TRUST",
      `there is no ${file} to begin with: give the --home of a node of this chain, or --trust HEIGHT:HASH`,
      { file },
    );
  }
  if (trust && trust.height > height) {
    throw new PoflError(
      "TRUST_TOO_LATE",
      `the node at ${client.url} proves height ${height}, before the trusted block ${trust.height}; ask one that is further`,
    );
  }
  const anchor = trust ? await trustedAnchor(client, trust) : genesisAnchor(readGenesis(file));
  // That of a chain whose trusted header is known by its hash can't be forged: its validators sign under no other.
  const genesisHash = trust ? fromHex((await client.call("chain_params")).genesisHash, 32) : anchor.id;
  const follower = new Follower({ genesisHash }, anchor);
  while (follower.anchor.height < height) {
    const from = follower.anchor.height + 1;
    for (const block of await lightBlocks(client, from)) if (follower.anchor.height < height) follower.add(block);
  }
  const { header } = follower.anchor;
  if (!header) throw new PoflError("NOT_FOUND", "genesis has no header, and so nothing is proven against it");
  const trusted = trust ? `${trust.height}:${toHex(trust.id)}` : `genesis ${toHex(anchor.id)}`;
  const headers = height - anchor.height;
  const begin = `Trusted ${trust ? "block" : ""} ${trusted}`.replace("  ", " ");
  const time = new Date(header.time).toISOString().slice(0, 19).replace("T", " ");
  const text = `${begin}, and ${headers} headers verified from there; the last is of ${time} UTC`;
  warnIfStale(out, header);
  return { header, verified: { trusted, headers, headerTime: header.time, text } };
}

async function trustedAnchor(client: RpcClient, trust: Checkpoint): Promise<Anchor> {
  const { checkpointAnchor } = await import("../consensus/light/chain.ts");
  const { header } = (await lightBlocks(client, trust.height, 1))[0] as LightBlock;
  const [validators, next] = await Promise.all(
    [trust.height, trust.height + 1].map(async (height) => setOf(await client.call("validator_set", { height }))),
  );
  return checkpointAnchor(trust, header, validators as Validator[], next as Validator[]);
}

async function lightBlocks(client: RpcClient, from: number, count = 64) {
  const { blocks } = await client.call("chain_getLightBlocks", { from, count });
  const found = decode(LightBlocks, fromHex(blocks));
  if (found.length > 0) return found;
  throw new PoflError("NOT_FOUND", `the node at ${client.url} does not give header ${from} with its certificate`);
}

function setOf({ validators }: ValidatorSetResult): Validator[] {
  return validators.map((v) => ({
    address: fromHex(v.address, 20),
    institution: fromHex(v.institution, 32),
    consensusKey: fromHex(v.consensusKey, 32),
    vrfKey: fromHex(v.vrfKey, 32),
    power: BigInt(v.power),
    committeeWeight: BigInt(v.committeeWeight),
  }));
}

type ProofJson = {
  readonly kind: RecordKind;
  readonly index: number;
  readonly record: string;
  readonly branch: readonly string[];
};

export function proofOf({ kind, index, record, branch }: ProofJson): StateProof {
  return { kind, index, record: fromHex(record), branch: branch.map((hash) => fromHex(hash, 32)) };
}
