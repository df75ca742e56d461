import { genesisHead, type Head, heightContext } from "../../consensus/block/context.ts";
import { deriveBlock } from "../../consensus/block/derive.ts";
import { lightBlock } from "../../consensus/light/chain.ts";
import { signVote } from "../../crypto/domain.ts";
import { beaconAlpha, vrfProve } from "../../crypto/vrf.ts";
import { type Genesis, genesisHash } from "../../genesis/genesis.ts";
import type { CertifiedBlock, LightBlock, Receipt, Validator } from "../../types/block.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import { type Commit, PRECOMMIT } from "../../types/vote.ts";
import { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { Chain, consensusOf, type GenesisChange, genesisWith, keys, nameOf } from "../vm/support.ts";

/** Real chains without a network: every block derived as a node derives it, and certified by all of its validators. */

export type Made = { readonly certified: CertifiedBlock; readonly receipts: readonly Receipt[]; readonly head: Head };

export function certificate(
  hash: Hash,
  validators: readonly Validator[],
  height: number,
  blockId: Hash,
  time: number,
): Commit {
  const signatures = validators.map(({ address }, validator) => {
    const message = { type: PRECOMMIT, height, round: 0, blockId, validRound: 0, time, validator };
    const { signature } = signVote(hash, consensusOf(nameOf(address)).secret, message);
    return { validator, time, signature };
  });
  return { height, round: 0, blockId, signatures };
}

/** Millisecond steps between blocks. */
const STEP_MS = 1000;

export class CertifiedChain {
  readonly genesis: Genesis;
  readonly hash: Hash;
  /** Signs transactions on the state at the head. */
  readonly accounts: Chain;
  readonly blocks: Made[];
  head: Head;

  constructor(genesis: Genesis, from: readonly Made[] = []) {
    this.genesis = genesis;
    this.hash = genesisHash(genesis);
    this.blocks = [...from];
    this.head = from.at(-1)?.head ?? genesisHead(this.hash, State.genesis(genesis));
    this.accounts = new Chain(genesis, this.head.state);
  }

  static of(change: GenesisChange = {}): CertifiedChain {
    return new CertifiedChain(genesisWith({ task: undefined, ...change }));
  }

  /** Another chain with the same blocks up to `height`. */
  fork(height: number): CertifiedChain {
    return new CertifiedChain(this.genesis, this.blocks.slice(0, height));
  }

  /** The next block. @param late milliseconds more: makes another block of the same inputs */
  make(txs: Tx[] = [], late = 0, round = 0): Made {
    const ctx = heightContext(this.head, this.genesis, this.hash);
    const builder = ctx.proposer(round);
    const { secret } = keys(`${nameOf((ctx.validators[builder] as Validator).address)}/vrf`);
    const inputs = {
      round,
      builder,
      vrfProof: vrfProve(secret, beaconAlpha(this.head.state.seed, ctx.height)),
      txs,
      learning: undefined,
      evidence: [],
      lastCommit: this.head.commit,
    };
    const { block, id, state, receipts } = deriveBlock(ctx, inputs, { from: "certificate", result: undefined });
    const commit = certificate(this.hash, ctx.validators, ctx.height, id, block.header.time + STEP_MS + late);
    this.head = { height: ctx.height, id, header: block.header, state, validators: ctx.validators, commit };
    this.accounts.state = state;
    const made = { certified: { block, commit }, receipts, head: this.head };
    this.blocks.push(made);
    return made;
  }

  grow(height: number): this {
    while (this.head.height < height) this.make();
    return this;
  }

  certified(height: number): CertifiedBlock | undefined {
    return this.blocks[height - 1]?.certified;
  }

  light(height: number): LightBlock {
    const { certified, head } = this.blocks[height - 1] as Made;
    return lightBlock(certified.block.header, certified.commit, validatorSet(head.state, this.genesis));
  }
}

/** Of `length` blocks; emil joins the four founders early, and dora leaves. */
export function changingChain(length: number): CertifiedChain {
  const chain = CertifiedChain.of();
  chain.make([chain.accounts.bond("emil", 500_000n), chain.accounts.transfer("anna", "fay", 5n)]);
  // Its keys count from height 4 on.
  chain.grow(5);
  chain.make([chain.accounts.tx("dora", { kind: "unbond", value: { amount: 1_000_000n } })]);
  return chain.grow(length);
}
