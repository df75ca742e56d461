import type { Redaction } from "../../node/rpc/recordtypes.ts";
import { type Output, short } from "../output.ts";
import { ceremonyText } from "./follow.ts";
import type { Office } from "./plan.ts";
import type { Epoch, Request, Status } from "./status.ts";

/** What a person sees of custodians, ceremonies and requests. */

/** @param genesis who makes the first key */
export function printStatus(out: Output, status: Status, genesis: Office): void {
  const { custodian, epochs, ceremonies, requests } = status;
  out.line(`This node  ${custodian === null ? "is no custodian" : `is custodian ${custodian}`}`);
  const { keys, threshold } = epochs.at(-1) ?? genesis;
  if (keys.length === 0) {
    out.line("Custodians none: genesis names none, and this chain has no editable records");
    return;
  }
  const since = epochs.length === 0 ? ", by genesis: they have no key yet, see `pofl custodian dkg`" : "";
  out.line(`In office  ${threshold} of ${keys.length} make an edit${since}`);
  const named = [...new Set([...keys, ...epochs.flatMap((e) => e.keys)])];
  out.table(
    ["custodian", "number", "keys of epochs", ""],
    named.map((key) => [key, place(keys, key), held(epochs, key), key === custodian ? "this node" : ""]),
  );
  if (epochs.length > 0) {
    out.line();
    out.table(
      ["epoch", "public key", "generation", "custodians", "since", "share here"],
      epochs.map((e) => [
        String(e.epoch),
        e.publicKey,
        String(e.generation),
        `${e.threshold} of ${e.keys.length}`,
        String(e.since),
        e.share ? "yes" : "no",
      ]),
    );
  }
  const telling = ceremonies.filter((c) => c.status !== "done");
  if (telling.length > 0) {
    out.line();
    out.table(
      ["ceremony", "epoch", "generation", "attempt", "status", "how it stands"],
      telling.map((c) => [
        short(c.id),
        String(c.epoch),
        String(c.generation),
        String(c.attempt),
        c.status,
        c.status === "failed" ? `${c.culprit ?? "somebody"} dealt a bad share` : ceremonyText(c, c, custodian ?? ""),
      ]),
    );
  }
  if (requests.length === 0) return;
  out.line();
  out.table(
    ["request", "record", "reason", "does", "approvals", "here", "how it stands"],
    requests.map((r) => [
      r.id,
      short(r.record),
      r.reason,
      does(r),
      `${r.approvals} of ${r.threshold}`,
      r.approvedHere ? "approved" : "–",
      r.state,
    ]),
  );
}

function place(keys: readonly string[], key: string): string {
  const at = keys.indexOf(key);
  return at < 0 ? "–" : String(at);
}

function held(epochs: readonly Epoch[], key: string): string {
  const list = epochs.filter((e) => e.keys.includes(key)).map((e) => e.epoch);
  return list.length === 0 ? "–" : list.join(", ");
}

const does = ({ erases }: { erases: boolean }): string => (erases ? "erases" : "corrects");

/** What a custodian is asked to agree to, line by line. */
export function requestLines(request: Request, asked: Redaction, height: number): string[] {
  const { erases, threshold, approvals, opensAt, lapsesAt } = request;
  const wait = opensAt > height + 1 ? `, ${opensAt - height} blocks from now` : "";
  return [
    `Request     ${request.id}`,
    `Record      ${request.record}, under the key of epoch ${request.epoch}`,
    `Reason      ${request.reason}`,
    `Asked by    ${asked.requester} at height ${asked.askedAt}`,
    `Does        ${erases ? "erases the payload" : `replaces the payload: \`pofl record replacement ${request.id}\` shows by what`}`,
    `Delay       can be executed from height ${opensAt} to ${lapsesAt}${wait}`,
    `Objections  ${(asked.objectionsPermille / 10).toFixed(1)} % of the power`,
    `Approvals   ${approvals} of ${threshold}`,
  ];
}

export function approvalQuestion(request: Request, { requester }: Redaction): string {
  const what = request.erases ? "erasing" : "correcting";
  return `Approve ${what} record ${request.record} (${request.reason}, asked by ${requester})?`;
}
