import { chameleonOpens } from "../../crypto/chameleon.ts";
import { sessionAskSigning } from "../../crypto/custodian.ts";
import {
  custodians,
  openingFrom,
  redactionMessage,
  sessionId,
  shareIsBad,
  verifySignatureShare,
} from "../../crypto/threshold.ts";
import type { Peer } from "../../p2p/types.ts";
import { SessionAsk, SignedSessionOffer, SignedSignatureShare } from "../../types/custodian.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { CustodyDeps } from "./deps.ts";
import type { Case } from "./office.ts";
import type { Peers } from "./peers.ts";
import { nonceList, noncesAreValid, offerHolds, type Signer, sharedOf } from "./signer.ts";

/**
 * Leads one redaction's sessions. Each session has as many signers as the threshold; one who fails is left out of the next: for good
 * when what it signed proves it, else only as long as others can do without it.
 */

export type Opening = { readonly r: Uint8Array; readonly s: Uint8Array };

/** `peer` is undefined for this node's own. */
type Offered = { readonly peer: Peer | undefined; readonly offer: SignedSessionOffer };

export class SessionLeader {
  readonly #deps: CustodyDeps;
  readonly #peers: Peers;
  readonly #signer: Signer;
  /** Custodian keys (hex) that are proven to have signed what is wrong. */
  readonly #bad = new Set<string>();
  readonly #silent = new Set<string>();

  constructor(deps: CustodyDeps, peers: Peers, signer: Signer) {
    this.#deps = deps;
    this.#peers = peers;
    this.#signer = signer;
  }

  /** Custodians left out of this redaction because of what they signed. */
  get bad(): readonly string[] {
    return [...this.#bad];
  }

  /** Sessions in which shares were asked for, and that failed. */
  failed = 0;

  /** The opening, or what it takes yet, in words. @throws PoflError as Signer.offer and Signer.part of this node's own part */
  async run(found: Case): Promise<Opening | string> {
    // Each session that fails leaves somebody out of the next ones of this run.
    const out = new Set<number>();
    for (;;) {
      const outcome = await this.#session(found, out);
      if (outcome !== undefined) return outcome;
      this.failed++;
    }
  }

  async #session(found: Case, out: Set<number>): Promise<Opening | string | undefined> {
    const { key } = found;
    const ask = {
      request: found.request.id,
      generation: key.generation,
      coordinator: found.place,
      nonce: this.#deps.random(32),
    };
    const session = SessionAsk.hashTreeRoot(ask);
    const offers = await this.#offers(found, ask, session);
    const chosen = this.#choose(found, offers, out);
    if (chosen.length < key.threshold) {
      const bad = this.#bad.size > 0 ? `; left out for a bad share: ${this.bad.join(", ")}` : "";
      return `waits for ${key.threshold - chosen.length} more custodians to be online${bad}`;
    }
    const question = { session, offers: chosen.map(({ offer }) => offer) };
    const parts = await Promise.all(
      chosen.map(({ peer }) =>
        peer === undefined
          ? this.#signer.part(question)
          : this.#peers.ask(peer, { kind: "part", value: question }, SignedSignatureShare),
      ),
    );
    const shared = sharedOf(key);
    const list = nonceList(question.offers);
    const message = redactionMessage(found.redaction);
    const id = sessionId(message, list, shared);
    const good = chosen.map(({ peer, offer }, i) =>
      this.#check(found, { peer, custodian: offer.message.custodian, signed: parts[i], id, list, message }),
    );
    if (!good.every(Boolean)) {
      chosen.forEach(({ offer }, i) => !good[i] && out.add(offer.message.custodian));
      return undefined;
    }
    const shares = Object.fromEntries(
      list.map(({ identifier }, i) => [identifier, (parts[i] as SignedSignatureShare).message.share]),
    );
    const opening = openingFrom(found.redaction, custodians.aggregate(shared, list, message, shares));
    const { publicKey, label, digest } = found.redaction;
    if (!chameleonOpens(publicKey, label, digest, opening)) {
      throw new PoflError("BAD_OPENING", "every share holds, but the opening does not open the digest");
    }
    return { r: opening.r, s: opening.s };
  }

  async #offers({ key }: Case, ask: SessionAsk, session: Hash): Promise<Map<number, Offered>> {
    const { genesisHash, custodian } = this.#deps;
    const signedAsk = { message: ask, signature: sessionAskSigning.sign(genesisHash, custodian.secret, ask) };
    const offers = new Map<number, Offered>();
    const own = this.#signer.offer(signedAsk);
    offers.set(own.message.custodian, { peer: undefined, offer: own });
    for (const { peer, value: offer } of await this.#peers.askAll(
      { kind: "session", value: signedAsk },
      SignedSessionOffer,
    )) {
      const at = offer.message.custodian;
      if (offers.has(at)) continue;
      if (!offerHolds(genesisHash, key, session, offer)) {
        this.#peers.bad(peer, "session", "nonce commitments that their custodian has not signed for this session");
      } else if (!noncesAreValid(offer))
        this.#name(key.keys[at] as Hash, peer, "signed nonce commitments that are none");
      else offers.set(at, { peer, offer });
    }
    return offers;
  }

  /** This node's own, then those that have not failed to answer; ascending. */
  #choose({ key, place }: Case, offers: ReadonlyMap<number, Offered>, out: ReadonlySet<number>): Offered[] {
    const nameAt = (at: number) => toHex(key.keys[at] as Hash);
    return [...offers.values()]
      .filter(({ offer: { message } }) => !out.has(message.custodian) && !this.#bad.has(nameAt(message.custodian)))
      .sort((a, b) => {
        const rank = ({ offer: { message } }: Offered) =>
          message.custodian === place ? -1 : this.#silent.has(nameAt(message.custodian)) ? 1 : 0;
        return rank(a) - rank(b) || a.offer.message.custodian - b.offer.message.custodian;
      })
      .slice(0, key.threshold)
      .sort((a, b) => a.offer.message.custodian - b.offer.message.custodian);
  }

  #check(
    { key }: Case,
    part: {
      readonly peer: Peer | undefined;
      readonly custodian: number;
      readonly signed: SignedSignatureShare | undefined;
      readonly id: Hash;
      readonly list: ReturnType<typeof nonceList>;
      readonly message: Uint8Array;
    },
  ): boolean {
    const { genesisHash } = this.#deps;
    const { peer, custodian, signed, id, list, message } = part;
    const custodianKey = key.keys[custodian] as Hash;
    const name = toHex(custodianKey);
    if (!signed) {
      this.#silent.add(name);
      this.#deps.log.info({ custodian: name }, "a custodian gave no share for a session; others are tried");
      return false;
    }
    if (shareIsBad({ genesisHash, custodianKey, shared: sharedOf(key), list, message, custodian, signed })) {
      // Of ours only a mistake of ours could be bad.
      if (peer === undefined) throw new PoflError("BAD_SHARE", "this node's own signature share does not hold");
      this.#name(custodianKey, peer, "signed a share that does not hold");
      return false;
    }
    const holds =
      signed.message.custodian === custodian &&
      bytesEqual(signed.message.session, id) &&
      verifySignatureShare(genesisHash, custodianKey, signed);
    if (holds) return true;
    this.#silent.add(name);
    if (peer !== undefined) this.#peers.bad(peer, "part", "it is no share of its custodian for this session");
    return false;
  }

  #name(key: Hash, peer: Peer, what: string): void {
    this.#bad.add(toHex(key));
    this.#peers.bad(peer, "part", `custodian ${toHex(key)} ${what}`);
  }
}
