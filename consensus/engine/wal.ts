import { ContainerType } from "@chainsafe/ssz";
import { PoflError } from "../../types/errors.ts";
import { Evidence } from "../../types/evidence.ts";
import { MAX_BLOCK_BYTES } from "../../types/limits.ts";
import { Bool, Bytes32, bytesUpTo, decode, type Hash, U8, U32, U53 } from "../../types/primitives.ts";
import { Opening } from "../../types/round.ts";
import { SignedProposal, SignedVote } from "../../types/vote.ts";
import type { BftEvent, TimeoutKind } from "../bft/types.ts";
import { type DurableLog, SignedSlot } from "../signer.ts";

/**
 * The write-ahead log of the height in progress: every event that the vote has seen, in order. Replayed through the same pure
 * machine it gives the same state, lock included. It is flushed before each signature; signed messages are the signer's to keep, and stand here
 * once more. Evidence stands here too, whatever its height, until a block has it.
 */

export type WalEntry =
  | { readonly type: "bft"; readonly event: BftEvent }
  /** A block that the vote may need again: from a proposal, an own build, or a peer's answer. */
  | { readonly type: "block"; readonly bytes: Uint8Array }
  | { readonly type: "trained"; readonly opening: Opening }
  /** What this node has signed, again: should the signer's file lose its end, it is known from here. */
  | { readonly type: "signed"; readonly slot: SignedSlot };

const HeightMark = new ContainerType({ height: U53 }, { typeName: "HeightMark" });
const Verdict = new ContainerType({ blockId: Bytes32, valid: Bool, builtRound: U32 }, { typeName: "Verdict" });
const Built = new ContainerType({ round: U32, blockId: Bytes32 }, { typeName: "Built" });
const Timeout = new ContainerType({ kind: U8, round: U32 }, { typeName: "Timeout" });
const BlockBytes = bytesUpTo(MAX_BLOCK_BYTES);
const TIMEOUTS: readonly TimeoutKind[] = ["propose", "prevote", "precommit"];

/** First byte of an entry; never renumbered. */
const TAG = {
  height: 0,
  start: 1,
  proposal: 2,
  vote: 3,
  verdict: 4,
  built: 5,
  timeout: 6,
  block: 7,
  trained: 8,
  signed: 9,
  evidence: 10,
} as const;

/** Heights, and bytes, before the file starts afresh: each new file costs several flushes. */
const HEIGHTS_PER_FILE = 128;
const BYTES_PER_FILE = 64 * 1024 * 1024;

export class Wal {
  readonly #log: DurableLog;
  #heights = HEIGHTS_PER_FILE;
  #bytes = 0;

  constructor(log: DurableLog) {
    this.#log = log;
  }

  /**
   * The entries of `height`, if the log was at that height.
   * @throws PoflError CORRUPT_JOURNAL
   */
  replay(height: number): WalEntry[] {
    return readable(() => {
      let entries: WalEntry[] = [];
      let current = -1;
      for (const bytes of this.#log.entries) {
        if (bytes[0] === TAG.height) {
          current = decode(HeightMark, bytes.subarray(1)).height;
          entries = [];
        } else if (current === height && bytes[0] !== TAG.evidence) {
          entries.push(decodeEntry(bytes));
        }
      }
      return current === height ? entries : [];
    });
  }

  /**
   * Evidence that waited for a block at some height of the log; a block may have it by now.
   * @throws PoflError CORRUPT_JOURNAL
   */
  evidence(): Evidence[] {
    return readable(() => this.#log.entries.filter(isEvidence).map((bytes) => decode(Evidence, bytes.subarray(1))));
  }

  /**
   * The height that the log was last at; 0 if it is empty.
   * @throws PoflError CORRUPT_JOURNAL
   */
  lastHeight(): number {
    const mark = this.#log.entries.findLast((bytes) => bytes[0] === TAG.height);
    return mark ? readable(() => decode(HeightMark, mark.subarray(1)).height) : 0;
  }

  /**
   * Marks the start of a height; what came before is not needed any more, since its block is stored.
   * @param waiting evidence that no block has yet: a new file begins with it
   */
  begin(height: number, waiting: readonly Evidence[] = []): void {
    const mark = tagged(TAG.height, HeightMark.serialize({ height }));
    if (++this.#heights <= HEIGHTS_PER_FILE && this.#bytes <= BYTES_PER_FILE) {
      this.#append(mark);
      return;
    }
    this.#heights = 1;
    this.#bytes = 0;
    this.#log.reset([mark, ...waiting.map(evidenceEntry)]);
  }

  /** Evidence that waits for a block from now on. */
  keep(evidence: Evidence): void {
    this.#append(evidenceEntry(evidence));
  }

  append(entry: WalEntry, sync = false): void {
    this.#append(encodeEntry(entry), sync);
  }

  #append(bytes: Uint8Array, sync = false): void {
    this.#bytes += bytes.length;
    this.#log.append(bytes, { sync });
  }

  /** Everything appended so far outlives a power failure from here on. */
  flush(): void {
    this.#log.sync();
  }
}

const evidenceEntry = (evidence: Evidence): Uint8Array => tagged(TAG.evidence, Evidence.serialize(evidence));
const isEvidence = (bytes: Uint8Array): boolean => bytes[0] === TAG.evidence;

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new PoflError("CORRUPT_JOURNAL", "the consensus log holds an entry that can't be read", {}, { cause });
  }
}

function tagged(tag: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = tag;
  bytes.set(body, 1);
  return bytes;
}

function encodeEntry(entry: WalEntry): Uint8Array {
  switch (entry.type) {
    case "block":
      return tagged(TAG.block, BlockBytes.serialize(entry.bytes));
    case "trained":
      return tagged(TAG.trained, Opening.serialize(entry.opening));
    case "signed":
      return tagged(TAG.signed, SignedSlot.serialize(entry.slot));
    case "bft":
      return encodeEvent(entry.event);
  }
}

function encodeEvent(event: BftEvent): Uint8Array {
  switch (event.type) {
    case "start":
      return tagged(TAG.start, new Uint8Array(0));
    case "proposal":
      return tagged(TAG.proposal, SignedProposal.serialize(event.proposal));
    case "vote":
      return tagged(TAG.vote, SignedVote.serialize(event.vote));
    case "verdict":
      return tagged(TAG.verdict, Verdict.serialize(event));
    case "built":
      return tagged(TAG.built, Built.serialize(event));
    case "timeout":
      return tagged(TAG.timeout, Timeout.serialize({ kind: TIMEOUTS.indexOf(event.kind), round: event.round }));
  }
}

function decodeEntry(bytes: Uint8Array): WalEntry {
  const body = bytes.subarray(1);
  const bft = (event: BftEvent): WalEntry => ({ type: "bft", event });
  switch (bytes[0]) {
    case TAG.start:
      return bft({ type: "start" });
    case TAG.proposal:
      return bft({ type: "proposal", proposal: decode(SignedProposal, body) });
    case TAG.vote:
      return bft({ type: "vote", vote: decode(SignedVote, body) });
    case TAG.verdict:
      return bft({
        type: "verdict",
        ...(decode(Verdict, body) as { blockId: Hash; valid: boolean; builtRound: number }),
      });
    case TAG.built:
      return bft({ type: "built", ...decode(Built, body) });
    case TAG.timeout: {
      const { kind, round } = decode(Timeout, body);
      return bft({ type: "timeout", kind: TIMEOUTS[kind] ?? "propose", round });
    }
    case TAG.block:
      return { type: "block", bytes: decode(BlockBytes, body) };
    case TAG.trained:
      return { type: "trained", opening: decode(Opening, body) };
    case TAG.signed:
      return { type: "signed", slot: decode(SignedSlot, body) };
    default:
      throw new PoflError("BAD_ENCODING", `unknown kind of log entry ${bytes[0]}`);
  }
}
