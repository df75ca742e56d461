import { mkdirSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Checkpoint } from "../../consensus/light/chain.ts";
import { type HomePaths, homePaths, writeGenesis } from "../../node/home.ts";
import { Join, type Joined } from "../../node/snapshots/join.ts";
import { TrustedPath } from "../../node/snapshots/trusted.ts";
import {
  decodeQuestion,
  encodeQuestion,
  HEADERS_PROTOCOL,
  HeadersWanted,
  Offers,
  type Question,
  SNAPSHOT_PROTOCOL,
} from "../../node/snapshots/wire.ts";
import { openDatabase } from "../../node/store/database.ts";
import { layout } from "../../node/store/layout.ts";
import { openRecord, sealRecord } from "../../node/store/records.ts";
import { checkHome } from "../../node/upkeep.ts";
import { verifyHome } from "../../node/verify.ts";
import { CertifiedBlock, LightBlocks, ValidatorSet } from "../../types/block.ts";
import { isPoflError } from "../../types/errors.ts";
import { bytesEqual, toHex } from "../../types/primitives.ts";
import { StatePiece } from "../../vm/snapshot.ts";
import { cli, inFolder, refused } from "../cli/support.ts";
import { type CertifiedChain, changingChain } from "../light/chains.ts";
import { emptyStore, FakeNetwork, type Handlers, lying, memory, QUIET, serving } from "../light/peers.ts";

const LENGTH = 16;
const AT = 14;
let made: { chain: CertifiedChain; honest: Handlers } | undefined;
async function world() {
  if (!made) {
    const chain = changingChain(LENGTH);
    made = { chain, honest: await serving(chain, [10, AT]) };
  }
  return made;
}

function joining(chain: CertifiedChain, network: FakeNetwork, checkpoint?: Checkpoint): Join {
  return new Join({
    genesis: chain.genesis,
    genesisHash: chain.hash,
    checkpoint,
    network,
    log: QUIET,
    signal: new AbortController().signal,
  });
}

/** @param heads that peers claim where they are not at LENGTH */
const run = (join: Join, network: FakeNetwork, heads: Record<string, number> = {}, from = 5) =>
  join.run(() => new Map([...network.peers.keys()].map((peer) => [peer, heads[peer] ?? LENGTH])), from);

function whole(joined: Joined | undefined, chain: CertifiedChain, height = AT): void {
  assert.ok(joined);
  const expected = chain.blocks[height - 1]!.head;
  assert.is(joined.head.height, height);
  assert.equal(joined.head.id, expected.id);
  assert.equal(joined.snapshot.state.root(), expected.state.root());
  assert.equal(joined.head.validators, expected.validators);
}

test("a fresh node takes the latest state that is offered, keeps it in one batch, and opens it again", async () => {
  const { chain, honest } = await world();
  const network = new FakeNetwork();
  network.peers.set("a", honest);
  network.peers.set("b", honest);
  const joined = await run(joining(chain, network), network);
  whole(joined, chain);
  assert.equal(network.reports, []);

  const db = memory();
  const store = await emptyStore(chain, db);
  await store.restore(joined!.snapshot);
  assert.is(store.head().height, AT);
  assert.is(store.base(), AT);
  for (const at of [AT + 1, LENGTH]) {
    const { certified, receipts, head } = chain.blocks[at - 1]!;
    if (at === AT + 1) await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  const again = await emptyStore(chain, db);
  assert.is(again.head().height, AT + 1);
  assert.is(again.base(), AT);
  assert.equal((await again.loadState()).root(), chain.blocks[AT]!.head.state.root());
  assert.equal(await again.validators(AT), [...chain.blocks[AT - 1]!.head.validators]);
  assert.is(await again.block(AT - 1), undefined);
  assert.equal((await again.certificate(AT))?.header, chain.certified(AT)?.block.header);
  try {
    await again.restore(joined!.snapshot);
    assert.unreachable();
  } catch (error) {
    assert.ok(isPoflError(error, "NOT_EMPTY"));
  }
});

/** Changes the answers to one kind of question about snapshots. */
const forging = (handlers: Handlers, kind: string, forge: (frame: Uint8Array) => Uint8Array) =>
  lying(handlers, SNAPSHOT_PROTOCOL, (frame, request) =>
    decodeQuestion(request).kind === kind ? forge(frame) : frame,
  );

test("each lie costs its teller a report and its place among the sources, and the others give the rest", async () => {
  const { chain, honest } = await world();
  const flipLast = (frame: Uint8Array) => {
    const copy = frame.slice();
    copy[copy.length - 1]! ^= 1;
    return copy;
  };
  const poorer = (frame: Uint8Array) => {
    const piece = StatePiece.deserialize(frame);
    piece.records[0] = flipLast(piece.records[0]!);
    return StatePiece.serialize(piece);
  };
  const older = (change: (b: ReturnType<typeof LightBlocks.deserialize>) => void) => (frame: Uint8Array) => {
    const blocks = LightBlocks.deserialize(frame);
    change(blocks);
    return LightBlocks.serialize(blocks);
  };
  const liars: Record<string, Handlers> = {
    "a wrong piece": forging(honest, "piece", poorer),
    "a wrong proof": forging(honest, "piece", flipLast),
    "a wrong top": forging(honest, "top", flipLast),
    "bytes that are nothing": forging(honest, "piece", () => new Uint8Array(3)),
    "a header changed": lying(
      honest,
      HEADERS_PROTOCOL,
      older((b) => (b[2]!.header.stateRoot[0]! ^= 1)),
    ),
    "a signature changed": lying(
      honest,
      HEADERS_PROTOCOL,
      older((b) => (b[2]!.commit.signatures[0]!.signature[5]! ^= 1)),
    ),
    "validators of its own": lying(
      honest,
      HEADERS_PROTOCOL,
      older((b) => {
        for (const { next } of b) if (next[0]) next[0][0]!.power *= 9n;
      }),
    ),
    "another block": lying(honest, "blocks/1", flipLast),
  };
  for (const [id, liar] of Object.entries(liars)) {
    const network = new FakeNetwork();
    network.peers.set("liar", liar);
    network.peers.set("honest", honest);
    const joined = await run(joining(chain, network), network);
    whole(joined, chain);
    assert.ok(
      network.reports.length > 0 && network.reports.every((r) => r === "liar reject"),
      `${id}: ${network.reports}`,
    );
  }
});

test("a peer that offers what does not exist is passed over; one that alone lies leaves the node without a snapshot", async () => {
  const { chain, honest } = await world();
  const braggart = forging(honest, "offers", () => Offers.serialize([9_000_000, AT]));
  const network = new FakeNetwork();
  network.peers.set("braggart", braggart);
  network.peers.set("honest", honest);
  whole(await run(joining(chain, network), network), chain);

  const alone = new FakeNetwork();
  alone.peers.set(
    "liar",
    forging(honest, "offers", () => Offers.serialize([9_000_000])),
  );
  assert.is(await run(joining(chain, alone), alone), undefined);
  alone.peers.set(
    "liar",
    forging(honest, "piece", () => StatePiece.serialize({ records: [], proof: [] })),
  );
  assert.is(await run(joining(chain, alone), alone), undefined);
  assert.ok(alone.reports.includes("liar reject"));
});

/** The founders' keys, sold later, sign another history from height 3 on. */
async function forged(): Promise<{ fork: CertifiedChain; handlers: Handlers }> {
  const { chain } = await world();
  const fork = chain.fork(2);
  fork.make([fork.accounts.transfer("ben", "fay", 7n)]);
  fork.grow(LENGTH + 4);
  return { fork, handlers: await serving(fork, [LENGTH + 2]) };
}

test("a long-range fork that contradicts the trusted block is refused, whatever it offers", async () => {
  const { chain, honest } = await world();
  const { fork, handlers } = await forged();
  for (const height of [6, AT]) {
    const checkpoint = { height, id: chain.blocks[height - 1]!.head.id };
    const network = new FakeNetwork();
    network.peers.set("forger", handlers);
    network.peers.set("honest", honest);
    whole(await run(joining(chain, network, checkpoint), network), chain);
    assert.ok(network.reports.includes("forger reject"), `${height}`);
    assert.not(network.reports.includes("honest reject"));

    const alone = new FakeNetwork();
    alone.peers.set("forger", handlers);
    assert.is(await run(joining(chain, alone, checkpoint), alone), undefined);
  }
  // Without one, and without anybody who knows better, it can't be told.
  const alone = new FakeNetwork();
  alone.peers.set("forger", handlers);
  whole(await run(joining(chain, alone), alone), fork, LENGTH + 2);
});

test("trusting genesis alone, a node that meets two certified chains takes neither and says so", async () => {
  const { chain, honest } = await world();
  const { handlers } = await forged();
  for (const order of [
    ["honest", "forger"],
    ["forger", "honest"],
  ]) {
    const network = new FakeNetwork();
    for (const name of order) network.peers.set(name, name === "honest" ? honest : handlers);
    try {
      await run(joining(chain, network), network);
      assert.unreachable();
    } catch (error) {
      assert.ok(isPoflError(error, "CONFLICTING_CHAINS"), String(error));
      assert.match(error.message, /sync\.trusted/);
    }
  }
});

test("a forger that is asked first, and shows no more than it must, does not have the others blamed", async () => {
  const { chain, honest } = await world();
  const { fork, handlers } = await forged();
  // At first it offers what is not there, so that others are asked for the headers after its last one.
  let offers = 0;
  const forger = forging(handlers, "offers", () => Offers.serialize(++offers <= 2 ? [LENGTH] : [LENGTH + 2]));
  forger.set(HEADERS_PROTOCOL, async function* (_peer, request) {
    const { from, count } = HeadersWanted.deserialize(request);
    const last = Math.min(from + count - 1, offers <= 2 ? 8 : LENGTH + 2);
    if (from <= last)
      yield LightBlocks.serialize(Array.from({ length: last - from + 1 }, (_, i) => fork.light(from + i)));
  });
  const network = new FakeNetwork();
  network.peers.set("forger", forger);
  for (const name of ["one", "two", "three"]) network.peers.set(name, honest);
  await refused(() => run(joining(chain, network), network, { forger: LENGTH + 4 }), "CONFLICTING_CHAINS");
  assert.equal(network.reports, []);
});

test("peers that are too young to give a snapshot still say that they know another chain", async () => {
  const { chain } = await world();
  const { handlers } = await forged();
  const network = new FakeNetwork();
  network.peers.set("forger", handlers);
  network.peers.set("young", await serving(chain.fork(10), []));
  const heads = { forger: LENGTH + 4, young: 10 };
  await refused(() => run(joining(chain, network), network, heads, 15), "CONFLICTING_CHAINS");
  assert.equal(network.reports, []);
});

test("a peer that says of a height that it has another block, and shows none that is certified, is no witness", async () => {
  const { chain, honest } = await world();
  const other = lying(honest, HEADERS_PROTOCOL, (frame) => {
    const blocks = LightBlocks.deserialize(frame);
    for (const { header } of blocks) if (header.height >= 7) header.time += 1;
    return LightBlocks.serialize(blocks);
  });
  const network = new FakeNetwork();
  network.peers.set("honest", honest);
  network.peers.set("liar", other);
  whole(await run(joining(chain, network), network), chain);
  assert.ok(network.reports.length > 0 && network.reports.every((r) => r === "liar reject"), `${network.reports}`);
});

test("a home that is on a forged chain below the trusted block says so, and blames no peer", async () => {
  const { chain, honest } = await world();
  const { fork, handlers } = await forged();
  const network = new FakeNetwork();
  network.peers.set("honest", honest);
  network.peers.set("forger", handlers);
  const asking = { network, signal: new AbortController().signal };
  const path = new TrustedPath({ height: 9, id: chain.blocks[8]!.head.id });
  const head = fork.blocks[5]!.head;
  const told = await refused(() => path.learn(asking, "honest", head), "FORGED_HOME");
  assert.match(told.message, /block 6 of this node.*move data\/chain away/);
  // The forger can't make a node think so.
  await refused(() => path.learn(asking, "forger", head), "NOT_TRUSTED");
  await refused(() => path.learn(asking, "forger", chain.blocks[5]!.head), "NOT_TRUSTED");
});

test("below the trusted block a node that replays takes what leads there, and nothing else", async () => {
  const { chain, honest } = await world();
  const { handlers } = await forged();
  const network = new FakeNetwork();
  network.peers.set("honest", honest);
  network.peers.set("forger", handlers);
  network.peers.set("young", await serving(chain.fork(5), [5]));
  const asking = { network, signal: new AbortController().signal };
  const checkpoint = { height: 9, id: chain.blocks[8]!.head.id };
  const path = new TrustedPath(checkpoint);
  const start = { height: 0, id: chain.hash };
  const id = (h: number) => chain.blocks[h - 1]!.head.id;
  assert.not(path.allowed(1, id(1)));
  assert.ok(path.allowed(10, id(1)));
  const fails = async (peer: string, code: string) => {
    try {
      await path.learn(asking, peer, start);
    } catch (error) {
      assert.ok(isPoflError(error, code), String(error));
      return;
    }
    assert.unreachable();
  };
  await fails("forger", "NOT_TRUSTED");
  await fails("young", "NOT_HELD");
  assert.not(path.allowed(1, id(1)));
  await path.learn(asking, "honest", start);
  for (let h = 1; h <= 9; h++) {
    assert.ok(path.allowed(h, id(h)));
    assert.not(path.allowed(h, id(h + 1)));
  }
  assert.ok(new TrustedPath(undefined).allowed(1, id(5)));
});

test("questions come back from their bytes, and other bytes are none", () => {
  const height = fc.nat();
  const question = fc.oneof<fc.Arbitrary<Question>[]>(
    fc.constant({ kind: "offers" }),
    fc.record({ kind: fc.constant("top"), height }),
    fc.record({ kind: fc.constant("validators"), height }),
    fc.record({ kind: fc.constant("piece"), height, piece: fc.record({ list: fc.nat(255), index: fc.nat() }) }),
  );
  // Objects of fast-check have no prototype.
  const plain = (q: Question) => JSON.parse(JSON.stringify(q));
  fc.assert(
    fc.property(question, (q) => assert.equal(plain(decodeQuestion(new Uint8Array(encodeQuestion(q)))), plain(q))),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      try {
        assert.ok(bytesEqual(encodeQuestion(decodeQuestion(bytes)), bytes));
      } catch (error) {
        assert.ok(isPoflError(error, "BAD_ENCODING"), String(error));
      }
    }),
  );
});

test("the sets that come with a snapshot are those that decided each height", async () => {
  const { chain, honest } = await world();
  const network = new FakeNetwork();
  network.peers.set("a", honest);
  const joined = await run(joining(chain, network), network);
  const { sets } = joined!.snapshot;
  for (let height = 1; height <= AT; height++) {
    const at = sets.filter((s) => s.height <= height).at(-1)!;
    const expected = ValidatorSet.serialize([...chain.blocks[height - 1]!.head.validators]);
    assert.ok(bytesEqual(at.set, expected), `height ${height}`);
  }
});

/** A home that took the snapshot and then the blocks after it. */
async function snapshotHome(dir: string): Promise<HomePaths> {
  const { chain, honest } = await world();
  const network = new FakeNetwork();
  network.peers.set("a", honest);
  const joined = await run(joining(chain, network), network);
  const paths = homePaths(dir);
  mkdirSync(join(dir, "config"), { recursive: true });
  mkdirSync(paths.data);
  writeGenesis(paths, chain.genesis);
  const store = await emptyStore(chain, await openDatabase(paths.chain));
  await store.restore(joined!.snapshot);
  for (const { certified, receipts, head } of chain.blocks.slice(AT)) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  await store.close();
  return paths;
}

test("pofl verify and db check say what they can of a home without history, and find what is damaged", () =>
  inFolder(async (folder) => {
    const { chain } = await world();
    const paths = await snapshotHome(join(folder, "home"));
    const report = await verifyHome(paths.dir);
    assert.is(report.from, AT);
    assert.is(report.blocks, LENGTH - AT + 1);
    assert.is(report.stateRoot, toHex(chain.head.state.root()));
    const human = await cli(["verify", "--home", paths.dir]);
    assert.match(human.stdout, /NOT ALL {3}this home began with a snapshot and has no blocks below height 14/);
    assert.equal((await checkHome(paths.dir)).damages, []);

    const damage = async (height: number, change: (c: CertifiedBlock) => void) => {
      const db = await openDatabase(paths.chain);
      const key = layout.block(height);
      const c = CertifiedBlock.deserialize(openRecord(key, (await db.get(key)) as Uint8Array));
      change(c);
      await db.put(key, sealRecord(key, CertifiedBlock.serialize(c)));
      await db.close();
    };
    await damage(AT, (c) => (c.commit.signatures[0]!.signature[3]! ^= 1));
    const signature = await refused(() => verifyHome(paths.dir), "VERIFY_FAILED");
    assert.match(signature.message, /^height 14: .*signature of validator 0 is bad/);
    await damage(AT, (c) => (c.commit.signatures[0]!.signature[3]! ^= 1));
    await damage(AT + 1, (c) => c.block.txs.push(chain.certified(1)!.block.txs[0]!));
    const body = await refused(() => verifyHome(paths.dir), "VERIFY_FAILED");
    assert.match(body.message, /^height 15: its txRoot is not the header's/);
  }));

test.run();
