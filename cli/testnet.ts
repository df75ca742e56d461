import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { addressOf } from "../crypto/domain.ts";
import { keyPair } from "../crypto/ed25519.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { genesisHash } from "../genesis/genesis.ts";
import { CONSORTIUM, devnetGenesis, TOKEN } from "../genesis/presets.ts";
import { parseTask, type TaskSpec } from "../genesis/task.ts";
import type { Attack } from "../learning/attacks/index.ts";
import { COHORT_SEED, cohortTask, writeCohort } from "../learning/cohort.ts";
import { hospitalName } from "../learning/split.ts";
import { isNodeAttack, type NodeAttack } from "../node/attacks.ts";
import { createCustodianKey, createHome, genesisValidator, makeFolder, writeGenesis, writeNew } from "../node/home.ts";
import { accountText } from "../node/keyfiles.ts";
import { errorText, isPoflError, PoflError } from "../types/errors.ts";
import { MAX_CUSTODIANS } from "../types/limits.ts";
import { toHex } from "../types/primitives.ts";
import { usage } from "./failure.ts";
import { peerIdOf } from "./peer.ts";

/** Makes N homes that share one genesis. `testnet` stops here; `devnet` goes on and runs them. */

/** Ten times the preset's minimum, so that a slash does not end a test. */
export const DEVNET_STAKE = (10_000n * TOKEN).toString();
/** For each node's account, on top of its stake: fees. */
const POCKET = (1_000n * TOKEN).toString();
const FAUCET = (10_000_000n * TOKEN).toString();
const DEFAULT_NODES = 4;
/** Escrow of a task whose bounty says nothing: issuance pays its rounds. */
const NO_ESCROW = "0";

export type Ports = { readonly p2p: number; readonly rpc: number; readonly metrics: number };

export type TestnetOptions = {
  readonly out: string;
  /** Left out: one per file of `data`, else 4. */
  readonly nodes?: number | undefined;
  /** Folder of hospitals' files; left out: the embedded cohort. */
  readonly data?: string | undefined;
  readonly task?: string | undefined;
  /** No task and no data: empty blocks. */
  readonly empty?: boolean | undefined;
  readonly chainId?: string | undefined;
  /** Seed of the embedded cohort. */
  readonly seed?: number | undefined;
  /** Changes to the task before it is written. */
  readonly adjust?: ((task: TaskSpec) => TaskSpec) | undefined;
  readonly ports?: ((index: number) => Ports) | undefined;
  readonly attack?: ((index: number, nodes: number) => Attack | NodeAttack | undefined) | undefined;
  /** Fixes the training's chance on every node; left out: each draws its own. */
  readonly trainingSeed?: number | undefined;
  /** The first so many nodes are custodians of editable records; with `threshold`, or neither. */
  readonly custodians?: number | undefined;
  readonly threshold?: number | undefined;
  /** Heights from a request for redaction to its execution; left out: the preset's. */
  readonly redactionDelay?: number | undefined;
  /** Addresses of accounts that may ask for the redaction of any record. */
  readonly regulators?: readonly string[] | undefined;
  readonly log?: { readonly level?: string; readonly format?: string } | undefined;
};

export type TestnetNode = {
  readonly moniker: string;
  readonly home: string;
  readonly address: string;
  readonly peerId: string;
  readonly ports: Ports;
  readonly data: string;
  readonly attack: Attack | NodeAttack | undefined;
  /** Its custodian key; undefined = it is none. */
  readonly custodian: string | undefined;
};

export type Testnet = {
  readonly out: string;
  readonly genesis: Genesis;
  readonly genesisHash: string;
  readonly task: TaskSpec | undefined;
  readonly nodes: readonly TestnetNode[];
  readonly faucet: { readonly file: string; readonly address: string };
};

/** INTERFACES.md: 26656, 26657, 26660, and node i takes +10·i. */
export const defaultPorts = (i: number): Ports => ({
  p2p: 26656 + 10 * i,
  rpc: 26657 + 10 * i,
  metrics: 26660 + 10 * i,
});

const HOSPITAL_FILE = /\.(?:csv|tsv|data)$/i;

/**
 * The files of a folder that are hospitals, in order of name.
 * @throws PoflError DATA_UNREADABLE
 */
export function hospitalFiles(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (cause) {
    throw new PoflError("DATA_UNREADABLE", `${folder}: ${errorText(cause)}`, { file: folder }, { cause });
  }
  const files = names
    .filter((name) => HOSPITAL_FILE.test(name))
    .sort()
    .map((name) => join(resolve(folder), name))
    .filter((file) => statSync(file).isFile());
  if (files.length === 0) {
    throw new PoflError("DATA_UNREADABLE", `${folder}: holds no *.csv, *.tsv or *.data; each is one hospital`, {
      file: folder,
    });
  }
  return files;
}

/** @throws PoflError TASK_UNREADABLE, BAD_JSON, BAD_TASK: with the file */
export function readTask(file: string): TaskSpec {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new PoflError("TASK_UNREADABLE", `${file}: can't be read: ${errorText(cause)}`, { file }, { cause });
  }
  try {
    return parseTask(text);
  } catch (cause) {
    if (!isPoflError(cause)) throw cause;
    throw new PoflError(cause.code, `${file}: ${cause.message}`, { ...cause.data, file }, { cause });
  }
}

type Learning = { readonly task: TaskSpec | undefined; readonly files: readonly string[]; readonly nodes: number };

function chooseLearning(o: TestnetOptions): Learning {
  if (o.nodes !== undefined && !(Number.isSafeInteger(o.nodes) && o.nodes >= 1 && o.nodes <= 100)) {
    throw usage("--nodes must be a whole number from 1 to 100");
  }
  if (o.empty) return { task: undefined, files: [], nodes: o.nodes ?? DEFAULT_NODES };
  if ((o.data === undefined) !== (o.task === undefined)) {
    throw usage("--data and --task belong together: the task says how to read the files");
  }
  if (o.data === undefined || o.task === undefined) {
    const hospitals = o.nodes ?? DEFAULT_NODES;
    const files = writeCohort(join(resolve(o.out), "data"), { hospitals, seed: o.seed ?? COHORT_SEED });
    return { task: cohortTask(), files, nodes: hospitals };
  }
  const task = readTask(o.task);
  const files = hospitalFiles(o.data);
  const nodes = o.nodes ?? files.length;
  if (nodes > files.length) {
    throw usage(`--nodes ${nodes} needs as many hospitals; ${o.data} holds ${files.length} files`);
  }
  return { task, files: files.slice(0, nodes), nodes };
}

/** How many nodes become custodians, and their threshold. */
function chooseCustodians(o: TestnetOptions): { count: number; threshold: number } {
  const { custodians: count = 0, threshold = 0 } = o;
  if (count === 0 && threshold === 0) return { count, threshold };
  if ((count === 0) !== (threshold === 0)) {
    throw usage("--custodians and --threshold belong together: so many have a share of the key, so many make an edit");
  }
  const nodes = o.nodes ?? (o.data === undefined ? DEFAULT_NODES : hospitalFiles(o.data).length);
  if (count > nodes) throw usage(`--custodians ${count} needs as many nodes; this network has ${nodes}`);
  if (count > MAX_CUSTODIANS) throw usage(`--custodians ${count} is too many: at most ${MAX_CUSTODIANS}`);
  if (threshold < 2) throw usage("--threshold must be at least 2: with 1 every custodian would hold the key");
  if (threshold > count) throw usage(`--threshold ${threshold} is more than the ${count} custodians`);
  return { count, threshold };
}

/** The preset's waiting times, or one given: an emergency never waits longer than others. */
function redactionTimes(delay?: number): { consensus?: Partial<Genesis["consensus"]> } {
  if (delay === undefined) return {};
  const { emergencyDelay, window } = CONSORTIUM.consensus.redaction;
  return { consensus: { redaction: { delay, emergencyDelay: Math.min(delay, emergencyDelay), window } } };
}

/**
 * Writes the homes `node0` … of a new network into `out`, with `genesis.json` and `accounts/faucet.json` beside them.
 * @throws PoflError USAGE, ALREADY_EXISTS, HOME_UNWRITABLE, DATA_…, BAD_TASK, BAD_GENESIS
 */
export async function makeTestnet(o: TestnetOptions): Promise<Testnet> {
  const out = resolve(o.out);
  if (existsSync(join(out, "genesis.json"))) {
    throw new PoflError("ALREADY_EXISTS", `${out}: holds a network already; give another --out`, { file: out });
  }
  const custody = chooseCustodians(o);
  makeFolder(out);
  const { task: given, files, nodes: count } = chooseLearning(o);
  const task = given && o.adjust ? o.adjust(given) : given;
  const portsOf = o.ports ?? defaultPorts;
  const attacks = Array.from({ length: count }, (_, i) => o.attack?.(i, count));
  const attackers = [...attacks.keys()].filter((i) => attacks[i] !== undefined);
  const made = [];
  for (let i = 0; i < count; i++) {
    const ports = portsOf(i);
    const data = files[i] ?? "";
    const moniker = data === "" ? `node${i}` : hospitalName(data);
    const attack = attacks[i];
    // Validators are numbered as in genesis, which has them in the order of the nodes.
    const accomplices = attack === undefined ? [] : attackers.filter((a) => a !== i).map(String);
    const config = {
      node: { moniker, attack: isNodeAttack(attack) ? attack : "" },
      p2p: { listen: `/ip4/127.0.0.1/tcp/${ports.p2p}` },
      rpc: { listen: `127.0.0.1:${ports.rpc}` },
      metrics: { listen: `127.0.0.1:${ports.metrics}` },
      learning: {
        data,
        attack: attack === undefined || isNodeAttack(attack) ? "" : attack,
        accomplices,
        seed: o.trainingSeed === undefined ? "" : `${o.trainingSeed}/${moniker}`,
      },
      log: { ...o.log },
    };
    const home = await createHome(join(out, `node${i}`), config);
    const peerId = await peerIdOf(home.nodeKey);
    const custodian = i < custody.count ? toHex((await createCustodianKey(home.paths)).publicKey) : undefined;
    made.push({ moniker, ports, data, attack, home, peerId, custodian });
  }
  const validators = made.map(({ moniker, home }) => genesisValidator(moniker, home.keys, DEVNET_STAKE));
  const faucet = keyPair(randomBytes(32));
  const faucetAddress = toHex(addressOf(faucet.publicKey));
  const escrow = task === undefined ? NO_ESCROW : (BigInt(task.bounty) * BigInt(task.rounds.maximum)).toString();
  const genesis = devnetGenesis({
    chainId: o.chainId ?? `pofl-local-${randomBytes(3).toString("hex")}`,
    genesisTime: new Date().toISOString(),
    validators,
    accounts: [
      { address: faucetAddress, balance: FAUCET },
      ...validators.map((v) => ({ address: v.address, balance: POCKET })),
    ],
    custodians: { keys: made.flatMap((n) => n.custodian ?? []), threshold: custody.threshold },
    regulators: o.regulators ?? [],
    ...redactionTimes(o.redactionDelay),
    bootnodes: made.slice(0, 64).map((n) => `/ip4/127.0.0.1/tcp/${n.ports.p2p}/p2p/${n.peerId}`),
    ...(task === undefined ? {} : { task: { spec: task, escrow } }),
  });
  made.forEach(({ home }, i) => {
    writeGenesis(home.paths, genesis);
    writeNew(home.paths.validator, `${JSON.stringify(validators[i], null, 2)}\n`);
  });
  makeFolder(join(out, "accounts"));
  const faucetFile = join(out, "accounts", "faucet.json");
  writeNew(faucetFile, await accountText(faucet, ""), 0o600);
  writeNew(join(out, "genesis.json"), `${JSON.stringify(genesis, null, 2)}\n`);
  return {
    out,
    genesis,
    genesisHash: toHex(genesisHash(genesis)),
    task,
    nodes: made.map(({ home, ...n }, i) => ({
      ...n,
      home: home.paths.dir,
      address: validators[i]?.address ?? "",
    })),
    faucet: { file: faucetFile, address: faucetAddress },
  };
}
