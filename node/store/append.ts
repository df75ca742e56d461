import { txId } from "../../crypto/domain.ts";
import { blockId, CertifiedBlock, type Receipt, ReceiptList, type Validator, ValidatorSet } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { StateChanges } from "../../vm/state.ts";
import { LIST_NAMES } from "../../vm/view.ts";
import type { StoredHead } from "./holes.ts";
import { layout } from "./layout.ts";
import { headBytes } from "./read.ts";
import type { Put } from "./records.ts";

/** A final block with all that it changes, and the set that decided it. */
export type FinalBlock = {
  readonly certified: CertifiedBlock;
  readonly receipts: readonly Receipt[];
  readonly changes: StateChanges;
  readonly validators: readonly Validator[];
};

/** Where a chain ends; the root of the validator set stored last, if that is known. */
export type Tip = { readonly head: StoredHead; readonly validatorsRoot: string | undefined };

/**
 * What the blocks after a tip write, in order: of several values for one key the last counts.
 * @throws PoflError NOT_NEXT when one does not follow the one before
 */
export function appendPuts(tip: Tip, blocks: readonly FinalBlock[]): { readonly puts: Put[]; readonly tip: Tip } {
  const puts: Put[] = [];
  let end = tip;
  for (const block of blocks) end = appendOne(end, block, puts);
  puts.push([layout.head, headBytes(end.head)]);
  return { puts, tip: end };
}

function appendOne(
  { head: { height: before, id: parent }, validatorsRoot }: Tip,
  { certified, receipts, changes, validators }: FinalBlock,
  puts: Put[],
): Tip {
  const { header, txs } = certified.block;
  const id = blockId(header);
  const { height } = header;
  const follows = height === 1 || bytesEqual(header.parent, parent);
  if (height !== before + 1 || !follows || !bytesEqual(certified.commit.blockId, id)) {
    throw new PoflError("NOT_NEXT", `block ${height} does not follow the stored head ${before}`);
  }
  if (receipts.length !== txs.length) {
    throw new PoflError("NOT_NEXT", `block ${height} has ${txs.length} transactions, ${receipts.length} receipts`);
  }
  puts.push(...blockPuts(certified, id));
  puts.push([layout.receipts(height), ReceiptList.serialize([...receipts])], [layout.singles, changes.singles]);
  for (const table of LIST_NAMES) {
    for (const { index, bytes } of changes.lists[table]) puts.push([layout.record(table, index), bytes]);
  }
  const root = toHex(header.validatorsRoot);
  if (root !== validatorsRoot) puts.push([layout.validators(height), ValidatorSet.serialize([...validators])]);
  return { head: { height, id }, validatorsRoot: root };
}

/** The block, and the ways to find it and its transactions. */
export function blockPuts(certified: CertifiedBlock, id: Hash): Put[] {
  const { header, txs } = certified.block;
  const puts: Put[] = [
    [layout.block(header.height), CertifiedBlock.serialize(certified)],
    [layout.id(id), headBytes({ height: header.height, id }).subarray(0, 8)],
  ];
  txs.forEach((tx, index) => {
    const place = Buffer.alloc(12);
    place.writeBigUInt64BE(BigInt(header.height));
    place.writeUInt32BE(index, 8);
    puts.push([layout.tx(txId(tx.body)), place]);
  });
  return puts;
}
