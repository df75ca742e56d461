import type { FrostPublic, NonceCommitments } from "@noble/curves/abstract/frost.js";
import { chameleonOpens, elementOf } from "../../crypto/chameleon.ts";
import { approvalSigning, sessionAskSigning, sessionOfferSigning } from "../../crypto/custodian.ts";
import {
  custodians,
  frostPublic,
  frostSecret,
  NonceBox,
  redactionMessage,
  sessionId,
  signSignatureShare,
} from "../../crypto/threshold.ts";
import {
  SessionAsk,
  type SessionOffer,
  type SignedSessionAsk,
  type SignedSessionOffer,
  type SignedSignatureShare,
} from "../../types/custodian.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { KeyEpoch } from "../../types/state.ts";
import type { CustodyDeps } from "./deps.ts";
import { type Case, caseOf, currentShare } from "./office.ts";

/**
 * Signs for redactions that this custodian has approved. What is signed comes from its own final state; a coordinator says only with
 * whom. Nonces are in memory only and make one share; that a session is used is on the disk before its share leaves.
 */

/** Sessions whose nonces wait for a coordinator's list: more of one coordinator drive out its own. 64 custodians make MAX_NONCES. */
const MAX_OFFERS = 4;
/** Shares for one request that one coordinator may have until this node is started again: each is written to the disk. */
export const MAX_SESSIONS = 128;
/** Entries of the journal from which on those of requests that are over are left out when the node starts. */
export const COMPACT_ENTRIES = 4096;

type Pending = { readonly ask: SessionAsk; readonly offer: SignedSessionOffer };
export type PartQuestion = { readonly session: Hash; readonly offers: readonly SignedSessionOffer[] };

/** FROST's public view of a key as it is held now. @throws PoflError BAD_DEALING */
export function sharedOf(key: Readonly<KeyEpoch>): FrostPublic {
  return frostPublic(key.commitments, key.verifyingShares, key.threshold, key.keys.length);
}

/** The list that a session signs, ascending by custodian. */
export function nonceList(offers: readonly SignedSessionOffer[]): NonceCommitments[] {
  return offers.map(({ message: { custodian, hiding, binding } }) => ({
    identifier: custodians.Identifier.fromNumber(custodian + 1),
    hiding: new Uint8Array(hiding),
    binding: new Uint8Array(binding),
  }));
}

/** Whether the offer is this custodian's for the session. Signed or not, nonces that are no points would stop everybody. */
export function offerHolds(
  genesisHash: Hash,
  key: Readonly<KeyEpoch>,
  session: Hash,
  offer: SignedSessionOffer,
): boolean {
  const { message, signature } = offer;
  const by = key.keys[message.custodian];
  return (
    by !== undefined &&
    bytesEqual(message.session, session) &&
    sessionOfferSigning.verify(genesisHash, by, message, signature)
  );
}

export function noncesAreValid({ message }: SignedSessionOffer): boolean {
  return elementOf(message.hiding) !== undefined && elementOf(message.binding) !== undefined;
}

function refuse(why: string): never {
  throw new PoflError("SESSION_REFUSED", why);
}

export class Signer {
  readonly #deps: CustodyDeps;
  readonly #boxes = new Map<string, { readonly epoch: number; readonly generation: number; readonly box: NonceBox }>();
  readonly #pending = new Map<string, Pending>();
  /** Sessions led, by request and coordinator. */
  readonly #led = new Map<string, number>();
  /** Sessions that a share was made for, and its hiding nonces' commitments: a source of randomness may repeat itself after a restart. */
  readonly #used: Set<string>;

  constructor(deps: CustodyDeps) {
    this.#deps = deps;
    const { sessions } = deps;
    this.#used = new Set(
      sessions.entries.flatMap((entry) => [toHex(entry.subarray(32, 64)), toHex(entry.subarray(64))]),
    );
    if (sessions.entries.length <= COMPACT_ENTRIES) return;
    sessions.reset(sessions.entries.filter((entry) => this.#mayStillSign(entry.subarray(0, 32))));
  }

  #mayStillSign(request: Hash): boolean {
    try {
      caseOf(this.#deps, this.#deps.state(), request);
      return true;
    } catch (error) {
      return !isPoflError(error, "REQUEST_OVER");
    }
  }

  /** A request that this custodian has approved and may sign for now. @throws PoflError as caseOf, SESSION_REFUSED */
  #approved(request: Hash): Case {
    if (this.#deps.catchingUp()) refuse("this node is catching up");
    if (!this.#deps.holdings.consent(request)) refuse("it has not approved the request");
    return caseOf(this.#deps, this.#deps.state(), request);
  }

  /** One for each coordinator: whoever asks for many nonces drives out only its own. */
  #box({ key, record, place }: Case, coordinator: number): NonceBox {
    const name = `${record.epoch}-${key.generation}/${coordinator}`;
    const known = this.#boxes.get(name);
    if (known) return known.box;
    const { holdings, custodian } = this.#deps;
    const held = currentShare(holdings, this.#deps.state(), custodian.publicKey, record.epoch);
    if (!held) return refuse("its share of the key is not here");
    const box = new NonceBox(frostSecret(place, held.share), (bytes) => this.#deps.random(bytes));
    this.#boxes.set(name, { epoch: record.epoch, generation: key.generation, box });
    return box;
  }

  /** Nonce commitments for a session that a custodian in office leads. @throws PoflError SESSION_REFUSED, as caseOf */
  offer({ message: ask, signature }: SignedSessionAsk): SignedSessionOffer {
    const { genesisHash, custodian } = this.#deps;
    const found = this.#approved(ask.request);
    const leader = found.key.keys[ask.coordinator];
    if (ask.generation !== found.key.generation) refuse("the key is in the hands of other custodians");
    if (!leader || !sessionAskSigning.verify(genesisHash, leader, ask, signature))
      refuse("no custodian in office asks");
    const session = SessionAsk.hashTreeRoot(ask);
    const known = this.#pending.get(toHex(session));
    if (known) return known.offer;
    const box = this.#box(found, ask.coordinator);
    const { hiding, binding } = box.commit();
    const message: SessionOffer = { session, custodian: found.place, hiding, binding };
    const offer = { message, signature: sessionOfferSigning.sign(genesisHash, custodian.secret, message) };
    this.#makeRoom(ask);
    this.#pending.set(toHex(session), { ask, offer });
    return offer;
  }

  #count({ request, coordinator }: SessionAsk): void {
    const name = `${toHex(request)}/${coordinator}`;
    const led = (this.#led.get(name) ?? 0) + 1;
    if (led > MAX_SESSIONS) refuse(`custodian ${coordinator} has led ${MAX_SESSIONS} sessions for it already`);
    this.#led.set(name, led);
  }

  #makeRoom({ coordinator }: SessionAsk): void {
    const own = [...this.#pending].filter(([, { ask }]) => ask.coordinator === coordinator);
    for (const [name] of own.slice(0, Math.max(0, own.length - MAX_OFFERS + 1))) this.#pending.delete(name);
  }

  /**
   * This custodian's part of an opening: once per session, and not before the request's delay is over.
   * @throws PoflError SESSION_REFUSED, NONCE_USED, BAD_SESSION, as caseOf, disk errors
   */
  part({ session, offers }: PartQuestion): SignedSignatureShare {
    const { genesisHash, custodian, sessions } = this.#deps;
    const pending = this.#pending.get(toHex(session));
    if (!pending) return refuse("its nonces for this session have signed, or are forgotten");
    const { ask, offer } = pending;
    const found = this.#approved(ask.request);
    const { key, redaction } = found;
    if (ask.generation !== key.generation) refuse("the key is in the hands of other custodians");
    if (!found.due) refuse(`the request's delay is not over before height ${found.request.opensAt}`);
    if (offers.length < key.threshold) refuse(`${offers.length} custodians in the list, ${key.threshold} must sign`);
    let before = -1;
    for (const one of offers) {
      const at = one.message.custodian;
      if (at <= before) refuse("the list is not ascending");
      before = at;
      const holds = offerHolds(genesisHash, key, session, one) && noncesAreValid(one);
      if (!holds) refuse(`the nonce commitments of custodian ${at} are not its own for this session`);
      if (at === found.place && !sameOffer(one, offer)) refuse("these are not the nonces that it offered");
    }
    if (!offers.some((one) => one.message.custodian === found.place)) refuse("it is not in the list");

    this.#count(ask);
    const shared = sharedOf(key);
    const list = nonceList(offers);
    const message = redactionMessage(redaction);
    const id = sessionId(message, list, shared);
    // Whatever comes of it, neither these nonces nor this session sign again.
    this.#pending.delete(toHex(session));
    const { hiding } = offer.message;
    if (this.#used.has(toHex(id)) || this.#used.has(toHex(hiding))) refuse("this session, or its nonces, are used");
    this.#used.add(toHex(id)).add(toHex(hiding));
    sessions.append(Buffer.concat([ask.request, id, hiding]), { sync: true });
    return signSignatureShare(
      genesisHash,
      custodian.secret,
      this.#box(found, ask.coordinator).sign(shared, list, message),
    );
  }

  /** Its approval of an opening. @throws PoflError SESSION_REFUSED, as caseOf */
  approval({ request, r, s }: { readonly request: Hash; readonly r: Uint8Array; readonly s: Uint8Array }): {
    readonly custodian: number;
    readonly signature: Uint8Array;
  } {
    const { genesisHash, custodian } = this.#deps;
    const { redaction, place, due } = this.#approved(request);
    if (!due) refuse("the request's delay is not over");
    const { publicKey, label, digest, cm, version } = redaction;
    if (!chameleonOpens(publicKey, label, digest, { cm, version, r, s })) refuse("it does not open the digest");
    return { custodian: place, signature: approvalSigning.sign(genesisHash, custodian.secret, { request, cm, r, s }) };
  }

  /** Forgets shares of the key that its custodians of now don't use any more: they are gone from the vault too. */
  sweep(): void {
    const state = this.#deps.state();
    for (const [name, { epoch, generation }] of this.#boxes) {
      if (state.entry("epochs", epoch)?.generation !== generation) this.#boxes.delete(name);
    }
  }

  /** The request is over. */
  forget(request: Hash): void {
    for (const name of this.#led.keys()) if (name.startsWith(toHex(request))) this.#led.delete(name);
    for (const [name, { ask }] of this.#pending) if (bytesEqual(ask.request, request)) this.#pending.delete(name);
  }
}

function sameOffer({ message: a }: SignedSessionOffer, { message: b }: SignedSessionOffer): boolean {
  return bytesEqual(a.hiding, b.hiding) && bytesEqual(a.binding, b.binding);
}
