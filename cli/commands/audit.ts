import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { AuditReport, Copy } from "../../node/records/audit.ts";
import { createRpcClient } from "../../node/rpc/client.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { bytesText, type Output } from "../output.ts";

/** `pofl record audit`: payloads lie in data/records and nowhere else in a home. */

export function addAudit(group: Command): void {
  const command = group
    .command("audit")
    .description("show that payloads of records lie in data/records and nowhere else in this home")
    .option(
      "--erased <F>",
      "a copy of what was erased, which must be nowhere in the home (may be repeated)",
      collect,
      [],
    )
    .action(async (flags: { erased: string[] }, self: Command) => {
      const { globals, out } = contextOf(self);
      // Loaded here, as for `start`: hardly another command needs the store.
      const { auditHome } = await import("../../node/records/audit.ts");
      const report = await auditHome(globals.home, createRpcClient(globals.rpc), flags.erased.map(copyOf));
      const [first, ...more] = report.problems;
      const ok = first === undefined;
      out.result({ ok, ...report }, () => print(out, report));
      if (!ok) {
        const others = more.length > 0 ? `, and ${more.length} more` : "";
        throw new PoflError("AUDIT_FAILED", `${globals.home}: ${first.file}: ${first.what} (of ${first.id})${others}`);
      }
    });
  examples(command, [
    "pofl record audit --home /srv/pofl",
    "of a running node, which is asked at --rpc, or of a stopped one",
  ]);
  command.addHelpText(
    "after",
    "\nEvery file in data/records must be what the chain says, and gone where it says so; every salt, and the start, middle and end of every\n" +
      "payload there are looked for in all other files of the home, raw and as hexadecimal digits. The database may cut a value in two, and\n" +
      "earlier builds compressed it: of a stopped node its values are searched too, whole. What was erased is not there any more: whoever has\n" +
      "a copy gives it with --erased.",
  );
}

const collect = (file: string, before: string[]) => [...before, file];

/** @throws PoflError FILE_UNREADABLE */
function copyOf(file: string): Copy {
  try {
    return { name: file, bytes: readFileSync(file) };
  } catch (cause) {
    throw new PoflError("FILE_UNREADABLE", `${file}: can't be read: ${errorText(cause)}`, { file }, { cause });
  }
}

function print(out: Output, r: AuditReport): void {
  out.line(`Records   ${r.records} on the chain, ${r.erased} erased, ${r.missing} not here`);
  if (r.replacements > 0) out.line(`          ${r.replacements} that open requests would put in another's place`);
  if (r.unknown > 0) out.line(`          ${r.unknown} of transactions that are not final yet`);
  const copies = r.copies > 0 ? `, ${r.copies} of what was erased` : "";
  out.line(`Sought    ${r.salts} salts, ${r.payloads} payloads${copies}`);
  out.line(
    `Searched  ${r.files} files, ${bytesText(r.bytes)}${r.running ? "" : `; ${r.values} values of the database`}`,
  );
  if (r.problems.length === 0) return out.line("Found     nothing");
  out.table(
    ["file", "at", "what", "of"],
    r.problems.map((p) => [p.file, p.at === null ? "" : String(p.at), p.what, p.id]),
  );
}
