import { txId } from "../crypto/domain.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { MAX_TXS_PER_BLOCK } from "../types/limits.ts";
import { type Address, type Amount, compareBytes, type Hash, toHex } from "../types/primitives.ts";
import { Tx } from "../types/tx.ts";
import type { State } from "../vm/state.ts";
import { admissibleTxs, checkTx, feeSize } from "../vm/transactions.ts";

/** Transactions that wait for a block: by sender in the order of nonces, bounded in every direction, in memory only. */

export type MempoolLimits = {
  readonly maxCount: number;
  /** Of all encoded transactions together, with what waits beside them in memory: the bytes that their fees pay for. */
  readonly maxBytes: number;
  /** One sender's, and how far its nonces may run ahead of its account. */
  readonly maxPerSender: number;
  /** Milliseconds after which a transaction that no block took is dropped. */
  readonly timeToLiveMs: number;
};
export const defaultMempoolLimits: MempoolLimits = {
  maxCount: 4096,
  // Four full blocks of payloads, or eight without any.
  maxBytes: 16 * 1024 * 1024,
  maxPerSender: 64,
  timeToLiveMs: 3_600_000,
};

export type MempoolDeps = {
  /** Whether the next block may contain it (vm's checkTx on the latest state); throws a PoflError if not. */
  readonly check: (tx: Tx) => void;
  /** The next nonce of an account in the latest state. */
  readonly nonceOf: (sender: Address) => number;
  /** Height of the latest state. */
  readonly height: () => number;
  readonly now: () => number;
  /** Those of the candidates that the next block may contain one after the other. */
  readonly admissible: (candidates: Tx[]) => Tx[];
  /** A transaction waits no longer, whatever the reason. */
  readonly dropped?: ((tx: Tx) => void) | undefined;
};

/** A mempool on the node's latest state. */
export function createMempool(
  node: { state: () => State; genesis: Genesis; genesisHash: Hash; now?: () => number; dropped?: (tx: Tx) => void },
  limits: Partial<MempoolLimits> = {},
): Mempool {
  const { state, genesis, genesisHash } = node;
  const next = () => state().height + 1;
  return new Mempool(
    {
      check: (tx) => checkTx(state(), tx, genesis, genesisHash, next()),
      nonceOf: (sender) => state().account(sender)?.record.nonce ?? 0,
      height: () => state().height,
      now: node.now ?? Date.now,
      admissible: (candidates) => admissibleTxs(state(), candidates, { genesis, genesisHash, height: next() }),
      dropped: node.dropped,
    },
    limits,
  );
}

type Entry = {
  readonly id: Hash;
  readonly key: string;
  readonly tx: Tx;
  /** Encoded. */
  readonly length: number;
  /** What it is charged for: with what lies beside it. */
  readonly size: number;
  readonly since: number;
};
type Queue = Map<number, Entry>;

/** Transactions of one block take at most this: half of MAX_BLOCK_BYTES, the rest is for attestations and evidence. */
const BLOCK_TX_BYTES = 2 * 1024 * 1024;

/** A replacement must pay at least this much more, in per cent: else every relay of a new price costs the network for nothing. */
const REPLACEMENT_PERCENT = 10n;

export class Mempool {
  readonly #deps: MempoolDeps;
  readonly #limits: MempoolLimits;
  readonly #byId = new Map<string, Entry>();
  /** Sender → nonce → entry. */
  readonly #bySender = new Map<string, Queue>();
  #bytes = 0;

  constructor(deps: MempoolDeps, limits: Partial<MempoolLimits> = {}) {
    this.#deps = deps;
    this.#limits = { ...defaultMempoolLimits, ...limits };
  }

  get count(): number {
    return this.#byId.size;
  }

  /** Size of all, with what waits beside them. */
  get bytes(): number {
    return this.#bytes;
  }

  has(id: Hash): boolean {
    return this.#byId.has(toHex(id));
  }

  get(id: Hash): Tx | undefined {
    return this.#byId.get(toHex(id))?.tx;
  }

  /** Ids in order of arrival. */
  ids(): Hash[] {
    return Array.from(this.#byId.values(), (entry) => entry.id);
  }

  /** The nonce that the sender's next transaction should have: after everything of it that waits without a gap. */
  nextNonce(sender: Address): number {
    const queue = this.#bySender.get(toHex(sender));
    let nonce = this.#deps.nonceOf(sender);
    while (queue?.has(nonce)) nonce++;
    return nonce;
  }

  /**
   * Admits a transaction and returns its id. One whose turn has not come (TX_NONCE_HIGH) may wait; one with the nonce of another
   * takes its place if it pays at least 10 % more.
   * @throws PoflError TX_KNOWN, TX_SENDER_LIMIT, TX_UNDERPRICED, MEMPOOL_FULL, or what `check` throws
   */
  add(tx: Tx): Hash {
    const { entry, victims } = this.#vet(tx);
    for (const victim of victims) this.#drop(victim);
    this.#keep(entry);
    return entry.id;
  }

  /** Throws what `add` would throw, and changes nothing: worth asking before more is done for a transaction. */
  vet(tx: Tx): void {
    this.#vet(tx);
  }

  #vet(tx: Tx): { entry: Entry; victims: Entry[] } {
    const id = txId(tx.body);
    const key = toHex(id);
    if (this.#byId.has(key)) throw new PoflError("TX_KNOWN", `transaction ${key} waits already`);
    const { sender, nonce, fee } = tx.body;
    const { maxPerSender } = this.#limits;
    const ahead = nonce - this.#deps.nonceOf(sender);
    if (ahead >= maxPerSender) {
      throw new PoflError(
        "TX_SENDER_LIMIT",
        `nonce ${nonce} is ${ahead} ahead of the account, at most ${maxPerSender - 1} may be`,
      );
    }
    const rival = this.#bySender.get(toHex(sender))?.get(nonce);
    if (rival) {
      const least = rival.tx.body.fee + (rival.tx.body.fee * REPLACEMENT_PERCENT + 99n) / 100n;
      if (fee < least) {
        throw new PoflError(
          "TX_UNDERPRICED",
          `nonce ${nonce} waits with a fee of ${rival.tx.body.fee}; replacing it takes ${least}`,
        );
      }
    }
    // The dearest check comes last: it verifies the signature.
    try {
      this.#deps.check(tx);
    } catch (error) {
      if (!isPoflError(error, "TX_NONCE_HIGH")) throw error;
    }
    const length = Tx.value_serializedSize(tx);
    const entry = { id, key, tx, length, size: feeSize(tx), since: this.#deps.now() };
    return { entry, victims: this.#makeRoom(entry, rival) };
  }

  /**
   * Transactions for the next block: the highest fee first, ties by id, each sender's in order of nonces without a gap. Those that don't
   * fit or that the latest state refuses are left out, with all that come after them of the same sender.
   */
  pick({ maxBytes = BLOCK_TX_BYTES, maxCount = MAX_TXS_PER_BLOCK } = {}): Tx[] {
    const heads: Entry[] = [];
    for (const queue of this.#bySender.values()) {
      const any = queue.values().next().value as Entry;
      const head = queue.get(this.#deps.nonceOf(any.tx.body.sender));
      if (head) heads.push(head);
    }
    // Worst first, so that taking the best is a pop.
    heads.sort((a, b) => byFee(b, a));
    const picked: Tx[] = [];
    let bytes = 0;
    for (let best = heads.pop(); best && picked.length < maxCount; best = heads.pop()) {
      if (bytes + best.length > maxBytes) continue;
      picked.push(best.tx);
      bytes += best.length;
      const next = this.#bySender.get(toHex(best.tx.body.sender))?.get(best.tx.body.nonce + 1);
      if (next) insert(heads, next);
    }
    return picked.length === 0 ? [] : this.#deps.admissible(picked);
  }

  /** After a block: drops what it contains, what can't come any more (nonce used, expired) and what has waited too long. */
  onBlock(included: Iterable<Tx> = []): void {
    for (const tx of included) {
      const entry = this.#byId.get(toHex(txId(tx.body)));
      if (entry) this.#drop(entry);
    }
    const next = this.#deps.height() + 1;
    const oldest = this.#deps.now() - this.#limits.timeToLiveMs;
    for (const entry of [...this.#byId.values()]) {
      const { sender, nonce, expires } = entry.tx.body;
      const expired = expires !== 0 && next > expires;
      if (expired || entry.since < oldest || nonce < this.#deps.nonceOf(sender)) this.#drop(entry);
    }
  }

  /** Checks everything anew on the latest state; returns how many were dropped. Verifies signatures: not for every block. */
  recheck(): number {
    let dropped = 0;
    for (const entry of [...this.#byId.values()]) {
      try {
        this.#deps.check(entry.tx);
      } catch (error) {
        if (isPoflError(error, "TX_NONCE_HIGH")) continue;
        if (!isPoflError(error)) throw error;
        this.#drop(entry);
        dropped++;
      }
    }
    return dropped;
  }

  /**
   * Who makes place for it: the one that it replaces, and then what pays less per byte, last nonces first so that no gap arises.
   * @throws PoflError MEMPOOL_FULL
   */
  #makeRoom(entry: Entry, rival: Entry | undefined): Entry[] {
    const { maxCount, maxBytes } = this.#limits;
    const victims = rival ? [rival] : [];
    let count = this.#byId.size + 1 - victims.length;
    let bytes = this.#bytes + entry.size - (rival?.size ?? 0);
    while (count > maxCount || bytes > maxBytes) {
      const victim = this.#cheapestTail(new Set(victims));
      if (!victim || !paysLess(victim, entry)) {
        throw new PoflError("MEMPOOL_FULL", "too many transactions wait; try again later or with a higher fee");
      }
      victims.push(victim);
      count--;
      bytes -= victim.size;
    }
    return victims;
  }

  #cheapestTail(without: ReadonlySet<Entry>): Entry | undefined {
    let cheapest: Entry | undefined;
    for (const queue of this.#bySender.values()) {
      let tail: Entry | undefined;
      for (const entry of queue.values()) {
        if (!without.has(entry) && (!tail || entry.tx.body.nonce > tail.tx.body.nonce)) tail = entry;
      }
      if (tail && (!cheapest || paysLess(tail, cheapest))) cheapest = tail;
    }
    return cheapest;
  }

  #keep(entry: Entry): void {
    const sender = toHex(entry.tx.body.sender);
    const queue = this.#bySender.get(sender) ?? new Map<number, Entry>();
    queue.set(entry.tx.body.nonce, entry);
    this.#bySender.set(sender, queue);
    this.#byId.set(entry.key, entry);
    this.#bytes += entry.size;
  }

  #drop(entry: Entry): void {
    const sender = toHex(entry.tx.body.sender);
    const queue = this.#bySender.get(sender);
    queue?.delete(entry.tx.body.nonce);
    if (queue?.size === 0) this.#bySender.delete(sender);
    this.#byId.delete(entry.key);
    this.#bytes -= entry.size;
    this.#deps.dropped?.(entry.tx);
  }
}

/** Higher fee first, then the smaller id. */
function byFee(a: Entry, b: Entry): number {
  const [x, y]: [Amount, Amount] = [a.tx.body.fee, b.tx.body.fee];
  return x === y ? compareBytes(a.id, b.id) : x > y ? -1 : 1;
}

/** Fee per byte, without a division. */
function paysLess(a: Entry, b: Entry): boolean {
  return a.tx.body.fee * BigInt(b.size) < b.tx.body.fee * BigInt(a.size);
}

/** Into a list sorted worst first. */
function insert(list: Entry[], entry: Entry): void {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byFee(list[middle] as Entry, entry) > 0) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, entry);
}
