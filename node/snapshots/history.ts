import { verifyCommit } from "../../consensus/block/commit.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import { genesisHash } from "../../genesis/genesis.ts";
import { blockId, bodyRoots, type Header, ValidatorSet } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, type Height } from "../../types/primitives.ts";
import type { Store } from "../store/store.ts";

/**
 * What can be verified of a home that began with a snapshot and has not got all the blocks before it: nothing is replayed, for the state that a replay would
 * begin with is not here. Certificates, links and bodies hold the blocks together, and the head's state root holds the state.
 */

export type HistoryCounts = {
  readonly signatures: number;
  readonly transactions: number;
  /** Heights with learning: all read from certificates. */
  readonly rounds: readonly Height[];
};

/** @throws PoflError VERIFY_FAILED, BAD_COMMIT with what is wrong, by `at` */
export async function verifyHistory(
  genesis: Genesis,
  store: Store,
  from: Height,
  at: <T>(height: Height, work: () => Promise<T>) => Promise<T>,
  onHeight: (height: Height) => void,
): Promise<HistoryCounts> {
  const hash = genesisHash(genesis);
  const rounds: Height[] = [];
  let [signatures, transactions] = [0, 0];
  let parent: Header | undefined;
  for (let height = from; height <= store.head().height; height++) {
    await at(height, async () => {
      const certified = (await store.certified(height)) ?? failed("the block is missing");
      const { block, commit } = certified;
      const { header } = block;
      const validators = (await store.validators(height)) ?? failed("its validator set is missing");
      const id = blockId(header);
      if (parent && !bytesEqual(header.parent, blockId(parent))) failed("its parent is another block");
      if (parent && !bytesEqual(header.validatorsRoot, parent.nextValidatorsRoot)) {
        failed("its validators are not those that its parent names");
      }
      if (!bytesEqual(ValidatorSet.hashTreeRoot(validators), header.validatorsRoot))
        failed("its validators are others");
      verifyCommit(hash, validators, height, id, commit);
      for (const [name, root] of Object.entries(bodyRoots(block)) as [keyof Header, Hash][]) {
        if (!bytesEqual(root, header[name] as Hash)) failed(`its ${name} is not the header's`);
      }
      if ((await store.heightOf(id)) !== height) failed("the index of block hashes does not name it");
      signatures += commit.signatures.length;
      transactions += block.txs.length;
      if (block.learning.length > 0) rounds.push(height);
      parent = header;
    });
    onHeight(height);
  }
  return { signatures, transactions, rounds };
}

function failed(why: string): never {
  throw new PoflError("VERIFY_FAILED", why);
}
