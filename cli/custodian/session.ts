import { existsSync } from "node:fs";
import { consentSigning } from "../../crypto/custodian.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { genesisHash } from "../../genesis/genesis.ts";
import { homePaths, readGenesis } from "../../node/home.ts";
import { readCustodianKey } from "../../node/keyfiles.ts";
import { createRpcClient, type RpcClient } from "../../node/rpc/client.ts";
import { CONSENT_CEREMONY, CONSENT_REDACTION } from "../../types/ceremony.ts";
import { PoflError } from "../../types/errors.ts";
import { fromHex, type Hash, toHex } from "../../types/primitives.ts";
import type { Context } from "../context.ts";
import { grouped } from "../output.ts";
import { ceremonyFee, executionFee } from "./fees.ts";
import { type Plan, planBytes, planId } from "./plan.ts";

/**
 * A custodian at its own node: RPC has no password, so each word to it is signed with the custodian key of the home, which the node must
 * have too.
 */
export type Session = {
  readonly client: RpcClient;
  readonly keys: KeyPair;
  /** The custodian key in hexadecimal. */
  readonly own: string;
  readonly genesisHash: Hash;
};

/** @throws PoflError NO_CUSTODIAN_KEY, WRONG_NODE; those of reading a genesis file or a key */
export async function openSession({ globals, askPassword }: Context): Promise<Session> {
  const paths = homePaths(globals.home);
  const file = paths.custodianKey;
  if (!existsSync(file)) {
    const why = "there is no custodian's key; give --home, or make one with `pofl custodian keygen`";
    throw new PoflError("NO_CUSTODIAN_KEY", `${file}: ${why}`, { file });
  }
  const hash = genesisHash(readGenesis(paths.genesis));
  const client = createRpcClient(globals.rpc);
  const node = await client.call("node_status");
  if (node.genesisHash !== toHex(hash)) {
    const why = `is of the chain ${node.chainId} ${node.genesisHash}, and ${paths.genesis} of ${toHex(hash)}`;
    throw new PoflError("WRONG_NODE", `the node at ${client.url} ${why}; give the --rpc of this home's node`);
  }
  const { custodian } = await client.call("custodian_status");
  const keys = await readCustodianKey(file, askPassword);
  const own = toHex(keys.publicKey);
  if (custodian !== own) {
    const has = custodian === null ? "has no custodian key" : `has custodian key ${custodian}`;
    const why = `${has}, ${file} is ${own}; give the --rpc of this home's node, and start it again if the key is new`;
    throw new PoflError("WRONG_NODE", `the node at ${client.url} ${why}`);
  }
  return { client, keys, own, genesisHash: hash };
}

function consent({ keys, genesisHash: hash }: Session, what: number, id: Hash): string {
  return toHex(consentSigning.sign(hash, keys.secret, { what, id }));
}

/** Lets the node take part; harmless when it does already. @throws PoflError with the node's code */
export async function join(session: Session, plan: Plan): Promise<void> {
  const signature = consent(session, CONSENT_CEREMONY, planId(plan));
  await session.client.call("custodian_join", { plan: toHex(planBytes(plan)), signature });
}

/** @throws PoflError with the node's code */
export async function approve(session: Session, request: string): Promise<void> {
  const signature = consent(session, CONSENT_REDACTION, fromHex(request, 32));
  await session.client.call("custodian_approve", { request, signature });
}

/** @throws PoflError NO_FEE_MONEY when the node's account can't pay for its part */
export async function checkCeremonyFee({ client }: Session, plan: Plan): Promise<void> {
  const { address, balance, fees } = await purse(client);
  const fee = ceremonyFee(fees, plan);
  if (balance >= fee) return;
  const amount = (fee - balance).toString();
  const why = `a ceremony's transactions cost up to ${grouped(fee.toString())} of the smallest unit and it has ${grouped(balance.toString())}`;
  throw new PoflError(
    "NO_FEE_MONEY",
    `the node pays from its own account ${address}: ${why}; send it some: \`pofl tx transfer --to ${address} --amount ${amount}\``,
  );
}

/** What is said when the node could not send the edit itself; undefined when it could. Another custodian's node may. */
export async function executionFeeNote({ client }: Session, threshold: number): Promise<string | undefined> {
  const { address, balance, fees } = await purse(client);
  const fee = executionFee(fees, threshold);
  if (balance >= fee) return undefined;
  return (
    `The node's own account ${address} can't pay for the edit (${grouped(fee.toString())} of the smallest unit): it approves, and the ` +
    "node of another custodian must send it."
  );
}

async function purse(client: RpcClient) {
  const { address } = await client.call("node_status");
  const { fees } = (await client.call("chain_params")).economy;
  // A node has an account; one that had none could pay for nothing.
  const balance = address === null ? 0n : BigInt((await client.call("account_get", { address })).balance);
  return { address: address ?? "(none)", balance, fees };
}
