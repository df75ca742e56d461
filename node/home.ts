import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { addressOf } from "../crypto/domain.ts";
import type { KeyPair } from "../crypto/ed25519.ts";
import { taggedHash } from "../crypto/hash.ts";
import { type Genesis, genesisHash, parseGenesis } from "../genesis/genesis.ts";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../types/primitives.ts";
import { type ConfigOverrides, renderConfig } from "./config.ts";
import {
  type AskPassword,
  newCustodianKey,
  newNodeKey,
  newValidatorKey,
  protect,
  readCustodianKey,
  readNodeKey,
  readValidatorKey,
  type ValidatorKeys,
} from "./keyfiles.ts";
import { homeUnwritable, takeLock } from "./lock.ts";

/** The folder of one node: settings and keys under `config/`, everything that the node itself writes under `data/`. */

export type HomePaths = {
  readonly dir: string;
  readonly config: string;
  readonly genesis: string;
  readonly nodeKey: string;
  readonly validatorKey: string;
  /** Only in the home of a custodian. */
  readonly custodianKey: string;
  /** What others need of this node to name it in a genesis file: public keys only. */
  readonly validator: string;
  readonly accounts: string;
  readonly data: string;
  /** LevelDB: blocks, receipts, state. */
  readonly chain: string;
  /** Updates and models, by root. */
  readonly blobs: string;
  /** Names of locks begin so. */
  readonly lock: string;
};

export function homePaths(home: string): HomePaths {
  const dir = resolve(home);
  const config = join(dir, "config");
  const data = join(dir, "data");
  return {
    dir,
    config: join(config, "config.toml"),
    genesis: join(config, "genesis.json"),
    nodeKey: join(config, "node_key"),
    validatorKey: join(config, "validator_key"),
    custodianKey: join(config, "custodian_key"),
    validator: join(config, "validator.json"),
    accounts: join(dir, "accounts"),
    data,
    chain: join(data, "chain"),
    blobs: join(data, "blobs"),
    lock: join(data, "LOCK"),
  };
}

export type Home = {
  readonly paths: HomePaths;
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  /** Seed of the libp2p identity (Ed25519). */
  readonly nodeKey: Uint8Array;
  readonly keys: ValidatorKeys;
  /** What this node signs with as a custodian of editable records; undefined = it is none. */
  readonly custodian: KeyPair | undefined;
};

/** A validator as a genesis file lists it. */
export type GenesisValidator = Genesis["validators"][number];

/** Institutions are named by a hash; without registrars anyone may choose a name, and one miner bonds under each. */
export function institutionId(name: string): Hash {
  return taggedHash("pofl/institution/1", new TextEncoder().encode(name));
}

/** @param stake smallest unit, decimal */
export function genesisValidator(moniker: string, keys: ValidatorKeys, stake: string): GenesisValidator {
  return {
    moniker,
    address: toHex(addressOf(keys.account.publicKey)),
    consensusKey: toHex(keys.consensus.publicKey),
    vrfKey: toHex(keys.vrf.publicKey),
    institution: toHex(institutionId(moniker)),
    stake,
  };
}

/** Writes a file that must not exist yet; secrets are readable by their owner only. */
export function writeNew(file: string, text: string | Uint8Array, mode = 0o644): void {
  try {
    writeFileSync(file, text, { flag: "wx", mode });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") {
      throw new PoflError("ALREADY_EXISTS", `${file}: exists already and is left as it is`, { file }, { cause });
    }
    throw homeUnwritable(file, cause);
  }
}

export function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw homeUnwritable(dir, cause);
  }
}

export type NewHome = { readonly paths: HomePaths; readonly keys: ValidatorKeys; readonly nodeKey: Uint8Array };

/**
 * Makes a home with fresh keys and without a genesis file (`writeGenesis` adds it).
 * @param password seals the validator's keys; "" leaves them plain
 * @throws PoflError ALREADY_EXISTS (nothing is overwritten), HOME_UNWRITABLE
 */
export async function createHome(dir: string, config: ConfigOverrides, password = ""): Promise<NewHome> {
  const paths = homePaths(dir);
  for (const file of [paths.config, paths.nodeKey, paths.validatorKey]) {
    if (!existsSync(file)) continue;
    const why = "this home exists already; give another --home, or start it with `pofl start`";
    throw new PoflError("ALREADY_EXISTS", `${file}: ${why}`, { file });
  }
  for (const folder of [paths.dir, join(paths.dir, "config"), paths.data]) makeFolder(folder);
  const { text, keys } = newValidatorKey();
  writeNew(paths.nodeKey, newNodeKey(), 0o600);
  writeNew(paths.validatorKey, await protect(text, password), 0o600);
  writeNew(paths.config, renderConfig(config));
  return { paths, keys, nodeKey: await readNodeKey(paths.nodeKey) };
}

/**
 * Makes the custodian's key of a home.
 * @param password seals it; "" leaves it plain
 * @throws PoflError NO_HOME, ALREADY_EXISTS (it is never replaced: shares of the records' key hang on it), HOME_UNWRITABLE
 */
export async function createCustodianKey(paths: HomePaths, password = ""): Promise<KeyPair> {
  mustBeHome(paths);
  const { text, keys } = newCustodianKey();
  writeNew(paths.custodianKey, await protect(text, password), 0o600);
  return keys;
}

export function writeGenesis(paths: HomePaths, genesis: Genesis): void {
  writeNew(paths.genesis, `${JSON.stringify(genesis, null, 2)}\n`);
}

/**
 * Reads and checks a genesis file.
 * @throws PoflError NO_GENESIS (can't be read), BAD_JSON, BAD_GENESIS: with the file and the JSON path
 */
export function readGenesis(file: string): Genesis {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = `${errorText(cause)}; ask the network for its genesis file`;
    throw new PoflError("NO_GENESIS", `${file}: can't be read: ${why}`, { file }, { cause });
  }
  try {
    return parseGenesis(text);
  } catch (cause) {
    if (!isPoflError(cause)) throw cause;
    const why = `${cause.message}; correct it, or ask the network for its genesis file`;
    throw new PoflError(cause.code, `${file}: ${why}`, { ...cause.data, file }, { cause });
  }
}

/**
 * Loads a home: genesis and keys. Settings are loaded apart (config.ts), since flags may change them.
 * @throws PoflError NO_HOME, NO_GENESIS, BAD_JSON, BAD_GENESIS, KEY_UNREADABLE, BAD_KEY_FILE, PASSWORD_NEEDED, WRONG_PASSWORD
 */
export async function openHome(dir: string, ask?: AskPassword): Promise<Home> {
  const paths = homePaths(dir);
  mustBeHome(paths);
  const genesis = readGenesis(paths.genesis);
  const nodeKey = await readNodeKey(paths.nodeKey);
  const keys = await readValidatorKey(paths.validatorKey, ask);
  return {
    paths,
    genesis,
    genesisHash: genesisHash(genesis),
    nodeKey,
    keys,
    custodian: await custodianOf(paths, { ...seedsOf(keys), network: nodeKey }, ask),
  };
}

const seedsOf = ({ account, consensus, vrf }: ValidatorKeys): Readonly<Record<string, Uint8Array>> => ({
  account: account.secret,
  consensus: consensus.secret,
  vrf: vrf.secret,
});

/**
 * The custodian's key of a home; undefined when it has none.
 * @param others seeds of the home's other keys, by name: one key per purpose
 * @throws PoflError as readValidatorKey
 */
async function custodianOf(
  { custodianKey: file }: HomePaths,
  others: Readonly<Record<string, Uint8Array>>,
  ask?: AskPassword,
): Promise<KeyPair | undefined> {
  if (!existsSync(file)) return undefined;
  const keys = await readCustodianKey(file, ask);
  const same = Object.keys(others).find((name) => bytesEqual(others[name] as Uint8Array, keys.secret));
  if (same === undefined) return keys;
  const why = `is the ${same} key of this home too; each purpose needs its own: take it away and make one with`;
  throw new PoflError("BAD_KEY_FILE", `${file}: ${why} \`pofl custodian keygen\``, { file });
}

function mustBeHome({ config, dir }: HomePaths): void {
  if (existsSync(config)) return;
  const why = `not a home of a node; make one with \`pofl init --home ${dir}\``;
  throw new PoflError("NO_HOME", `${dir}: ${why}`, { file: dir });
}

/**
 * Takes the home for this process until the returned function is called.
 * @throws PoflError HOME_LOCKED with the process id; HOME_UNWRITABLE
 */
export function lockHome(paths: HomePaths): () => void {
  makeFolder(paths.data);
  return takeLock(paths.lock);
}
