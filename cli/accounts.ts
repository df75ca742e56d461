import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { KeyPair } from "../crypto/ed25519.ts";
import { homePaths } from "../node/home.ts";
import { type AccountFile, type AskPassword, readAccount, readAccountKey, readValidatorKey } from "../node/keyfiles.ts";
import { PoflError } from "../types/errors.ts";
import { usage } from "./failure.ts";

/** Accounts of a home: `accounts/NAME.json`. `validator` names the account that the node itself earns on. */

export const VALIDATOR = "validator";

export function accountPath(home: string, name: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/i.test(name)) {
    throw usage(`"${name}" is not a name for an account: use letters, digits, dot, dash and underscore`);
  }
  if (name === VALIDATOR) throw usage(`"${VALIDATOR}" is the account of the node itself; take another name`);
  return join(homePaths(home).accounts, `${name}.json`);
}

export function listAccounts(home: string): (AccountFile & { readonly name: string })[] {
  const folder = homePaths(home).accounts;
  const files = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith(".json")) : [];
  return files.sort().map((file) => ({ name: basename(file, ".json"), ...readAccount(join(folder, file)) }));
}

/**
 * The key pair of an account: a name in this home, `validator`, or the path of an account's file.
 * @throws PoflError NO_ACCOUNT; those of readAccountKey
 */
export async function accountKeys(home: string, who: string, ask: AskPassword): Promise<KeyPair> {
  if (who === VALIDATOR) return (await readValidatorKey(homePaths(home).validatorKey, ask)).account;
  if (/[\\/]|\.json$/.test(who)) return readAccountKey(who, ask);
  const file = accountPath(home, who);
  if (!existsSync(file)) {
    throw new PoflError("NO_ACCOUNT", `${file}: no such account; see \`pofl keys list\`, or give a path`, { file });
  }
  return readAccountKey(file, ask);
}
