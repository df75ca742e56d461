import type { Head } from "../../consensus/block/context.ts";
import { lightBlock } from "../../consensus/light/chain.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Network, Spend } from "../../p2p/types.ts";
import { type LightBlock, LightBlocks, MAX_LIGHT_BLOCKS, type Validator, ValidatorSet } from "../../types/block.ts";
import { bytesEqual, decode } from "../../types/primitives.ts";
import { type PieceName, pieceOf, StatePiece, StateTop, topOf } from "../../vm/snapshot.ts";
import type { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import type { Store } from "../store/store.ts";
import {
  decodeQuestion,
  HEADERS_PROTOCOL,
  HeadersWanted,
  MAX_HEADERS,
  Offers,
  type Question,
  SNAPSHOT_PROTOCOL,
} from "./wire.ts";

/**
 * States for nodes that join: those of the last heights divisible by SNAPSHOT_EVERY, so that many peers have the same ones, and the one
 * that this node started with. A state is immutable and shares all but its changes with the next, so that keeping some costs little and a
 * piece of one is never mixed with another. A joiner has three times SNAPSHOT_EVERY heights to take it (40 s at 20 blocks a second, 13
 * minutes at one) and as much to replay afterwards, two or three seconds.
 */
export const SNAPSHOT_EVERY = 256;
const KEPT = 4;
/** Read from the disk for one answer: a header is small, and the block that it is read with need not be. */
const MAX_READ_BYTES = 64 * 1024 * 1024;
/** Of pieces that are kept encoded. */
const MAX_PIECES_BYTES = 32 * 1024 * 1024;

type SetAt = (height: number) => Promise<readonly Validator[] | undefined>;

/** Undefined if the block, or who follows on its validators, is not here. */
export async function lightAt(
  store: Pick<Store, "certificate">,
  height: number,
  validators: SetAt,
  onRead?: Spend,
): Promise<LightBlock | undefined> {
  const found = await store.certificate(height);
  if (!found) return undefined;
  const { header, commit, recordBytes } = found;
  await onRead?.(recordBytes);
  if (bytesEqual(header.validatorsRoot, header.nextValidatorsRoot)) return { header, commit, next: [] };
  const next = await validators(height + 1);
  return next && lightBlock(header, commit, next);
}

/** Those of `count` heights from `from` on: up to the first that is not here, or until MAX_READ_BYTES have been read. */
export async function* lightFrom(
  store: Pick<Store, "certificate">,
  from: number,
  count: number,
  validators: SetAt,
  spend?: Spend,
): AsyncGenerator<LightBlock> {
  let read = 0;
  for (let height = from; height < from + count && read < MAX_READ_BYTES; height++) {
    const block = await lightAt(store, height, validators, async (bytes) => {
      read += bytes;
      await spend?.(bytes);
    });
    if (!block) return;
    yield block;
  }
}

export class Snapshots {
  readonly #store: Store;
  readonly #genesis: Genesis;
  #head: Head;
  /** Oldest first. */
  #kept: State[] = [];
  /** Encoded, in the order in which they were asked for first. */
  readonly #pieces = new Map<string, Uint8Array>();
  #pieceBytes = 0;

  /** @param head that the node starts with */
  constructor(store: Store, genesis: Genesis, head: Head) {
    this.#store = store;
    this.#genesis = genesis;
    this.#head = head;
    this.#keep(head);
  }

  async serve(network: Pick<Network, "serve">): Promise<void> {
    const own = this;
    await network.serve(HEADERS_PROTOCOL, (_peer, request, spend) => own.#headers(request, spend));
    await network.serve(SNAPSHOT_PROTOCOL, async function* (_peer, request) {
      const answer = await own.#answer(decodeQuestion(request));
      if (answer) yield answer;
    });
  }

  /** A block became final, or a snapshot was taken over. */
  onHead(head: Head): void {
    const jumped = head.height !== this.#head.height + 1;
    this.#head = head;
    if (jumped || head.height % SNAPSHOT_EVERY === 0) this.#keep(head);
  }

  #keep({ height, state }: Head): void {
    if (height === 0) return;
    this.#kept = [...this.#kept, state].slice(-KEPT);
  }

  async #answer(question: Question): Promise<Uint8Array | undefined> {
    if (question.kind === "offers") return Offers.serialize(this.#kept.map((s) => s.height).reverse());
    if (question.kind === "validators") {
      const set = await this.validators(question.height);
      return set && ValidatorSet.serialize([...set]);
    }
    const state = this.#kept.find((s) => s.height === question.height);
    if (!state) return undefined;
    if (question.kind === "top") return StateTop.serialize(topOf(state));
    return this.#piece(state, question.piece);
  }

  /** Encoding some thousand records takes milliseconds, and a peer may ask for the same ones all day. */
  #piece(state: State, name: PieceName): Uint8Array | undefined {
    const key = `${state.height}/${name.list}/${name.index}`;
    const known = this.#pieces.get(key);
    if (known) return known;
    const piece = pieceOf(state, name);
    if (!piece) return undefined;
    const bytes = StatePiece.serialize(piece);
    this.#pieces.set(key, bytes);
    this.#pieceBytes += bytes.length;
    for (const [oldest, { length }] of this.#pieces) {
      if (this.#pieceBytes <= MAX_PIECES_BYTES || oldest === key) break;
      this.#pieces.delete(oldest);
      this.#pieceBytes -= length;
    }
    return bytes;
  }

  async *#headers(request: Uint8Array, spend?: Spend): AsyncGenerator<Uint8Array> {
    const { from, count } = decode(HeadersWanted, request);
    let batch: LightBlock[] = [];
    const most = Math.min(count, MAX_HEADERS);
    for await (const block of lightFrom(this.#store, from, most, (h) => this.validators(h), spend)) {
      batch.push(block);
      if (batch.length < MAX_LIGHT_BLOCKS) continue;
      yield LightBlocks.serialize(batch);
      batch = [];
    }
    if (batch.length > 0) yield LightBlocks.serialize(batch);
  }

  async validators(height: number): Promise<readonly Validator[] | undefined> {
    if (height === this.#head.height + 1) return validatorSet(this.#head.state, this.#genesis);
    return this.#store.validators(height);
  }
}
