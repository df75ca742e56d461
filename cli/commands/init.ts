import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { genesisHash } from "../../genesis/genesis.ts";
import { devnetGenesis } from "../../genesis/presets.ts";
import { createHome, genesisValidator, homePaths, readGenesis, writeGenesis, writeNew } from "../../node/home.ts";
import { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { contextOf, newPassword } from "../context.ts";
import { examples } from "../examples.ts";
import { append } from "../parse.ts";
import { peerIdOf } from "../peer.ts";
import { DEVNET_STAKE } from "../testnet.ts";

type Flags = { genesis?: string; moniker: string; data?: string; bootnode: string[]; encrypt?: boolean };

export function addInit(program: Command): void {
  const command = program
    .command("init")
    .description("make a home: settings, keys and genesis file")
    .option("--genesis <FILE>", "genesis file of the network to join (default: a network of this node alone)")
    .option("--moniker <NAME>", "name of this node", "node")
    .option("--data <FILE>", "this hospital's data")
    .option("--bootnode <ADDRESS>", "node to join by (may be given several times)", append, [])
    .option("--encrypt", "encrypt the validator's keys with a password")
    .action(async (flags: Flags, self: Command) => {
      const { globals, out } = contextOf(self);
      const genesis = flags.genesis === undefined ? undefined : readGenesis(flags.genesis);
      if (flags.data !== undefined && !existsSync(flags.data)) {
        throw new PoflError("DATA_UNREADABLE", `${flags.data}: no such file`, { file: flags.data });
      }
      const existing = homePaths(globals.home).config;
      if (existsSync(existing)) {
        const why = "this home exists already; give another --home, or start it with `pofl start`";
        throw new PoflError("ALREADY_EXISTS", `${existing}: ${why}`, { file: existing });
      }
      const password = flags.encrypt ? await newPassword(globals, "the validator's keys") : "";
      const settings = {
        node: { moniker: flags.moniker },
        p2p: { bootnodes: flags.bootnode },
        learning: { data: flags.data === undefined ? "" : resolve(flags.data) },
      };
      const { paths, keys, nodeKey } = await createHome(globals.home, settings, password);
      const validator = genesisValidator(flags.moniker, keys, DEVNET_STAKE);
      writeNew(paths.validator, `${JSON.stringify(validator, null, 2)}\n`);
      const chain =
        genesis ??
        devnetGenesis({
          chainId: `pofl-${randomBytes(3).toString("hex")}`,
          genesisTime: new Date().toISOString(),
          validators: [validator],
          accounts: [{ address: validator.address, balance: DEVNET_STAKE }],
        });
      // A copy, byte for byte, of a file that others agreed on.
      if (flags.genesis !== undefined) copyFileSync(flags.genesis, paths.genesis);
      else writeGenesis(paths, chain);
      const peerId = await peerIdOf(nodeKey);
      const result = {
        home: paths.dir,
        chainId: chain.chainId,
        genesisHash: toHex(genesisHash(chain)),
        moniker: flags.moniker,
        address: validator.address,
        peerId,
        encrypted: password !== "",
      };
      out.result(result, () => {
        out.line(`Home        ${result.home}`);
        out.line(`Chain       ${result.chainId}  ${result.genesisHash}`);
        out.line(`Address     ${result.address}`);
        out.line(`Peer id     ${result.peerId}`);
        out.note(`Next: look at ${join("config", "config.toml")}, then \`pofl start --home ${paths.dir}\``);
      });
    });
  examples(
    command,
    ["pofl init --genesis genesis.json --moniker north --data north.csv", "a home that joins a network with this data"],
    ["pofl init --home /srv/pofl --encrypt", "a network of one node, its keys under a password"],
  );
}
