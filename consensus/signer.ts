import { ContainerType, type ValueOf } from "@chainsafe/ssz";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, bytesUpTo, decode, U8, U32, U53 } from "../types/primitives.ts";

/**
 * The guard before every consensus signature: at most one value per (height, round, type), and one pledge, closing and
 * attestation per height. The signed bytes are on disk before a signature leaves; the same request again gets the same bytes.
 */

/** A durable log: `append` with sync returns only after fsync. */
export type DurableLog = {
  readonly entries: readonly Uint8Array[];
  append(bytes: Uint8Array, options: { sync: boolean }): void;
  /** Flushes what was appended without sync; returns at once when there is nothing. */
  sync(): void;
  /** Starts afresh, atomically, with these entries. */
  reset(entries?: readonly Uint8Array[]): void;
};

export const SLOT_KINDS = ["proposal", "prevote", "precommit", "pledge", "closing", "attestation"] as const;
export type SlotKind = (typeof SLOT_KINDS)[number];

export const SignedSlot = new ContainerType(
  {
    height: U53,
    round: U32,
    kind: U8,
    /** The whole encoded signed message, so that it can be sent again after a restart. */
    message: bytesUpTo(1 << 20),
  },
  { typeName: "SignedSlot" },
);
export type SignedSlot = ValueOf<typeof SignedSlot>;

/** Heights that the log keeps before it is cut to the current one: each cut is a file of its own. */
const HEIGHTS_PER_CUT = 256;

export class SignGuard {
  readonly #log: DurableLog;
  readonly #signed: (slot: SignedSlot) => void;
  readonly #slots = new Map<string, Uint8Array>();
  #height = 0;
  #firstHeight = 0;
  #last: Uint8Array | undefined;

  /**
   * @param signed told of each new message after it is on the signer's disk, before it leaves
   * @throws PoflError CORRUPT_JOURNAL if an entry can't be read: signing without its memory could be a double signature
   */
  constructor(log: DurableLog, signed: (slot: SignedSlot) => void = () => {}) {
    this.#log = log;
    this.#signed = signed;
    for (const bytes of log.entries) {
      let slot: SignedSlot;
      try {
        slot = decode(SignedSlot, bytes);
      } catch (cause) {
        throw new PoflError("CORRUPT_JOURNAL", "the signer state holds an entry that can't be read", {}, { cause });
      }
      this.#remember(slot);
      this.#last = bytes;
    }
  }

  /**
   * Returns the message signed earlier for this slot, or signs, stores and returns a new one.
   * @param same whether an earlier message is what is being asked for now
   * @throws PoflError DOUBLE_SIGN when the slot holds something else, or the height is below one signed before
   */
  once(
    kind: SlotKind,
    height: number,
    round: number,
    same: (earlier: Uint8Array) => boolean,
    sign: () => Uint8Array,
  ): Uint8Array {
    const earlier = this.earlier(kind, height, round);
    if (earlier) {
      if (same(earlier)) return earlier;
      throw new PoflError("DOUBLE_SIGN", `refused: another ${kind} was signed at height ${height}, round ${round}`);
    }
    if (height < this.#height) {
      throw new PoflError("DOUBLE_SIGN", `refused: height ${height} is below ${this.#height}, which was signed before`);
    }
    if (height > this.#height && height - this.#firstHeight >= HEIGHTS_PER_CUT) {
      // The last entry stays as the high-water mark, should the chain's own store ever be put back to an older copy.
      this.#log.reset(this.#last ? [this.#last] : []);
      this.#firstHeight = height;
    }
    const slot = { height, round, kind: SLOT_KINDS.indexOf(kind), message: sign() };
    this.#keep(slot);
    this.#signed(slot);
    return slot.message;
  }

  /**
   * Takes back a message that another file remembers to have been signed. True if this log had lost it.
   * @throws PoflError CORRUPT_JOURNAL when the log holds another for the slot
   */
  adopt(slot: SignedSlot): boolean {
    if (slot.height < this.#height) return false;
    const lost = !this.#slots.has(slotKey(slot.kind, slot.height, slot.round));
    if (lost) this.#keep(slot);
    else this.#remember(slot);
    return lost;
  }

  /** The highest height at which anything was signed; 0 = none. */
  get height(): number {
    return this.#height;
  }

  /** What was signed for a slot, if anything. */
  earlier(kind: SlotKind, height: number, round: number): Uint8Array | undefined {
    return this.#slots.get(slotKey(SLOT_KINDS.indexOf(kind), height, round));
  }

  /** Everything of a kind that was signed at `height`, if that is the height signed last. */
  signed(kind: SlotKind, height: number): Uint8Array[] {
    const suffix = `/${SLOT_KINDS.indexOf(kind)}`;
    return [...this.#slots].filter(([key]) => key.startsWith(`${height}/`) && key.endsWith(suffix)).map(([, m]) => m);
  }

  #keep(slot: SignedSlot): void {
    this.#last = SignedSlot.serialize(slot);
    this.#log.append(this.#last, { sync: true });
    this.#remember(slot);
  }

  #remember(slot: SignedSlot): void {
    if (slot.height > this.#height) {
      this.#height = slot.height;
      this.#slots.clear();
      if (this.#firstHeight === 0) this.#firstHeight = slot.height;
    }
    const key = slotKey(slot.kind, slot.height, slot.round);
    const before = this.#slots.get(key);
    if (before && !bytesEqual(before, slot.message)) {
      throw new PoflError("CORRUPT_JOURNAL", "the signer state holds two messages for one slot");
    }
    this.#slots.set(key, slot.message);
  }
}

function slotKey(kind: number, height: number, round: number): string {
  return `${height}/${round}/${kind}`;
}
