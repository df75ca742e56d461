import { shareFits } from "../../crypto/dealing.ts";
import type { Redaction } from "../../crypto/threshold.ts";
import { PoflError } from "../../types/errors.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { KeyEpoch, RecordEntry, RequestEntry } from "../../types/state.ts";
import { placeOf } from "../../vm/ceremony.ts";
import { requestStatus } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import type { CustodyDeps } from "./deps.ts";
import type { HeldShare, Holdings } from "./holdings.ts";

/** What this custodian's own final state says of a key and of a request; nothing that another says comes in here. */

/** Custodian keys in words. */
export const named = (keys: readonly Uint8Array[]): string =>
  keys.length <= 3
    ? keys.map(toHex).join(", ")
    : `${keys.slice(0, 3).map(toHex).join(", ")} and ${keys.length - 3} more`;

/** The share of this epoch's key as its custodians hold it now. @param key custodian key */
export function currentShare(holdings: Holdings, state: State, key: Hash, epoch: number): HeldShare | undefined {
  const known = state.entry("epochs", epoch);
  if (!known) return undefined;
  const place = placeOf(known.keys, key);
  return holdings
    .shares()
    .find(
      (s) => s.epoch === epoch && s.generation === known.generation && shareFits(known.commitments, place, s.share),
    );
}

/** Shares that a newer generation, or another ceremony for theirs, has made useless. Only what is final counts: an old state names none. */
export function uselessShares(holdings: Holdings, state: State, key: Hash): HeldShare[] {
  return holdings.shares().filter((held) => {
    const known = state.entry("epochs", held.epoch);
    if (!known || known.generation < held.generation) return false;
    return currentShare(holdings, state, key, held.epoch) !== held;
  });
}

/** A request that this custodian may work on. */
export type Case = {
  readonly request: Readonly<RequestEntry>;
  readonly record: Readonly<RecordEntry>;
  readonly key: Readonly<KeyEpoch>;
  /** This custodian's, among those in office. */
  readonly place: number;
  readonly redaction: Redaction;
  /** Whether its delay is over for the next block. */
  readonly due: boolean;
};

/**
 * @throws PoflError NOT_FOUND, REQUEST_OVER (executed, stopped, lapsed, or another edit came first: nothing can ever come of it),
 * NOT_IN_OFFICE
 */
export function caseOf({ genesisHash, custodian }: CustodyDeps, state: State, id: Hash): Case {
  const request = state.find("requests", id)?.record;
  if (!request) {
    throw new PoflError("NOT_FOUND", `the final state of this node knows no request ${toHex(id)}`);
  }
  const over = (why: string) => new PoflError("REQUEST_OVER", `request ${toHex(id)}: ${why}`);
  const status = requestStatus(request);
  if (status === "executed") throw over(`it was executed at height ${request.endedAt}`);
  if (status === "stopped") throw over(`objections stopped it at height ${request.endedAt}`);
  const next = state.height + 1;
  if (next > request.lapsesAt) throw over(`it lapsed after height ${request.lapsesAt}; ask again`);
  const record = state.find("records", request.label)?.record as Readonly<RecordEntry>;
  if (record.version !== request.version) throw over("the record has been edited since; ask again");
  const key = state.entry("epochs", record.epoch) as Readonly<KeyEpoch>;
  const place = placeOf(key.keys, custodian.publicKey);
  if (place < 0) {
    throw new PoflError(
      "NOT_IN_OFFICE",
      `request ${toHex(id)}: this node's custodian is none of those in office for the key of epoch ${record.epoch}`,
    );
  }
  const redaction: Redaction = {
    genesis: genesisHash,
    epoch: record.epoch,
    publicKey: key.publicKey,
    label: record.label,
    version: record.version + 1,
    digest: record.digest,
    cm: request.cm,
    request: id,
  };
  return { request, record, key, place, redaction, due: next >= request.opensAt };
}
