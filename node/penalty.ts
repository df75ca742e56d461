import type { Applied, EngineLog } from "../consensus/engine/types.ts";
import { addressOf } from "../crypto/domain.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { offenceOf } from "../types/evidence.ts";
import { type Address, bytesEqual, type Height } from "../types/primitives.ts";
import { offenceHeight } from "../vm/offences.ts";
import type { State } from "../vm/state.ts";
import type { Home } from "./home.ts";

/**
 * What the chain does to this node's own validator. The node may be the last to know: what a copy of its key signs goes to others, who
 * see that it contradicts what this node sent them.
 */

export type Jail = {
  /** The block that jailed. */
  readonly since: Height;
  /** First height at which `unjail` is allowed. */
  readonly until: Height;
};

/** The jail that a miner with a stake is in; undefined = it is free, or no miner. */
export function jailOf(state: State, address: Address, genesis: Genesis): Jail | undefined {
  const miner = state.miner(address)?.record;
  if (!miner?.jailed || miner.stake === 0n) return undefined;
  return { since: miner.jailedUntil - genesis.consensus.jailHeights, until: miner.jailedUntil };
}

export function jailText({ since, until }: Jail): string {
  return `jailed since height ${since}: this node neither trains nor votes. When the fault is mended, from height ${until} on: \`pofl tx unjail\``;
}

/** Says in the log what happens to the own validator. */
export class Penalties {
  readonly #genesis: Genesis;
  readonly #address: Address;
  readonly #consensusKey: Uint8Array;
  readonly #log: Pick<EngineLog, "warn" | "error">;

  constructor(
    { genesis, keys }: { readonly genesis: Genesis; readonly keys: Pick<Home["keys"], "account" | "consensus"> },
    log: Pick<EngineLog, "warn" | "error">,
  ) {
    this.#genesis = genesis;
    this.#address = addressOf(keys.account.publicKey);
    this.#consensusKey = keys.consensus.publicKey;
    this.#log = log;
  }

  /**
   * At a start, after a snapshot, and after each block.
   * @param before of the parent: a jail that has been said is not said again
   */
  onState(state: State, before?: State): void {
    const jail = jailOf(state, this.#address, this.#genesis);
    const was = before && jailOf(before, this.#address, this.#genesis);
    if (jail && jail.until !== was?.until) this.#log.warn(jail, jailText(jail));
  }

  /** After a final block. */
  onBlock({ certified, parent, head }: Applied): void {
    for (const evidence of certified.block.evidence) {
      if (!bytesEqual(evidence.consensusKey, this.#consensusKey)) continue;
      const offence = offenceOf(evidence);
      const at = offenceHeight(offence);
      this.#log.error(
        { height: head.height, kind: offence.kind, at },
        `height ${head.height} punished this node's key for a ${offence.kind} at height ${at}: another process signs with it, or did: find the copy, stop it, then \`pofl tx unjail\``,
      );
    }
    this.onState(head.state, parent);
  }
}
