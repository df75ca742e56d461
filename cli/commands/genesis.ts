import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { genesisHash, genesisSchema } from "../../genesis/genesis.ts";
import { checkJson } from "../../genesis/json.ts";
import { devnetGenesis } from "../../genesis/presets.ts";
import { homePaths, readGenesis, writeNew } from "../../node/home.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { grouped } from "../output.ts";
import { amount, append, appendHex, hex, whole } from "../parse.ts";
import { readTask } from "../testnet.ts";

type Balance = { readonly address: string; readonly balance: string };
type BuildFlags = {
  chainId: string;
  validator: string[];
  account: Balance[];
  bootnode: string[];
  custodian: string[];
  threshold?: number;
  regulator: string[];
  task?: string;
  escrow?: string;
  time?: string;
  out?: string;
};

function balance(text: string, all: Balance[]): Balance[] {
  const [address, sum] = text.split("=");
  if (address === undefined || sum === undefined) throw new InvalidArgumentError("Must be ADDRESS=AMOUNT.");
  return [...all, { address: hex(20)(address), balance: amount(sum) }];
}

function readValidator(file: string) {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new PoflError("BAD_VALIDATOR", `${file}: can't be read: ${errorText(cause)}`, { file }, { cause });
  }
  try {
    const [only] = checkJson("validator", z.array(genesisSchema.shape.validators.element), [JSON.parse(text)]);
    return only as z.output<typeof genesisSchema.shape.validators.element>;
  } catch (cause) {
    const code = isPoflError(cause) ? cause.code : "BAD_JSON";
    throw new PoflError(code, `${file}: ${errorText(cause)}`, { file }, { cause });
  }
}

function addBuild(group: Command): void {
  const command = group
    .command("build")
    .description("build a genesis file from what each hospital sends: its config/validator.json")
    .requiredOption("--chain-id <ID>", "name of the chain")
    .requiredOption("--validator <FILE>", "a hospital's config/validator.json (once for each)", append, [])
    .option("--account <ADDRESS=AMOUNT>", "a balance at the start, smallest unit (may be repeated)", balance, [])
    .option("--bootnode <ADDRESS>", "a node to join by (may be repeated)", append, [])
    .option("--custodian <KEY>", "public key of a custodian of editable records (once for each)", appendHex(32), [])
    .option("--threshold <T>", "how many custodians make an edit, at least 2", whole(2))
    .option("--regulator <ADDRESS>", "may ask for the redaction of any record (may be repeated)", appendHex(20), [])
    .option("--task <FILE>", "the first task")
    .option("--escrow <AMOUNT>", "what that task may spend (default: its bounty for every round)", amount)
    .option("--time <ISO>", "time of genesis (default: now)")
    .option("--out <FILE>", "write here (default: stdout)")
    .action((flags: BuildFlags, self: Command) => {
      const { out } = contextOf(self);
      if ((flags.custodian.length === 0) !== (flags.threshold === undefined)) {
        throw usage("--custodian and --threshold belong together: those hold the key, so many of them make an edit");
      }
      const task = flags.task === undefined ? undefined : readTask(flags.task);
      const all = task ? (BigInt(task.bounty) * BigInt(task.rounds.maximum)).toString() : "0";
      const genesis = devnetGenesis({
        chainId: flags.chainId,
        genesisTime: flags.time ?? new Date().toISOString(),
        validators: flags.validator.map(readValidator),
        accounts: flags.account,
        bootnodes: flags.bootnode,
        custodians: { keys: flags.custodian, threshold: flags.threshold ?? 0 },
        regulators: flags.regulator,
        ...(task ? { task: { spec: task, escrow: flags.escrow ?? all } } : {}),
      });
      const hash = toHex(genesisHash(genesis));
      if (flags.out === undefined) {
        process.stdout.write(`${JSON.stringify(genesis, null, 2)}\n`);
        return;
      }
      const file = flags.out;
      writeNew(file, `${JSON.stringify(genesis, null, 2)}\n`);
      out.result({ file, genesisHash: hash }, () => out.line(`${file}  ${hash}`));
    });
  examples(
    command,
    [
      "pofl genesis build --chain-id ward-1 --validator north.json --validator south.json --out genesis.json",
      "a network of two hospitals",
    ],
    [
      "pofl genesis build --chain-id ward-1 --validator north.json --custodian 0x… --custodian 0x… --threshold 2",
      "with editable records: both custodians must agree to an edit",
    ],
  );
}

/** The file named, else that of the home. */
function given(file: string | undefined, self: Command): string {
  return file ?? homePaths(contextOf(self).globals.home).genesis;
}

export function addGenesis(program: Command): void {
  const group = program.command("genesis").description("build and check genesis files");
  examples(group, ["pofl genesis validate genesis.json", "is this file right, and which chain is it?"]);
  addBuild(group);

  const validate = group
    .command("validate")
    .description("check a genesis file; says the JSON path of what is wrong")
    .argument("[FILE]", "genesis file (default: that of --home)")
    .action((file: string | undefined, _: object, self: Command) => {
      const { out } = contextOf(self);
      const path = given(file, self);
      const genesis = readGenesis(path);
      const hash = toHex(genesisHash(genesis));
      const result = { ok: true, file: path, chainId: genesis.chainId, genesisHash: hash };
      out.result(result, () => out.line(`${path}: a genesis file of ${genesis.chainId}  ${hash}`));
    });
  examples(validate, ["pofl genesis validate genesis.json", "exit code 0 if it is valid"]);

  const hash = group
    .command("hash")
    .description("print the identity of the chain: the hash of the canonical form")
    .argument("[FILE]", "genesis file (default: that of --home)")
    .action((file: string | undefined, _: object, self: Command) => {
      const { out } = contextOf(self);
      const value = toHex(genesisHash(readGenesis(given(file, self))));
      out.result({ genesisHash: value }, () => out.line(value));
    });
  examples(hash, ["pofl genesis hash genesis.json", "compare it with the other hospitals by telephone"]);

  const show = group
    .command("show")
    .description("print what a genesis file says; --json prints it with every default")
    .argument("[FILE]", "genesis file (default: that of --home)")
    .action((file: string | undefined, _: object, self: Command) => {
      const { out } = contextOf(self);
      const genesis = readGenesis(given(file, self));
      out.result(genesis, () => {
        out.line(`Chain     ${genesis.chainId}  ${toHex(genesisHash(genesis))}`);
        out.line(`Time      ${genesis.genesisTime}`);
        out.line(`Task      ${genesis.task ? genesis.task.spec.name : "none"}`);
        out.line(`Bootnodes ${genesis.bootnodes.length}`);
        const { keys, threshold } = genesis.custodians;
        out.line(`Records   ${keys.length === 0 ? "none" : `${threshold} of ${keys.length} custodians make an edit`}`);
        for (const key of keys) out.line(`  custodian ${key}`);
        for (const address of genesis.regulators) out.line(`  regulator ${address}`);
        out.table(
          ["validator", "address", "stake"],
          genesis.validators.map((v) => [v.moniker, v.address, grouped(v.stake)]),
        );
        out.table(
          ["account", "balance"],
          genesis.accounts.map((a) => [a.address, grouped(a.balance)]),
        );
      });
    });
  examples(show, ["pofl genesis show genesis.json", "members, balances, first task"]);
}
