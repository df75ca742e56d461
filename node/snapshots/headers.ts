import type { Checkpoint, LightChain } from "../../consensus/light/chain.ts";
import { type Anchor, checkpointAnchor, genesisAnchor } from "../../consensus/light/chain.ts";
import { Follower } from "../../consensus/light/follower.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Network, Peer } from "../../p2p/types.ts";
import { type LightBlock, LightBlocks, type Validator, ValidatorSet } from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { decode, type Height } from "../../types/primitives.ts";
import { encodeQuestion, HEADERS_PROTOCOL, HeadersWanted, MAX_HEADERS, SNAPSHOT_PROTOCOL } from "./wire.ts";

/** Headers from peers, verified as they come. */

/** For a stream to open, and for each frame: 1 MiB at 100 KiB/s. */
export const ANSWER_MS = 10_000;
/** For 1024 headers, verified as they come: one that drips must not hold up a node for days. */
const REQUEST_MS = 60_000;
/** 1024 headers with 128 signatures each, and 128 validators who change at each. */
const MAX_ANSWER_BYTES = 40 * 1024 * 1024;

/** What nobody honest sends; all else may be the line, the disk or a chain that ends. */
const LIES = [
  "BAD_HEADER",
  "BAD_COMMIT",
  "BAD_ENCODING",
  "BAD_SNAPSHOT",
  "NOT_TRUSTED",
  "INVALID_BLOCK",
  "RESPONSE_SIZE",
];

export function isLie(error: unknown): boolean {
  return isPoflError(error) && LIES.includes(error.code);
}

/** Words after an error about a peer's chain, which may be no fault of the peer. */
export function trustHint(error: unknown): string {
  const may = isPoflError(error, "NOT_TRUSTED") || isPoflError(error, "NOT_HELD");
  return may ? ". If every peer gives this answer, ask again for height and hash of sync.trusted" : "";
}

export type Asking = { readonly network: Pick<Network, "request">; readonly signal: AbortSignal };

/** Headers of one peer, ascending from `from`; ends where the peer has no more. @throws PoflError BAD_ENCODING; network errors */
export async function* headersOf(
  { network, signal }: Asking,
  peer: Peer,
  from: Height,
  to: Height,
): AsyncGenerator<LightBlock> {
  let next = from;
  while (next <= to) {
    const end = Math.min(next + MAX_HEADERS, to + 1);
    // Of all answers that it takes: one ends early where blocks are large.
    const whole = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
    const options = { timeoutMs: ANSWER_MS, maxBytes: MAX_ANSWER_BYTES, signal: whole };
    while (next < end) {
      const first = next;
      const request = HeadersWanted.serialize({ from: first, count: end - first });
      for await (const frame of network.request(peer, HEADERS_PROTOCOL, request, options)) {
        const blocks = decode(LightBlocks, frame);
        next += blocks.length;
        if (blocks.length === 0 || next > end) throw new PoflError("BAD_ENCODING", "more headers than asked for");
        yield* blocks;
      }
      if (next === first) return;
    }
  }
}

/** Adds a peer's headers to `follower`, up to `to`; says how many. @throws PoflError as `Follower.add` and `headersOf` */
export async function follow(
  asking: Asking,
  peer: Peer,
  follower: Follower,
  to: Height,
  onHeader: (anchor: Anchor) => void = () => {},
): Promise<number> {
  const from = follower.anchor.height;
  for await (const block of headersOf(asking, peer, from + 1, to)) {
    follower.add(block);
    onHeader(follower.anchor);
  }
  return follower.anchor.height - from;
}

/** Where verification begins: genesis, or the trusted header, which `peer` gives. @throws PoflError NOT_TRUSTED, NOT_HELD; network errors */
export async function beginning(
  asking: Asking,
  { genesisHash, checkpoint }: LightChain,
  genesis: Genesis,
  peer: Peer,
): Promise<Follower> {
  const anchor = checkpoint ? await trustedHeader(asking, checkpoint, peer) : genesisAnchor(genesis);
  return new Follower({ genesisHash, checkpoint }, anchor);
}

async function trustedHeader(asking: Asking, checkpoint: Checkpoint, peer: Peer): Promise<Anchor> {
  const { height } = checkpoint;
  for await (const { header } of headersOf(asking, peer, height, height)) {
    const sets = await Promise.all([height, height + 1].map((h) => setOf(asking, peer, h)));
    const [validators, next] = sets as [Validator[], Validator[]];
    return checkpointAnchor(checkpoint, header, validators, next);
  }
  throw notHeld(`the trusted block of height ${height}`);
}

async function setOf(asking: Asking, peer: Peer, height: Height): Promise<Validator[]> {
  const answer = await ask(asking, peer, encodeQuestion({ kind: "validators", height }));
  return decode(ValidatorSet, answer ?? notHeldHere(`the validators of height ${height}`));
}

export function notHeld(what: string): PoflError {
  return new PoflError("NOT_HELD", `${what}: the peer has not got it`);
}

function notHeldHere(what: string): never {
  throw notHeld(what);
}

/** Of one answer: a piece of a state and what it is wrapped in. */
const MAX_FRAME_BYTES = 6 * 1024 * 1024;

/** The one frame that answers a question about snapshots, or undefined. @throws network errors */
export async function ask(
  { network, signal }: Asking,
  peer: Peer,
  question: Uint8Array,
  protocol = SNAPSHOT_PROTOCOL,
): Promise<Uint8Array | undefined> {
  const options = { timeoutMs: ANSWER_MS, maxBytes: MAX_FRAME_BYTES, signal };
  for await (const frame of network.request(peer, protocol, question, options)) return frame;
  return undefined;
}
