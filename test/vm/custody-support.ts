import type { FrostPublic, FrostSecret } from "@noble/curves/abstract/frost.js";
import { chameleonDigest, scalarBytes } from "../../crypto/chameleon.ts";
import { approvalSigning, dealSigning, statementSigning } from "../../crypto/custodian.ts";
import { combineShares, commitmentsOf, dealingFrom, proveDealt, shareOf } from "../../crypto/dealing.ts";
import { txId } from "../../crypto/domain.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { envelopeKeys } from "../../crypto/envelope.ts";
import { erasedCommitment, padPayload, recordCommitment, recordLabel, type Sidecar } from "../../crypto/record.ts";
import { custodians, openingFrom, type Redaction, redactionMessage } from "../../crypto/threshold.ts";
import type { CeremonyPlan, CustodianDeal, CustodianRegister, DealBody } from "../../types/ceremony.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import { REDACTION_REASONS, type RecordTx, type RedactionReason, type RedactRequest } from "../../types/record.ts";
import { type Ceremony, Deals, type KeyEpoch, type RecordEntry, type RequestEntry } from "../../types/state.ts";
import type { Tx } from "../../types/tx.ts";
import { ceremonyId, dealersOf, makesKey, statementOf, weightsOf } from "../../vm/ceremony.ts";
import { State } from "../../vm/state.ts";
import { addressFor, Chain, type GenesisChange, genesisWith, keys, seedOf } from "./support.ts";

/** Custodians with known keys who make keys, records and edits on a test chain, each step as a transaction of its own. */

export const custodianOf = (n: number): KeyPair => keys(`custodian/${n}`);
export const REDACTION = { delay: 5, emergencyDelay: 2, window: 20 };

/** A chain that genesis gives `count` custodians and one regulator, gus. */
export function custodyChain(count = 5, threshold = 3, change: GenesisChange = {}): Chain {
  const genesis = genesisWith({
    task: undefined,
    regulators: [toHex(addressFor("gus"))],
    custodians: { keys: Array.from({ length: count }, (_, n) => toHex(custodianOf(n).publicKey)), threshold },
    ...change,
    consensus: { redaction: REDACTION, ...change.consensus },
  });
  return new Chain(genesis, State.genesis(genesis));
}

export type NewRecord = { readonly tx: Tx; readonly label: Hash; readonly sidecar: Sidecar; readonly value: RecordTx };
export type NewRequest = { readonly tx: Tx; readonly id: Hash; readonly sidecar: Sidecar | undefined };
type Opening = { readonly r: Uint8Array; readonly s: Uint8Array };

export class Custody {
  readonly chain: Chain;
  /** Shares by ceremony id and custodian key: what each vault would hold. */
  readonly shares = new Map<string, Uint8Array>();

  constructor(chain: Chain) {
    this.chain = chain;
  }

  /** The plan for the next key, or for handing over the key of `epoch` to the custodians with these numbers. */
  plan(change: Partial<CeremonyPlan> = {}): CeremonyPlan {
    const { keys: named, threshold } = this.chain.genesis.custodians;
    return {
      epoch: this.chain.state.count("epochs"),
      generation: 0,
      attempt: 0,
      keys: named.map((_, n) => custodianOf(n).publicKey),
      threshold,
      dealers: [],
      ...change,
    };
  }

  seed(plan: CeremonyPlan, n: number): Uint8Array {
    return seedOf(`ceremony/${toHex(ceremonyId(plan))}/${n}`);
  }

  dealing(plan: CeremonyPlan, n: number) {
    const share = makesKey(plan) ? undefined : this.shareOf(plan.epoch, n);
    return dealingFrom(this.seed(plan, n), ceremonyId(plan), plan.threshold, share);
  }

  /** What custodian n sends in a ceremony; `deals` false = it only receives. */
  deal(plan: CeremonyPlan, n: number, deals = true, change: Partial<DealBody> = {}): CustodianDeal {
    const seed = this.seed(plan, n);
    const id = ceremonyId(plan);
    const dealer = plan.keys.findIndex((key) => bytesEqual(key, custodianOf(n).publicKey));
    const body = {
      plan,
      custodian: custodianOf(n).publicKey,
      envelopeKey: envelopeKeys(seed, id).publicKey,
      commitments: deals ? commitmentsOf(this.dealing(plan, n)) : [],
      proof: deals && makesKey(plan) ? proveDealt(this.dealing(plan, n), seed, id, dealer) : new Uint8Array(0),
      ...change,
    };
    return { body, signature: dealSigning.sign(this.chain.hash, custodianOf(n).secret, body) };
  }

  dealTx(plan: CeremonyPlan, n: number, deals = true, change: Partial<DealBody> = {}): Tx {
    return this.chain.tx("emil", { kind: "custodian-deal", value: this.deal(plan, n, deals, change) });
  }

  ceremony(plan: CeremonyPlan): Readonly<Ceremony> {
    const found = this.chain.state.find("ceremonies", ceremonyId(plan));
    if (!found) throw new Error("there is no such ceremony");
    return found.record;
  }

  /** What everyone of the plan signs, and the shares that they hold then. */
  outcome(plan: CeremonyPlan, numbers: readonly number[]): CustodianRegister {
    const { state, hash } = this.chain;
    const ceremony = this.ceremony(plan);
    const dealers = dealersOf(state, ceremony).map(({ deal }) => this.#numberOf(deal.custodian));
    numbers.forEach((n, receiver) => {
      const got = dealers.map((dealer) => shareOf(this.dealing(plan, dealer), receiver));
      this.shares.set(this.#shareKey(ceremony.id, n), combineShares(got, weightsOf(state, ceremony)));
    });
    const said = statementOf(state, ceremony);
    return { ...said, signatures: numbers.map((n) => statementSigning.sign(hash, custodianOf(n).secret, said)) };
  }

  /** All of a key's making. */
  generate(): void {
    const plan = this.plan();
    const numbers = plan.keys.map((key) => this.#numberOf(key));
    for (const n of numbers) this.#done(this.dealTx(plan, n));
    this.#done(this.chain.tx("emil", { kind: "custodian-register", value: this.outcome(plan, numbers) }));
  }

  /** All of handing a key over, from those of the old custodians to new ones. */
  handOver(epoch: number, from: readonly number[], to: readonly number[], threshold: number): void {
    const generation = this.epoch(epoch).generation + 1;
    const old = this.epoch(epoch).keys;
    const dealers = from.map((n) => old.findIndex((key) => bytesEqual(key, custodianOf(n).publicKey)));
    const plan = this.plan({ epoch, generation, threshold, dealers, keys: to.map((n) => custodianOf(n).publicKey) });
    for (const n of from) this.#done(this.dealTx(plan, n));
    for (const n of to) if (!from.includes(n)) this.#done(this.dealTx(plan, n, false));
    this.#done(this.chain.tx("emil", { kind: "custodian-rotate", value: this.outcome(plan, to) }));
  }

  epoch(epoch: number): Readonly<KeyEpoch> {
    const found = this.chain.state.entry("epochs", epoch);
    if (!found) throw new Error(`there is no key of epoch ${epoch}`);
    return found;
  }

  /** A custodian's share of the key in its current generation. */
  shareOf(epoch: number, n: number): Uint8Array {
    const { transcript } = this.epoch(epoch);
    const { state } = this.chain;
    for (let i = 0; i < state.count("ceremonies"); i++) {
      const ceremony = state.entry("ceremonies", i) as Ceremony;
      const share = this.shares.get(this.#shareKey(ceremony.id, n));
      if (share && bytesEqual(Deals.hashTreeRoot([...ceremony.deals]), transcript)) return share;
    }
    throw new Error(`custodian ${n} has no share of epoch ${epoch}`);
  }

  // ---- records ----

  record(sender: string, text: string, change: Partial<RecordTx> = {}, nonce?: number): NewRecord {
    const { state, hash } = this.chain;
    const at = nonce ?? state.account(addressFor(sender))?.record.nonce ?? 0;
    const label = recordLabel(hash, addressFor(sender), at);
    const sidecar = { salt: seedOf(`salt/${sender}/${at}`), body: padPayload(new TextEncoder().encode(text)) };
    const epoch = state.count("epochs") - 1;
    const opening = { cm: recordCommitment(sidecar), version: 0, r: scalarBytes(5n), s: scalarBytes(BigInt(at + 7)) };
    const publicKey = state.entry("epochs", epoch)?.publicKey;
    const value = {
      epoch: Math.max(0, epoch),
      digest: publicKey ? (chameleonDigest(publicKey, label, opening) as Hash) : new Uint8Array(32),
      cm: opening.cm,
      r: opening.r,
      s: opening.s,
      length: sidecar.body.length,
      subject: new Uint8Array(20),
      ...change,
    };
    return { tx: this.chain.tx(sender, { kind: "record", value }, { nonce: at }), label, sidecar, value };
  }

  entry(label: Hash): Readonly<RecordEntry> {
    const found = this.chain.state.find("records", label);
    if (!found) throw new Error("there is no such record");
    return found.record;
  }

  asked(id: Hash): Readonly<RequestEntry> {
    const found = this.chain.state.find("requests", id);
    if (!found) throw new Error("there is no such request");
    return found.record;
  }

  /** @param text what comes in the payload's place; left out = it is erased */
  request(
    sender: string,
    label: Hash,
    reason: RedactionReason = "erasure",
    text?: string,
    change: Partial<RedactRequest> = {},
  ): NewRequest {
    const version = this.chain.state.find("records", label)?.record.version ?? 0;
    const sidecar =
      text === undefined
        ? undefined
        : { salt: seedOf(`salt/${text}`), body: padPayload(new TextEncoder().encode(text)) };
    const value = {
      label,
      version,
      reason: REDACTION_REASONS.indexOf(reason),
      cm: sidecar ? recordCommitment(sidecar) : erasedCommitment(label, version + 1),
      length: sidecar?.body.length ?? 0,
      ...change,
    };
    const tx = this.chain.tx(sender, { kind: "redact-request", value });
    return { tx, id: txId(tx.body), sidecar };
  }

  redaction(id: Hash): Redaction {
    const asked = this.asked(id);
    const { epoch, label, digest } = this.entry(asked.label);
    return {
      genesis: this.chain.hash,
      epoch,
      publicKey: this.epoch(epoch).publicKey,
      label,
      version: asked.version + 1,
      digest,
      cm: asked.cm,
      request: id,
    };
  }

  /** An opening by a session of these custodians. */
  open(redaction: Redaction, who: readonly number[]): Opening {
    const epoch = this.epoch(redaction.epoch);
    const idOf = (n: number) =>
      custodians.Identifier.fromNumber(1 + epoch.keys.findIndex((key) => bytesEqual(key, custodianOf(n).publicKey)));
    const shared: FrostPublic = {
      signers: { min: epoch.threshold, max: epoch.keys.length },
      commitments: [...epoch.commitments] as FrostPublic["commitments"],
      verifyingShares: Object.fromEntries(
        epoch.verifyingShares.map((share, i) => [custodians.Identifier.fromNumber(i + 1), share]),
      ) as FrostPublic["verifyingShares"],
    };
    const secrets = who.map(
      (n) => ({ identifier: idOf(n), signingShare: this.shareOf(redaction.epoch, n) }) as FrostSecret,
    );
    const nonces = secrets.map((secret) => custodians.commit(secret));
    const list = nonces.map((x) => x.commitments);
    const message = redactionMessage(redaction);
    const shares = Object.fromEntries(
      secrets.map((secret, i) => {
        const own = nonces[i]?.nonces;
        if (!own) throw new Error("no nonces");
        return [secret.identifier, custodians.signShare(secret, shared, own, list, message)];
      }),
    );
    const { r, s } = openingFrom(redaction, custodians.aggregate(shared, list, message, shares));
    return { r, s };
  }

  approvals(id: Hash, opening: Opening, who: readonly number[], epoch = 0) {
    const approval = { request: id, cm: this.asked(id).cm, r: opening.r, s: opening.s };
    return who.map((n) => ({
      custodian: this.epoch(epoch).keys.findIndex((key) => bytesEqual(key, custodianOf(n).publicKey)),
      signature: approvalSigning.sign(this.chain.hash, custodianOf(n).secret, approval),
    }));
  }

  /** A whole edit by these custodians. */
  executeTx(id: Hash, who: readonly number[] = [0, 1, 2]): Tx {
    const opening = this.open(this.redaction(id), who);
    const approvals = this.approvals(id, opening, who, this.redaction(id).epoch);
    return this.chain.tx("emil", { kind: "redact-execute", value: { request: id, ...opening, approvals } });
  }

  #numberOf(key: Hash): number {
    for (let n = 0; n < 64; n++) if (bytesEqual(custodianOf(n).publicKey, key)) return n;
    throw new Error("not a custodian of the tests");
  }

  #shareKey(ceremony: Hash, n: number): string {
    return `${toHex(ceremony)}/${n}`;
  }

  #done(tx: Tx): void {
    const [code] = this.chain.send(tx);
    if (code !== "") throw new Error(`a transaction failed: ${code}`);
  }
}

/** A chain whose five custodians have made a key of three. */
export function withKey(change: GenesisChange = {}): Custody {
  const custody = new Custody(custodyChain(5, 3, change));
  custody.generate();
  return custody;
}
