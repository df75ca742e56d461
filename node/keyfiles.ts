import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { addressOf } from "../crypto/domain.ts";
import { type KeyPair, keyPair } from "../crypto/ed25519.ts";
import { openSecret, sealSecret } from "../crypto/keystore.ts";
import { hexSchema } from "../genesis/json.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { fromHex, toHex } from "../types/primitives.ts";

/** Secrets on disk: the network seed, the validator's three keys, a custodian's, and accounts. Each a JSON of 32-byte seeds, plain or sealed. */

/** One key per purpose: what one signs can never be taken for what another does. */
export type ValidatorKeys = { readonly account: KeyPair; readonly consensus: KeyPair; readonly vrf: KeyPair };
/** Asks for a password; called only when a file turns out to be sealed. */
export type AskPassword = (what: string) => Promise<string> | string;

const seed = hexSchema(32);
/** The public keys stand beside the seeds since a flipped digit makes another seed that is as good as any. Files of before have none. */
const publicKey = hexSchema(32).optional();
const nodeKeySchema = z.strictObject({ network: seed, publicKey });
const validatorKeySchema = z.strictObject({
  account: seed,
  consensus: seed,
  vrf: seed,
  publicKeys: z.strictObject({ account: hexSchema(32), consensus: hexSchema(32), vrf: hexSchema(32) }).optional(),
});
const custodianKeySchema = z.strictObject({ custodian: seed, publicKey });
const secretSchema = z.strictObject({ secret: seed });
/** The address stands in the clear, so that accounts can be listed without a password. */
const accountSchema = z
  .strictObject({
    address: hexSchema(20),
    publicKey: hexSchema(32),
    secret: seed.optional(),
    keystore: z.record(z.string(), z.unknown()).optional(),
  })
  .refine((a) => (a.secret === undefined) !== (a.keystore === undefined), "needs either secret or keystore");
export type AccountFile = z.output<typeof accountSchema>;

export function newNodeKey(): string {
  const network = toHex(randomBytes(32));
  return `${JSON.stringify({ network, publicKey: publicOf(network) })}\n`;
}

export function newValidatorKey(): { readonly text: string; readonly keys: ValidatorKeys } {
  const fresh = () => toHex(randomBytes(32));
  const seeds = { account: fresh(), consensus: fresh(), vrf: fresh() };
  const keys = pairs(seeds);
  const publicKeys = {
    account: toHex(keys.account.publicKey),
    consensus: toHex(keys.consensus.publicKey),
    vrf: toHex(keys.vrf.publicKey),
  };
  return { text: `${JSON.stringify({ ...seeds, publicKeys }, null, 2)}\n`, keys };
}

export function newCustodianKey(): { readonly text: string; readonly keys: KeyPair } {
  const custodian = toHex(randomBytes(32));
  const text = `${JSON.stringify({ custodian, publicKey: publicOf(custodian) })}\n`;
  return { text, keys: keyPair(fromHex(custodian, 32)) };
}

const publicOf = (secret: string): string => toHex(keyPair(fromHex(secret, 32)).publicKey);

/** @throws PoflError BAD_KEY_FILE when a public key that stands beside a seed is not the seed's */
function mustMatch(file: string, name: string, secret: string, expected: string | undefined): void {
  if (expected === undefined || publicOf(secret) === expected.toLowerCase()) return;
  throw bad(
    file,
    `the ${name} key is not that of the public key beside it: a digit has changed; restore it from a backup`,
  );
}

function pairs(seeds: Pick<z.output<typeof validatorKeySchema>, keyof ValidatorKeys>): ValidatorKeys {
  const pair = (hex: string) => keyPair(fromHex(hex, 32));
  return { account: pair(seeds.account), consensus: pair(seeds.consensus), vrf: pair(seeds.vrf) };
}

/** Seals the text of a key file under a password; an empty password leaves it plain. */
export async function protect(text: string, password: string): Promise<string> {
  if (password === "") return text;
  const sealed = await sealSecret(text, password);
  return sealed.endsWith("\n") ? sealed : `${sealed}\n`;
}

function bad(file: string, why: string): PoflError {
  return new PoflError("BAD_KEY_FILE", `${file}: ${why}`, { file });
}

/** Messages about key files never quote them: a slip must not print a secret. */
function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const gone = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const remedy = gone ? "restore it from a backup, or give the right path" : "check its permissions";
    const why = `can't be read: ${errorText(cause)}; ${remedy}`;
    throw new PoflError("KEY_UNREADABLE", `${file}: ${why}`, { file }, { cause });
  }
  try {
    return JSON.parse(text);
  } catch {
    throw bad(file, "not JSON; restore it from a backup");
  }
}

async function open(file: string, keystore: unknown, ask: AskPassword): Promise<unknown> {
  const password = await ask(file);
  try {
    return JSON.parse(await openSecret(JSON.stringify(keystore), password));
  } catch (cause) {
    if (cause instanceof PoflError) throw new PoflError(cause.code, `${file}: ${cause.message}`, { file }, { cause });
    throw bad(file, "what it seals is not JSON; restore it from a backup");
  }
}

function parsed<T>(file: string, value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join(".") ?? "";
  throw bad(file, `${path === "" ? "wrong fields" : `field ${path} is wrong`}; restore it from a backup`);
}

async function readSecret<T>(file: string, schema: z.ZodType<T>, ask: AskPassword): Promise<T> {
  const value = readJson(file);
  return parsed(file, isSealed(value) ? await open(file, value, ask) : value, schema);
}

/** A sealed file is a keystore object; plain files have nothing but seeds. */
function isSealed(value: unknown): boolean {
  return typeof value === "object" && value !== null && "version" in value;
}

const never: AskPassword = (file) => {
  throw new PoflError("PASSWORD_NEEDED", `${file}: is encrypted; give --password-file or POFL_PASSWORD`);
};

/** @throws PoflError KEY_UNREADABLE, BAD_KEY_FILE */
export async function readNodeKey(file: string): Promise<Uint8Array> {
  const { network, publicKey } = await readSecret(file, nodeKeySchema, never);
  mustMatch(file, "network", network, publicKey);
  return fromHex(network, 32);
}

/** @throws PoflError KEY_UNREADABLE, BAD_KEY_FILE, PASSWORD_NEEDED, WRONG_PASSWORD, BAD_KEYSTORE */
export async function readValidatorKey(file: string, ask: AskPassword = never): Promise<ValidatorKeys> {
  const seeds = await readSecret(file, validatorKeySchema, ask);
  for (const name of ["account", "consensus", "vrf"] as const)
    mustMatch(file, name, seeds[name], seeds.publicKeys?.[name]);
  return pairs(seeds);
}

/** @throws PoflError as readValidatorKey */
export async function readCustodianKey(file: string, ask: AskPassword = never): Promise<KeyPair> {
  const { custodian, publicKey } = await readSecret(file, custodianKeySchema, ask);
  mustMatch(file, "custodian", custodian, publicKey);
  return keyPair(fromHex(custodian, 32));
}

/** An account's file; an empty password leaves the seed plain. */
export async function accountText(keys: KeyPair, password: string): Promise<string> {
  const address = toHex(addressOf(keys.publicKey));
  const publicKey = toHex(keys.publicKey);
  const secret = toHex(keys.secret);
  const account: AccountFile =
    password === ""
      ? { address, publicKey, secret }
      : { address, publicKey, keystore: JSON.parse(await sealSecret(JSON.stringify({ secret }), password)) };
  return `${JSON.stringify(account, null, 2)}\n`;
}

/** What an account's file shows without a password. @throws PoflError KEY_UNREADABLE, BAD_KEY_FILE */
export function readAccount(file: string): AccountFile {
  const account = parsed(file, readJson(file), accountSchema);
  if (toHex(addressOf(fromHex(account.publicKey, 32))) === account.address.toLowerCase()) return account;
  throw bad(file, "its address is not that of its public key; restore it from a backup");
}

/** The key pair of an account's file. @throws PoflError as readValidatorKey */
export async function readAccountKey(file: string, ask: AskPassword = never): Promise<KeyPair> {
  const account = readAccount(file);
  const secret = account.secret ?? parsed(file, await open(file, account.keystore, ask), secretSchema).secret;
  const keys = keyPair(fromHex(secret, 32));
  if (toHex(keys.publicKey) !== account.publicKey || toHex(addressOf(keys.publicKey)) !== account.address) {
    throw bad(file, "its address is not that of its key; restore it from a backup");
  }
  return keys;
}
