import { dealSigning, statementSigning } from "../crypto/custodian.ts";
import { commitmentsAreValid, provesDealt, verifyingSharesOf } from "../crypto/dealing.ts";
import { checkPublicKey } from "../crypto/ed25519.ts";
import { complaintHolds, envelopeKeyIsValid } from "../crypto/envelope.ts";
import type { CustodianComplain, CustodianDeal, CustodianRegister, DealBody } from "../types/ceremony.ts";
import { isPoflError } from "../types/errors.ts";
import { bytesEqual, type Hash, toHex, ZERO_HASH } from "../types/primitives.ts";
import { CEREMONY_STATUS, type Ceremony, type KeyEpoch } from "../types/state.ts";
import {
  awaited,
  ceremonyId,
  ceremonyStatus,
  dealerKeys,
  dealerNumber,
  dealOf,
  makesKey,
  newCommitments,
  placeOf,
  planFault,
  statementFor,
} from "./ceremony.ts";
import type { Draft } from "./draft.ts";
import { failTx } from "./failures.ts";
import type { TxContext } from "./params.ts";
import type { At, StateView } from "./view.ts";

/** The ceremonies by which custodians come to a key, or hand it over, as far as everybody must see them alike. */

/** @throws PoflError of TX_FAILURES */
export function deal(draft: Draft, { body, signature }: CustodianDeal, context: TxContext): void {
  const { genesis, genesisHash, height } = context;
  const { plan, custodian, commitments } = body;
  const refuse = (why: string) => failTx("TX_BAD_DEAL", `custodian-deal: ${why}`);
  const fault = planFault(draft, genesis, plan);
  if (fault !== undefined) failTx("TX_BAD_PLAN", `custodian-deal: ${fault}`);
  if (!plan.keys.every((key) => checkPublicKey(key))) failTx("TX_BAD_PLAN", "custodian-deal: a custodian key is bad");
  if (!dealSigning.verify(genesisHash, custodian, body, signature)) refuse("its custodian has not signed it");
  const id = ceremonyId(plan);
  const known = draft.find("ceremonies", id);
  if (known && ceremonyStatus(known.record) !== "open")
    failTx("TX_CEREMONY_OVER", "custodian-deal: the ceremony is over");
  if (known && dealOf(known.record, custodian)) failTx("TX_ALREADY_DEALT", "custodian-deal: it has dealt already");
  if (!envelopeKeyIsValid(body.envelopeKey)) refuse("its envelope key is no element of the group");

  const dealer = dealerNumber(draft, plan, custodian);
  if (dealer !== undefined) checkDealing(draft, body, id, dealer);
  else if (commitments.length > 0) refuse("its custodian is no dealer of the plan");
  else if (!known) failTx("TX_UNKNOWN_CEREMONY", "custodian-deal: a dealer must begin it");
  else if (placeOf(plan.keys, custodian) < 0) refuse("its custodian has no part in the ceremony");

  const entry = { custodian, envelopeKey: body.envelopeKey, commitments };
  if (known) draft.set("ceremonies", known.index, { ...known.record, deals: [...known.record.deals, entry] });
  else {
    const status = CEREMONY_STATUS.indexOf("open");
    draft.add("ceremonies", { id, plan, startedAt: height, status, endedAt: 0, deals: [entry], culprit: ZERO_HASH });
  }
}

function checkDealing(view: StateView, { plan, commitments, proof }: DealBody, id: Hash, dealer: number): void {
  const refuse = (why: string) => failTx("TX_BAD_DEAL", `custodian-deal: ${why}`);
  if (!commitmentsAreValid(commitments, plan.threshold)) refuse("its commitments are malformed");
  if (makesKey(plan)) {
    if (!provesDealt(commitments[0] as Hash, id, dealer, proof)) refuse("the secret that it deals is not known to it");
    return;
  }
  const share = view.entry("epochs", plan.epoch)?.verifyingShares[dealer];
  if (!share || !bytesEqual(share, commitments[0] as Hash)) refuse("it deals something else than its share");
  if (proof.length > 0) refuse("a proof has no place where a key is handed over");
}

/** Ends a ceremony by the proof that one of its dealers cheated, whom it names. @throws PoflError of TX_FAILURES */
export function complain(draft: Draft, complaint: CustodianComplain, { genesisHash, height }: TxContext): void {
  const { ceremony: id, dealer, receiver } = complaint.share.message;
  const { index, record: ceremony } = openCeremony(draft, "custodian-complain", id);
  const custodianKey = dealerKeys(draft, ceremony.plan).get(dealer);
  const receiverKey = ceremony.plan.keys[receiver];
  const dealt = custodianKey && dealOf(ceremony, custodianKey);
  const received = receiverKey && dealOf(ceremony, receiverKey);
  const proves =
    dealt &&
    received &&
    complaintHolds({
      genesisHash,
      custodianKey,
      dealerKey: dealt.envelopeKey,
      receiverKey: received.envelopeKey,
      commitments: dealt.commitments,
      complaint,
    });
  if (!proves) failTx("TX_BAD_COMPLAINT", "custodian-complain: it proves nothing against the dealer");
  end(draft, { index, record: ceremony }, "failed", height, custodianKey);
}

/** Puts the key of a ceremony on the chain. @throws PoflError of TX_FAILURES */
export function register(draft: Draft, tx: CustodianRegister, context: TxContext): void {
  const { ceremony, commitments } = outcome(draft, "custodian-register", tx, context, true);
  const { plan } = ceremony.record;
  draft.add("epochs", {
    publicKey: tx.publicKey,
    generation: 0,
    threshold: plan.threshold,
    keys: plan.keys,
    commitments,
    verifyingShares: verifyingSharesOf(commitments, plan.keys.length),
    transcript: tx.transcript,
    registeredAt: context.height,
    since: context.height,
  });
  end(draft, ceremony, "done", context.height);
}

/** Puts new custodians of a key in office; their shares are of the same key. @throws PoflError of TX_FAILURES */
export function rotate(draft: Draft, tx: CustodianRegister, context: TxContext): void {
  const { ceremony, commitments } = outcome(draft, "custodian-rotate", tx, context, false);
  const { plan } = ceremony.record;
  draft.set("epochs", plan.epoch, {
    ...(draft.entry("epochs", plan.epoch) as KeyEpoch),
    generation: plan.generation,
    threshold: plan.threshold,
    keys: plan.keys,
    commitments,
    verifyingShares: verifyingSharesOf(commitments, plan.keys.length),
    transcript: tx.transcript,
    since: context.height,
  });
  end(draft, ceremony, "done", context.height);
}

type Outcome = { readonly ceremony: At<Ceremony>; readonly commitments: Uint8Array[] };

function outcome(draft: Draft, kind: string, tx: CustodianRegister, context: TxContext, fresh: boolean): Outcome {
  const { genesis, genesisHash } = context;
  const ceremony = openCeremony(draft, kind, tx.ceremony);
  const { plan } = ceremony.record;
  const fault = planFault(draft, genesis, plan);
  if (fault !== undefined) failTx("TX_BAD_PLAN", `${kind}: ${fault}`);
  if (makesKey(plan) !== fresh) failTx("TX_BAD_PLAN", `${kind}: the ceremony is of the other kind`);
  const missing = awaited(draft, ceremony.record);
  if (missing.length > 0) failTx("TX_CEREMONY_INCOMPLETE", `${kind}: it waits for ${missing.map(toHex).join(", ")}`);
  // Signatures first: what follows costs a product per commitment.
  const said = { ceremony: tx.ceremony, publicKey: tx.publicKey, transcript: tx.transcript };
  const signed =
    tx.signatures.length === plan.keys.length &&
    plan.keys.every((key, i) => statementSigning.verify(genesisHash, key, said, tx.signatures[i] as Uint8Array));
  if (!signed) failTx("TX_BAD_STATEMENT", `${kind}: it needs the signature of every custodian of the plan`);
  try {
    const commitments = newCommitments(draft, ceremony.record);
    const { publicKey, transcript } = statementFor(ceremony.record, commitments);
    if (!bytesEqual(publicKey, tx.publicKey) || !bytesEqual(transcript, tx.transcript)) {
      failTx("TX_BAD_STATEMENT", `${kind}: the deals give the key ${toHex(publicKey)}`);
    }
    return { ceremony, commitments };
  } catch (error) {
    if (isPoflError(error, "BAD_DEALING")) failTx("TX_BAD_STATEMENT", `${kind}: ${error.message}`);
    throw error;
  }
}

function openCeremony(view: StateView, kind: string, id: Hash): At<Ceremony> {
  const found = view.find("ceremonies", id);
  if (!found) failTx("TX_UNKNOWN_CEREMONY", `${kind}: there is no ceremony ${toHex(id)}`);
  if (ceremonyStatus(found.record) !== "open") failTx("TX_CEREMONY_OVER", `${kind}: the ceremony is over`);
  return found;
}

function end(
  draft: Draft,
  { index, record }: At<Ceremony>,
  status: "done" | "failed",
  height: number,
  culprit = ZERO_HASH,
) {
  draft.set("ceremonies", index, { ...record, status: CEREMONY_STATUS.indexOf(status), endedAt: height, culprit });
}
