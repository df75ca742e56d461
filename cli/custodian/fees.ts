import type { ChainParams } from "../../node/rpc/types.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { Tx, type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { encodablePlan, type Plan, planId } from "./plan.ts";

/** What a custodian's node pays from its own account: whoever sends a transaction pays for its bytes. */

type Fees = ChainParams["economy"]["fees"];

/** Of transactions of these payloads: only their lengths count. */
function feeOf({ base, perByte }: Fees, payloads: readonly TypedPayload[]): bigint {
  const sizes = payloads.map((payload) => {
    const body = { sender: new Uint8Array(20), nonce: 0, fee: 0n, expires: 0, payload: untypedPayload(payload) };
    return Tx.serialize({ body, publicKey: ZERO_HASH, signature: new Uint8Array(64) }).length;
  });
  return sizes.reduce((sum, size) => sum + BigInt(base) + BigInt(perByte) * BigInt(size), 0n);
}

/** Of a deal and of the outcome, which any of the custodians may be the one to send; smallest unit. */
export function ceremonyFee(fees: Fees, plan: Plan): bigint {
  const commitments = Array.from({ length: plan.threshold }, () => ZERO_HASH);
  const body = {
    plan: encodablePlan(plan),
    custodian: ZERO_HASH,
    envelopeKey: ZERO_HASH,
    commitments,
    proof: new Uint8Array(plan.generation === 0 ? 64 : 0),
  };
  const signatures = plan.keys.map(() => new Uint8Array(64));
  const outcome = { ceremony: planId(plan), publicKey: ZERO_HASH, transcript: ZERO_HASH, signatures };
  return feeOf(fees, [
    { kind: "custodian-deal", value: { body, signature: new Uint8Array(64) } },
    { kind: "custodian-register", value: outcome },
  ]);
}

/** Of the edit itself, with so many approvals; smallest unit. */
export function executionFee(fees: Fees, threshold: number): bigint {
  const approvals = Array.from({ length: threshold }, (_, custodian) => ({ custodian, signature: new Uint8Array(64) }));
  return feeOf(fees, [
    { kind: "redact-execute", value: { request: ZERO_HASH, r: ZERO_HASH, s: ZERO_HASH, approvals } },
  ]);
}
