import type { Network, Verdict } from "../p2p/types.ts";
import { isPoflError } from "../types/errors.ts";
import { decode, type Hash } from "../types/primitives.ts";
import { Tx } from "../types/tx.ts";
import type { Mempool } from "./mempool.ts";

/** Refusals for which no honest node would have passed a transaction on, whatever it has seen of the chain. */
const NEVER_VALID: ReadonlySet<string> = new Set(["BAD_ENCODING", "TX_BAD_SIGNATURE", "TX_WRONG_KEY"]);

/** Lets transactions in from RPC and from gossip, and passes on what was admitted. */
export class TxGate {
  readonly #network: Network;
  readonly #mempool: Mempool;
  readonly #admitted: (id: Hash) => void;

  constructor(network: Network, mempool: Mempool, admitted: (id: Hash) => void) {
    this.#network = network;
    this.#mempool = mempool;
    this.#admitted = admitted;
    network.onGossip("tx", (_peer, bytes) => this.#receive(bytes));
  }

  /** Admits a transaction and gossips it. @throws PoflError as Mempool.add */
  submit(tx: Tx): Hash {
    const id = this.#mempool.add(tx);
    void this.#network.publish("tx", Tx.serialize(tx)).catch(() => {});
    this.#admitted(id);
    return id;
  }

  #receive(bytes: Uint8Array): Verdict {
    try {
      this.#admitted(this.#mempool.add(decode(Tx, bytes)));
      return "accept";
    } catch (error) {
      return isPoflError(error) && NEVER_VALID.has(error.code) ? "reject" : "ignore";
    }
  }
}
