import type { Command } from "commander";
import type { RoundRange, VerifyReport } from "../../node/verify.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { counted, type Output } from "../output.ts";
import { progressLine } from "../progress.ts";

/** Ranges that are printed; all are there with --json. */
const SHOWN = 4;

export function addVerify(program: Command): void {
  const command = program
    .command("verify")
    .description("verify the stored chain of a stopped node again, offline, from its genesis file")
    .action(async (_: object, self: Command) => {
      const { globals, out } = contextOf(self);
      // Loaded here, as for `start`: hardly another command needs the store.
      const { verifyHome } = await import("../../node/verify.ts");
      const progress = progressLine(process.stderr.isTTY === true && !globals.quiet);
      let report: VerifyReport;
      try {
        report = await verifyHome(globals.home, {
          onProgress: progress.show,
          onDamage: (what) => {
            progress.clear();
            out.warn(what);
          },
        });
      } finally {
        progress.clear();
      }
      out.result({ ok: true, ...report }, () => print(out, report));
    });
  examples(
    command,
    ["pofl verify --home /srv/pofl", "signatures, certificates, rounds, rewards and roots of every block"],
    ["pofl verify --home /srv/pofl --json", "which rounds were recomputed, as JSON"],
  );
}

function print(out: Output, r: VerifyReport): void {
  out.line(`Chain     ${r.chainId} ${r.genesisHash}`);
  out.line(`Head      height ${r.height} ${r.headHash}`);
  const replayed = r.from === 1;
  out.line(`State     ${r.stateRoot}, ${replayed ? "as replayed from genesis" : "as the head's header says"}`);
  if (!replayed) {
    out.line(
      `NOT ALL   this home began with a snapshot and has no blocks below height ${r.from} yet. Of what is here, certificates, links and bodies were\n` +
        "          verified; what came of transactions and rounds was not replayed. Let the node run until it has fetched the rest.",
    );
  }
  out.line(
    `Verified  ${counted(r.blocks, "block")}, ${counted(r.signatures, "signature")} of certificates, ` +
      `${counted(r.transactions, "transaction")}, ${counted(r.redactions, "redaction")} in ${r.seconds.toFixed(1)} s`,
  );
  if (r.lostReceipts.length > 0) {
    out.line(
      `Receipts  of ${counted(r.lostReceipts.length, "block")} are not here and could not be compared: ${heights(rangesOf(r.lostReceipts))}`,
    );
  }
  const { recomputed, fromCertificate, ranges } = r.rounds;
  const at = (source: RoundRange["source"]) => heights(ranges.filter((x) => x.source === source));
  if (recomputed > 0) out.line(`Rounds    ${recomputed} recomputed from their updates: ${at("recomputed")}`);
  if (fromCertificate > 0) {
    out.line(`Rounds    ${fromCertificate} read from certificates, their updates are not here: ${at("certificate")}`);
  }
}

type Range = { readonly from: number; readonly to: number };

/** @param list ascending */
function rangesOf(list: readonly number[]): Range[] {
  const ranges: { from: number; to: number }[] = [];
  for (const height of list) {
    const last = ranges.at(-1);
    if (last?.to === height - 1) last.to = height;
    else ranges.push({ from: height, to: height });
  }
  return ranges;
}

function heights(ranges: readonly Range[]): string {
  const list = ranges.slice(0, SHOWN).map(({ from, to }) => (from === to ? `${from}` : `${from}–${to}`));
  const more = ranges.length > SHOWN ? ` and ${ranges.length - SHOWN} more ranges (all with --json)` : "";
  return `heights ${list.join(", ")}${more}`;
}
