import type { Command } from "commander";
import { createRpcClient } from "../../node/rpc/client.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";

export function addRpc(program: Command): void {
  const command = program
    .command("rpc")
    .description("call a method of a node's JSON-RPC and print its result")
    .argument("<METHOD>")
    .argument("[JSON]", "parameters, an object or a list")
    .action(async (method: string, text: string | undefined, _: object, self: Command) => {
      const { globals } = contextOf(self);
      let params: unknown = {};
      try {
        if (text !== undefined) params = JSON.parse(text);
      } catch {
        throw usage(`the parameters are not JSON: ${text}`);
      }
      if (typeof params !== "object" || params === null) throw usage("the parameters must be an object or a list");
      const result = await createRpcClient(globals.rpc).raw(method, params);
      // The document is the result for people too.
      process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    });
  examples(
    command,
    ["pofl rpc node_status", "no parameters"],
    [`pofl rpc chain_getBlock '{"height": 7}'`, "named parameters"],
  );
}
