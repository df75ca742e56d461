import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { decodeTask, encodeTask, type TaskSpec, taskSchema } from "../../genesis/task.ts";
import { evaluateModel } from "../../learning/compare.ts";
import { dequantiseModel } from "../../learning/quantise.ts";
import { safetensors } from "../../learning/safetensors.ts";
import type { RpcClient } from "../../node/rpc/client.ts";
import type { ModelJson } from "../../node/rpc/types.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { downloadModel } from "../devnet/report.ts";
import { examples } from "../examples.ts";
import { grouped } from "../output.ts";
import { whole } from "../parse.ts";
import { clientOf } from "./query.ts";

/** The global model: what it is, its parameters, how well it does on a file of one's own. */

type Flags = { height?: number };

async function fetchModel(client: RpcClient, { height }: Flags): Promise<{ info: ModelJson; task: TaskSpec }> {
  const info = await client.call("model_get", height === undefined ? {} : { height });
  const { spec } = await client.call("task_get", { id: info.task });
  // Checked as it would be on the chain: the node's word is not enough to size arrays by.
  return { info, task: decodeTask(encodeTask(taskSchema.parse(spec))) };
}

export function addModel(program: Command): void {
  const group = program.command("model").description("the global model");
  examples(
    group,
    ["pofl model info", "root, size and metrics"],
    ["pofl model download --out m.safetensors", "take it"],
  );
  const at = (command: Command) => command.option("--height <H>", "as of that block (default: the latest)", whole());

  const info = at(group.command("info").description("root, shape and attested metrics")).action(
    async (flags: Flags, self: Command) => {
      const { client, out } = clientOf(self);
      const m = await client.call("model_get", flags.height === undefined ? {} : { height: flags.height });
      out.result(m, () => {
        out.line(`Task        ${m.name} ${m.task}`);
        out.line(`After block ${m.height}`);
        out.line(`Root        ${m.root}`);
        out.line(`Parameters  ${grouped(String(m.parameters))}, ${m.scaleBits} fraction bits, ${m.size} bytes`);
        out.table(
          ["tensor", "shape", "parameters"],
          m.tensors.map((t) => [t.name, t.shape.join(" × "), String(t.size)]),
        );
      });
    },
  );
  examples(info, ["pofl model info --height 7", "the model after block 7"]);

  const download = at(group.command("download").description("write the parameters as float32 safetensors"))
    .requiredOption("--out <FILE>", "the file to write")
    .action(async (flags: Flags & { out: string }, self: Command) => {
      const { client, out } = clientOf(self);
      const { info: m, task } = await fetchModel(client, flags);
      const values = dequantiseModel(await downloadModel(client, m.root, task), task.model.scaleBits);
      const metadata = { format: "pofl", task: m.name, taskId: m.task, root: m.root, height: String(m.height) };
      try {
        writeFileSync(flags.out, safetensors(values, m.tensors, metadata));
      } catch (cause) {
        throw new PoflError("CANNOT_WRITE", `${flags.out}: ${errorText(cause)}`, { file: flags.out }, { cause });
      }
      out.result({ file: flags.out, root: m.root, height: m.height }, () =>
        out.line(`${flags.out}: the model after block ${m.height}, checked against ${m.root}`),
      );
    });
  examples(download, ["pofl model download --out m.safetensors", "readable by Python, Rust and JavaScript libraries"]);

  const evaluate = at(group.command("evaluate").description("how well it does on a file; nothing leaves this machine"))
    .requiredOption("--data <FILE>", "every row that fits the task's schema is used")
    .action(async (flags: Flags & { data: string }, self: Command) => {
      const { client, out } = clientOf(self);
      const { info: m, task } = await fetchModel(client, flags);
      const model = await downloadModel(client, m.root, task);
      const { pooled } = await evaluateModel(model, task, [flags.data], { rows: "all" });
      const prevalence = pooled.positives / pooled.n;
      const result = { file: flags.data, root: m.root, height: m.height, prevalence, ...pooled };
      out.result(result, () => {
        const ci = pooled.auroc?.ci95;
        out.table(
          ["rows", "prevalence", "accuracy", "AUROC", "95 %", "log loss", "Brier", "sensitivity", "specificity"],
          [
            [
              String(pooled.n),
              prevalence.toFixed(3),
              pooled.accuracy.toFixed(3),
              pooled.auroc?.value.toFixed(3) ?? "–",
              ci ? `${ci[0].toFixed(3)} to ${ci[1].toFixed(3)}` : "–",
              pooled.loss.toFixed(3),
              pooled.brier.toFixed(3),
              pooled.sensitivity?.toFixed(3) ?? "–",
              pooled.specificity?.toFixed(3) ?? "–",
            ],
          ],
        );
      });
    });
  examples(evaluate, ["pofl model evaluate --data north.csv", "the latest model on one's own patients"]);
}
