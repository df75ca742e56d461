import type { Command } from "commander";
import { PoflError } from "../../types/errors.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { bytesText, counted, grouped } from "../output.ts";
import { progressLine } from "../progress.ts";

/** `pofl db …`: the database of a stopped node. */

/** Damages that are printed; all are there with --json. */
const SHOWN = 20;

export function addDb(program: Command): void {
  const group = program.command("db").description("check or compact the database of a stopped node");
  examples(
    group,
    ["pofl db check --home /srv/pofl", "whether every record is whole and everything that belongs together is there"],
    ["pofl db compact --home /srv/pofl", "give the disk back what was overwritten"],
  );
  addCheck(group);
  addCompact(group);
}

function addCheck(group: Command): void {
  const command = group
    .command("check")
    .description("check every record of a stopped node's database: checksums, links, indexes, receipts, state root")
    .action(async (_: object, self: Command) => {
      const { globals, out } = contextOf(self);
      // Loaded here, as for `start`: hardly another command needs the store.
      const { checkHome } = await import("../../node/upkeep.ts");
      const progress = progressLine(process.stderr.isTTY === true && !globals.quiet);
      const report = await checkHome(globals.home, progress.show).finally(progress.clear);
      const damaged = report.damages.length + report.more;
      const { path, height, blocks, records, transactions } = report;
      out.result({ ok: damaged === 0, ...report }, () => {
        out.line(
          `Checked   ${grouped(String(records))} records (${bytesText(report.bytes)}), ${grouped(String(blocks))} blocks up to height ${height}, ` +
            `${grouped(String(transactions))} transactions`,
        );
        if (report.lostReceipts > 0) {
          const of = counted(report.lostReceipts, "block");
          out.line(`Receipts  of ${of} are lost: the disk had lost the block, and it was put back without them`);
        }
        if (report.base > 0) {
          out.line(
            `Snapshot  this home began with one at height ${report.base}: the receipts up to there are not here, for no peer gives them`,
          );
        }
        if (report.missing > 0) {
          const blocks = counted(report.missing, "block");
          out.line(`          ${blocks} below it are missing still: let the node run until it has fetched them`);
        }
        for (const d of report.damages.slice(0, SHOWN)) {
          out.line(
            `Damaged   ${d.key === "" ? path : `record ${d.key}`}${d.height === null ? "" : ` (height ${d.height})`} ${d.what}`,
          );
          out.line(`          ${d.remedy}`);
        }
        if (damaged > SHOWN) out.line(`          and ${damaged - SHOWN} more (--json lists ${report.damages.length})`);
        if (damaged === 0) out.line("Nothing is damaged.");
      });
      if (damaged === 0) return;
      const first = report.damages[0];
      throw new PoflError(
        "DATABASE_DAMAGED",
        `${path}: ${damaged} damage${damaged === 1 ? "" : "s"}; the first: ${first?.key || "the database"} ${first?.what}; ${first?.remedy}`,
        { path, damages: damaged },
      );
    });
  examples(
    command,
    ["pofl db check --home /srv/pofl", "exit code 1 if anything is damaged"],
    ["pofl db check --home /srv/pofl --json", "all damages, each with its record, height and remedy"],
  );
}

function addCompact(group: Command): void {
  const command = group
    .command("compact")
    .description("rewrite a stopped node's database without what was overwritten")
    .action(async (_: object, self: Command) => {
      const { globals, out } = contextOf(self);
      const { compactHome } = await import("../../node/upkeep.ts");
      const report = await compactHome(globals.home, out.warn);
      out.result({ ok: true, ...report }, () =>
        out.line(`${report.path}: ${bytesText(report.before)} before, ${bytesText(report.after)} after`),
      );
    });
  examples(command, ["pofl db compact --home /srv/pofl", "bytes before and after"]);
}
