import { pino } from "pino";
import { loadConfig } from "../../../node/config.ts";
import { homePaths, openHome } from "../../../node/home.ts";
import { startNode } from "../../../node/node.ts";
import { isPoflError } from "../../../types/errors.ts";

/** Kinds of files that a node reads when it starts. The others it reads when it needs them, or only the command line does. */
export const READ_AT_START = [
  "genesis.json",
  "node_key",
  "validator_key",
  "custodian_key",
  "last_start.json",
  "custodian vault",
  "signer.state",
  "LevelDB log",
  "LevelDB table",
  "LevelDB MANIFEST",
  "LevelDB CURRENT",
] as const;

/** Starts the whole node on a home, with network and RPC on loopback, and ends it. Returns what it warned of, or why it refused. */
export async function startWhole(dir: string): Promise<string[]> {
  const said: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void said.push(line) });
  try {
    const home = await openHome(dir);
    const node = await startNode({ home, config: loadConfig(homePaths(dir).config, {}), log });
    await node.stop();
  } catch (error) {
    if (!isPoflError(error)) throw error;
    said.push(`${error.code}: ${error.message}`);
  }
  return said.filter((line) => !line.includes("cut off what a crash left unfinished"));
}
