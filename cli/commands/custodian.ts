import type { Command } from "commander";
import { createCustodianKey, homePaths } from "../../node/home.ts";
import { toHex } from "../../types/primitives.ts";
import { contextOf, newPassword } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";

/** What custodians of editable records do: their key, the ceremonies, and their word to a redaction. */

function addKeygen(group: Command): void {
  const command = group
    .command("keygen")
    .description("make the custodian's key of this home, and print its public key for the genesis file")
    .option("--encrypt", "encrypt it with a password, that of the validator's keys if those are encrypted too")
    .action(async (flags: { encrypt?: boolean }, self: Command) => {
      const { globals, out } = contextOf(self);
      const paths = homePaths(globals.home);
      const password = flags.encrypt ? await newPassword(globals, "the custodian's key") : "";
      if (flags.encrypt && password === "") throw usage("an empty password protects nothing; leave --encrypt out");
      const publicKey = toHex((await createCustodianKey(paths, password)).publicKey);
      const result = { publicKey, file: paths.custodianKey, encrypted: password !== "" };
      out.result(result, () => {
        out.line(publicKey);
        out.note(
          `Written to ${result.file}${result.encrypted ? "" : ", not encrypted"}. Keep a copy: nobody can restore it. The public key ` +
            "is for the genesis file (`pofl genesis build --custodian`), or for `pofl custodian reshare --keys`.",
        );
      });
    });
  examples(command, ["pofl custodian keygen --home /srv/pofl --encrypt", "asks for a password twice"]);
}

export function addCustodian(program: Command): void {
  const group = program.command("custodian").description("the key of editable records, and edits by its custodians");
  examples(group, ["pofl custodian keygen", "make this home's custodian key"]);
  addKeygen(group);
}
