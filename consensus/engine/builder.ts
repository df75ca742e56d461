import { beaconAlpha, vrfProve } from "../../crypto/vrf.ts";
import { errorText, isPoflError } from "../../types/errors.ts";
import type { Evidence } from "../../types/evidence.ts";
import type { HeightContext } from "../block/context.ts";
import { type Derived, deriveBlock } from "../block/derive.ts";
import { type LearningInputs, ROUND_WITHOUT_LEARNING } from "../block/inputs.ts";
import { type BlockPool, RETRY_MS } from "./blocks.ts";
import type { EngineDeps } from "./types.ts";

export type BuilderHost = {
  readonly self: number;
  /** The vote's round now. */
  readonly round: () => number;
  readonly blocks: BlockPool;
  /** Undefined without a task; its answer is undefined while there are too few attestations. */
  readonly learning: (() => LearningInputs | undefined) | undefined;
  /** What the block may carry: old faults may be punished already, or out of reach. */
  readonly evidence: () => Evidence[];
  readonly built: (round: number, derived: Derived) => void;
  readonly closed: () => boolean;
};

/** getValue() of one height: builds a block when the vote asks for one, as soon as there is what it takes. */
export class Builder {
  readonly #ctx: HeightContext;
  readonly #deps: EngineDeps;
  readonly #host: BuilderHost;
  /** Round that a block is wanted for; −1 = none. */
  #wanted = -1;
  #busy = false;
  #proof: Uint8Array | undefined;

  constructor(ctx: HeightContext, deps: EngineDeps, host: BuilderHost) {
    this.#ctx = ctx;
    this.#deps = deps;
    this.#host = host;
  }

  /** The own VRF proof of the height: milliseconds the first time. */
  proof(): Uint8Array {
    const { vrf } = this.#deps.keys as NonNullable<EngineDeps["keys"]>;
    this.#proof ??= vrfProve(vrf.secret, beaconAlpha(this.#ctx.parent.state.seed, this.#ctx.height));
    return this.#proof;
  }

  want(round: number): void {
    this.#wanted = round;
    this.progress();
  }

  /** Tries again: an attestation has come, or an earlier try is over. */
  progress(): void {
    const round = this.#wanted;
    if (this.#busy || this.#host.closed() || round < 0 || round !== this.#host.round()) return;
    const learning = this.#host.learning?.();
    if (this.#host.learning && !learning && round < ROUND_WITHOUT_LEARNING) return;
    this.#busy = true;
    void this.#build(round, learning).finally(() => {
      this.#busy = false;
      // The vote may have moved on meanwhile, and ask for another.
      if (this.#wanted > round) this.progress();
    });
  }

  async #build(round: number, learning: LearningInputs | undefined): Promise<void> {
    const ctx = this.#ctx;
    try {
      const source = await this.#host.blocks.source(learning);
      if (this.#host.closed() || this.#host.round() !== round) return;
      const derived = deriveBlock(
        ctx,
        {
          round,
          builder: this.#host.self,
          vrfProof: this.proof(),
          txs: this.#deps.pickTxs(),
          learning,
          evidence: this.#host.evidence(),
          lastCommit: ctx.parent.commit,
        },
        source,
      );
      // Whoever proposes must have what it proposes: others pull it from here.
      await this.#host.blocks.ensureRecords(derived);
      if (this.#host.closed() || this.#host.round() !== round) return;
      if (this.#wanted === round) this.#wanted = -1;
      this.#host.built(round, derived);
    } catch (error) {
      // The last round's updates may still be on their way to a node that caught up; a payload may have been damaged on the disk.
      if (isPoflError(error, "MISSING_BLOBS") || isPoflError(error, "MISSING_RECORDS")) {
        this.#deps.clock.timer(RETRY_MS, () => this.progress());
        return;
      }
      this.#deps.log.error({ err: error, height: ctx.height, round }, `could not build a block: ${errorText(error)}`);
    }
  }
}
