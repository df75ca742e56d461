import type { Command } from "commander";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { appendHex, whole } from "../parse.ts";
import { makeTestnet } from "../testnet.ts";

type Flags = {
  nodes?: number;
  out: string;
  data?: string;
  task?: string;
  empty?: boolean;
  chainId?: string;
  seed?: number;
  custodians?: number;
  threshold?: number;
  redactionDelay?: number;
  regulator: string[];
};

export function addTestnet(program: Command): void {
  const command = program
    .command("testnet")
    .description("make the homes of a network on this machine, ready for `pofl start`")
    .option("--nodes <N>", "how many (default: one per file of --data, else 4)", whole(1))
    .requiredOption("--out <DIR>", "folder to make them in")
    .option("--data <DIR>", "each *.csv, *.tsv and *.data in it is one hospital (default: an invented cohort)")
    .option("--task <FILE>", "the task file that says how to read them")
    .option("--empty", "no task and no data: a chain of empty blocks")
    .option("--chain-id <ID>", "name of the chain (default: a random one)")
    .option("--seed <N>", "seed of the invented cohort (default: 1)", whole())
    .option("--custodians <N>", "editable records: the first N nodes are their custodians", whole(1))
    .option("--threshold <T>", "how many custodians make an edit, at least 2", whole(2))
    .option("--redaction-delay <HEIGHTS>", "from a request for redaction to its execution (default: 86400)", whole(1))
    .option("--regulator <ADDR>", "may ask for the redaction of any record (may be repeated)", appendHex(20), [])
    .action(async ({ regulator, ...flags }: Flags, self: Command) => {
      const { out } = contextOf(self);
      const net = await makeTestnet({ ...flags, regulators: regulator });
      const result = {
        out: net.out,
        chainId: net.genesis.chainId,
        genesisHash: net.genesisHash,
        task: net.task?.name ?? null,
        nodes: net.nodes.map(({ moniker, home, address, peerId, ports, custodian }) => ({
          moniker,
          home,
          address,
          peerId,
          ports,
          custodian: custodian ?? null,
        })),
        faucet: net.faucet,
      };
      out.result(result, () => {
        out.line(`Chain ${result.chainId}  ${result.genesisHash}`);
        out.table(
          ["node", "home", "address", "rpc"],
          result.nodes.map((n) => [n.moniker, n.home, n.address, `http://127.0.0.1:${n.ports.rpc}`]),
        );
        const { keys, threshold } = net.genesis.custodians;
        if (keys.length > 0) out.line(`Custodians of records: the first ${keys.length}; ${threshold} make an edit`);
        out.line(`Faucet ${net.faucet.address}  ${net.faucet.file}`);
        out.note(`Next, each in its own terminal: pofl start --home ${net.nodes[0]?.home ?? net.out}`);
      });
    });
  examples(
    command,
    ["pofl testnet --nodes 4 --out net", "four hospitals of the invented cohort"],
    [
      "pofl testnet --out net --custodians 3 --threshold 2 --redaction-delay 20",
      "with editable records, and a short time to object",
    ],
    ["pofl testnet --out net --data heart --task examples/heart-disease/task.json", "one node per file of a folder"],
  );
}
