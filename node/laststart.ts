import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { keyPair } from "../crypto/ed25519.ts";
import { PoflError } from "../types/errors.ts";
import { toHex } from "../types/primitives.ts";
import { CONFIG_KEYS, type Config } from "./config.ts";
import type { Home } from "./home.ts";
import { onDisk, realDisk, replaceFile } from "./store/disk.ts";

/**
 * What a home was at its last start: chain, keys and settings. A changed file that is still a good one, such as another home's key, or a
 * setting with one digit flipped, can't be told from an intended change; so it is said, and whoever did not make it restores the file.
 */

const FILE = "last_start.json";
const recordSchema = z.strictObject({
  /** Of `facts`, SHA-256 of its JSON. */
  checksum: z.string(),
  facts: z.record(z.string(), z.string()),
});

type Facts = Readonly<Record<string, string>>;
/** The file that a fact comes from, and how it is restored. */
const SOURCES: readonly [RegExp, string, string][] = [
  [/^genesis/, "config/genesis.json", "put the right genesis file back"],
  [/^key\.network/, "config/node_key", "restore it from its backup"],
  [/^key\.custodian/, "config/custodian_key", "restore it from its backup"],
  [/^key\./, "config/validator_key", "restore it from its backup"],
  [/^/, "config/config.toml", "restore the file from its backup, or see the environment and the flags of this start"],
];
/** Named, never shown. */
const SECRET = /^setting\.learning\.seed$/;

function factsOf(home: Home, config: Config): Facts {
  const { account, consensus, vrf } = home.keys;
  const settings = CONFIG_KEYS.map(({ section, key }): [string, string] => {
    const name = `setting.${section}.${key}`;
    const value = JSON.stringify((config as Record<string, Record<string, unknown>>)[section]?.[key]);
    return [
      name,
      SECRET.test(name)
        ? createHash("sha256")
            .update(`${toHex(home.genesisHash)}/${value}`)
            .digest("hex")
        : value,
    ];
  });
  return {
    "genesis hash": toHex(home.genesisHash),
    "genesis bootnodes": JSON.stringify(home.genesis.bootnodes),
    "key.network": toHex(keyPair(home.nodeKey).publicKey),
    "key.account": toHex(account.publicKey),
    "key.consensus": toHex(consensus.publicKey),
    "key.vrf": toHex(vrf.publicKey),
    "key.custodian": home.custodian ? toHex(home.custodian.publicKey) : "none",
    ...Object.fromEntries(settings),
  };
}

/** What is known of starts before this one. */
export type LastStart = {
  readonly path: string;
  /** Whether a node ever opened this home. */
  readonly ran: boolean;
  /** Undefined when the record is missing or damaged. */
  readonly facts: Facts | undefined;
  /** A start may have been with the consensus key that the home has now: a damaged record doesn't tell. */
  readonly withThisKey: boolean;
};

/** Reads the record of the last start. To be asked before anything is opened: opening makes files. */
export function lastStart({ paths, keys }: Home): LastStart {
  const path = join(paths.data, FILE);
  const facts = read(path);
  return {
    path,
    // Not the chain: a snapshot's file may have brought it.
    ran: existsSync(join(paths.data, "signer.state")),
    facts,
    withThisKey: facts ? facts["key.consensus"] === toHex(keys.consensus.publicKey) : existsSync(path),
  };
}

const checksum = (facts: Facts): string => createHash("sha256").update(JSON.stringify(facts)).digest("hex");

/**
 * Says what has changed since the last start, and remembers this one.
 * @param last as it was before anything was opened
 * @returns one sentence for each change, with the file and the remedy
 * @throws PoflError KEY_MISSING when a custodian's key is gone while what it seals is there; disk errors
 */
export function compareWithLastStart(home: Home, config: Config, last: LastStart): string[] {
  const { data, custodianKey } = home.paths;
  const { path, facts: before } = last;
  const facts = factsOf(home, config);
  mustHaveCustodianKey(home, join(data, "custodian"), custodianKey);
  const said: string[] = [];
  if (before === undefined && last.ran) {
    said.push(
      `${path} is missing or damaged: what has changed in config/ since the last start can't be told; it is written anew`,
    );
  }
  for (const [name, now] of before ? Object.entries(facts) : []) {
    const was = before?.[name];
    if (was === now) continue;
    const [, file, remedy] = SOURCES.find(([pattern]) => pattern.test(name)) as (typeof SOURCES)[number];
    const what = name.replace(/^setting\./, "");
    const values = SECRET.test(name) ? "is another than" : `is ${now}, was ${was ?? "not set"}`;
    said.push(`${file}: ${what} ${values} at the last start; if nobody changed it, ${remedy}`);
  }
  onDisk(path, () =>
    replaceFile(realDisk, path, Buffer.from(`${JSON.stringify({ checksum: checksum(facts), facts }, null, 2)}\n`)),
  );
  return said;
}

function read(path: string): Facts | undefined {
  try {
    const record = recordSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return record.checksum === checksum(record.facts) ? record.facts : undefined;
  } catch {
    return undefined;
  }
}

function mustHaveCustodianKey(home: Home, folder: string, file: string): void {
  if (home.custodian || !existsSync(folder) || readdirSync(folder).every((name) => name.startsWith("."))) return;
  throw new PoflError(
    "KEY_MISSING",
    `${file}: is missing, though ${folder} holds what it seals; restore it from its backup. If it is lost, move that folder away too (docs/operating.md, "Custodians")`,
    { file },
  );
}
