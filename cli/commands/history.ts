import type { Command } from "commander";
import type { RpcClient } from "../../node/rpc/client.ts";
import type { RecordJson, RecordPage, RecordSummary, Redaction, RedactionPage } from "../../node/rpc/recordtypes.ts";
import { examples } from "../examples.ts";
import type { Output } from "../output.ts";
import { hex } from "../parse.ts";
import { clientOf } from "./query.ts";

/** `pofl record list`, `history` and `requests`: what was asked, by whom, who objected, who approved; never what was erased. */

/** All requests, page by page; of one record, if it is given. */
async function requestsOf(client: RpcClient, record?: string): Promise<Redaction[]> {
  const all: Redaction[] = [];
  for (let from: number | null = 0; from !== null; ) {
    const page: RedactionPage = await client.call("redaction_list", { from, ...(record !== undefined && { record }) });
    all.push(...page.requests);
    from = page.next;
  }
  return all;
}

export function addHistory(group: Command): void {
  const list = group
    .command("list")
    .description("all records of the chain, without what they hold")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const all: RecordSummary[] = [];
      for (let from: number | null = 0; from !== null; ) {
        const page: RecordPage = await client.call("record_list", { from });
        all.push(...page.records);
        from = page.next;
      }
      out.result(all, () => {
        if (all.length === 0) return out.note("There are none.");
        out.table(
          ["record", "sender", "height", "state", "edits", "bytes"],
          all.map((r) => [r.id, r.sender, String(r.height), r.status, String(r.version), String(r.length)]),
        );
      });
    });
  examples(list, ["pofl record list", "ids, senders and states; bytes are of the padded payload"]);

  const history = group
    .command("history")
    .description("what was asked and done about a record, when, why and by whose approval; never what was erased")
    .argument("<ID>", "the record, or the transaction that made it", hex(32))
    .action(async (id: string, _: object, self: Command) => {
      const { client, out } = clientOf(self);
      const { payload: _payload, text: _text, ...record } = await client.call("record_get", { id });
      const requests = await requestsOf(client, record.id);
      out.result({ ...record, requests }, () => printHistory(out, record, requests));
    });
  examples(history, ["pofl record history 0x…", "edits, requests, objections and approvals"]);

  const requests = group
    .command("requests")
    .description("requests for redactions: of all records, and those that ended too")
    .option("--record <ID>", "of this record only", hex(32))
    .option("--open", "only those that can still be carried out")
    .action(async (flags: { record?: string; open?: boolean }, self: Command) => {
      const { client, out } = clientOf(self);
      const all = await requestsOf(client, flags.record);
      const list = flags.open ? all.filter((r) => r.status === "open") : all;
      out.result(list, () => {
        if (list.length === 0) out.note("There are none.");
        else
          out.table(
            ["request", "record", "reason", "asks for", "state", "from", "to", "against"],
            list.map((r) => [
              r.id,
              r.record,
              r.reason,
              r.erases ? "erasure" : "replacement",
              stateText(r),
              String(r.opensAt),
              String(r.lapsesAt),
              percent(r.objectionsPermille),
            ]),
          );
      });
    });
  examples(
    requests,
    ["pofl record requests --open", "what custodians have yet to do, and validators may still object to"],
    ["pofl record requests --record 0x…", "all of one record"],
  );
}

const percent = (permille: number) => `${(permille / 10).toFixed(1)} %`;
const stateText = ({ status, endedAt }: Redaction) => (endedAt === null ? status : `${status} at ${endedAt}`);

function printHistory(out: Output, record: Omit<RecordJson, "payload" | "text">, requests: readonly Redaction[]): void {
  const who = (address: string) =>
    address === record.sender ? "its sender" : address === record.subject ? "its subject" : `regulator ${address}`;
  out.line(`Record ${record.id}`);
  out.line(`height ${record.height}: made by ${record.sender}${record.subject ? `, about ${record.subject}` : ""}`);
  for (const r of requests) {
    out.line();
    out.line(`Request ${r.id}`);
    const asks = r.erases ? "erase it" : "replace it";
    out.line(`height ${r.askedAt}: ${who(r.requester)} asked to ${asks}, for ${r.reason}`);
    for (const { moniker, miner, permille } of r.objections) {
      out.line(`  ${moniker} (${miner}) objects, with ${percent(permille)} of the power now`);
    }
    if (r.status === "open") out.line(`open: can be carried out at heights ${r.opensAt} to ${r.lapsesAt}`);
    else out.line(`height ${r.endedAt}: ${endText(r)}`);
    for (const key of r.approvals) out.line(`  approved by custodian ${key}`);
  }
  out.line();
  const edits = `${record.version} edit${record.version === 1 ? "" : "s"}`;
  out.line(record.status === "erased" ? `Erased; ${edits}` : `${record.length} bytes, padded; ${edits}`);
}

function endText({ status, erases, version }: Redaction): string {
  switch (status) {
    case "executed":
      return `${erases ? "erased" : "replaced"}: version ${version + 1}`;
    case "stopped":
      return "stopped by validators";
    case "lapsed":
      return "lapsed: nobody carried it out in time";
    case "superseded":
      return "superseded by another edit";
    case "open":
      return "open";
  }
}
