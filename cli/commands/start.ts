import type { Command } from "commander";
import { CONFIG_KEYS, type ConfigOverrides, configValue, loadConfig } from "../../node/config.ts";
import { homePaths, lockHome, openHome } from "../../node/home.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { EXIT } from "../failure.ts";

/** Flags of `start` as overrides: commander names `--p2p-listen` p2pListen. */
function overrides(flags: Readonly<Record<string, string | undefined>>): ConfigOverrides {
  const set: Record<string, Record<string, unknown>> = {};
  for (const k of CONFIG_KEYS) {
    const text = flags[`${k.section}${k.key[0]?.toUpperCase()}${k.key.slice(1)}`];
    if (text !== undefined) set[k.section] = { ...set[k.section], [k.key]: configValue(k, text, k.flag, "USAGE") };
  }
  return set;
}

async function run(flags: Readonly<Record<string, string | undefined>>, self: Command): Promise<void> {
  const { globals, askPassword } = contextOf(self);
  const paths = homePaths(globals.home);
  const config = loadConfig(paths.config, process.env, overrides(flags));
  const home = await openHome(globals.home, askPassword);
  const unlock = lockHome(paths);
  let stop: (() => Promise<void>) | undefined;
  let asked = false;
  let fail: (error: unknown) => void = () => {};
  const stopFailed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const onSignal = () => {
    // The second signal forces: a person who asks twice means it. The lock of a dead process is taken over.
    if (asked) process.exit(EXIT.failed);
    asked = true;
    stop?.().catch(fail);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // Started by another process with a channel (`devnet`): when that dies, even by SIGKILL, its nodes end too.
  process.once("disconnect", onSignal);
  try {
    // Loaded here: no other command needs the network, the store and the trainers.
    const { startNode } = await import("../../node/node.ts");
    const node = await startNode({ home, config });
    stop = () => node.stop();
    if (asked) await node.stop();
    await Promise.race([node.closed, stopFailed]);
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    process.off("disconnect", onSignal);
    unlock();
  }
}

export function addStart(program: Command): void {
  const command = program.command("start").description("run the node of this home until SIGINT or SIGTERM");
  for (const k of CONFIG_KEYS) {
    const value = k.kind === "boolean" ? "BOOL" : k.kind === "list" ? "A,B" : "VALUE";
    command.option(`${k.flag} <${value}>`, `${k.description} [${k.env}]`);
  }
  command.action(run);
  examples(
    command,
    ["pofl start --home /srv/pofl", "run that node; Ctrl-C stops it, Ctrl-C again forces"],
    ["POFL_LOG_FORMAT=json pofl start --rpc-listen 127.0.0.1:8080", "settings from environment and flags"],
  );
}
