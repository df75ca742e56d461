import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { addressOf } from "../../crypto/domain.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { genesisHash, genesisSeed, genesisTaskId, genesisTimeMs, parseGenesis } from "../../genesis/genesis.ts";
import { createGenesis, devnetGenesis } from "../../genesis/presets.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { changed, genesis, options, task, validator } from "./support.ts";

const hash = (text: string): string => toHex(genesisHash(parseGenesis(text)));

/** The error of a bad genesis: its code and the path that it names. */
function problem(text: string): { code: string; path: unknown; message: string } {
  try {
    parseGenesis(text);
  } catch (error) {
    assert.instance(error, PoflError, `${error}`);
    const { code, data, message } = error as PoflError;
    return { code, path: data.path, message };
  }
  return { code: "none", path: "none", message: "was accepted" };
}

const off = `0x02${"00".repeat(31)}`;
const smallOrder = "0xc7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
const key = (n: number): string => toHex(keyPair(new Uint8Array(32).fill(n)).publicKey);

/** id, where, the new value, and the path that the error must name if it is another. */
const BAD: [string, (string | number)[], unknown, string?][] = [
  ["unknown field", ["chainName"], "x", "$.chainName"],
  ["unknown nested field", ["consensus", "timeouts", "proposeSeconds"], 3, "$.consensus.timeouts.proposeSeconds"],
  ["unknown field in a list", ["validators", 2, "name"], "x", "$.validators[2].name"],
  ["a field named like a prototype's", ["economy", "constructor"], 1, "$.economy.constructor"],
  ["unknown field of the task", ["task", "spec", "bonus"], "1", "$.task.spec.bonus"],
  ["missing chain id", ["chainId"], undefined],
  ["missing parameter", ["consensus", "keyDelay"], undefined],
  ["missing key", ["validators", 1, "vrfKey"], undefined],
  ["missing section", ["economy"], undefined],
  ["chain id with capitals", ["chainId"], "Test"],
  ["chain id with a newline", ["chainId"], "test\n"],
  ["chain id of 64", ["chainId"], "a".repeat(64)],
  ["time without milliseconds", ["genesisTime"], "2026-01-31T12:00:00Z"],
  ["time with an offset", ["genesisTime"], "2026-01-31T12:00:00.000+01:00"],
  ["30 February", ["genesisTime"], "2026-02-30T12:00:00.000Z"],
  ["time before 1970", ["genesisTime"], "1969-12-31T23:59:59.999Z"],
  ["time as a number", ["genesisTime"], 1_769_860_800_000],
  ["timeout below its bound", ["consensus", "timeouts", "proposeMs"], 9],
  ["timeout as text", ["consensus", "timeouts", "proposeMs"], "3000"],
  ["half a seat", ["consensus", "committeeSeats"], 6.5],
  ["more validators than the encoding", ["consensus", "maxValidators"], 129],
  ["fewer validators than listed", ["consensus", "maxValidators"], 3, "$.validators"],
  ["unbonding within the evidence window", ["consensus", "unbondingHeights"], 10],
  ["stake as a number", ["validators", 0, "stake"], 1_000_000_000],
  ["stake below the minimum", ["validators", 3, "stake"], "999999999"],
  ["minimum stake of nothing", ["economy", "minimumStake"], "0"],
  ["minimum stake in words", ["economy", "minimumStake"], "many"],
  ["balance as a number", ["accounts", 0, "balance"], 1],
  ["negative balance", ["accounts", 0, "balance"], "-1"],
  ["balance with a fraction", ["accounts", 0, "balance"], "1.5"],
  ["balance with a leading zero", ["accounts", 0, "balance"], "01"],
  ["balance past u64", ["accounts", 0, "balance"], "18446744073709551616"],
  ["money past half of u64", ["accounts", 0, "balance"], "9223372036854775807", "$.accounts"],
  ["issuance past half of u64", ["economy", "issuance", "perRound"], "5000000000000000"],
  [
    "endless issuance past half of u64",
    ["economy", "issuance"],
    { perRound: "4294967296", halvingBlocks: 0 },
    "$.economy.issuance.perRound",
  ],
  ["shares that don't sum", ["economy", "shares", "proposer"], 101, "$.economy.shares"],
  ["a share above one", ["economy", "shares", "trainers"], 1001],
  ["two validators of one key", ["validators", 1, "consensusKey"], validator(0).consensusKey],
  ["two validators of one VRF key", ["validators", 3, "vrfKey"], validator(2).vrfKey],
  ["two validators of one address", ["validators", 1, "address"], validator(0).address],
  ["two validators of one institution", ["validators", 1, "institution"], validator(0).institution],
  ["one key for two purposes", ["validators", 1, "vrfKey"], validator(0).consensusKey],
  ["one key for two purposes of one validator", ["validators", 1, "vrfKey"], validator(1).consensusKey],
  ["a registrar that validates", ["registrars"], [validator(2).vrfKey], "$.validators[2].vrfKey"],
  ["a registrar twice", ["registrars"], [key(90), key(90)], "$.registrars[1]"],
  ["an account's key as consensus key", ["validators", 0, "consensusKey"], key(101)],
  ["a key off the curve", ["validators", 0, "consensusKey"], off],
  ["a key of small order", ["validators", 0, "vrfKey"], smallOrder],
  ["a registrar's key of small order", ["registrars"], [smallOrder], "$.registrars[0]"],
  ["a custodian's key off the curve", ["custodians"], { keys: [key(90), off], threshold: 2 }, "$.custodians.keys[1]"],
  ["a custodian's key twice", ["custodians"], { keys: [key(90), key(90)], threshold: 2 }, "$.custodians.keys[1]"],
  [
    "a custodian's key that validates",
    ["custodians"],
    { keys: [key(90), validator(2).consensusKey], threshold: 2 },
    "$.validators[2].consensusKey",
  ],
  [
    "an account's key as custodian's",
    ["custodians"],
    { keys: [key(90), key(101)], threshold: 2 },
    "$.custodians.keys[1]",
  ],
  ["a key in capitals", ["validators", 0, "vrfKey"], validator(0).vrfKey.toUpperCase().replace("X", "x")],
  ["a key without 0x", ["validators", 0, "vrfKey"], validator(0).vrfKey.slice(2)],
  ["a key cut short", ["validators", 0, "vrfKey"], validator(0).vrfKey.slice(0, -2)],
  ["threshold above the custodians", ["custodians", "threshold"], 1],
  ["custodians without a threshold", ["custodians"], { keys: [key(90)], threshold: 0 }, "$.custodians.threshold"],
  ["custodians who each hold the key", ["custodians"], { keys: [key(90)], threshold: 1 }, "$.custodians.threshold"],
  ["an account twice", ["accounts", 1], { address: `0x${"ab".repeat(20)}`, balance: "1" }, "$.accounts[1].address"],
  ["no validators", ["validators"], []],
  ["validators as an object", ["validators"], {}],
  ["an empty moniker", ["validators", 0, "moniker"], ""],
  ["a moniker that moves the cursor", ["validators", 0, "moniker"], "\u001b[2J"],
  ["a moniker that reads backwards", ["validators", 0, "moniker"], "\u202esuoirotoN"],
  ["a moniker of half a character", ["validators", 0, "moniker"], "\ud800"],
  ["a moniker of 66 bytes", ["validators", 0, "moniker"], "病".repeat(22)],
  ["a task that needs more updates than validators", ["task", "spec", "rounds", "minimumUpdates"], 5],
  ["a task whose f needs more updates than validators", ["task", "spec", "aggregation", "f"], 1],
  ["a task of unknown rule", ["task", "spec", "aggregation", "rule"], "krum"],
  ["escrow as a number", ["task", "escrow"], 5],
  ["an empty bootnode", ["bootnodes", 0], ""],
];

test("every bad genesis is refused at its place", () => {
  const good = genesis();
  for (const [id, path, value, named] of BAD) {
    const place = named ?? path.reduce<string>((p, k) => (typeof k === "number" ? `${p}[${k}]` : `${p}.${k}`), "$");
    const found = problem(JSON.stringify(changed(good, path, value)));
    assert.is(found.code, "BAD_GENESIS", id);
    assert.is(found.path, place, `${id}: ${found.message}`);
    assert.ok(found.message.startsWith(`genesis: ${place}: `), found.message);
  }
  assert.is(problem(JSON.stringify(good)).code, "none", "and the unchanged one is good");
});

test("what is no genesis at all", () => {
  const text = JSON.stringify(genesis());
  for (const [id, bad, code, path] of [
    ["not JSON", text.slice(1), "BAD_JSON", undefined],
    ["cut off", text.slice(0, -1), "BAD_JSON", undefined],
    ["empty", "", "BAD_JSON", undefined],
    ["null", "null", "BAD_GENESIS", "$"],
    ["a list", "[]", "BAD_GENESIS", "$"],
    ["deep nesting", "[".repeat(50_000) + "]".repeat(50_000), "BAD_GENESIS", "$"],
    ["__proto__", text.replace("{", '{"__proto__":{"chainId":"x"},'), "BAD_GENESIS", "$.__proto__"],
    ["a member twice", text.replace("{", '{"chainId":"evil",'), "BAD_GENESIS", "$.chainId"],
    [
      "a member twice, escaped",
      text.replace('"keyDelay":', '"key\\u0044elay":1,"keyDelay":'),
      "BAD_GENESIS",
      "$.consensus.keyDelay",
    ],
    [
      "a member twice, in a list",
      text.replace(/("stake":)(?!.*"stake":)/, '"stake":"1",$1'),
      "BAD_GENESIS",
      "$.validators[3].stake",
    ],
    ["infinite number", text.replace('"keyDelay":10', '"keyDelay":1e999'), "BAD_GENESIS", "$.consensus.keyDelay"],
  ] as const) {
    const found = problem(bad);
    assert.is(found.code, code, `${id}: ${found.message}`);
    assert.is(found.path, path, id);
  }
});

test("strings that look like structure don't count as members", () => {
  const moniker = 'a{"b":[1],"b":2},\\"c';
  const text = JSON.stringify(changed(genesis(), ["validators", 0, "moniker"], moniker));
  assert.is(parseGenesis(text).validators[0]?.moniker, moniker);
});

/** The same JSON with members in another order and white space between all tokens. */
function shuffled(value: unknown, order: () => number): string {
  const space = () => " \n\t\r".slice(0, order() % 5);
  if (Array.isArray(value)) return `[${space()}${value.map((v) => shuffled(v, order)).join(`${space()},`)}${space()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .map(([k, v]) => ({
      text: `${space()}${JSON.stringify(k)}${space()}:${space()}${shuffled(v, order)}`,
      at: order(),
    }))
    .sort((a, b) => a.at - b.at);
  return `{${members.map((m) => m.text).join(`${space()},`)}${space()}}`;
}

test("the hash depends on what is said, not on order, white space, defaults or bootnodes", () => {
  const good = genesis();
  const expected = toHex(genesisHash(good));
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { minLength: 8, maxLength: 40 }), (numbers) => {
      let i = 0;
      assert.is(hash(shuffled(good, () => numbers[i++ % numbers.length] as number)), expected);
    }),
    { numRuns: 30 },
  );
  assert.is(hash(JSON.stringify({ ...good, bootnodes: [] })), expected);
  assert.is(hash(JSON.stringify({ ...good, registrars: undefined })), expected, "an empty list is the default");
  assert.is(hash(JSON.stringify(changed(good, ["task", "spec", "windows"], undefined))), expected);
});

test("the hash changes with every agreed value", () => {
  const good = genesis();
  const seen = new Map([[toHex(genesisHash(good)), "unchanged"]]);
  const differs = (path: (string | number)[], value: unknown) => {
    const found = hash(JSON.stringify(changed(good, path, value)));
    assert.is(seen.get(found), undefined, path.join("."));
    seen.set(found, path.join("."));
  };
  differs(["chainId"], "test-2");
  differs(["genesisTime"], "2026-01-31T12:00:00.001Z");
  for (const [name, value] of Object.entries(good.consensus)) {
    if (typeof value === "number") differs(["consensus", name], value - 1);
  }
  differs(["consensus", "timeouts", "deltaMs"], 501);
  differs(["economy", "fees", "base"], "1001");
  differs(["economy", "shares"], { proposer: 101, committee: 299, trainers: 600 });
  differs(["validators", 0, "stake"], "1000000001");
  differs(["validators", 0, "moniker"], "hospital zero");
  differs(["accounts", 0, "balance"], "1");
  differs(["accounts"], []);
  differs(["task"], undefined);
  differs(["task", "escrow"], "0");
  differs(["task", "spec", "training", "learningRate"], 0.02);
  differs(["registrars"], [key(90)]);
  differs(["regulators"], [`0x${"ab".repeat(20)}`]);
  differs(["custodians"], { keys: [key(90), key(91), key(92)], threshold: 2 });
  differs(["custodians"], { keys: [key(90), key(91)], threshold: 2 });
  differs(["allowlist"], []);
  differs(["allowlist"], ["12D3KooW"]);
});

test("createGenesis: the preset with a few values of one's own, checked like a file", () => {
  assert.equal(parseGenesis(JSON.stringify(genesis(), null, 2)), genesis());
  assert.equal(devnetGenesis(options()), genesis());
  const fast = createGenesis({ ...options(), consensus: { idleIntervalMs: 100, committeeSeats: 7 } });
  assert.is(fast.consensus.idleIntervalMs, 100);
  assert.is(fast.consensus.maxValidators, 100);
  assert.throws(
    () => createGenesis({ ...options(), economy: { minimumStake: "1000000001" } }),
    (e: unknown) => isPoflError(e, "BAD_GENESIS"),
  );
  assert.throws(
    () => createGenesis({ ...options(), validators: [{ ...validator(0), vrfKey: smallOrder }] }),
    (e: unknown) => isPoflError(e, "BAD_GENESIS"),
  );
  const { task: _none, ...without } = options();
  assert.is(createGenesis(without).task, undefined);
});

test("genesis time in milliseconds equals Date's, leap years and all", () => {
  const last = Date.parse("9999-12-31T23:59:59.999Z");
  const same = (at: number) => assert.is(genesisTimeMs({ genesisTime: new Date(at).toISOString() }), at);
  for (const day of [
    "1970-01-01",
    "1972-02-29",
    "2000-02-29",
    "2000-03-01",
    "2100-02-28",
    "2100-03-01",
    "2024-12-31",
  ]) {
    same(Date.parse(`${day}T00:00:00.000Z`));
    same(Date.parse(`${day}T23:59:59.999Z`));
  }
  fc.assert(fc.property(fc.integer({ min: 0, max: last }), same));
});

test("seed and task id follow from genesis alone, each in a domain of its own", () => {
  const h = genesisHash(genesis());
  assert.not.equal(genesisSeed(h), h);
  assert.not.equal(genesisSeed(h), genesisSeed(genesisTaskId(task())));
  assert.equal(genesisTaskId(task()), genesisTaskId(task()));
  assert.not.equal(genesisTaskId({ ...task(), bounty: "1" }), genesisTaskId(task()));
  assert.is(addressOf(h).length, 20);
});

test.run();
