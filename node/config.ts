import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { ATTACKS, type Attack, parseAttack } from "../learning/attacks/index.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { NODE_ATTACKS } from "./attacks.ts";
import { CHECKPOINT_FORM, parseCheckpoint } from "./snapshots/checkpoint.ts";

/**
 * The settings of one node. Every key, its default and its explanation is written once, in this schema: the file that `init`
 * writes, the environment variables and the flags of `start` all come from it.
 * Precedence: file < environment (`POFL_P2P_LISTEN`) < flags (`--p2p-listen`).
 */

const address = /^(?:\[[0-9a-fA-F:]+\]|[^\s:[\]]+):(?:\d{1,5})$/;
const hostPort = z
  .string()
  .refine((s) => address.test(s) && Number(s.slice(s.lastIndexOf(":") + 1)) <= 65_535, "must be HOST:PORT");
const multiaddr = z.string().startsWith("/", "must be a multiaddr such as /ip4/0.0.0.0/tcp/26656");

export const configSchema = z.strictObject({
  node: z
    .strictObject({
      moniker: z.string().min(1).max(64).default("node").describe("Name of this node in logs and tables."),
      archive: z.boolean().default(false).describe("Keep the updates of every round; else those of the last few."),
      attack: z
        .enum(["", ...NODE_ATTACKS])
        .default("")
        .describe(
          "For tests only: equivocate signs everything twice, withhold gives nobody its blocks; empty = honest.",
        ),
    })
    .prefault({}),
  p2p: z
    .strictObject({
      listen: multiaddr
        .default("/ip4/0.0.0.0/tcp/26656")
        .describe("Where other nodes connect to (a libp2p multiaddr). Encrypted and authenticated."),
      bootnodes: z
        .array(multiaddr)
        .default([])
        .describe("Nodes to join by, each /ip4/HOST/tcp/PORT/p2p/PEER-ID; those of the genesis file are added."),
      external: z
        .union([z.literal(""), multiaddr])
        .default("")
        .describe("Address to announce when it differs from `listen` (behind NAT); empty = none."),
    })
    .prefault({}),
  sync: z
    .strictObject({
      mode: z
        .enum(["snapshot", "full"])
        .default("snapshot")
        .describe("How a fresh node joins: snapshot = a verified state, then older blocks; full = replay every block."),
      trusted: z
        .string()
        .refine((text) => text === "" || parseCheckpoint(text) !== undefined, `must be ${CHECKPOINT_FORM}`)
        .default("")
        .describe("A block that you trust, HEIGHT:0xHASH, against chains forged with old keys; empty = genesis alone."),
    })
    .prefault({}),
  rpc: z
    .strictObject({
      listen: hostPort
        .default("127.0.0.1:26657")
        .describe("JSON-RPC, HTTP and WebSocket. It has no password: keep it on loopback or behind a proxy."),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      listen: z
        .union([z.literal(""), hostPort])
        .default("127.0.0.1:26660")
        .describe("Prometheus metrics; empty = off."),
    })
    .prefault({}),
  learning: z
    .strictObject({
      data: z
        .string()
        .default("")
        .describe("This hospital's file (CSV, TSV, .data, NPY); relative to the home; empty = validate only."),
      split: z
        .string()
        .default("")
        .describe("JSON of row numbers when the task names one; empty = beside the data, under the task's name."),
      seed: z
        .string()
        .default("")
        .describe(
          "Fixes the chance in training and judging, for experiments; empty = drawn from the keys, and secret.",
        ),
      attack: z
        .custom<"" | Attack>(
          (text) => text === "" || (typeof text === "string" && parseAttack(text) !== undefined),
          `must be one of ${ATTACKS.join(", ")}, alone or followed by +lies`,
        )
        .default("")
        .describe("For tests only: how this node cheats, and with +lies how it votes; empty = honest."),
      accomplices: z
        .array(z.string().regex(/^\d{1,3}$/, "must be a number"))
        .default([])
        .describe("For tests only: who cheats with it, as numbers of the genesis file's validators from 0."),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(["silent", "fatal", "error", "warn", "info", "debug", "trace"])
        .default("info")
        .describe("silent, fatal, error, warn, info, debug or trace."),
      format: z.enum(["pretty", "json"]).default("pretty").describe("pretty for people, json for machines."),
    })
    .prefault({}),
});

export type Config = z.output<typeof configSchema>;

/** What a file, the environment or flags may set; section → key → value. */
export type ConfigOverrides = { readonly [section: string]: { readonly [key: string]: unknown } };

type WrongSetting = "BAD_CONFIG" | "USAGE";
type Kind = "string" | "boolean" | "list";
/** One key: `p2p.listen` is POFL_P2P_LISTEN in the environment and `--p2p-listen` on the command line. */
export type ConfigKey = {
  readonly section: string;
  readonly key: string;
  readonly kind: Kind;
  readonly fallback: unknown;
  readonly description: string;
  readonly env: string;
  readonly flag: string;
};

export const DEFAULT_CONFIG: Config = configSchema.parse({});

export const CONFIG_KEYS: readonly ConfigKey[] = Object.entries(configSchema.shape).flatMap(([section, prefault]) =>
  Object.entries(prefault.unwrap().shape as Record<string, z.ZodType>).map(([key, schema]) => {
    const fallback = (DEFAULT_CONFIG as Record<string, Record<string, unknown>>)[section]?.[key];
    const kind: Kind = Array.isArray(fallback) ? "list" : typeof fallback === "boolean" ? "boolean" : "string";
    return {
      section,
      key,
      kind,
      fallback,
      description: schema.description ?? "",
      env: `POFL_${section}_${key}`.toUpperCase(),
      flag: `--${section}-${key}`,
    };
  }),
);

/** The text of a config file with every key, explained; `set` replaces defaults. */
export function renderConfig(set: ConfigOverrides = {}): string {
  const lines = [
    "# Settings of this pofl node. The environment (POFL_SECTION_KEY) and flags of `pofl start` win over them.",
  ];
  let section = "";
  for (const k of CONFIG_KEYS) {
    if (k.section !== section) {
      section = k.section;
      lines.push("", `[${section}]`);
    }
    // JSON strings, booleans and arrays of strings are TOML too.
    lines.push(`# ${k.description}`, `${k.key} = ${JSON.stringify(set[k.section]?.[k.key] ?? k.fallback)}`);
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Reads a text given by the environment or a flag as the value of a key.
 * @param code of the error: what a person types on the command line is usage
 * @throws PoflError naming where it came from
 */
export function configValue(key: ConfigKey, text: string, from: string, code: WrongSetting): unknown {
  switch (key.kind) {
    case "string":
      return text;
    case "list":
      return text
        .split(",")
        .map((s) => s.trim())
        .filter((s) => s !== "");
    case "boolean":
      if (text === "true" || text === "1") return true;
      if (text === "false" || text === "0") return false;
      throw new PoflError(code, `${from}: "${text}" is neither true nor false`);
  }
}

/** The overrides that the environment holds. Other POFL_ variables (POFL_PASSWORD, POFL_HOME, …) are not ours to judge. */
function fromEnvironment(env: Readonly<Record<string, string | undefined>>): ConfigOverrides {
  const set: Record<string, Record<string, unknown>> = {};
  for (const k of CONFIG_KEYS) {
    const text = env[k.env];
    if (text !== undefined) set[k.section] = { ...set[k.section], [k.key]: configValue(k, text, k.env, "BAD_CONFIG") };
  }
  return set;
}

function merge(...layers: readonly ConfigOverrides[]): ConfigOverrides {
  const all: Record<string, Record<string, unknown>> = {};
  for (const layer of layers) {
    for (const [section, keys] of Object.entries(layer)) all[section] = { ...all[section], ...keys };
  }
  return all;
}

function check(value: unknown, where: string, remedy: string, code: WrongSetting = "BAD_CONFIG"): Config {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = issue?.path.join(".") ?? "";
  const at = path === "" ? where : `${where}: ${path}`;
  throw new PoflError(code, `${at}: ${issue?.message ?? "invalid"}; ${remedy}`, { file: where, path });
}

/**
 * Parses a config file's text. Keys that it leaves out have their default.
 * @throws PoflError BAD_CONFIG with the line (not TOML) or the key (unknown key, wrong value)
 */
export function parseConfig(text: string, file: string): Config {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const why = cause.message.split("\n")[0]?.replace(/^Invalid TOML document: /, "") ?? "";
    const { line, column } = cause;
    throw new PoflError(
      "BAD_CONFIG",
      `${file}: line ${line}, column ${column}: ${why}; correct it there`,
      { file, line },
      { cause },
    );
  }
  return check(value, file, "correct it; `pofl init` writes a file that shows every key");
}

/**
 * The settings that count: file < environment < flags.
 * @throws PoflError BAD_CONFIG (file, environment), USAGE (flags), NO_HOME (the file is missing)
 */
export function loadConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
  flags: ConfigOverrides = {},
): Config {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const remedy = existsSync(dirname(file))
      ? "restore it, or copy the one that `pofl init --home` makes elsewhere"
      : "make a home with `pofl init`";
    throw new PoflError("NO_HOME", `${file}: ${errorText(cause)}; ${remedy}`, { file }, { cause });
  }
  const fromFile = parseConfig(text, file);
  const fromEnv = fromEnvironment(env);
  const set = check(merge(fromFile, fromEnv), "environment", "see `pofl start --help`");
  return check(merge(set, flags), "flags", "see `pofl start --help`", "USAGE");
}
