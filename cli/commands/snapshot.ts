import { resolve } from "node:path";
import type { Command } from "commander";
import type { Checkpoint } from "../../consensus/light/chain.ts";
import type { SnapshotReport } from "../../node/snapshots/file.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { trustOf } from "../light.ts";
import { grouped, type Output } from "../output.ts";

/** `pofl snapshot`: the chain's head in a file, to begin a home with where no peer is near. */

export function addSnapshot(program: Command): void {
  const group = program
    .command("snapshot")
    .description("the chain's state at its head, in a file (the node is stopped)");
  examples(group, ["pofl snapshot export chain.snapshot", "`snapshot import` begins another home with it"]);
  const out = group
    .command("export")
    .description(
      "write headers with certificates, the last block, state and models of a stopped node; no payloads of records",
    )
    .argument("<FILE>", "must not exist yet")
    .action(async (file: string, _: object, self: Command) => {
      const { globals, out } = contextOf(self);
      // Loaded here, as for `start`: hardly another command needs the store.
      const { exportSnapshot } = await import("../../node/snapshots/file.ts");
      const report = await exportSnapshot(globals.home, resolve(file), out.warn);
      out.result(report, () => print(out, "Exported", report));
    });
  examples(out, ["pofl snapshot export chain.snapshot --home /srv/pofl", "of that home's head"]);
  const take = group
    .command("import")
    .description("begin an empty home with a snapshot, everything in it verified from genesis or from a trusted block")
    .argument("<FILE>", "written by `snapshot export`")
    .option("--trust <HEIGHT:HASH>", "a block that you trust, against a chain forged with old keys", trustOf)
    .action(async (file: string, flags: { trust?: Checkpoint }, self: Command) => {
      const { globals, out } = contextOf(self);
      const { importSnapshot } = await import("../../node/snapshots/file.ts");
      const report = await importSnapshot(globals.home, resolve(file), flags.trust);
      out.result(report, () => print(out, "Imported", report));
    });
  examples(
    take,
    ["pofl snapshot import chain.snapshot --home /srv/pofl", "after `pofl init --genesis genesis.json`"],
    ["pofl snapshot import chain.snapshot --trust 120000:0x…", "only if that block is in its chain"],
  );
}

function print(out: Output, what: string, r: SnapshotReport): void {
  out.line(`Chain     ${r.chainId}`);
  out.line(`Head      height ${r.height} ${r.headHash}`);
  out.line(`State     ${r.stateRoot}`);
  out.line(
    `${what}  ${grouped(String(r.records))} records of the state, ${r.models} model${r.models === 1 ? "" : "s"}, headers from height ${r.from}`,
  );
}
