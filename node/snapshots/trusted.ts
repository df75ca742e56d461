import type { Checkpoint } from "../../consensus/light/chain.ts";
import type { Peer } from "../../p2p/types.ts";
import { blockId } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, type Height, toHex } from "../../types/primitives.ts";
import type { Store } from "../store/store.ts";
import { type Asking, headersOf, notHeld } from "./headers.ts";

/** A block that the operator trusts, and what a node takes below it. */

/** @throws PoflError NOT_TRUSTED when another block is stored in the trusted one's place */
export async function checkStored(store: Store, { height, id }: Checkpoint, path: string): Promise<void> {
  const header = store.head().height >= height ? await store.header(height) : undefined;
  // A home that began with a later snapshot has no block there: its beginning was checked against whatever was trusted then.
  if (!header || bytesEqual(blockId(header), id)) return;
  throw new PoflError(
    "NOT_TRUSTED",
    `${path}: block ${height} is ${toHex(blockId(header))}, but sync.trusted names ${toHex(id)}. Ask again for the hash; if it is right, this home ` +
      "follows a forged chain: move data/chain away and start again (keep data/signer.state)",
    { height },
  );
}

/** The ids that lead to the trusted block: its hash names its parent, and so on. Above it everything is judged as always. */
export class TrustedPath {
  readonly #checkpoint: Checkpoint | undefined;
  #ids: ReadonlyMap<Height, Hash> = new Map();

  constructor(checkpoint: Checkpoint | undefined) {
    this.#checkpoint = checkpoint;
  }

  allowed(height: Height, id: Hash): boolean {
    if (!this.#checkpoint || height > this.#checkpoint.height) return true;
    const expected = this.#ids.get(height);
    return expected !== undefined && bytesEqual(expected, id);
  }

  /**
   * Learns the way from the head to the trusted block from a peer's headers, if need be. No signature is needed: a hash says more.
   * @throws PoflError NOT_TRUSTED when the peer's chain does not lead there; NOT_HELD when it ends before; FORGED_HOME when it leads there past
   *   the head; network errors
   */
  async learn(asking: Asking, peer: Peer, head: { readonly height: Height; readonly id: Hash }): Promise<void> {
    const to = this.#checkpoint;
    if (!to || head.height >= to.height || this.#ids.has(head.height + 1)) return;
    const ids = new Map<Height, Hash>();
    let last = head.id;
    let past = false;
    for await (const { header } of headersOf(asking, peer, head.height + 1, to.height)) {
      const height = head.height + ids.size + 1;
      const linked = bytesEqual(header.parent, last);
      // It may be this node's head that is wrong: the end will tell.
      if (ids.size === 0) past = !linked;
      if (header.height !== height || (ids.size > 0 && !linked)) {
        throw new PoflError("NOT_TRUSTED", `header ${height} does not follow the one before it`, { height });
      }
      last = blockId(header);
      ids.set(height, last);
    }
    if (ids.size < to.height - head.height) throw notHeld(`the trusted block of height ${to.height}`);
    if (!bytesEqual(last, to.id)) {
      throw new PoflError("NOT_TRUSTED", `height ${to.height} is ${toHex(last)}, but ${toHex(to.id)} is trusted`);
    }
    if (past) {
      throw new PoflError(
        "FORGED_HOME",
        `block ${head.height} of this node, ${toHex(head.id)}, is not below block ${to.height} of sync.trusted, ${toHex(to.id)}, to which a peer's ` +
          "headers lead. Ask again for the hash; if it is right, this home follows a forged chain: move data/chain away and start again (keep " +
          "data/signer.state)",
        { height: head.height },
      );
    }
    this.#ids = ids;
  }
}
