import { verifyVote } from "../crypto/domain.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { PoflError } from "../types/errors.ts";
import { MAX_SLASHED_HEIGHTS } from "../types/limits.ts";
import { bytesEqual, type Hash, type Height, toHex } from "../types/primitives.ts";
import type { Miner } from "../types/state.ts";
import type { DoubleVote } from "../types/vote.ts";
import type { Draft } from "./draft.ts";
import { isSpare, jail } from "./jail.ts";
import { economyOf, permilleOf } from "./params.ts";
import { firstHeight } from "./validators.ts";
import type { At, StateView } from "./view.ts";

/**
 * Checks evidence for inclusion in the block at `height`, and names the culprit: two validly signed votes of one key for one (height,
 * round, type) and different blocks, within the evidence window, by a miner whose stake is still at risk, not yet punished for
 * that height.
 * @throws PoflError BAD_EVIDENCE
 */
export function checkEvidence(
  view: StateView,
  evidence: DoubleVote,
  genesis: Genesis,
  genesisHash: Hash,
  height: Height,
): At<Miner> {
  const refuse = (why: string): never => {
    throw new PoflError("BAD_EVIDENCE", `evidence against ${toHex(evidence.consensusKey)}: ${why}`);
  };
  const a = evidence.first.message;
  const b = evidence.second.message;
  if (a.height !== b.height || a.round !== b.round || a.type !== b.type) {
    refuse("the votes differ in height, round or type");
  }
  if (bytesEqual(a.blockId, b.blockId)) refuse("both votes are for the same block");
  if (a.height > height || height - a.height > genesis.consensus.evidenceWindow) {
    refuse(`height ${a.height} is not within ${genesis.consensus.evidenceWindow} heights before ${height}`);
  }
  const miner = view.bondedBy("consensusKey", evidence.consensusKey);
  if (!miner) return refuse("no miner with stake at risk has this key");
  if (a.height < firstHeight(miner.record, genesis)) refuse("the key did not count at that height");
  const punished = recentOffences(miner.record, genesis, height);
  if (punished.includes(a.height)) refuse(`height ${a.height} is punished already`);
  if (punished.length >= MAX_SLASHED_HEIGHTS) refuse(`${punished.length} heights are punished already`);
  for (const vote of [evidence.first, evidence.second]) {
    if (!verifyVote(genesisHash, evidence.consensusKey, vote)) refuse("a signature does not verify");
  }
  return miner;
}

/**
 * Punishes a double vote: burns a share of the stake, whether bonded or on its way out, jails, and takes the reputation. The last
 * validator is burned down to the minimum stake at most and stays, since a chain without validators helps nobody.
 * @throws PoflError BAD_EVIDENCE
 */
export function punish(draft: Draft, evidence: DoubleVote, genesis: Genesis, genesisHash: Hash, height: Height): void {
  const { index, record } = checkEvidence(draft, evidence, genesis, genesisHash, height);
  const { minimumStake } = economyOf(genesis);
  const spare = isSpare(draft, index, genesis, height);
  const permille = genesis.economy.slashDoubleSignPermille;
  const unbonding = record.unbonding - permilleOf(record.unbonding, permille);
  let stake = record.stake - permilleOf(record.stake, permille);
  if (!spare) {
    const floor = minimumStake > 1n ? minimumStake : 1n;
    if (stake < floor) stake = record.stake < floor ? record.stake : floor;
  }
  const offence = evidence.first.message.height;
  draft.setMiner(index, {
    ...record,
    stake,
    unbonding,
    reputation: 0,
    slashed: [...recentOffences(record, genesis, height), offence],
  });
  draft.setSingles({ burned: draft.singles.burned + (record.stake - stake) + (record.unbonding - unbonding) });
  if (spare) jail(draft, index, genesis, height);
}

/** Heights punished that new evidence could still name. */
function recentOffences(miner: Readonly<Miner>, genesis: Genesis, height: Height): Height[] {
  return miner.slashed.filter((h) => height - h <= genesis.consensus.evidenceWindow);
}
