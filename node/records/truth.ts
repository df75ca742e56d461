import { bytesEqual, type Hash } from "../../types/primitives.ts";
import type { RequestEntry } from "../../types/state.ts";
import type { Tx } from "../../types/tx.ts";
import { typedPayload } from "../../types/tx.ts";
import { type Beside, requestStatus } from "../../vm/records.ts";
import type { StateView } from "../../vm/view.ts";
import type { Edit, Place } from "./files.ts";

/** What a final state says of payloads: which must be here, which may, and which must be gone. */

/** Undefined: the state knows no such id. "nothing": it does, and nothing may lie under it any more. */
export type Claim = Beside | "nothing" | undefined;

export function claimOf(state: StateView, id: Hash): Claim {
  const record = state.find("records", id)?.record;
  if (record) return record.length === 0 ? "nothing" : { id, cm: record.cm, length: record.length };
  const request = state.find("requests", id)?.record;
  if (!request) return undefined;
  return isLive(state, request) && request.length > 0 ? { id, cm: request.cm, length: request.length } : "nothing";
}

/** It can still be executed: then its replacement is needed. */
function isLive(state: StateView, request: Readonly<RequestEntry>): boolean {
  const record = state.find("records", request.label)?.record;
  const inTime = state.singles.height < request.lapsesAt;
  return requestStatus(request) === "open" && inTime && record?.version === request.version;
}

/** Whether a payload may lie here. One under an id that the state does not know may be of a block that is being voted on. */
export function mayLie(state: StateView, { id, cm }: Place): boolean {
  const claim = claimOf(state, id);
  return claim === undefined || (claim !== "nothing" && bytesEqual(claim.cm, cm));
}

/** Where a record's payload lies that came by an edit and has not been moved yet: under the request. */
export function movedFrom(state: StateView, { id, cm }: Place): Place | undefined {
  const last = state.find("records", id)?.record.edits.at(-1);
  const request = last === undefined ? undefined : state.entry("requests", last);
  return request && bytesEqual(request.cm, cm) ? { id: request.id, cm } : undefined;
}

/**
 * What must happen to these files, so that what is left is what the state says.
 * @param held whether there is a file
 * @param staged whether a file under an id that the state does not know is to be kept
 */
export function editFor(
  state: StateView,
  places: Iterable<Place>,
  held: (place: Place) => boolean,
  staged: (place: Place) => boolean,
): Edit {
  const moves: { from: Place; to: Place }[] = [];
  const removals: Place[] = [];
  for (const place of places) {
    const claim = claimOf(state, place.id);
    if (claim === undefined ? staged(place) : mayLie(state, place)) continue;
    const to = replaced(state, place);
    if (to && !held(to)) moves.push({ from: place, to });
    else removals.push(place);
  }
  return { moves, removals };
}

/** Where the payload of an executed request belongs, if it is what its record holds now. */
function replaced(state: StateView, { id, cm }: Place): Place | undefined {
  const request = state.find("requests", id)?.record;
  if (!request || requestStatus(request) !== "executed") return undefined;
  const claim = claimOf(state, request.label);
  const current = claim !== undefined && claim !== "nothing" && bytesEqual(claim.cm, cm);
  return current ? { id: request.label, cm } : undefined;
}

/** Everything that the state wants to be here. */
export function* wantedBy(state: StateView): Generator<Beside> {
  for (const [list, key] of [
    ["records", "label"],
    ["requests", "id"],
  ] as const) {
    for (let i = 0; i < state.count(list); i++) {
      const entry = state.entry(list, i) as Readonly<Record<typeof key, Hash>>;
      const claim = claimOf(state, entry[key]);
      if (claim && claim !== "nothing") yield claim;
    }
  }
}

/** The records that these transactions edited, on the state after them. */
export function editedBy(state: StateView, txs: readonly Tx[]): Hash[] {
  return txs.flatMap(({ body }) => {
    const payload = typedPayload(body.payload);
    if (payload.kind !== "redact-execute") return [];
    const request = state.find("requests", payload.value.request)?.record;
    return request && requestStatus(request) === "executed" ? [request.label] : [];
  });
}
