import type { Genesis } from "../../genesis/genesis.ts";
import { isPoflError } from "../../types/errors.ts";
import { type Evidence, offenceOf } from "../../types/evidence.ts";
import { MAX_EVIDENCE_PER_BLOCK, MAX_VALIDATORS } from "../../types/limits.ts";
import { bytesEqual, type Hash, type Height } from "../../types/primitives.ts";
import { culpritOf } from "../../vm/evidence.ts";
import { checkOffence, offenceHeight } from "../../vm/offences.ts";
import type { State } from "../../vm/state.ts";
import { idKey } from "../bft/votes.ts";

/**
 * Pieces of one key that wait for a block, which takes one of them: it may sign offences at old heights at will, and must not fill the
 * place of others.
 */
const MAX_WAITING_PER_KEY = 8;
/** Pieces that wait in all: that many for each of a full set of validators. */
const MAX_WAITING = MAX_WAITING_PER_KEY * MAX_VALIDATORS;

/** Evidence that waits for a block. What it takes in stands in the vote's log as well, from where it comes back after a restart. */
export class EvidencePool {
  readonly #genesis: Genesis;
  readonly #genesisHash: Hash;
  /** One piece for each key and height: more are punished no more. */
  readonly #waiting = new Map<string, Evidence>();

  constructor(genesis: Genesis, genesisHash: Hash) {
    this.#genesis = genesis;
    this.#genesisHash = genesisHash;
  }

  /**
   * Keeps evidence that could still be punished after `state`; false if there is nothing new in it.
   * The cheap questions come first, the signatures last.
   * @throws PoflError BAD_EVIDENCE: whoever sent it made it up
   */
  add(evidence: Evidence, state: State): boolean {
    const key = keyOf(evidence);
    if (this.#waiting.has(key) || this.#waiting.size >= MAX_WAITING) return false;
    if (!this.#useful(evidence, state)) return false;
    const ofKey = [...this.#waiting.values()].filter((e) => bytesEqual(e.consensusKey, evidence.consensusKey)).length;
    if (ofKey >= MAX_WAITING_PER_KEY) return false;
    checkOffence(evidence, this.#genesisHash);
    this.#waiting.set(key, evidence);
    return true;
  }

  /**
   * What the block after `state` carries, oldest offences first. One piece for each key: the next may find no stake once the first is
   * punished.
   */
  forBlock(state: State): Evidence[] {
    const chosen = new Map<string, Evidence>();
    for (const evidence of this.waiting()) {
      const key = idKey(evidence.consensusKey);
      if (!chosen.has(key) && this.#useful(evidence, state)) chosen.set(key, evidence);
    }
    return [...chosen.values()].slice(0, MAX_EVIDENCE_PER_BLOCK);
  }

  /** Forgets what a block has punished, and what none can punish any more. */
  prune(state: State): void {
    for (const [key, evidence] of this.#waiting) if (!this.#useful(evidence, state)) this.#waiting.delete(key);
  }

  /** Oldest offences first. */
  waiting(): Evidence[] {
    return [...this.#waiting.values()].sort((a, b) => heightOf(a) - heightOf(b));
  }

  #useful(evidence: Evidence, state: State): boolean {
    try {
      culpritOf(state, evidence, this.#genesis, state.height + 1);
      return true;
    } catch (error) {
      if (isPoflError(error, "USELESS_EVIDENCE")) return false;
      throw error;
    }
  }
}

function heightOf(evidence: Evidence): Height {
  return offenceHeight(offenceOf(evidence));
}

function keyOf(evidence: Evidence): string {
  return `${idKey(evidence.consensusKey)}/${heightOf(evidence)}`;
}
