import type { Command } from "commander";
import { addressOf, signTx, txId } from "../crypto/domain.ts";
import type { KeyPair } from "../crypto/ed25519.ts";
import { joinSidecar, type Sidecar } from "../crypto/record.ts";
import { createRpcClient, type RpcClient } from "../node/rpc/client.ts";
import type { TxFound } from "../node/rpc/types.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { type Address, fromHex, type Hash, toHex } from "../types/primitives.ts";
import { Tx, type TypedPayload, untypedPayload } from "../types/tx.ts";
import { feeSize } from "../vm/transactions.ts";
import { accountKeys, VALIDATOR } from "./accounts.ts";
import { printTx } from "./commands/query.ts";
import { type Context, contextOf } from "./context.ts";
import { amount, whole } from "./parse.ts";

/** Builds, signs and sends transactions, and waits until they are final. */

const POLL_MS = 200;

export type Flags = {
  from: string;
  fee?: string;
  nonce?: number;
  expires: number;
  wait: boolean;
  dryRun?: boolean;
  timeout: number;
};

/** What every command that sends a transaction takes. */
export function common(command: Command): Command {
  return command
    .option("--from <ACCOUNT>", "who pays and signs: a name in this home, or an account's file", VALIDATOR)
    .option("--fee <AMOUNT>", "smallest unit (default: the minimum for its size)", amount)
    .option("--nonce <N>", "default: the account's next one", whole())
    .option("--expires <HEIGHT>", "last height that may include it; 0 = no limit", whole(), 0)
    .option("--no-wait", "don't wait until it is final")
    .option("--dry-run", "print the signed transaction and don't send it")
    .option("--timeout <SECONDS>", "for the block to come", whole(1), 60);
}

/** What a payload may depend on: a record's label follows from sender and nonce. */
export type At = {
  readonly ctx: Context;
  readonly client: RpcClient;
  readonly genesisHash: Hash;
  readonly sender: Address;
  readonly nonce: number;
};

export type Made = {
  readonly payload: TypedPayload;
  /** What travels beside the transaction. */
  readonly sidecar?: Sidecar;
  /** What the transaction makes, for people to name it by: [what, id]. */
  readonly makes?: readonly [what: "record" | "request", id: string | "its hash"];
};

/** Builds, signs and sends what `make` gives, with the flags of `common`, and prints what became of it. */
export async function send(self: Command, flags: Flags, make: (at: At) => Promise<Made>): Promise<void> {
  const ctx = contextOf(self);
  const client = createRpcClient(ctx.globals.rpc);
  const keys = await accountKeys(ctx.globals.home, flags.from, ctx.askPassword);
  const sender = addressOf(keys.publicKey);
  const genesisHash = fromHex((await client.call("node_status")).genesisHash, 32);
  const nonce = flags.nonce ?? (await client.call("account_get", { address: toHex(sender) })).nextNonce;
  const at = { ctx, client, genesisHash, sender, nonce };
  const { payload, sidecar, makes } = await make(at);
  const tx = await sign(at, keys, payload, flags);
  const hash = toHex(txId(tx.body));
  const made = makes && { [makes[0]]: makes[1] === "its hash" ? hash : makes[1] };
  // As wide as what printTx prints.
  const name = makes ? `${`${makes[0] === "record" ? "Record" : "Request"}`.padEnd(11)}  ${made?.[makes[0]]}\n` : "";
  const encoded = toHex(Tx.serialize(tx));
  if (flags.dryRun) {
    ctx.out.result({ ...made, hash, tx: encoded }, () => ctx.out.line(`${name}${hash}\n${encoded}`));
    if (sidecar)
      ctx.out.note("Its salt is thrown away, so that nobody can send this one: it shows what would be sent.");
    return;
  }
  await client.call("tx_send", { tx: encoded, ...(sidecar && { sidecar: toHex(joinSidecar(sidecar)) }) });
  if (!flags.wait) {
    ctx.out.result({ ...made, hash }, () => ctx.out.line(`${name}${hash}`));
    return;
  }
  const found = await receipt(client, hash, 1000 * flags.timeout);
  const done = found.receipt?.code === null;
  ctx.out.result({ ...(done && made), ...found }, () => {
    if (done && name) ctx.out.line(name.trimEnd());
    printTx(ctx.out, found);
  });
  if (found.receipt?.code) {
    throw new PoflError(found.receipt.code, `the transaction is in block ${found.height} but failed; its fee was paid`);
  }
}

/** Signs with the minimum fee of the chain that the node is on, unless the flags say otherwise. */
async function sign(at: At, keys: KeyPair, payload: TypedPayload, flags: Flags): Promise<Tx> {
  const { client, genesisHash, sender, nonce } = at;
  const make = (fee: bigint) =>
    signTx(genesisHash, keys, { sender, nonce, fee, expires: flags.expires, payload: untypedPayload(payload) });
  if (flags.fee !== undefined) return make(BigInt(flags.fee));
  // The size does not depend on the fee: it has eight bytes whatever it is.
  const { base, perByte } = (await client.call("chain_params")).economy.fees;
  return make(BigInt(base) + BigInt(perByte) * BigInt(feeSize(make(0n))));
}

/** @throws PoflError TIMED_OUT */
async function receipt(client: RpcClient, hash: string, timeoutMs: number): Promise<TxFound> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      const found = await client.call("tx_get", { hash });
      if (found.status === "final") return found;
    } catch (error) {
      if (!isPoflError(error, "NOT_FOUND")) throw error;
    }
    if (Date.now() > end) {
      throw new PoflError("TIMED_OUT", `${hash} is not final after ${timeoutMs / 1000} s; see \`pofl tx ${hash}\``);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
