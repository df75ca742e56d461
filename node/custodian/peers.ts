import type { Type } from "@chainsafe/ssz";
import type { Peer } from "../../p2p/types.ts";
import { errorText, isPoflError } from "../../types/errors.ts";
import { decode } from "../../types/primitives.ts";
import type { CustodyDeps } from "./deps.ts";
import { encodeQuestion, type TypedQuestion } from "./messages.ts";

/** A peer that can't be asked is left alone for so long, twice as long after each failure: most peers are no custodians. */
const PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;

export type Answer<T> = { readonly peer: Peer; readonly value: T };

/** Asks the peers. */
export class Peers {
  readonly #deps: CustodyDeps;
  readonly #pauses = new Map<Peer, { readonly ms: number; readonly until: number }>();

  constructor(deps: CustodyDeps) {
    this.#deps = deps;
  }

  /** What the peer answers; undefined when nothing, or nothing of use, which is reported. Never throws for what a peer does. */
  async ask<T>(peer: Peer, question: TypedQuestion, type: Type<T>): Promise<T | undefined> {
    const { network, log, now } = this.#deps;
    let bytes: Uint8Array | undefined;
    try {
      bytes = await network.ask(peer, encodeQuestion(question));
      this.#pauses.delete(peer);
    } catch (error) {
      if (!isPoflError(error)) throw error;
      const ms = Math.min(2 * (this.#pauses.get(peer)?.ms ?? PAUSE_MS / 2), MAX_PAUSE_MS);
      this.#pauses.set(peer, { ms, until: now() + ms });
      return undefined;
    }
    if (!bytes) return undefined;
    try {
      return decode(type, bytes);
    } catch (error) {
      this.bad(peer, question.kind, errorText(error));
      log.debug({ peer, question: question.kind }, errorText(error));
      return undefined;
    }
  }

  /** What all of them answer that can be asked now. */
  async askAll<T>(question: TypedQuestion, type: Type<T>): Promise<Answer<T>[]> {
    const peers = this.#deps.network.peers();
    for (const peer of this.#pauses.keys()) if (!peers.includes(peer)) this.#pauses.delete(peer);
    const now = this.#deps.now();
    const ready = peers.filter((peer) => (this.#pauses.get(peer)?.until ?? 0) <= now);
    const answers = await Promise.all(
      ready.map(async (peer) => ({ peer, value: await this.ask(peer, question, type) })),
    );
    return answers.flatMap(({ peer, value }) => (value === undefined ? [] : [{ peer, value }]));
  }

  /** It answered what no honest node does. */
  bad(peer: Peer, question: string, why: string): void {
    this.#deps.log.warn({ peer, question }, `a peer's answer is refused: ${why}`);
    this.#deps.network.report(peer, "reject");
  }
}
