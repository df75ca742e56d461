import { addressOf, signTx, txId } from "../../crypto/domain.ts";
import { type KeyPair, keyPair } from "../../crypto/ed25519.ts";
import { Block, blockId, type CertifiedBlock, Header, type Receipt, ValidatorSet } from "../../types/block.ts";
import { type Address, type Hash, ZERO_HASH } from "../../types/primitives.ts";
import { ChainState } from "../../types/state.ts";
import { type Tx, untypedPayload } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";

/** Chains for the tests of this room: right in their links, roots and records; nobody voted on them. */

export const GENESIS_HASH = new Uint8Array(32).fill(7);

export const seeded = (n: number): KeyPair => keyPair(new Uint8Array(32).fill(n));
export const addressAt = (n: number): Address => addressOf(seeded(n).publicKey);

export function transfer(
  from: number,
  nonce: number,
  options: { fee?: bigint; expires?: number; to?: number } = {},
): Tx {
  return signTx(GENESIS_HASH, seeded(from), {
    sender: addressAt(from),
    nonce,
    fee: options.fee ?? 1000n,
    expires: options.expires ?? 0,
    payload: untypedPayload({ kind: "transfer", value: { to: addressAt(options.to ?? 99), amount: 1n } }),
  });
}

export function genesisState(): State {
  const { accounts, miners, tasks, ...singles } = ChainState.defaultValue();
  const account = (n: number) => ({ address: addressAt(n), balance: 1_000_000n, nonce: 0 });
  return State.of(singles, { accounts: [1, 2, 3].map(account), miners, tasks });
}

export type Link = { certified: CertifiedBlock; receipts: Receipt[]; state: State; id: Hash };

/** `count` blocks on the genesis state, each with one transfer; every block changes two accounts. */
export function chain(count: number): Link[] {
  const links: Link[] = [];
  let state = genesisState();
  let parent: Hash = ZERO_HASH;
  for (let height = 1; height <= count; height++) {
    const tx = transfer(1, height - 1);
    const draft = state.draft();
    draft.debit(addressAt(1), 1n);
    draft.credit(addressAt(99), 1n);
    draft.setSingles({ height, time: 1000 * height });
    state = new State(draft.seal());
    const header = {
      ...Header.defaultValue(),
      version: 1,
      height,
      time: 1000 * height,
      parent,
      stateRoot: state.root(),
      validatorsRoot: ValidatorSet.hashTreeRoot([]),
    };
    const block = { ...Block.defaultValue(), header, txs: [tx] };
    const id = blockId(header);
    const commit = { height, round: 0, blockId: id, signatures: [] };
    links.push({ certified: { block, commit }, receipts: [{ tx: txId(tx.body), code: 0, fee: 1000n }], state, id });
    parent = id;
  }
  return links;
}
