import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { addressOf, signPossession, signTx, txId } from "../../crypto/domain.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { AGGREGATION_RULES, SERVER_OPTIMISERS } from "../../genesis/aggregation.ts";
import { encodeTask } from "../../genesis/task.ts";
import { homePaths, institutionId } from "../../node/home.ts";
import { readValidatorKey } from "../../node/keyfiles.ts";
import { createRpcClient, type RpcClient } from "../../node/rpc/client.ts";
import type { TxFound } from "../../node/rpc/types.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { Tx, type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { accountKeys, VALIDATOR } from "../accounts.ts";
import { type Context, contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { amount, hex, whole } from "../parse.ts";
import { readTask } from "../testnet.ts";
import { clientOf, printTx } from "./query.ts";

/** Builds, signs and sends transactions, and waits until they are final. */

const POLL_MS = 200;

type Flags = {
  from: string;
  fee?: string;
  nonce?: number;
  expires: number;
  wait: boolean;
  dryRun?: boolean;
  timeout: number;
};

/** What every `pofl tx …` takes. */
function common(command: Command): Command {
  return command
    .option("--from <ACCOUNT>", "who pays and signs: a name in this home, or an account's file", VALIDATOR)
    .option("--fee <AMOUNT>", "smallest unit (default: the minimum for its size)", amount)
    .option("--nonce <N>", "default: the account's next one", whole())
    .option("--expires <HEIGHT>", "last height that may include it; 0 = no limit", whole(), 0)
    .option("--no-wait", "don't wait until it is final")
    .option("--dry-run", "print the signed transaction and don't send it")
    .option("--timeout <SECONDS>", "for the block to come", whole(1), 60);
}

/** Signs with the minimum fee of the chain that the node is on, unless the flags say otherwise. */
async function build(client: RpcClient, keys: KeyPair, payload: TypedPayload, flags: Flags): Promise<Tx> {
  const sender = addressOf(keys.publicKey);
  const genesisHash = fromHex((await client.call("node_status")).genesisHash, 32);
  const nonce = flags.nonce ?? (await client.call("account_get", { address: toHex(sender) })).nextNonce;
  const make = (fee: bigint) =>
    signTx(genesisHash, keys, { sender, nonce, fee, expires: flags.expires, payload: untypedPayload(payload) });
  if (flags.fee !== undefined) return make(BigInt(flags.fee));
  // The size does not depend on the fee: it has eight bytes whatever it is.
  const size = Tx.serialize(make(0n)).length;
  const { base, perByte } = (await client.call("chain_params")).economy.fees;
  return make(BigInt(base) + BigInt(perByte) * BigInt(size));
}

async function send(self: Command, flags: Flags, payloadOf: (ctx: Context, keys: KeyPair) => Promise<TypedPayload>) {
  const ctx = contextOf(self);
  const client = createRpcClient(ctx.globals.rpc);
  const keys = await accountKeys(ctx.globals.home, flags.from, ctx.askPassword);
  const tx = await build(client, keys, await payloadOf(ctx, keys), flags);
  const hash = toHex(txId(tx.body));
  const encoded = toHex(Tx.serialize(tx));
  if (flags.dryRun) {
    ctx.out.result({ hash, tx: encoded }, () => ctx.out.line(`${hash}\n${encoded}`));
    return;
  }
  await client.call("tx_send", { tx: encoded });
  if (!flags.wait) {
    ctx.out.result({ hash }, () => ctx.out.line(hash));
    return;
  }
  const found = await receipt(client, hash, 1000 * flags.timeout);
  ctx.out.result(found, () => printTx(ctx.out, found));
  if (found.receipt?.code) {
    throw new PoflError(found.receipt.code, `the transaction is in block ${found.height} but failed; its fee was paid`);
  }
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

export function addTx(program: Command): void {
  const group = program
    .command("tx")
    .description("a transaction by its hash, or (see below) build, sign and send one")
    .argument("[HASH]", "0x and 64 hexadecimal digits", hex(32))
    .action(async (hash: string | undefined, _: object, self: Command) => {
      if (hash === undefined) return self.help({ error: true });
      const { client, out } = clientOf(self);
      const found = await client.call("tx_get", { hash });
      out.result(found, () => printTx(out, found));
    });
  examples(
    group,
    ["pofl tx 0x…", "what became of a transaction"],
    ["pofl tx transfer --from lab --to 0x… --amount 1000000", "one token, from an account of this home"],
  );

  const transfer = common(group.command("transfer").description("move money"))
    .requiredOption("--to <ADDR>", "who gets it", hex(20))
    .requiredOption("--amount <AMOUNT>", "smallest unit; 1000000 is one token", amount)
    .action((flags: Flags & { to: string; amount: string }, self: Command) =>
      send(self, flags, async () => ({
        kind: "transfer",
        value: { to: fromHex(flags.to, 20), amount: BigInt(flags.amount) },
      })),
    );
  examples(transfer, [
    "pofl tx transfer --from accounts/faucet.json --to 0x… --amount 5000000",
    "from an account's file",
  ]);

  const bond = common(group.command("bond").description("register this home's node as a miner, or add stake"))
    .requiredOption("--amount <AMOUNT>", "stake, smallest unit", amount)
    .option("--moniker <NAME>", "name in tables (default: that of validator.json)")
    .option("--institution <NAME>", "name of the institution (default: the moniker)")
    .option("--certificate <HEX>", "a registrar's signature, where genesis names registrars", hex(64))
    .action(
      (
        flags: Flags & { amount: string; moniker?: string; institution?: string; certificate?: string },
        self: Command,
      ) => send(self, flags, (ctx, keys) => bondPayload(ctx, keys, flags)),
    );
  examples(bond, ["pofl tx bond --home /srv/pofl --amount 10000000000", "10,000 tokens, from the node's own account"]);

  const unbond = common(group.command("unbond").description("take stake back, after the delay of genesis"))
    .requiredOption("--amount <AMOUNT>", "smallest unit", amount)
    .action((flags: Flags & { amount: string }, self: Command) =>
      send(self, flags, async () => ({ kind: "unbond", value: { amount: BigInt(flags.amount) } })),
    );
  examples(unbond, ["pofl tx unbond --amount 10000000000", "all of it ends the node's work as a miner"]);

  const unjail = common(group.command("unjail").description("take part again after having been jailed")).action(
    (flags: Flags, self: Command) =>
      send(self, flags, async (ctx) => ({
        kind: "unjail",
        value: { height: (await createRpcClient(ctx.globals.rpc).call("node_status")).height },
      })),
  );
  examples(unjail, ["pofl tx unjail", "once the jail is over and the fault mended"]);

  const publish = common(group.command("task-publish").description("publish a task with money for its rounds"))
    .addHelpText(
      "after",
      `\nAggregation rules: ${AGGREGATION_RULES.join(", ")}.\nServer optimisers: ${SERVER_OPTIMISERS.join(", ")}.`,
    )
    .argument("<FILE>", "the task file")
    .requiredOption("--escrow <AMOUNT>", "smallest unit; at least one round's bounty", amount)
    .action((file: string, flags: Flags & { escrow: string }, self: Command) =>
      send(self, flags, async () => ({
        kind: "task-publish",
        value: { spec: encodeTask(readTask(file)), escrow: BigInt(flags.escrow) },
      })),
    );
  examples(publish, ["pofl tx task-publish task.json --escrow 100000000", "its id is the transaction's hash"]);

  const fund = common(group.command("task-fund").description("add money to a task"))
    .requiredOption("--task <ID>", "the task", hex(32))
    .requiredOption("--amount <AMOUNT>", "smallest unit", amount)
    .action((flags: Flags & { task: string; amount: string }, self: Command) =>
      send(self, flags, async () => ({
        kind: "task-fund",
        value: { task: fromHex(flags.task, 32), amount: BigInt(flags.amount) },
      })),
    );
  examples(fund, ["pofl tx task-fund --task 0x… --amount 100000000", "anybody may"]);

  const cancel = common(group.command("task-cancel").description("end an own task; the rest of its escrow returns"))
    .requiredOption("--task <ID>", "the task", hex(32))
    .action((flags: Flags & { task: string }, self: Command) =>
      send(self, flags, async () => ({ kind: "task-cancel", value: { task: fromHex(flags.task, 32) } })),
    );
  examples(cancel, ["pofl tx task-cancel --task 0x…", "only its publisher can"]);
}

async function bondPayload(
  { globals, askPassword }: Context,
  keys: KeyPair,
  flags: { amount: string; moniker?: string; institution?: string; certificate?: string },
): Promise<TypedPayload> {
  const paths = homePaths(globals.home);
  const validator = await readValidatorKey(paths.validatorKey, askPassword);
  const moniker = flags.moniker ?? monikerOf(paths.validator);
  const genesisHash = fromHex((await createRpcClient(globals.rpc).call("node_status")).genesisHash, 32);
  return {
    kind: "bond",
    value: {
      amount: BigInt(flags.amount),
      consensusKey: validator.consensus.publicKey,
      vrfKey: validator.vrf.publicKey,
      institution: institutionId(flags.institution ?? moniker),
      certificate: flags.certificate === undefined ? new Uint8Array(0) : fromHex(flags.certificate, 64),
      moniker: new TextEncoder().encode(moniker),
      possession: signPossession(genesisHash, validator.consensus.secret, addressOf(keys.publicKey)),
    },
  };
}

function monikerOf(file: string): string {
  try {
    return (JSON.parse(readFileSync(file, "utf8")) as { moniker: string }).moniker;
  } catch (cause) {
    throw new PoflError("NO_MONIKER", `${file}: ${errorText(cause)}; give --moniker`, { file }, { cause });
  }
}
