import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Command } from "commander";
import { addressOf } from "../../crypto/domain.ts";
import { type KeyPair, keyPair } from "../../crypto/ed25519.ts";
import { homePaths, makeFolder, writeNew } from "../../node/home.ts";
import { accountText, readAccount, readAccountKey } from "../../node/keyfiles.ts";
import { PoflError } from "../../types/errors.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { accountKeys, accountPath, listAccounts } from "../accounts.ts";
import { type Context, contextOf, newPassword } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";

/** Accounts of this home. Secrets are never printed; `export` writes them to a file that only its owner can read. */

async function store(ctx: Context, name: string, keys: KeyPair, plain: boolean): Promise<void> {
  const file = accountPath(ctx.globals.home, name);
  if (existsSync(file)) throw new PoflError("ALREADY_EXISTS", `${file}: exists already; take another name`, { file });
  const password = plain ? "" : await newPassword(ctx.globals, `account ${name}`);
  if (password === "" && !plain) throw usage("an empty password protects nothing; say --plain if that is meant");
  makeFolder(homePaths(ctx.globals.home).accounts);
  writeNew(file, await accountText(keys, password), 0o600);
  const address = toHex(addressOf(keys.publicKey));
  const result = { name, address, publicKey: toHex(keys.publicKey), file, encrypted: !plain };
  ctx.out.result(result, () => {
    ctx.out.line(`${name}  ${address}`);
    ctx.out.note(`Written to ${file}${plain ? ", not encrypted" : ""}. Keep a copy: nobody can restore it.`);
  });
}

function mustExist(ctx: Context, name: string): string {
  const file = accountPath(ctx.globals.home, name);
  if (existsSync(file)) return file;
  throw new PoflError("NO_ACCOUNT", `${file}: no such account; see \`pofl keys list\``, { file });
}

export function addKeys(program: Command): void {
  const group = program.command("keys").description("accounts of this home, encrypted at rest");
  examples(group, ["pofl keys new lab", "a new account"], ["pofl keys list", "all accounts and their addresses"]);

  const fresh = group
    .command("new")
    .description("make an account")
    .argument("<NAME>")
    .option("--plain", "don't encrypt it")
    .action((name: string, flags: { plain?: boolean }, self: Command) =>
      store(contextOf(self), name, keyPair(randomBytes(32)), flags.plain === true),
    );
  examples(fresh, ["pofl keys new lab", "asks for a password twice"]);

  const list = group
    .command("list")
    .description("list the accounts; needs no password")
    .action((_: object, self: Command) => {
      const { globals, out } = contextOf(self);
      const accounts = listAccounts(globals.home).map(({ name, address, publicKey, secret }) => ({
        name,
        address,
        publicKey,
        encrypted: secret === undefined,
      }));
      out.result(accounts, () => {
        if (accounts.length === 0) out.note("No accounts yet; make one with `pofl keys new NAME`.");
        else
          out.table(
            ["name", "address", "encrypted"],
            accounts.map((a) => [a.name, a.address, a.encrypted ? "yes" : "no"]),
          );
      });
    });
  examples(list, ["pofl keys list --home net", "the accounts that `testnet` wrote, the faucet among them"]);

  const show = group
    .command("show")
    .description("address and public key of an account; `validator` is that of the node")
    .argument("<NAME>")
    .action(async (name: string, _: object, self: Command) => {
      const { globals, out, askPassword } = contextOf(self);
      const keys = name === "validator" ? await accountKeys(globals.home, name, askPassword) : undefined;
      const { address, publicKey } = keys
        ? { address: toHex(addressOf(keys.publicKey)), publicKey: toHex(keys.publicKey) }
        : readAccount(mustExist(contextOf(self), name));
      out.result({ name, address, publicKey }, () => {
        out.line(`Address     ${address}`);
        out.line(`Public key  ${publicKey}`);
      });
    });
  examples(show, ["pofl keys show validator", "where this node's rewards go"]);

  const bring = group
    .command("import")
    .description("take an account from a file: an exported account, or a seed of 32 bytes in hexadecimal")
    .argument("<NAME>")
    .argument("<FILE>", "- reads a seed from standard input")
    .option("--plain", "don't encrypt it")
    .action(async (name: string, file: string, flags: { plain?: boolean }, self: Command) => {
      const ctx = contextOf(self);
      const seed = seedIn(file);
      const keys = seed ? keyPair(seed) : await readAccountKey(file, ctx.askPassword);
      await store(ctx, name, keys, flags.plain === true);
    });
  examples(bring, ["pofl keys import lab backup.json", "from a file of `keys export`"]);

  const send = group
    .command("export")
    .description("copy an account to a file, encrypted as it is")
    .argument("<NAME>")
    .requiredOption("--out <FILE>", "must not exist yet")
    .option("--plain", "decrypt it first: whoever has that file has the account")
    .action(async (name: string, flags: { out: string; plain?: boolean }, self: Command) => {
      const ctx = contextOf(self);
      const file = mustExist(ctx, name);
      const text = flags.plain
        ? await accountText(await accountKeys(ctx.globals.home, name, ctx.askPassword), "")
        : readFileSync(file, "utf8");
      writeNew(flags.out, text, 0o600);
      const result = { name, file: flags.out, encrypted: readAccount(flags.out).secret === undefined };
      ctx.out.result(result, () =>
        ctx.out.line(`${flags.out}  ${result.encrypted ? "encrypted" : "not encrypted: keep it safe"}`),
      );
    });
  examples(send, ["pofl keys export lab --out lab-backup.json", "a backup under the same password"]);

  const remove = group
    .command("delete")
    .description("delete an account for ever")
    .argument("<NAME>")
    .option("--yes", "really")
    .action((name: string, flags: { yes?: boolean }, self: Command) => {
      const ctx = contextOf(self);
      const file = mustExist(ctx, name);
      if (flags.yes !== true) throw usage(`${file}: would be lost for ever; say --yes if that is meant`);
      rmSync(file);
      ctx.out.result({ name, deleted: true }, () => ctx.out.line(`${name}: deleted`));
    });
  examples(remove, ["pofl keys delete lab --yes", "without a copy its money is lost"]);
}

/** A seed in a file or on standard input; undefined when the file is an account's. */
function seedIn(file: string): Uint8Array | undefined {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8").trim();
  } catch {
    // Reading it as an account's file says precisely what is wrong.
    return undefined;
  }
  if (text.startsWith("{")) return undefined;
  if (!/^(?:0x)?[0-9a-fA-F]{64}$/.test(text)) {
    throw new PoflError("BAD_KEY_FILE", `${file}: neither an account's file nor 64 hexadecimal digits`, { file });
  }
  return fromHex(text.startsWith("0x") ? text : `0x${text}`, 32);
}
