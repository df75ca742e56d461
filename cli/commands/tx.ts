import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { signPossession } from "../../crypto/domain.ts";
import { AGGREGATION_RULES, SERVER_OPTIMISERS } from "../../genesis/aggregation.ts";
import { encodeTask } from "../../genesis/task.ts";
import { homePaths, institutionId } from "../../node/home.ts";
import { readValidatorKey } from "../../node/keyfiles.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { fromHex } from "../../types/primitives.ts";
import type { TypedPayload } from "../../types/tx.ts";
import { examples } from "../examples.ts";
import { amount, hex } from "../parse.ts";
import { type At, common, type Flags, send } from "../sending.ts";
import { readTask } from "../testnet.ts";
import { addPut } from "./put.ts";
import { clientOf, printTx } from "./query.ts";
import { addRedactions } from "./redact.ts";

/** The kinds of transactions, from flags to payloads. */

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
        payload: { kind: "transfer", value: { to: fromHex(flags.to, 20), amount: BigInt(flags.amount) } },
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
      ) => send(self, flags, async (at) => ({ payload: await bondPayload(at, flags) })),
    );
  examples(bond, ["pofl tx bond --home /srv/pofl --amount 10000000000", "10,000 tokens, from the node's own account"]);

  const unbond = common(group.command("unbond").description("take stake back, after the delay of genesis"))
    .requiredOption("--amount <AMOUNT>", "smallest unit", amount)
    .action((flags: Flags & { amount: string }, self: Command) =>
      send(self, flags, async () => ({ payload: { kind: "unbond", value: { amount: BigInt(flags.amount) } } })),
    );
  examples(unbond, ["pofl tx unbond --amount 10000000000", "all of it ends the node's work as a miner"]);

  const unjail = common(group.command("unjail").description("take part again after having been jailed")).action(
    (flags: Flags, self: Command) =>
      send(self, flags, async ({ client }) => ({
        payload: { kind: "unjail", value: { height: (await client.call("node_status")).height } },
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
        payload: { kind: "task-publish", value: { spec: encodeTask(readTask(file)), escrow: BigInt(flags.escrow) } },
      })),
    );
  examples(publish, ["pofl tx task-publish task.json --escrow 100000000", "its id is the transaction's hash"]);

  const fund = common(group.command("task-fund").description("add money to a task"))
    .requiredOption("--task <ID>", "the task", hex(32))
    .requiredOption("--amount <AMOUNT>", "smallest unit", amount)
    .action((flags: Flags & { task: string; amount: string }, self: Command) =>
      send(self, flags, async () => ({
        payload: { kind: "task-fund", value: { task: fromHex(flags.task, 32), amount: BigInt(flags.amount) } },
      })),
    );
  examples(fund, ["pofl tx task-fund --task 0x… --amount 100000000", "anybody may"]);

  const cancel = common(group.command("task-cancel").description("end an own task; the rest of its escrow returns"))
    .requiredOption("--task <ID>", "the task", hex(32))
    .action((flags: Flags & { task: string }, self: Command) =>
      send(self, flags, async () => ({ payload: { kind: "task-cancel", value: { task: fromHex(flags.task, 32) } } })),
    );
  examples(cancel, ["pofl tx task-cancel --task 0x…", "only its publisher can"]);
  addPut(group, "record");
  addRedactions(group);
}

async function bondPayload(
  { ctx: { globals, askPassword }, sender, genesisHash }: At,
  flags: { amount: string; moniker?: string; institution?: string; certificate?: string },
): Promise<TypedPayload> {
  const paths = homePaths(globals.home);
  const validator = await readValidatorKey(paths.validatorKey, askPassword);
  const moniker = flags.moniker ?? monikerOf(paths.validator);
  return {
    kind: "bond",
    value: {
      amount: BigInt(flags.amount),
      consensusKey: validator.consensus.publicKey,
      vrfKey: validator.vrf.publicKey,
      institution: institutionId(flags.institution ?? moniker),
      certificate: flags.certificate === undefined ? new Uint8Array(0) : fromHex(flags.certificate, 64),
      moniker: new TextEncoder().encode(moniker),
      possession: signPossession(genesisHash, validator.consensus.secret, sender),
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
