import { type Sidecar, sidecarOpens } from "../crypto/record.ts";
import { Slots } from "../p2p/slots.ts";
import type { Network, Peer, Verdict } from "../p2p/types.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { decode, type Hash, toHex } from "../types/primitives.ts";
import { Tx } from "../types/tx.ts";
import { type Beside, besideTx } from "../vm/records.ts";
import type { Mempool } from "./mempool.ts";
import type { Sidecars } from "./records/sidecars.ts";

/** Refusals for which no honest node would have passed a transaction on, whatever it has seen of the chain. */
const NEVER_VALID: ReadonlySet<string> = new Set(["BAD_ENCODING", "TX_BAD_SIGNATURE", "TX_WRONG_KEY"]);

/** Payloads of gossiped transactions that are pulled at once on account of one peer, and that wait for it; more are ignored. */
const PULLS_PER_PEER = 2;
const WAITING_PER_PEER = 64;

export type TxGateDeps = {
  readonly network: Pick<Network, "onGossip" | "publish">;
  readonly mempool: Pick<Mempool, "add" | "vet">;
  readonly sidecars: Pick<Sidecars, "offer" | "waiting" | "pull">;
  readonly genesisHash: Hash;
  readonly admitted: (id: Hash) => void;
};

/** Lets transactions in from RPC and from gossip, those with something beside them only together with it, and passes on what was admitted. */
export class TxGate {
  readonly #deps: TxGateDeps;
  readonly #pulls = new Slots(PULLS_PER_PEER, WAITING_PER_PEER);

  constructor(deps: TxGateDeps) {
    this.#deps = deps;
    deps.network.onGossip("tx", (peer, bytes) => this.#receive(peer, bytes));
  }

  /**
   * Admits a transaction and gossips it.
   * @throws PoflError as Mempool.add; MISSING_SIDECAR when what belongs beside it is neither given nor here; BAD_SIDECAR
   */
  submit(tx: Tx, sidecar?: Sidecar): Hash {
    const beside = this.#beside(tx);
    if (!beside && sidecar) {
      throw new PoflError("BAD_SIDECAR", "nothing travels beside this transaction; send it without a sidecar");
    }
    if (beside && sidecar && !sidecarOpens(sidecar, beside.cm, beside.length)) {
      throw new PoflError(
        "BAD_SIDECAR",
        `the sidecar is not the salt and the ${beside.length} bytes that the transaction commits to`,
        { id: toHex(beside.id) },
      );
    }
    const given = sidecar ?? (beside && this.#deps.sidecars.waiting(beside));
    if (beside && !given) {
      throw new PoflError(
        "MISSING_SIDECAR",
        `the payload that belongs beside this transaction is not here; send it along: salt, then ${beside.length} bytes`,
        { id: toHex(beside.id) },
      );
    }
    const id = this.#admit(tx, given);
    void this.#deps.network.publish("tx", Tx.serialize(tx)).catch(() => {});
    this.#deps.admitted(id);
    return id;
  }

  #receive(peer: Peer, bytes: Uint8Array): Verdict | Promise<Verdict> {
    try {
      const tx = decode(Tx, bytes);
      const beside = this.#beside(tx);
      if (beside) return this.#receiveBeside(peer, tx, beside).catch(verdictOf);
      this.#deps.admitted(this.#admit(tx));
      return "accept";
    } catch (error) {
      return verdictOf(error);
    }
  }

  /** Gossip carries no payload: it is pulled from who passed the transaction on, before anyone else hears of it from here. */
  async #receiveBeside(peer: Peer, tx: Tx, beside: Beside): Promise<Verdict> {
    const { mempool, sidecars, admitted } = this.#deps;
    mempool.vet(tx);
    const release = await this.#pulls.acquire(peer);
    try {
      const sidecar = sidecars.waiting(beside) ?? (await sidecars.pull(beside, peer));
      if (!sidecar) return "ignore";
      // Vetted again: a block or another transaction may have come meanwhile.
      admitted(this.#admit(tx, sidecar));
      return "accept";
    } finally {
      release();
    }
  }

  #beside(tx: Tx): Beside | undefined {
    return besideTx(this.#deps.genesisHash, tx)[0];
  }

  /** @param sidecar a copy: what it replaces may take the same payload with it */
  #admit(tx: Tx, sidecar?: Sidecar): Hash {
    const id = this.#deps.mempool.add(tx);
    if (sidecar) this.#deps.sidecars.offer(tx, sidecar);
    return id;
  }
}

function verdictOf(error: unknown): Verdict {
  return isPoflError(error) && NEVER_VALID.has(error.code) ? "reject" : "ignore";
}
