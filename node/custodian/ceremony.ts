import { consentSigning, statementSigning } from "../../crypto/custodian.ts";
import { combineShares, shareFits } from "../../crypto/dealing.ts";
import { type Complaint, complain, complaintHolds, envelopeKeys, openShare } from "../../crypto/envelope.ts";
import { type CeremonyPlan, CONSENT_CEREMONY } from "../../types/ceremony.ts";
import { SignedShare } from "../../types/custodian.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { Ceremony } from "../../types/state.ts";
import {
  awaited,
  ceremonyId,
  ceremonyStatus,
  type Dealer as DealerOf,
  dealerNumber,
  dealersOf,
  dealOf,
  makesKey,
  newCommitments,
  placeOf,
  planFault,
  statementOf,
  weightsOf,
} from "../../vm/ceremony.ts";
import type { State } from "../../vm/state.ts";
import { Dealer } from "./dealer.ts";
import { type CustodyDeps, STAGGER_BLOCKS } from "./deps.ts";
import { type HeldShare, type Joined, MAX_JOINED } from "./holdings.ts";
import { type PlacedSignature, Signatures } from "./messages.ts";
import { named, uselessShares } from "./office.ts";
import type { Peers } from "./peers.ts";
import type { Sender } from "./sender.ts";

/**
 * Takes part in ceremonies. Each step is decided anew from the final state and the vault, so that a node that was away, or is started
 * again, goes on where the ceremony is. Order: seed in the vault → first round on the chain → shares from the dealers → own share in the
 * vault → statement signed → outcome on the chain → seed deleted.
 */

/** What is known of a ceremony besides the vault; all of it can be had again. */
type Progress = {
  /** Opened shares by dealer. */
  readonly shares: Map<number, Uint8Array>;
  /** Signatures of the statement by place. */
  readonly statements: Map<number, Uint8Array>;
  complaint: Complaint | undefined;
  /** Height at which all statements were here. */
  readyAt: number | undefined;
  doing: string | null;
};

export class Ceremonies {
  readonly #deps: CustodyDeps;
  readonly #sender: Sender;
  readonly #peers: Peers;
  readonly dealer: Dealer;
  readonly #progress = new Map<string, Progress>();

  constructor(deps: CustodyDeps, sender: Sender, peers: Peers) {
    this.#deps = deps;
    this.#sender = sender;
    this.#peers = peers;
    this.dealer = new Dealer(deps);
  }

  /** @throws PoflError as CustodyView.join */
  join(plan: CeremonyPlan, signature: Uint8Array): Hash {
    const { genesis, genesisHash, custodian, holdings } = this.#deps;
    const id = ceremonyId(plan);
    if (!consentSigning.verify(genesisHash, custodian.publicKey, { what: CONSENT_CEREMONY, id }, signature)) {
      throw new PoflError("BAD_CONSENT", "the plan is not signed with the custodian key of this node");
    }
    const state = this.#deps.state();
    const found = state.find("ceremonies", id)?.record;
    if (found && ceremonyStatus(found) !== "open") {
      throw new PoflError("CEREMONY_OVER", `the ceremony ${toHex(id)} is over; begin another attempt`);
    }
    if (holdings.ceremony(id)) return id;
    const fault = planFault(state, genesis, plan);
    if (fault !== undefined) throw new PoflError("BAD_PLAN", `the plan can't be carried out: ${fault}`);
    const deals = dealerNumber(state, plan, custodian.publicKey) !== undefined;
    if (!deals && placeOf(plan.keys, custodian.publicKey) < 0) {
      throw new PoflError("NOT_IN_PLAN", "this node's custodian has no part in the ceremony");
    }
    if (holdings.joined().length >= MAX_JOINED) {
      throw new PoflError("TOO_MANY_CEREMONIES", `this node takes part in ${MAX_JOINED} ceremonies, which is the most`);
    }
    return holdings.join(plan, this.#deps.random(32)).id;
  }

  doing(ceremony: Hash): string | null {
    return this.#progress.get(toHex(ceremony))?.doing ?? null;
  }

  /** One step of each ceremony, as far as it can go now; then shares that can be of no use any more are deleted. */
  async step(): Promise<void> {
    for (const joined of this.#deps.holdings.joined()) {
      const progress = this.#of(joined.id);
      try {
        progress.doing = await this.#advance(joined, progress);
      } catch (error) {
        progress.doing = `can't go on: ${errorText(error)}`;
        this.#deps.log.error(
          { ceremony: toHex(joined.id), code: isPoflError(error) ? error.code : "INTERNAL", err: error },
          progress.doing,
        );
      }
      if (!this.#deps.holdings.ceremony(joined.id)) this.#progress.delete(toHex(joined.id));
    }
    this.#sweep();
  }

  #of(id: Hash): Progress {
    const name = toHex(id);
    const known = this.#progress.get(name);
    if (known) return known;
    const fresh: Progress = {
      shares: new Map(),
      statements: new Map(),
      complaint: undefined,
      readyAt: undefined,
      doing: null,
    };
    this.#progress.set(name, fresh);
    return fresh;
  }

  async #advance(joined: Joined, progress: Progress): Promise<string> {
    const { custodian, genesis } = this.#deps;
    const { plan, id } = joined;
    const state = this.#deps.state();
    const found = state.find("ceremonies", id)?.record;
    const status = found && ceremonyStatus(found);
    if (found && (status === "done" || status === "failed")) return this.#over(joined, status);
    const known = state.entry("epochs", plan.epoch);
    if (known && known.generation >= plan.generation) return this.#over(joined, "overtaken by another");
    const own = found && dealOf(found, custodian.publicKey);
    if (!found || !own) {
      const fault = planFault(state, genesis, plan);
      if (fault !== undefined) return `can't begin: ${fault}`;
      const round = this.dealer.firstRound(joined, found, state);
      if ("waits" in round) return round.waits;
      const why = this.#sender.send(`deal ${toHex(id)}`, { kind: "custodian-deal", value: round.deal });
      return why === undefined ? "has sent its first round, waits for a block" : `can't send its first round: ${why}`;
    }
    if (!bytesEqual(own.envelopeKey, envelopeKeys(joined.seed, id).publicKey)) {
      return "can't go on: it has dealt with a seed that is not here any more; begin another attempt";
    }
    const missing = awaited(state, found);
    if (missing.length > 0) return `waits for the first round of ${named(missing)}`;
    const place = placeOf(plan.keys, custodian.publicKey);
    if (place < 0) return "has handed over its share, waits for the new custodians";
    const held = this.#deps.holdings.shareFrom(id) ?? (await this.#collect(joined, found, state, place, progress));
    return typeof held === "string" ? held : this.#conclude(found, state, place, progress);
  }

  #over(joined: Joined, how: string): string {
    const { holdings, log } = this.#deps;
    const held = holdings.shareFrom(joined.id);
    if (held && how === "failed") holdings.forget(held);
    holdings.leave(joined.id);
    this.dealer.forget(joined.id);
    for (const what of ["deal", "complain", "outcome"]) this.#sender.forget(`${what} ${toHex(joined.id)}`);
    log.info(
      { ceremony: toHex(joined.id), epoch: joined.plan.epoch, generation: joined.plan.generation },
      `the ceremony is over: ${how}`,
    );
    return how;
  }

  /** This custodian's share, once it is in the vault; else what it waits for. */
  async #collect(
    joined: Joined,
    found: Readonly<Ceremony>,
    state: State,
    place: number,
    progress: Progress,
  ): Promise<HeldShare | string> {
    const { plan, id } = joined;
    const dealers = dealersOf(state, found);
    const own = this.dealer.ownShare(joined, state, place);
    if (own && dealers.some((d) => d.dealer === own.dealer)) progress.shares.set(own.dealer, own.share);
    const missing = () => dealers.filter(({ dealer }) => !progress.shares.has(dealer));
    if (!progress.complaint && missing().length > 0) await this.#fetch(joined, dealers, place, progress);
    if (progress.complaint) return this.#complain(id, progress.complaint);
    if (missing().length > 0) return `waits for the share of ${named(missing().map(({ deal }) => deal.custodian))}`;

    const share = combineShares(
      dealers.map(({ dealer }) => progress.shares.get(dealer) as Uint8Array),
      weightsOf(state, found),
    );
    // Each fitted, so the sum fits: this catches a mistake of ours before others rely on it.
    if (!shareFits(newCommitments(state, found), place, share)) {
      throw new PoflError("BAD_DEALING", "the sum of the shares is not this custodian's share of the key");
    }
    const held = { ceremony: id, epoch: plan.epoch, generation: plan.generation, share };
    this.#deps.holdings.keep(held);
    progress.shares.clear();
    return held;
  }

  async #fetch(joined: Joined, dealers: readonly DealerOf[], place: number, progress: Progress): Promise<void> {
    const { genesisHash } = this.#deps;
    const { id, seed } = joined;
    const envelopeSecret = envelopeKeys(seed, id).secret;
    const question = { kind: "share", value: { ceremony: id, receiver: place } } as const;
    for (const { peer, value: signed } of await this.#peers.askAll(question, SignedShare)) {
      const { message } = signed;
      const from = dealers.find(({ dealer }) => dealer === message.dealer);
      if (!bytesEqual(message.ceremony, id) || message.receiver !== place || !from) {
        this.#peers.bad(peer, "share", "it is another share than the one asked for");
        continue;
      }
      if (progress.shares.has(message.dealer)) continue;
      const { custodian: custodianKey, envelopeKey: dealerKey, commitments } = from.deal;
      let share: Uint8Array | undefined;
      try {
        share = openShare({ genesisHash, custodianKey, envelopeSecret, dealerKey, signed });
      } catch (error) {
        if (!isPoflError(error, "BAD_ENVELOPE")) throw error;
        this.#peers.bad(peer, "share", error.message);
        continue;
      }
      if (share && shareFits(commitments, place, share)) progress.shares.set(message.dealer, share);
      else progress.complaint ??= complain({ envelopeSecret, dealerKey, signed, seed });
    }
  }

  #complain(id: Hash, complaint: Complaint): string {
    const { genesisHash, custodian } = this.#deps;
    const found = this.#deps.state().find("ceremonies", id)?.record as Readonly<Ceremony>;
    const { dealer } = complaint.share.message;
    const from = dealersOf(this.#deps.state(), found).find((d) => d.dealer === dealer)?.deal;
    const own = dealOf(found, custodian.publicKey);
    if (!from || !own) return "waits for a block";
    const { custodian: custodianKey, envelopeKey: dealerKey, commitments } = from;
    const receiverKey = own.envelopeKey;
    if (!complaintHolds({ genesisHash, custodianKey, dealerKey, receiverKey, commitments, complaint })) {
      throw new PoflError("BAD_COMPLAINT", `the share of ${toHex(custodianKey)} does not fit, but this can't be shown`);
    }
    const why = this.#sender.send(`complain ${toHex(id)}`, { kind: "custodian-complain", value: complaint });
    const says = `shows on the chain that ${toHex(custodianKey)} has dealt a bad share`;
    return why === undefined ? says : `${says}; not sent yet: ${why}`;
  }

  /** Signs the statement, collects the others' and puts the outcome on the chain. */
  async #conclude(found: Readonly<Ceremony>, state: State, place: number, progress: Progress): Promise<string> {
    const { genesisHash, custodian } = this.#deps;
    const { id, plan } = found;
    const said = statementOf(state, found);
    const { statements } = progress;
    statements.set(place, statementSigning.sign(genesisHash, custodian.secret, said));
    if (statements.size < plan.keys.length) {
      const answers = await this.#peers.askAll({ kind: "statements", value: { ceremony: id } }, Signatures);
      for (const { peer, value } of answers) {
        for (const { custodian: at, signature } of value) {
          const key = plan.keys[at];
          if (key && statements.has(at)) continue;
          if (!key || !statementSigning.verify(genesisHash, key, said, signature)) {
            this.#peers.bad(peer, "statements", "a signature of the key statement does not hold");
            break;
          }
          statements.set(at, signature);
        }
      }
    }
    const missing = plan.keys.filter((_, at) => !statements.has(at));
    if (missing.length > 0) return `waits for the statement of ${named(missing)}`;
    progress.readyAt ??= state.height;
    const turn = progress.readyAt + STAGGER_BLOCKS * place;
    if (state.height < turn) return `leaves the last transaction to others until height ${turn}`;
    const value = { ...said, signatures: plan.keys.map((_, at) => statements.get(at) as Uint8Array) };
    const kind = makesKey(plan) ? "custodian-register" : "custodian-rotate";
    const why = this.#sender.send(`outcome ${toHex(id)}`, { kind, value });
    return why === undefined ? "has sent the outcome, waits for a block" : `can't send the outcome: ${why}`;
  }

  /** Signatures of the statement that are known here, this custodian's own as soon as its share is in the vault. */
  statements(ceremony: Hash): PlacedSignature[] {
    const { holdings, custodian, genesisHash } = this.#deps;
    const state = this.#deps.state();
    const found = state.find("ceremonies", ceremony)?.record;
    if (!found || ceremonyStatus(found) !== "open" || !holdings.ceremony(ceremony)) return [];
    const known = new Map(this.#progress.get(toHex(ceremony))?.statements);
    const place = placeOf(found.plan.keys, custodian.publicKey);
    if (place >= 0 && !known.has(place) && holdings.shareFrom(ceremony)) {
      known.set(place, statementSigning.sign(genesisHash, custodian.secret, statementOf(state, found)));
    }
    return [...known].sort(([a], [b]) => a - b).map(([at, signature]) => ({ custodian: at, signature }));
  }

  #sweep(): void {
    const { holdings, custodian, log } = this.#deps;
    for (const held of uselessShares(holdings, this.#deps.state(), custodian.publicKey)) {
      holdings.forget(held);
      log.info({ epoch: held.epoch, generation: held.generation }, "deleted a share that is of no use any more");
    }
  }
}
