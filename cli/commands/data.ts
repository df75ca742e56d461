import type { Command } from "commander";
import { checkData } from "../../learning/check.ts";
import { PoflError } from "../../types/errors.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { readTask } from "../testnet.ts";

/** Problems that are printed; the rest is counted, and all are there with --json. */
const SHOWN = 20;

export function addData(program: Command): void {
  const group = program.command("data").description("a hospital's own data; nothing leaves this machine");
  examples(group, ["pofl data check north.csv --task task.json", "does this file fit the task?"]);
  const check = group
    .command("check")
    .description("say how a file fits a task's schema, row by row")
    .argument("<FILE>", "CSV, TSV, .data or NPY")
    .requiredOption("--task <FILE>", "the task file")
    .action((file: string, flags: { task: string }, self: Command) => {
      const { out } = contextOf(self);
      const report = checkData(file, readTask(flags.task));
      out.result(report, () => {
        out.line(
          `${report.file}: ${report.rows} rows, ${report.used} can be used (${report.positives} positive), ` +
            `${report.dropped} left out; ${report.errors} errors, ${report.warnings} warnings`,
        );
        for (const p of report.problems.slice(0, SHOWN)) out.line(`  ${p.severity}: ${p.message}`);
        if (report.problems.length > SHOWN)
          out.line(`  … and ${report.problems.length - SHOWN} more (all with --json)`);
        const touched = report.columns.filter((c) => c.missing + c.outOfRange + c.bad > 0);
        if (touched.length > 0) {
          out.table(
            ["column", "missing", "out of range", "bad"],
            touched.map((c) => [c.name, String(c.missing), String(c.outOfRange), String(c.bad)]),
          );
        }
      });
      if (report.failure) throw new PoflError(report.failure.code, report.failure.message);
      if (!report.ok) throw new PoflError("DATA_DOES_NOT_FIT", `${file}: ${report.errors} errors; mend them first`);
    });
  examples(check, ["pofl data check north.csv --task task.json --json", "every problem with its line and column"]);
}
