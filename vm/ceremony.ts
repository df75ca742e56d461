import { combineCommitments, weightsAtZero } from "../crypto/dealing.ts";
import type { Genesis } from "../genesis/genesis.ts";
import { CeremonyPlan, type KeyStatement } from "../types/ceremony.ts";
import { bytesEqual, fromHex, type Hash, toHex } from "../types/primitives.ts";
import { CEREMONY_STATUS, type Ceremony, type CeremonyStatus, type Deal, Deals } from "../types/state.ts";
import type { StateView } from "./view.ts";

/** What a ceremony amounts to, for the state machine that judges it and for the custodian's node that takes part. */

export function ceremonyStatus(ceremony: Readonly<Ceremony>): CeremonyStatus {
  return CEREMONY_STATUS[ceremony.status] as CeremonyStatus;
}

export function ceremonyId(plan: CeremonyPlan): Hash {
  return CeremonyPlan.hashTreeRoot(plan);
}

/** A plan makes a new key, or hands a key over. */
export function makesKey(plan: CeremonyPlan): boolean {
  return plan.generation === 0;
}

export const placeOf = (keys: readonly Hash[], key: Hash): number => keys.findIndex((k) => bytesEqual(k, key));

/**
 * Why the plan can't be carried out on this state; undefined when it can. A new key is made by the custodians in office (of genesis,
 * before the first), without those whom a failed ceremony has proven to cheat, where the plan leaves them out; a key is handed over by
 * the generation before.
 */
export function planFault(view: StateView, genesis: Genesis, plan: CeremonyPlan): string | undefined {
  const { epoch, generation, keys, threshold, dealers } = plan;
  // With a threshold of 1 every custodian would hold the key.
  if (threshold < 2 || threshold > keys.length) return `a threshold of ${threshold} for ${keys.length} custodians`;
  if (new Set(keys.map(toHex)).size !== keys.length) return "a custodian is named twice";
  const known = view.entry("epochs", epoch);
  if (!makesKey(plan)) {
    if (!known) return `there is no key of epoch ${epoch}`;
    if (generation !== known.generation + 1) {
      return `the key of epoch ${epoch} is in generation ${known.generation}, the next is not ${generation}`;
    }
    const ascending = dealers.every((d, i) => d < known.keys.length && (i === 0 || d > (dealers[i - 1] as number)));
    return ascending && dealers.length === known.threshold
      ? undefined
      : `it needs the places of ${known.threshold} of the ${known.keys.length} custodians as dealers, ascending`;
  }
  if (dealers.length > 0) return "everyone deals where a key is made: it names no dealers";
  const next = view.count("epochs");
  if (epoch !== next) return `the next epoch is ${next}, not ${epoch}`;
  const office = inOffice(view, genesis);
  if (threshold !== office.threshold) return `the threshold is ${office.threshold}, not ${threshold}`;
  const cheats = new Set<string>();
  for (let i = 0; i < view.count("ceremonies"); i++)
    cheats.add(toHex((view.entry("ceremonies", i) as Ceremony).culprit));
  const named = new Set(keys.map(toHex));
  const must = office.keys.filter((key) => named.has(toHex(key)) || !cheats.has(toHex(key)));
  const same = must.length === keys.length && must.every((key, i) => bytesEqual(key, keys[i] as Hash));
  return same ? undefined : "its custodians are not those in office, in their order";
}

/** Who makes the next key: the custodians of the latest epoch, before the first those of genesis. */
export function inOffice(view: StateView, genesis: Genesis): { keys: readonly Hash[]; threshold: number } {
  const latest = view.entry("epochs", view.count("epochs") - 1);
  if (latest) return latest;
  const { keys, threshold } = genesis.custodians;
  return { keys: keys.map((key) => fromHex(key, 32)), threshold };
}

/** Keys of those who deal, by their numbers as dealers: places in the plan, or among the custodians who hand their key over. */
export function dealerKeys(view: StateView, plan: CeremonyPlan): ReadonlyMap<number, Hash> {
  if (makesKey(plan)) return new Map(plan.keys.entries());
  const old = view.entry("epochs", plan.epoch)?.keys ?? [];
  return new Map(plan.dealers.flatMap((dealer) => (old[dealer] ? [[dealer, old[dealer]] as const] : [])));
}

/** The number of this custodian as a dealer; undefined if it does not deal. */
export function dealerNumber(view: StateView, plan: CeremonyPlan, custodian: Hash): number | undefined {
  for (const [dealer, key] of dealerKeys(view, plan)) if (bytesEqual(key, custodian)) return dealer;
  return undefined;
}

export type Dealer = { readonly dealer: number; readonly deal: Readonly<Deal> };

/** Those who dealt, by their numbers. As all that follows it is for open ceremonies: afterwards a key has other custodians. */
export function dealersOf(view: StateView, ceremony: Readonly<Ceremony>): Dealer[] {
  return [...dealerKeys(view, ceremony.plan)].flatMap(([dealer, key]) => {
    const deal = dealOf(ceremony, key);
    return deal ? [{ dealer, deal }] : [];
  });
}

export function dealOf(ceremony: Readonly<Ceremony>, custodian: Hash): Readonly<Deal> | undefined {
  return ceremony.deals.find((deal) => bytesEqual(deal.custodian, custodian));
}

/** Custodian keys of those who have a part in the ceremony and have not taken it yet. */
export function awaited(view: StateView, ceremony: Readonly<Ceremony>): Hash[] {
  const parts = new Map(
    [...dealerKeys(view, ceremony.plan).values(), ...ceremony.plan.keys].map((key) => [toHex(key), key]),
  );
  return [...parts.values()].filter((key) => !dealOf(ceremony, key));
}

/** Weights of the dealers' shares in a receiver's; undefined = one each. */
export function weightsOf(view: StateView, ceremony: Readonly<Ceremony>): bigint[] | undefined {
  return makesKey(ceremony.plan) ? undefined : weightsAtZero(dealersOf(view, ceremony).map(({ dealer }) => dealer));
}

/** Public polynomial of the new shares. @throws PoflError BAD_DEALING */
export function newCommitments(view: StateView, ceremony: Readonly<Ceremony>): Uint8Array[] {
  const dealt = dealersOf(view, ceremony).map(({ deal }) => deal.commitments);
  return combineCommitments(dealt, weightsOf(view, ceremony));
}

/** What everyone of the plan signs when nobody is awaited any more. @throws PoflError BAD_DEALING */
export function statementOf(view: StateView, ceremony: Readonly<Ceremony>): KeyStatement {
  return statementFor(ceremony, newCommitments(view, ceremony));
}

export function statementFor(ceremony: Readonly<Ceremony>, commitments: readonly Uint8Array[]): KeyStatement {
  return {
    ceremony: ceremony.id,
    publicKey: commitments[0] as Hash,
    transcript: Deals.hashTreeRoot([...ceremony.deals]),
  };
}
