import type { Genesis } from "../genesis/genesis.ts";
import { PoflError } from "../types/errors.ts";
import { type Evidence, offenceOf } from "../types/evidence.ts";
import { MAX_SLASHED_HEIGHTS } from "../types/limits.ts";
import { type Hash, type Height, toHex } from "../types/primitives.ts";
import type { Miner } from "../types/state.ts";
import type { Draft } from "./draft.ts";
import { isSpare, jail } from "./jail.ts";
import { checkOffence, offenceHeight } from "./offences.ts";
import { economyOf, permilleOf } from "./params.ts";
import { firstHeight } from "./validators.ts";
import type { At, StateView } from "./view.ts";

/**
 * The miner that evidence would cost its stake in the block at `height`: the offence lies within the evidence window, its key counted
 * then and its stake is still at risk, and it was not punished for that height yet. Says nothing about the messages themselves.
 * @throws PoflError USELESS_EVIDENCE
 */
export function culpritOf(view: StateView, evidence: Evidence, genesis: Genesis, height: Height): At<Miner> {
  const refuse = (why: string): never => {
    throw new PoflError("USELESS_EVIDENCE", `evidence against ${toHex(evidence.consensusKey)}: ${why}`);
  };
  const at = offenceHeight(offenceOf(evidence));
  if (at > height || height - at > genesis.consensus.evidenceWindow) {
    refuse(`height ${at} is not within ${genesis.consensus.evidenceWindow} heights before ${height}`);
  }
  const miner = view.bondedBy("consensusKey", evidence.consensusKey);
  if (!miner) return refuse("no miner with stake at risk has this key");
  if (at < firstHeight(miner.record, genesis)) refuse("the key did not count at that height");
  const punished = recentOffences(miner.record, genesis, height);
  // Once for each height, whatever was signed there: a key in two machines offends in every kind at once.
  if (punished.includes(at)) refuse(`height ${at} is punished already`);
  if (punished.length >= MAX_SLASHED_HEIGHTS) refuse(`${punished.length} heights are punished already`);
  return miner;
}

/**
 * Punishes an offence: burns a share of the stake, whether bonded or on its way out, jails, and takes the reputation. The last
 * validator is burned down to the minimum stake at most and stays, since a chain without validators helps nobody.
 * @throws PoflError BAD_EVIDENCE, USELESS_EVIDENCE
 */
export function punish(draft: Draft, evidence: Evidence, genesis: Genesis, genesisHash: Hash, height: Height): void {
  const { index, record } = culpritOf(draft, evidence, genesis, height);
  const offence = checkOffence(evidence, genesisHash);
  const { minimumStake } = economyOf(genesis);
  const spare = isSpare(draft, index, genesis, height);
  const permille = genesis.economy.slashDoubleSignPermille;
  const unbonding = record.unbonding - permilleOf(record.unbonding, permille);
  let stake = record.stake - permilleOf(record.stake, permille);
  if (!spare) {
    const floor = minimumStake > 1n ? minimumStake : 1n;
    if (stake < floor) stake = record.stake < floor ? record.stake : floor;
  }
  draft.setMiner(index, {
    ...record,
    stake,
    unbonding,
    reputation: 0,
    slashed: [...recentOffences(record, genesis, height), offenceHeight(offence)],
  });
  draft.setSingles({ burned: draft.singles.burned + (record.stake - stake) + (record.unbonding - unbonding) });
  if (spare) jail(draft, index, genesis, height);
}

/** Heights punished that new evidence could still name. */
function recentOffences(miner: Readonly<Miner>, genesis: Genesis, height: Height): Height[] {
  return miner.slashed.filter((h) => height - h <= genesis.consensus.evidenceWindow);
}
