import "../../p2p/polyfill.ts";
import { ContainerType } from "@chainsafe/ssz";
import { type Sidecar, sidecarOpens, splitSidecar } from "../../crypto/record.ts";
import { HEADER_BYTES } from "../../p2p/framing.ts";
import type { Log, Network, Peer } from "../../p2p/types.ts";
import { errorText, isPoflError } from "../../types/errors.ts";
import { Bytes32, decode, HASH_BYTES, type Hash, toHex } from "../../types/primitives.ts";
import type { Beside } from "../../vm/records.ts";

/** Payloads from and for peers. What a peer sends counts only if it opens the commitment that was asked for. */

export const RECORD_PROTOCOL = "record/1";
const RecordRequest = new ContainerType({ id: Bytes32, cm: Bytes32 }, { typeName: "RecordRequest" });

/** For a stream to open, and then for the payload: 256 KiB at 25 KiB/s. */
const ANSWER_MS = 10_000;
/** After so long without an answer the next peer is asked besides: one that stalls must not cost a round. */
const HEDGE_MS = 1_000;
/** For one payload from all peers together. */
const TOTAL_MS = 20_000;
export type Timer = (ms: number, act: () => void) => () => void;

export class RecordPeers {
  readonly #network: Pick<Network, "peers" | "request" | "report" | "serve">;
  readonly #log: Log;
  readonly #timer: Timer;
  readonly #stopping = new AbortController();
  #asked = 0;

  constructor(network: Pick<Network, "peers" | "request" | "report" | "serve">, log: Log, timer: Timer) {
    this.#network = network;
    this.#log = log;
    this.#timer = timer;
  }

  /** @param lookup gives the joined sidecar, if this peer of the network may have it now */
  async serve(lookup: (id: Hash, cm: Hash) => Promise<Uint8Array | undefined>): Promise<void> {
    await this.#network.serve(RECORD_PROTOCOL, async function* (_peer, request) {
      const { id, cm } = decode(RecordRequest, request);
      const found = await lookup(id, cm);
      if (found) yield found;
    });
  }

  stop(): void {
    this.#stopping.abort();
  }

  /**
   * The payload from whichever peer has it; undefined if none gave it in time. Callers bound how many they ask for at once.
   * @param first asked before all others
   */
  async pull(beside: Beside, first?: Peer): Promise<Sidecar | undefined> {
    return this.#stopping.signal.aborted ? undefined : this.#askAround(beside, this.#order(first));
  }

  /** All connected peers, beginning with another one each time. */
  #order(first: Peer | undefined): Peer[] {
    const peers = this.#network.peers().map(({ peer }) => peer);
    const from = peers.length > 0 ? this.#asked++ % peers.length : 0;
    const others = [...peers.slice(from), ...peers.slice(0, from)].filter((peer) => peer !== first);
    return first !== undefined && peers.includes(first) ? [first, ...others] : others;
  }

  async #askAround(beside: Beside, peers: readonly Peer[]): Promise<Sidecar | undefined> {
    const { promise, resolve } = Promise.withResolvers<Sidecar | undefined>();
    const over = new AbortController();
    const stop = () => resolve(undefined);
    this.#stopping.signal.addEventListener("abort", stop, { once: true });
    const cancelTotal = this.#timer(TOTAL_MS, stop);
    let cancelHedge = () => {};
    const next = peers.values();
    let waiting = 0;
    const more = () => {
      cancelHedge();
      if (over.signal.aborted) return;
      const { value: peer } = next.next();
      if (peer === undefined) {
        if (waiting === 0) resolve(undefined);
        return;
      }
      waiting++;
      cancelHedge = this.#timer(HEDGE_MS, more);
      void this.#ask(peer, beside, over.signal).then((found) => {
        waiting--;
        if (found) resolve(found);
        else more();
      });
    };
    more();
    try {
      return await promise;
    } finally {
      over.abort();
      cancelHedge();
      cancelTotal();
      this.#stopping.signal.removeEventListener("abort", stop);
    }
  }

  /** Never rejects. */
  async #ask(peer: Peer, { id, cm, length }: Beside, signal: AbortSignal): Promise<Sidecar | undefined> {
    const options = { timeoutMs: ANSWER_MS, maxBytes: HEADER_BYTES + HASH_BYTES + length, signal };
    const about = { peer, id: toHex(id) };
    try {
      const request = RecordRequest.serialize({ id, cm });
      for await (const frame of this.#network.request(peer, RECORD_PROTOCOL, request, options)) {
        const sidecar = splitSidecar(frame);
        if (sidecarOpens(sidecar, cm, length)) return sidecar;
        this.#lied(about);
        return undefined;
      }
    } catch (error) {
      if (isPoflError(error, "RESPONSE_SIZE")) this.#lied(about);
      else this.#log.debug({ ...about, error: errorText(error) }, "a peer gave no payload");
    }
    return undefined;
  }

  /** It said that it has the payload, and sent another one: what was erased, or made up. */
  #lied(about: { peer: Peer; id: string }): void {
    this.#network.report(about.peer, "reject");
    this.#log.warn(about, "a peer served a payload that does not open the record's commitment: refused and reported");
  }
}
