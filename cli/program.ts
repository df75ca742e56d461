import { Command, Option } from "commander";
import { VERSION } from "../node/version.ts";
import { addCustodian } from "./commands/custodian.ts";
import { addData } from "./commands/data.ts";
import { addDb } from "./commands/db.ts";
import { addDevnet } from "./commands/devnet.ts";
import { addGenesis } from "./commands/genesis.ts";
import { addInit } from "./commands/init.ts";
import { addKeys } from "./commands/keys.ts";
import { addKrum } from "./commands/krum.ts";
import { addModel } from "./commands/model.ts";
import { addQueries } from "./commands/query.ts";
import { addRecord } from "./commands/record.ts";
import { addReset } from "./commands/reset.ts";
import { addRpc } from "./commands/rpc.ts";
import { addSnapshot } from "./commands/snapshot.ts";
import { addStart } from "./commands/start.ts";
import { addTestnet } from "./commands/testnet.ts";
import { addTx } from "./commands/tx.ts";
import { addVerify } from "./commands/verify.ts";

/** In the order in which help lists them. */
const COMMANDS = [
  addInit,
  addStart,
  addTestnet,
  addDevnet,
  addGenesis,
  addKeys,
  addQueries,
  addTx,
  addRecord,
  addCustodian,
  addModel,
  addData,
  addVerify,
  addSnapshot,
  addDb,
  addReset,
  addKrum,
  addRpc,
];

/** The whole command line. One file per group of commands adds itself here. */
export function buildProgram(): Command {
  const program = new Command("pofl")
    .description("A blockchain node whose proof of work is useful: hospitals train a shared medical model.")
    .version(VERSION, "--version", "print the version")
    .option("--home <DIR>", "folder of the node (default: ~/.pofl, or POFL_HOME)")
    .option("--rpc <URL>", "a node's JSON-RPC (default: http://127.0.0.1:26657, or POFL_RPC)")
    .option("--json", "print exactly one JSON document on stdout")
    .option("--quiet", "print results only")
    .option("--no-color", "no colours (also NO_COLOR)")
    .option("--password-file <FILE>", "read the password of encrypted keys from a file (also POFL_PASSWORD)")
    .addOption(new Option("--debug", "print a stack trace with an error"))
    .helpOption("--help", "show help");
  for (const add of COMMANDS) add(program);
  program.addHelpText(
    "after",
    "\nExamples:\n  $ pofl devnet                       a network of four hospitals on this machine, start to end\n" +
      "  $ pofl init --genesis genesis.json  make a home that joins a network\n  $ pofl start                        run it\n" +
      "\nExit codes: 0 done, 1 failed, 2 usage, 3 could not connect, 4 timed out.",
  );
  strict(program);
  return program;
}

/** What must hold for every command: errors are one line and thrown, help shows the global flags too. */
function strict(command: Command): void {
  command
    .exitOverride()
    .allowExcessArguments(false)
    .helpCommand(false)
    .helpOption("--help", "show help")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => {
        const why = text
          .trim()
          .replace(/^error: /, "")
          .replaceAll("\n", " ");
        write(`pofl: ${why}; see \`${pathOf(command)} --help\` [USAGE]\n`);
      },
    });
  for (const sub of command.commands) strict(sub);
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}
