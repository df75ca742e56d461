import type { Command } from "commander";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { bytesText } from "../output.ts";
import { confirm } from "../prompt.ts";

/** `pofl reset`: beginning afresh, with the same keys. */

export function addReset(program: Command): void {
  const command = program
    .command("reset")
    .description("remove what a stopped node has stored, but for what it has signed; it is fetched from peers again")
    .option(
      "--unsafe",
      "must be given: payloads of records that no peer has are lost, and so is a chain that no peer has",
    )
    .option("--yes", "do not ask")
    .action(async (flags: { unsafe?: boolean; yes?: boolean }, self: Command) => {
      const { globals, out } = contextOf(self);
      if (!flags.unsafe) throw usage("removes the stored chain; say --unsafe if that is meant");
      const { resetHome, resetPlan } = await import("../../node/upkeep.ts");
      const plan = await resetPlan(globals.home);
      const keeps = `keeps ${plan.keeps.join(", ") || "nothing"}`;
      if (plan.removes.length === 0) {
        return out.result({ ok: true, ...plan }, () => out.line(`${plan.path}: nothing to remove; ${keeps}`));
      }
      const listed = plan.removes.map(({ name, bytes }) => `${name} (${bytesText(bytes)})`).join(", ");
      out.note(`${plan.path}: removes ${listed}; ${keeps}`);
      if (!flags.yes && !(await confirm(`Remove them from ${plan.path}?`))) {
        return out.result({ ok: false, removes: [], keeps: plan.keeps }, () => out.line("Nothing was removed."));
      }
      const done = await resetHome(globals.home);
      out.result({ ok: true, ...done }, () =>
        out.line(
          "Removed. `pofl start` fetches the chain from peers; it votes again above the last height it has signed.",
        ),
      );
    });
  examples(
    command,
    ["pofl reset --unsafe --home /srv/pofl", "says what it removes and what it keeps, and asks"],
    ["pofl reset --unsafe --yes --home /srv/pofl", "does not ask"],
  );
}
