import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobRoot } from "../../crypto/blob.ts";
import { addressOf, commitmentOf } from "../../crypto/domain.ts";
import { beaconAlpha, nextSeed } from "../../crypto/vrf.ts";
import { genesisSeed } from "../../genesis/genesis.ts";
import { Vote } from "../../types/vote.ts";

const of = (n: number, length = 32): Uint8Array => new Uint8Array(length).fill(n);

test("hashes of the protocol equal those of an independent implementation of its text", () => {
  const answers = JSON.parse(readFileSync("test/vectors/hashing.json", "utf8")) as Record<string, string>;
  const key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
  const opening = { miner: 1, salt: of(4), blobRoot: of(5), size: 28, samples: 100 };
  const vote = { type: 1, height: 5, round: 1, blockId: of(3), validRound: 0, time: 0, validator: 2 };
  const found: Record<string, Uint8Array> = {
    [`address of ${key}`]: addressOf(Buffer.from(key, "hex")),
    "blob root of nothing": blobRoot(of(0, 0)),
    "blob root of abc": blobRoot(new TextEncoder().encode("abc")),
    "blob root of 1310721 bytes 07": blobRoot(of(7, 1_310_721)),
    "beacon input of seed 01…, height 258": beaconAlpha(of(1), 258),
    "seed after 01… and output 02…": nextSeed(of(1), of(2, 64)),
    "seed(0) of genesis hash 01…": genesisSeed(of(1)),
    "commitment at height 5, task 01…, opening {1, 04…, 05…, 28, 100}": commitmentOf({
      height: 5,
      task: of(1),
      opening,
    }),
    "root of prevote {1, 5, 1, 03…, 0, 0, 2}": Vote.hashTreeRoot(vote),
  };
  const { source: _source, ...expected } = answers;
  const hex = Object.fromEntries(Object.entries(found).map(([name, b]) => [name, Buffer.from(b).toString("hex")]));
  assert.equal(hex, expected);
});

test.run();
