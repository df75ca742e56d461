import type { Command } from "commander";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { whole } from "../parse.ts";
import { makeTestnet } from "../testnet.ts";

type Flags = {
  nodes?: number;
  out: string;
  data?: string;
  task?: string;
  empty?: boolean;
  chainId?: string;
  seed?: number;
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
    .action(async (flags: Flags, self: Command) => {
      const { out } = contextOf(self);
      const net = await makeTestnet(flags);
      const result = {
        out: net.out,
        chainId: net.genesis.chainId,
        genesisHash: net.genesisHash,
        task: net.task?.name ?? null,
        nodes: net.nodes.map(({ moniker, home, address, peerId, ports }) => ({
          moniker,
          home,
          address,
          peerId,
          ports,
        })),
        faucet: net.faucet,
      };
      out.result(result, () => {
        out.line(`Chain ${result.chainId}  ${result.genesisHash}`);
        out.table(
          ["node", "home", "address", "rpc"],
          result.nodes.map((n) => [n.moniker, n.home, n.address, `http://127.0.0.1:${n.ports.rpc}`]),
        );
        out.line(`Faucet ${net.faucet.address}  ${net.faucet.file}`);
        out.note(`Next, each in its own terminal: pofl start --home ${net.nodes[0]?.home ?? net.out}`);
      });
    });
  examples(
    command,
    ["pofl testnet --nodes 4 --out net", "four hospitals of the invented cohort"],
    ["pofl testnet --out net --data heart --task examples/heart-disease/task.json", "one node per file of a folder"],
  );
}
