import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Anchor, checkpointAnchor, genesisAnchor, verifyNext } from "../../consensus/light/chain.ts";
import { blockId, type LightBlock, LightBlocks, type Validator } from "../../types/block.ts";
import { isPoflError, type PoflError } from "../../types/errors.ts";
import { bytesEqual, decode, toHex } from "../../types/primitives.ts";
import { nameOf } from "../vm/support.ts";
import { type CertifiedChain, certificate, changingChain } from "./chains.ts";

const LENGTH = 14;
let made: CertifiedChain | undefined;
const chain = () => {
  made ??= changingChain(LENGTH);
  return made;
};

function follow(from: Anchor, blocks: readonly LightBlock[], hash = chain().hash): Anchor {
  return blocks.reduce((anchor, block) => verifyNext({ genesisHash: hash }, anchor, block), from);
}

const all = () => Array.from({ length: LENGTH }, (_, i) => chain().light(i + 1));

test("headers and certificates lead from genesis to the head through a miner that joins and one that leaves", () => {
  const blocks = all();
  assert.equal(decode(LightBlocks, LightBlocks.serialize(blocks)), blocks);
  const changes = blocks.filter((b) => b.next.length > 0).length;
  assert.ok(changes >= 2, `${changes} changes of the set`);
  const end = follow(genesisAnchor(chain().genesis), blocks);
  assert.equal(end.id, chain().head.id);
  assert.equal(
    end.next.map((v) => nameOf(v.address)),
    ["anna", "ben", "cleo", "emil"],
  );
});

test("a trusted header is a beginning too, and only that one", () => {
  const at = 6;
  const { header } = chain().light(at);
  const { validators, next } = follow(genesisAnchor(chain().genesis), all().slice(0, at));
  const anchor = checkpointAnchor({ height: at, id: blockId(header) }, header, validators, next);
  assert.equal(follow(anchor, all().slice(at)).id, chain().head.id);
  refused("NOT_TRUSTED", () =>
    checkpointAnchor({ height: at, id: blockId(chain().light(5).header) }, header, validators, next),
  );
  refused("NOT_TRUSTED", () => checkpointAnchor({ height: at + 1, id: blockId(header) }, header, validators, next));
  refused("NOT_TRUSTED", () =>
    checkpointAnchor({ height: at, id: blockId(header) }, header, validators, next.slice(1)),
  );
  refused("NOT_TRUSTED", () => checkpointAnchor({ height: at, id: blockId(header) }, header, next.slice(1), next));
});

function refused(code: string, act: () => unknown, id = code): PoflError {
  try {
    act();
  } catch (error) {
    if (isPoflError(error, code)) return error;
    throw error;
  }
  throw new Error(`${id}: nothing was refused`);
}

/** A header changed, and certified anew by those who decide its height. */
function resigned(height: number, change: (header: LightBlock["header"]) => void): LightBlock {
  const block = structuredClone(chain().light(height));
  change(block.header);
  const { validators } = chain().blocks[height - 1]!.head;
  return { ...block, commit: certificate(chain().hash, validators, height, blockId(block.header), block.header.time) };
}

test("each thing that a header or certificate can lack is refused with its height", () => {
  const changing = all().findIndex((b) => b.next.length > 0) + 1;
  const without = (block: LightBlock, keep: number): LightBlock => ({
    ...block,
    commit: { ...block.commit, signatures: block.commit.signatures.slice(0, keep) },
  });
  const cases: { id: string; height: number; block: (b: LightBlock) => LightBlock; code: string; says: RegExp }[] = [
    { id: "quorum", height: 3, block: (b) => without(b, 2), code: "BAD_COMMIT", says: /more than two thirds/ },
    {
      id: "a signature",
      height: 3,
      block: (b) => {
        b.commit.signatures[1]!.signature = b.commit.signatures[0]!.signature;
        return b;
      },
      code: "BAD_COMMIT",
      says: /validator 1 is bad/,
    },
    {
      id: "the same signature twice",
      height: 3,
      block: (b) => {
        b.commit.signatures[1] = b.commit.signatures[0]!;
        return b;
      },
      code: "BAD_COMMIT",
      says: /strictly ascending/,
    },
    {
      id: "a header of one's own under the true certificate",
      height: 3,
      block: (b) => ({ ...b, header: { ...b.header, stateRoot: new Uint8Array(32) } }),
      code: "BAD_COMMIT",
      says: /another block/,
    },
    { id: "height", height: 3, block: () => chain().light(4), code: "BAD_HEADER", says: /it is of height 4/ },
    {
      id: "version",
      height: 3,
      block: () => resigned(3, (h) => (h.version = 2)),
      code: "BAD_HEADER",
      says: /of version 2/,
    },
    {
      id: "time",
      height: 3,
      block: () => resigned(3, (h) => (h.time = chain().light(2).header.time)),
      code: "BAD_HEADER",
      says: /not later/,
    },
    {
      id: "validators",
      height: 3,
      block: () => resigned(3, (h) => (h.validatorsRoot = new Uint8Array(32))),
      code: "BAD_HEADER",
      says: /not those that its parent names/,
    },
    {
      id: "no next set",
      height: changing,
      block: (b) => ({ ...b, next: [] }),
      code: "BAD_HEADER",
      says: /are missing/,
    },
    {
      id: "another next set",
      height: changing,
      block: (b) => {
        (b.next[0]![0] as Validator).power += 1n;
        return b;
      },
      code: "BAD_HEADER",
      says: /not those that it names/,
    },
    {
      id: "a next set where nothing changes",
      height: 1,
      block: (b) => ({ ...b, next: [[...chain().blocks[0]!.head.validators]] }),
      code: "BAD_HEADER",
      says: /though they stay/,
    },
    {
      id: "a certified block on another parent",
      height: 3,
      block: () => resigned(3, (h) => (h.parent = new Uint8Array(32))),
      code: "FORKED",
      says: /certified too/,
    },
    {
      id: "an uncertified block on another parent",
      height: 3,
      block: (b) => ({ ...b, header: { ...b.header, parent: new Uint8Array(32) } }),
      code: "BAD_HEADER",
      says: /its parent is another block/,
    },
  ];
  for (const { id, height, block, code, says } of cases) {
    const anchor = follow(genesisAnchor(chain().genesis), all().slice(0, height - 1));
    const forged = block(structuredClone(chain().light(height)));
    const error = refused(code, () => verifyNext({ genesisHash: chain().hash }, anchor, forged), id);
    assert.match(error.message, says, id);
    assert.match(error.message, new RegExp(`height ${height}\\b`), id);
  }
});

test("who left signs no more: a chain forged with the keys of the founders ends at the change of the set", () => {
  const fork = chain().fork(LENGTH - 1);
  const founders = chain().blocks[0]!.head.validators;
  const last = fork.light(LENGTH - 1);
  const anchor = follow(genesisAnchor(chain().genesis), all().slice(0, LENGTH - 1));
  const header = { ...chain().light(LENGTH).header, stateRoot: new Uint8Array(32) };
  const commit = certificate(chain().hash, founders, LENGTH, blockId(header), header.time);
  refused("BAD_COMMIT", () => verifyNext({ genesisHash: chain().hash }, anchor, { ...last, header, commit, next: [] }));
});

test("another chain's certificates say nothing, and a block that contradicts the checkpoint is refused", () => {
  const other = new Uint8Array(32).fill(9);
  refused("BAD_COMMIT", () => follow(genesisAnchor(chain().genesis), all(), other));

  // A long-range fork: as good as the chain to whoever trusts genesis alone.
  const fork = chain().fork(2);
  fork.make([fork.accounts.transfer("ben", "fay", 7n)]);
  fork.grow(LENGTH);
  const forged = Array.from({ length: LENGTH }, (_, i) => fork.light(i + 1));
  assert.not(bytesEqual(follow(genesisAnchor(fork.genesis), forged).id, chain().head.id));
  const checkpoint = { height: 5, id: chain().blocks[4]!.head.id };
  const light = { genesisHash: chain().hash, checkpoint };
  const error = refused("NOT_TRUSTED", () =>
    forged.reduce((a, b) => verifyNext(light, a, b), genesisAnchor(fork.genesis)),
  );
  assert.match(error.message, new RegExp(`^height 5 is .*${toHex(checkpoint.id)} is trusted`));
  assert.equal(all().reduce((a, b) => verifyNext(light, a, b), genesisAnchor(fork.genesis)).id, chain().head.id);
});

test.run();
