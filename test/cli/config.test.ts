import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CONFIG_KEYS, DEFAULT_CONFIG, loadConfig, parseConfig, renderConfig } from "../../node/config.ts";
import { inFolder, refused } from "./support.ts";

test("the written file says every key and reads back as the defaults", () => {
  const text = renderConfig();
  assert.equal(parseConfig(text, "config.toml"), DEFAULT_CONFIG);
  for (const k of CONFIG_KEYS) {
    assert.ok(k.description.length > 5, `${k.section}.${k.key} is explained`);
    assert.ok(text.includes(`# ${k.description}\n${k.key} = `), `${k.section}.${k.key} is written`);
  }
});

test("what is set survives writing and reading, whatever characters it holds", () => {
  const data = 'C:\\data "of" ward\t7\n.csv';
  const config = parseConfig(renderConfig({ learning: { data }, p2p: { bootnodes: ["/ip4/1.2.3.4/tcp/1"] } }), "f");
  assert.is(config.learning.data, data);
  assert.equal(config.p2p.bootnodes, ["/ip4/1.2.3.4/tcp/1"]);
});

test("file < environment < flags", () =>
  inFolder((dir) => {
    const file = join(dir, "config.toml");
    writeFileSync(file, '[node]\nmoniker = "file"\n[rpc]\nlisten = "127.0.0.1:1"\n[log]\nlevel = "warn"\n');
    const env = { POFL_NODE_MONIKER: "env", POFL_RPC_LISTEN: "127.0.0.1:2", POFL_NODE_ARCHIVE: "true" };
    const config = loadConfig(file, env, { node: { moniker: "flag" } });
    assert.is(config.node.moniker, "flag");
    assert.is(config.rpc.listen, "127.0.0.1:2");
    assert.is(config.log.level, "warn");
    assert.is(config.node.archive, true);
    assert.is(config.metrics.listen, DEFAULT_CONFIG.metrics.listen);
  }));

const wrong: [id: string, text: string, says: RegExp][] = [
  ["not TOML", '[node]\nmoniker = "a\n', /line 2, column/],
  ["unknown section", "[nodes]\n", /nodes/],
  ["unknown key", '[rpc]\nlistne = "127.0.0.1:1"\n', /rpc.*listne/],
  ["wrong type", "[node]\narchive = 1\n", /node\.archive/],
  ["no port", '[rpc]\nlisten = "127.0.0.1"\n', /rpc\.listen: must be HOST:PORT/],
  ["port too large", '[metrics]\nlisten = "127.0.0.1:70000"\n', /metrics\.listen/],
  ["not a multiaddr", '[p2p]\nlisten = "0.0.0.0:26656"\n', /p2p\.listen.*multiaddr/],
  ["unknown attack", '[learning]\nattack = "equivocate"\n', /learning\.attack: must be one of label-flip,.*\+lies/],
  [
    "accomplice that is no number",
    '[learning]\naccomplices = ["north"]\n',
    /learning\.accomplices\.0: must be a number/,
  ],
];
for (const [id, text, says] of wrong) {
  test(`refused with file and place: ${id}`, async () => {
    const error = await refused(() => parseConfig(text, "home/config.toml"), "BAD_CONFIG");
    assert.match(error.message, /home\/config\.toml/);
    assert.match(error.message, says);
  });
}

test("a wrong variable or flag is named", () =>
  inFolder(async (dir) => {
    const file = join(dir, "config.toml");
    writeFileSync(file, renderConfig());
    const variable = await refused(() => loadConfig(file, { POFL_NODE_ARCHIVE: "maybe" }), "BAD_CONFIG");
    assert.match(variable.message, /POFL_NODE_ARCHIVE/);
    const flag = await refused(() => loadConfig(file, {}, { rpc: { listen: "here" } }), "USAGE");
    assert.match(flag.message, /flags: rpc\.listen/);
    await refused(() => loadConfig(join(dir, "nothing.toml"), {}), "NO_HOME");
  }));

test.run();
