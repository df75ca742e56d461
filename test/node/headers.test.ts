import { test } from "uvu";
import * as assert from "uvu/assert";
import { headersOf } from "../../node/snapshots/headers.ts";
import { Snapshots } from "../../node/snapshots/serve.ts";
import { HEADERS_PROTOCOL, HeadersWanted } from "../../node/snapshots/wire.ts";
import type { Store } from "../../node/store/store.ts";
import type { RequestHandler } from "../../p2p/types.ts";
import { CertifiedBlock, LightBlocks } from "../../types/block.ts";
import { decode } from "../../types/primitives.ts";
import { CertifiedChain } from "../light/chains.ts";
import { emptyStore, FakeNetwork } from "../light/peers.ts";

/** Questions for headers, on a disk whose blocks are large. */

const LENGTH = 7;
const MiB = 1024 * 1024;

test("an answer ends after so many bytes read, which its asker pays for, and the asker goes on from there", async () => {
  const chain = CertifiedChain.of().grow(LENGTH);
  const store = await emptyStore(chain);
  for (const { certified, receipts, head } of chain.blocks) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
  const own = await store.certificate(3);
  assert.is(own?.recordBytes, CertifiedBlock.serialize(chain.blocks[2]!.certified).length);
  // Each of 24 MiB: three make more than 64.
  const large = {
    certificate: async (h: number) => {
      const found = await store.certificate(h);
      return found && { ...found, recordBytes: 24 * MiB };
    },
    validators: (h: number) => store.validators(h),
  };
  const handlers = new Map<string, RequestHandler>();
  const snapshots = new Snapshots(large as unknown as Store, chain.genesis, chain.head);
  await snapshots.serve({ serve: async (name, handler) => void handlers.set(name, handler) });

  let spent = 0;
  const answer = handlers.get(HEADERS_PROTOCOL)!(
    "peer",
    HeadersWanted.serialize({ from: 1, count: 1024 }),
    async (n) => {
      spent += n;
    },
  );
  const heights: number[] = [];
  for await (const frame of answer) heights.push(...decode(LightBlocks, frame).map(({ header }) => header.height));
  assert.equal(heights, [1, 2, 3]);
  assert.is(spent, 72 * MiB);

  const network = new FakeNetwork();
  network.peers.set("peer", handlers);
  const asking = { network, signal: new AbortController().signal };
  const got = async (to: number) => {
    network.asked.clear();
    const all: number[] = [];
    for await (const { header } of headersOf(asking, "peer", 1, to)) all.push(header.height);
    return { all, questions: network.asked.get("peer")?.length };
  };
  const whole = [1, 2, 3, 4, 5, 6, 7];
  assert.equal(await got(LENGTH), { all: whole, questions: 3 });
  assert.equal(await got(LENGTH + 9), { all: whole, questions: 4 }, "the last answer has none");
});

test.run();
