import type { Applied } from "../../consensus/engine/types.ts";
import { joinSidecar, type Sidecar, splitSidecar } from "../../crypto/record.ts";
import type { Log, Network, Peer } from "../../p2p/types.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import { type Beside, besideBlock, besideTx } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import { type Place, placeName, type RecordFiles } from "./files.ts";
import { RecordPeers, type Timer } from "./peers.ts";
import { claimOf, editedBy, editFor, mayLie, movedFrom, wantedBy } from "./truth.ts";

/**
 * What lies beside the chain on this node: payloads of transactions that wait, in memory; everything else in files. The final state is
 * the truth, and what it no longer wants is unlinked: after each block, and at the start for what a crash left undone.
 */

/** Payloads asked for at once for one block, and for what is missing. */
const CONCURRENT = 8;
/** Before what nobody served is asked for again: doubled each time up to the second. */
const RETRY_MS = 2_000;
const MAX_RETRY_MS = 120_000;

export type SidecarsDeps = {
  readonly files: RecordFiles;
  readonly genesisHash: Hash;
  /** The final state. */
  readonly state: () => State;
  readonly network: Pick<Network, "peers" | "request" | "report" | "serve">;
  readonly catchingUp: () => boolean;
  readonly timer: Timer;
  readonly log: Log;
  /** A disk that does not do what it must: the node can't go on. */
  readonly fatal: (error: unknown) => void;
};

export class Sidecars {
  readonly #deps: SidecarsDeps;
  readonly #peers: RecordPeers;
  /** Joined sidecars of transactions that wait, by place: as many as the mempool's limits allow. */
  readonly #waiting = new Map<string, Uint8Array>();
  /** Files that are not what a record holds now: of requests, and of what is not final. */
  readonly #loose = new Map<string, Place>();
  /** What the state wants and is not here. */
  readonly #missing = new Map<string, Beside>();
  /** A block became final since the start: until then the stored state may be an old one. */
  #heard = false;
  #stopped = false;
  #filling: Promise<void> | undefined;
  /** Set while what is missing waits to be asked for again. */
  #cancelRetry: (() => void) | undefined;
  #retryMs = RETRY_MS;

  constructor(deps: SidecarsDeps) {
    this.#deps = deps;
    this.#peers = new RecordPeers(deps.network, deps.log, deps.timer);
  }

  /**
   * Makes the folder what the stored state says, which completes an edit that a crash interrupted, then serves. Before anything else of
   * the node does. @throws PoflError of the disk
   */
  async start(): Promise<void> {
    const { files, state } = this.#deps;
    for (const place of files.held()) this.#loose.set(placeName(place), place);
    // What no block has made final may be of the height in progress, for which this node may have voted: the next block decides.
    await this.#settle([], () => true);
    for (const beside of wantedBy(state())) this.#miss(beside);
    await this.#peers.serve((id, cm) => this.#lookup({ id, cm }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#peers.stop();
    await this.#filling;
    for (const name of [...this.#waiting.keys()]) this.#forget(name);
  }

  // ---- transactions that wait ----

  /** Keeps a copy of what goes with an admitted transaction. */
  offer(tx: Tx, sidecar: Sidecar): void {
    for (const beside of besideTx(this.#deps.genesisHash, tx)) {
      this.#forget(placeName(beside));
      this.#waiting.set(placeName(beside), joinSidecar(sidecar));
    }
  }

  /** The transaction waits no longer. */
  withdraw(tx: Tx): void {
    for (const beside of besideTx(this.#deps.genesisHash, tx)) this.#forget(placeName(beside));
  }

  /** A copy of what waits at this place. */
  waiting(place: Place): Sidecar | undefined {
    const bytes = this.#waiting.get(placeName(place));
    return bytes && splitSidecar(bytes);
  }

  /** The payload for a transaction that is not admitted yet, from who passed it on or from others. */
  pull(beside: Beside, first: Peer): Promise<Sidecar | undefined> {
    return this.#peers.pull(beside, first);
  }

  // ---- reading ----

  /**
   * The payload for whoever asks this node: what is here and opens `cm`, which is the state's. Undefined also while the state may be
   * an old one. @throws PoflError of the disk
   */
  async read(id: Hash, cm: Hash, length: number): Promise<Sidecar | undefined> {
    const found = this.#allowed({ id, cm }) ? await this.#fileOrMemory({ id, cm }) : undefined;
    return found && found.body.length === length && this.#allowed({ id, cm }) ? found : undefined;
  }

  async #fileOrMemory(place: Place): Promise<Sidecar | undefined> {
    const { files, state } = this.#deps;
    // Between a block and the change of the folder, a replacement lies where it lay before.
    const at = files.has(place) ? place : (movedFrom(state(), place) ?? place);
    return (await this.#file(at)) ?? this.waiting(place);
  }

  /** What a file holds. One that turns out to be damaged, or gone, is missing from then on, and is asked for in the background. */
  async #file(place: Place, length?: number): Promise<Sidecar | undefined> {
    const { files, state, log } = this.#deps;
    const had = files.has(place);
    const found = await files.read(place, length);
    if (found || !had || files.has(place)) return found;
    log.warn({ file: placeName(place) }, "a record's file was damaged or taken away; it is pulled from peers");
    // A replacement that still lay under its request is missing as its record's.
    const request = state().find("requests", place.id)?.record;
    for (const id of request ? [place.id, request.label] : [place.id]) {
      const claim = claimOf(state(), id);
      if (!claim || claim === "nothing" || !bytesEqual(claim.cm, place.cm) || !this.#miss(claim)) continue;
      this.#retryMs = RETRY_MS;
      this.#fillSoon();
    }
    return undefined;
  }

  /** Whether anybody may have it now: it is what the network's state holds under the id, or not final yet. */
  #allowed(place: Place): boolean {
    const { state, catchingUp } = this.#deps;
    if (catchingUp() || !mayLie(state(), place)) return false;
    return this.#heard || claimOf(state(), place.id) === undefined;
  }

  /**
   * Resolves when all of it is in files that outlive a power failure.
   * @throws PoflError MISSING_RECORDS when nobody gave some of it; or of the disk
   */
  async ensure(beside: readonly Beside[]): Promise<void> {
    const left = beside.values();
    const got: { place: Place; sidecar: Sidecar }[] = [];
    let lacking: Beside | undefined;
    await inParallel(async () => {
      for (const one of left) {
        if (lacking) return;
        if (await this.#file(one, one.length)) continue;
        const sidecar = this.waiting(one) ?? (await this.#peers.pull(one));
        if (sidecar) got.push({ place: one, sidecar });
        else lacking = one;
      }
    });
    await this.#put(got);
    if (lacking) {
      throw new PoflError("MISSING_RECORDS", `no peer gave the payload ${toHex(lacking.id)} that lies beside a block`);
    }
  }

  // ---- blocks ----

  /** After a block is stored: what it made lies in files, what it erased or replaced is unlinked. @throws PoflError of the disk */
  async onBlock({ certified: { block }, receipts, head: { state } }: Applied): Promise<void> {
    const { genesisHash, files } = this.#deps;
    const made = besideBlock(genesisHash, block.txs, receipts);
    const edited = editedBy(state, block.txs);
    // A node that only followed has them in memory at most.
    const got = made.flatMap((place) => {
      const sidecar = files.has(place) ? undefined : this.waiting(place);
      return sidecar ? [{ place, sidecar }] : [];
    });
    await this.#put(got);
    await this.#settle(edited, (place) => this.#waiting.has(placeName(place)));
    let more = false;
    for (const id of [...made.map((place) => place.id), ...edited]) {
      const claim = claimOf(state, id);
      if (claim && claim !== "nothing" && this.#miss(claim)) more = true;
    }
    this.#heard = true;
    if (more) this.#retryMs = RETRY_MS;
    if (more || !this.#cancelRetry) this.#fillSoon();
  }

  /** The state is another one, and not by a block: what it wants is asked for as soon as a block has become final. */
  onSnapshot(): void {
    for (const beside of wantedBy(this.#deps.state())) this.#miss(beside);
  }

  /** Makes loose files, and those of the given records, what the state says. */
  async #settle(records: readonly Hash[], staged: (place: Place) => boolean): Promise<void> {
    const { files, state } = this.#deps;
    await files.edit(() => {
      const places = new Map(this.#loose);
      for (const id of records) for (const place of files.heldUnder(id)) places.set(placeName(place), place);
      return editFor(state(), places.values(), (place) => files.has(place), staged);
    });
    for (const [name, place] of this.#loose) {
      if (!files.has(place) || state().find("records", place.id)) this.#loose.delete(name);
    }
  }

  /** What is wanted no longer when its turn comes is not written: it may have been erased meanwhile. */
  async #put(items: readonly { readonly place: Place; readonly sidecar: Sidecar }[]): Promise<void> {
    const { files, state } = this.#deps;
    await files.put(items, (place) => mayLie(state(), place));
    for (const { place } of items) {
      if (files.has(place) && !state().find("records", place.id)) this.#loose.set(placeName(place), place);
    }
  }

  #forget(name: string): void {
    this.#waiting.get(name)?.fill(0);
    this.#waiting.delete(name);
  }

  // ---- what is missing ----

  /** Notes it, if it is not here. */
  #miss(beside: Beside): boolean {
    if (this.#deps.files.has(beside)) return false;
    this.#missing.set(placeName(beside), beside);
    return true;
  }

  /** The state is the network's, as far as this node can know. */
  #current(): boolean {
    return this.#heard && !this.#deps.catchingUp();
  }

  #fillSoon(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (this.#filling || this.#stopped || this.#missing.size === 0 || !this.#current()) return;
    this.#filling = this.#fill()
      .catch((error) => this.#deps.fatal(error))
      .finally(() => {
        this.#filling = undefined;
        if (this.#stopped || this.#missing.size === 0) return;
        const ms = this.#retryMs;
        this.#deps.log.warn(
          { missing: this.#missing.size, ms },
          "no peer gave the payloads of some records; asking again",
        );
        this.#cancelRetry = this.#deps.timer(ms, () => this.#fillSoon());
        this.#retryMs = Math.min(MAX_RETRY_MS, 2 * ms);
      });
  }

  /** Asks once for everything that is missing. */
  async #fill(): Promise<void> {
    const { state, files } = this.#deps;
    const left = [...this.#missing].values();
    await inParallel(async () => {
      for (const [name, beside] of left) {
        if (this.#stopped || !this.#current()) return;
        const claim = claimOf(state(), beside.id);
        const wanted = claim && claim !== "nothing" && bytesEqual(claim.cm, beside.cm) && !files.has(beside);
        const sidecar = wanted ? await this.#peers.pull(beside) : undefined;
        if (wanted && !sidecar) continue;
        if (sidecar) await this.#put([{ place: beside, sidecar }]);
        this.#missing.delete(name);
      }
    });
  }

  // ---- serving ----

  async #lookup(place: Place): Promise<Uint8Array | undefined> {
    const sidecar = this.#allowed(place) ? await this.#fileOrMemory(place) : undefined;
    // A block may have erased it while it was read.
    return sidecar && this.#allowed(place) ? joinSidecar(sidecar) : undefined;
  }
}

async function inParallel(work: () => Promise<void>): Promise<void> {
  const workers = await Promise.allSettled(Array.from({ length: CONCURRENT }, work));
  for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
}
