import type { Head } from "../../consensus/block/context.ts";
import type { Engine } from "../../consensus/engine/engine.ts";
import type { Checkpoint } from "../../consensus/light/chain.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Log, Network, Peer } from "../../p2p/types.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Store } from "../store/store.ts";
import type { Claims } from "../sync.ts";
import { Join } from "./join.ts";
import type { TrustedPath } from "./trusted.ts";

/** What a node does about joining: takes a snapshot, keeps to the chain that is trusted, and says what it trusts. */

export type JoiningDeps = {
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  readonly checkpoint: Checkpoint | undefined;
  readonly trusted: TrustedPath;
  readonly network: Pick<Network, "request" | "report">;
  readonly engine: Engine;
  readonly store: Store;
  readonly log: Log;
  /** The snapshot is stored. */
  readonly adopted: (head: Head) => void;
};

export class Joining {
  readonly #deps: JoiningDeps;
  #warned = false;

  constructor(deps: JoiningDeps) {
    this.#deps = deps;
  }

  /** As `SyncDeps.join`. */
  readonly join = async (claims: () => Claims, from: number, signal: AbortSignal): Promise<boolean> => {
    const { engine, store, adopted } = this.#deps;
    const joined = await new Join({ ...this.#deps, signal }).run(claims, from);
    if (!joined || signal.aborted) return false;
    return engine.adopt(joined.head, async () => {
      await store.restore(joined.snapshot);
      adopted(joined.head);
    });
  };

  /** As `SyncDeps.lead`. */
  readonly lead = async (peer: Peer, signal: AbortSignal): Promise<void> => {
    const { network, trusted, engine } = this.#deps;
    await trusted.learn({ network, signal }, peer, engine.head);
  };

  /**
   * Weak subjectivity: those who decided a height may have taken their stake back an unbonding period later, and then a forged
   * history costs them nothing. Whoever was away for longer must be told a recent block by somebody.
   */
  readonly far = (height: number): void => {
    const { checkpoint, engine, genesis, log } = this.#deps;
    const { unbondingHeights } = genesis.consensus;
    const known = Math.max(engine.head.height, checkpoint?.height ?? 0);
    if (this.#warned || height - known <= unbondingHeights) return;
    this.#warned = true;
    log.warn(
      { from: known, to: height, unbondingHeights },
      "peers are further ahead than stake is bound: a chain forged with old keys would look the same. Ask a hospital that you trust for a " +
        'recent block, compare it with `pofl block`, or start with sync.trusted = "HEIGHT:0xHASH"',
    );
  };
}
