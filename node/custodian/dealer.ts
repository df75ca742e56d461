import { dealSigning } from "../../crypto/custodian.ts";
import { commitmentsOf, type Dealing, dealingFrom, proveDealt, shareOf } from "../../crypto/dealing.ts";
import { envelopeKeys, sealShare } from "../../crypto/envelope.ts";
import type { CustodianDeal } from "../../types/ceremony.ts";
import type { SignedShare } from "../../types/custodian.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Ceremony } from "../../types/state.ts";
import { awaited, ceremonyStatus, dealerNumber, dealOf, makesKey } from "../../vm/ceremony.ts";
import type { State } from "../../vm/state.ts";
import type { CustodyDeps } from "./deps.ts";
import type { Joined } from "./holdings.ts";
import { currentShare } from "./office.ts";

/** What a custodian gives to a ceremony: its first round, and a share for each receiver. All of it follows from the seed in the vault. */

export type FirstRound = { readonly deal: CustodianDeal } | { readonly waits: string };

export class Dealer {
  readonly #deps: CustodyDeps;
  /** Sealing costs two products: peers may ask as often as they like. */
  readonly #sealed = new Map<string, SignedShare>();

  constructor(deps: CustodyDeps) {
    this.#deps = deps;
  }

  /** What it deals; undefined when it is none of those who do, or lacks its share of the key. @throws PoflError BAD_DEALING */
  dealing(
    { plan, seed, id }: Joined,
    state: State,
  ): { readonly dealing: Dealing; readonly dealer: number } | undefined {
    const { custodian, holdings } = this.#deps;
    const dealer = dealerNumber(state, plan, custodian.publicKey);
    if (dealer === undefined) return undefined;
    if (makesKey(plan)) return { dealing: dealingFrom(seed, id, plan.threshold), dealer };
    // The share of the generation before, or nothing: an envelope's key must never seal two shares.
    const held = currentShare(holdings, state, custodian.publicKey, plan.epoch);
    if (held?.generation !== plan.generation - 1) return undefined;
    return { dealing: dealingFrom(seed, id, plan.threshold, held.share), dealer };
  }

  /** This custodian's first round, or what it waits for before it takes part. */
  firstRound(joined: Joined, found: Readonly<Ceremony> | undefined, state: State): FirstRound {
    const { plan, id, seed } = joined;
    if (dealerNumber(state, plan, this.#deps.custodian.publicKey) === undefined) {
      if (!found) return { waits: "waits for a dealer to begin it" };
      return { deal: this.#signed(joined, [], new Uint8Array(0)) };
    }
    const mine = this.dealing(joined, state);
    if (!mine) return { waits: "can't deal: its share of the key is not here; leave it out of the next attempt" };
    const proof = makesKey(plan) ? proveDealt(mine.dealing, seed, id, mine.dealer) : new Uint8Array(0);
    return { deal: this.#signed(joined, commitmentsOf(mine.dealing), proof) };
  }

  #signed({ plan, seed, id }: Joined, commitments: Uint8Array[], proof: Uint8Array): CustodianDeal {
    const { genesisHash, custodian } = this.#deps;
    const envelopeKey = envelopeKeys(seed, id).publicKey;
    const body = { plan, custodian: custodian.publicKey, envelopeKey, commitments, proof };
    return { body, signature: dealSigning.sign(genesisHash, custodian.secret, body) };
  }

  /** This custodian's own share of what it deals itself; undefined when it does not. */
  ownShare(
    joined: Joined,
    state: State,
    place: number,
  ): { readonly dealer: number; readonly share: Uint8Array } | undefined {
    const mine = this.dealing(joined, state);
    return mine && { dealer: mine.dealer, share: shareOf(mine.dealing, place) };
  }

  /**
   * The share for a receiver, sealed; undefined when this custodian has not dealt there. Not before everyone has dealt: whoever knew
   * shares of others before it commits to its own could choose the sum.
   */
  sealedFor(ceremony: Hash, receiver: number): SignedShare | undefined {
    const { holdings, genesisHash, custodian } = this.#deps;
    const joined = holdings.ceremony(ceremony);
    const state = this.#deps.state();
    const found = state.find("ceremonies", ceremony)?.record;
    const receiverKey = joined?.plan.keys[receiver];
    if (!joined || !found || !receiverKey || ceremonyStatus(found) !== "open" || !isComplete(state, found))
      return undefined;
    const name = `${toHex(ceremony)}/${receiver}`;
    const known = this.#sealed.get(name);
    if (known) return known;
    const own = dealOf(found, custodian.publicKey);
    const received = dealOf(found, receiverKey);
    const mine = own && own.commitments.length > 0 ? this.dealing(joined, state) : undefined;
    if (!mine || !received) return undefined;
    const signed = sealShare({
      genesisHash,
      custodianSecret: custodian.secret,
      envelopeSecret: envelopeKeys(joined.seed, ceremony).secret,
      receiverKey: received.envelopeKey,
      ceremony,
      dealer: mine.dealer,
      receiver,
      share: shareOf(mine.dealing, receiver),
    });
    this.#sealed.set(name, signed);
    return signed;
  }

  /** The ceremony is over. */
  forget(ceremony: Hash): void {
    const prefix = toHex(ceremony);
    for (const name of this.#sealed.keys()) if (name.startsWith(prefix)) this.#sealed.delete(name);
  }
}

/** Whether nobody's first round is missing. */
export function isComplete(state: State, found: Readonly<Ceremony>): boolean {
  return awaited(state, found).length === 0;
}
