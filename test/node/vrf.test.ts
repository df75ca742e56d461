import { test } from "uvu";
import * as assert from "uvu/assert";
import { heightContext } from "../../consensus/block/context.ts";
import { validateBlock } from "../../consensus/block/derive.ts";
import { beaconAlpha, vrfVerify } from "../../crypto/vrf.ts";
import { Sync } from "../../node/sync.ts";
import { VrfAhead } from "../../node/vrf/ahead.ts";
import type { Network, RequestHandler } from "../../p2p/types.ts";
import { CertifiedBlock } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { TASK, testGenesis, World } from "../consensus/world.ts";
import { type CertifiedChain, changingChain } from "../light/chains.ts";

const LENGTH = 10;
let made: CertifiedChain | undefined;
const chain = () => {
  made ??= changingChain(LENGTH);
  return made;
};

/** What `verify` must be asked for the proof of a block. */
function asked(height: number) {
  const { header } = chain().certified(height)!.block;
  const parent = chain().blocks[height - 2]?.head ?? chain().fork(0).head;
  const key = parent.state.miner(header.proposer)!.record.vrfKey;
  return { header, parent, key, alpha: beaconAlpha(parent.state.seed, height), proof: header.vrfProof };
}

test("proofs verified ahead are those that judging asks for, good or bad, and each answer is given once", async () => {
  const ahead = new VrfAhead({ threads: 2 });
  try {
    const start = chain().fork(0).head.state;
    const bad = 4;
    const forged = asked(bad).header.vrfProof.slice();
    forged[79]! ^= 1;
    const begun: Promise<void>[] = [];
    for (let h = 1; h <= LENGTH; h++) {
      const { header, parent } = asked(h);
      begun.push(ahead.begin(h === bad ? { ...header, vrfProof: forged } : header, parent.state.seed, start));
    }
    await Promise.all(begun);
    for (let h = 1; h <= LENGTH; h++) {
      const { key, alpha, proof } = asked(h);
      const given = ahead.verify(key, alpha, h === bad ? forged : proof);
      assert.equal(given, h === bad ? undefined : vrfVerify(key, alpha, proof), `height ${h}`);
    }
    // The true one of that height was not begun: it is verified here.
    const { key, alpha, proof } = asked(bad);
    assert.equal(ahead.verify(key, alpha, proof), vrfVerify(key, alpha, proof));
  } finally {
    await ahead.rest();
  }
});

test("a block is judged alike with proofs verified ahead: the true one is taken, one with another's proof is not", async () => {
  const ahead = new VrfAhead({ threads: 1 });
  try {
    for (const height of [2, 7]) {
      const { header, parent } = asked(height);
      const { block } = chain().certified(height)!;
      const other = { ...block, header: { ...header, vrfProof: asked(height - 1).proof } };
      await ahead.begin(header, parent.state.seed, parent.state);
      await ahead.begin(other.header, parent.state.seed, parent.state);
      const ctx = () => heightContext(parent, chain().genesis, chain().hash, ahead.verify);
      const none = { from: "certificate", result: undefined } as const;
      try {
        validateBlock(ctx(), other, none);
        assert.unreachable();
      } catch (error) {
        assert.ok(isPoflError(error, "INVALID_BLOCK"), String(error));
      }
      assert.equal(validateBlock(ctx(), block, none).id, chain().blocks[height - 1]!.head.id);
    }
  } finally {
    await ahead.rest();
  }
});

test("a thread that dies, and threads that rest, leave proofs to whoever needs them", async () => {
  const lines: string[] = [];
  const broken = new VrfAhead({
    threads: 1,
    entry: new URL("data:text/javascript,throw new Error('no')"),
    log: (l) => lines.push(l),
  });
  const { header, parent, key, alpha, proof } = asked(3);
  // All that it was given, not only the one that it was at.
  await Promise.all([3, 4, 5].map((h) => broken.begin(asked(h).header, asked(h).parent.state.seed, parent.state)));
  assert.equal(broken.verify(key, alpha, proof), vrfVerify(key, alpha, proof));
  assert.match(lines[0] ?? "", /died: no/);
  await broken.rest();

  const resting = new VrfAhead({ threads: 1 });
  const waits = [3, 4, 5].map((h) => resting.begin(asked(h).header, asked(h).parent.state.seed, asked(h).parent.state));
  await resting.rest();
  await Promise.all(waits);
  assert.equal(resting.verify(key, alpha, proof), vrfVerify(key, alpha, proof));
  // They work again when they are needed.
  await resting.begin(header, parent.state.seed, parent.state);
  await resting.rest();
});

test("sync begins with the proofs of what it reads, and ends the threads when it has caught up", async () => {
  const names = ["a", "b", "c", "d"];
  const world = new World({ names, genesis: testGenesis(names, TASK), seed: 9 });
  for (const name of ["a", "b", "c"]) world.start(name);
  assert.ok(await world.run(120_000, () => world.height("a") >= 8));
  world.cut.add("d");
  const engine = world.start("d");
  const begun: string[] = [];
  let rested = 0;
  const network = {
    serve: async (_name: string, _handler: RequestHandler) => {},
    report: () => {},
    request: async function* (_peer: string, _protocol: string, request: Uint8Array) {
      const from = Number(new DataView(request.buffer, request.byteOffset).getBigUint64(0, true));
      for (let h = from; h <= 8; h++) yield CertifiedBlock.serialize(world.certified("a", h) as CertifiedBlock);
    },
  } as unknown as Network;
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const ahead = {
    begin: async (header: { height: number }, seed: Uint8Array) => {
      const before =
        header.height === 1 ? engine.head.state.seed : world.certified("a", header.height - 1)!.block.header.seed;
      assert.equal(seed, before, `seed before ${header.height}`);
      begun.push(String(header.height));
    },
    rest: async () => void rested++,
  };
  const sync = new Sync({ network, engine: () => engine, certified: async () => undefined, log: quiet, ahead });
  sync.claim("a", 8);
  assert.ok(await world.run(60_000, () => world.height("d") >= 8 && !sync.catchingUp));
  assert.equal(begun, ["1", "2", "3", "4", "5", "6", "7", "8"]);
  assert.is(rested, 1);
  await sync.stop();
});

test.run();
