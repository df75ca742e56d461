import { addressOf, signTx } from "../../crypto/domain.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import { type Tx, type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { feeSize, minimumFee } from "../../vm/transactions.ts";
import type { CustodyDeps } from "./deps.ts";

/** A transaction that nobody took by then comes no more: what it was for may be over. */
const GOOD_FOR_BLOCKS = 100;
/** After so many blocks at most, one that was lost or lost a race is sent again. */
const MAX_PAUSE_BLOCKS = 64;

type Sent = { readonly id: Hash; readonly nonce: number; readonly tries: number; readonly again: number };

/** Sends a custodian's transactions from its node's account, with the least fee, and each as often as it takes, not more. */
export class Sender {
  readonly #deps: CustodyDeps;
  readonly #sent = new Map<string, Sent>();

  constructor(deps: CustodyDeps) {
    this.#deps = deps;
  }

  /**
   * Sends it unless it waits for a block already. Called again and again as long as the state lacks what it does: whoever calls knows
   * from the state that it has not been done.
   * @param purpose names what it is for
   * @returns why it can't be sent now, in words; undefined when it is on its way
   */
  send(purpose: string, payload: TypedPayload): string | undefined {
    const { genesis, genesisHash, account, mempool } = this.#deps;
    if (this.waits(purpose)) return undefined;
    const { height } = this.#deps.state();
    const last = this.#sent.get(purpose);
    if (last && height < last.again) return undefined;
    const sender = addressOf(account.publicKey);
    const nonce = mempool.nextNonce(sender);
    const body = { sender, nonce, fee: 0n, expires: height + GOOD_FOR_BLOCKS, payload: untypedPayload(payload) };
    const unsigned: Tx = { body, publicKey: account.publicKey, signature: new Uint8Array(64) };
    body.fee = minimumFee(genesis, feeSize(unsigned));
    try {
      const id = this.#deps.submit(signTx(genesisHash, account, body));
      const tries = (last?.tries ?? 0) + 1;
      this.#sent.set(purpose, { id, nonce, tries, again: height + Math.min(2 ** tries, MAX_PAUSE_BLOCKS) });
      this.#deps.log.info({ kind: payload.kind, purpose, nonce, tries }, "a custodian's transaction is sent");
      return undefined;
    } catch (error) {
      if (!isPoflError(error)) throw error;
      this.#deps.log.debug({ kind: payload.kind, purpose, code: error.code }, error.message);
      return `${error.code}: ${error.message}`;
    }
  }

  /** Whether it waits here for a block, and nothing that is missing keeps it from one. */
  waits(purpose: string): boolean {
    const { mempool, account } = this.#deps;
    const last = this.#sent.get(purpose);
    return last !== undefined && mempool.has(last.id) && mempool.nextNonce(addressOf(account.publicKey)) > last.nonce;
  }

  /** What it was for is over. */
  forget(purpose: string): void {
    this.#sent.delete(purpose);
  }
}
