import type { Command } from "commander";
import type { Checkpoint } from "../../consensus/light/chain.ts";
import { writeNew } from "../../node/home.ts";
import type { PayloadJson, RecordJson } from "../../node/rpc/recordtypes.ts";
import { PoflError } from "../../types/errors.ts";
import { fromHex } from "../../types/primitives.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { orUnproven, proofOf, TRUST_HELP, trustOf, verifiedHeader } from "../light.ts";
import type { Output } from "../output.ts";
import { hex } from "../parse.ts";
import { isPlainText } from "../payload.ts";
import { addAudit } from "./audit.ts";
import { addHistory } from "./history.ts";
import { addPut } from "./put.ts";
import { clientOf } from "./query.ts";

/** `pofl record …`: records that can be erased or corrected, and what became of them. */

export function addRecord(program: Command): void {
  const group = program
    .command("record")
    .description(
      "a record that can be erased or corrected: its payload by its id, or (see below) put one, see what became of it",
    )
    .argument("[ID]", "as in `record get`", hex(32))
    .action(async (id: string | undefined, _: object, self: Command) => {
      if (id === undefined) return self.help({ error: true });
      await get(id, {}, self);
    });
  examples(
    group,
    ["pofl record put --file consent.pdf --from lab", "prints the record's id"],
    ["pofl record 0x…", "what it holds, or why it was erased"],
    ["pofl record requests", "who asked for which redaction, and where that stands"],
  );
  addPut(group, "put");
  addGet(group);
  addReplacement(group);
  addHistory(group);
  addAudit(group);
}

function addGet(group: Command): void {
  const command = group
    .command("get")
    .description("what a record holds now, or why it was erased")
    .argument("<ID>", "the record, or the transaction that made it: 0x and 64 hexadecimal digits", hex(32))
    .option("--out <F>", "write the payload to this file, which must not exist yet")
    .option("--prove", "verify what the chain says of it (not the payload) against headers that are verified here")
    .option("--trust <HEIGHT:HASH>", TRUST_HELP, trustOf)
    .action((id: string, flags: GetFlags, self: Command) => get(id, flags, self));
  examples(
    command,
    ["pofl record get 0x…", "prints it; a terminal gets text only"],
    ["pofl record get 0x… --out consent.pdf", "its bytes, as they were put"],
  );
}

type GetFlags = { readonly out?: string; readonly prove?: boolean; readonly trust?: Checkpoint };

async function get(id: string, { out: file, prove, trust }: GetFlags, self: Command): Promise<void> {
  const { client, out } = clientOf(self);
  if (trust && !prove) throw usage("--trust says what --prove verifies against: give both");
  const asked = client.call("record_get", { id });
  const record = await (prove ? orUnproven(asked) : asked);
  if (prove) await proveRecord(record, trust, self);
  if (record.status === "erased") return out.result(record, () => out.line(erasedText(record)));
  show(self, record, file);
}

/**
 * That the chain holds this record, edited or erased as the node says. Not that the payload is its: the salt that would tell is not given
 * out. Said on stderr, for stdout is the payload's. @throws PoflError BAD_PROOF
 */
async function proveRecord(record: RecordJson, trust: Checkpoint | undefined, self: Command): Promise<void> {
  const { client, out } = clientOf(self);
  const { header, verified } = await verifiedHeader(self, client, record.proof.height, trust);
  const { provenRecord } = await import("../../consensus/light/proof.ts");
  const entry = provenRecord(header, fromHex(record.id), proofOf(record.proof));
  const erased = entry.length === 0;
  if (erased !== (record.status === "erased") || entry.version !== record.version) {
    throw new PoflError("BAD_PROOF", `${record.id}: the node says another state than it proves; it lies, or is broken`);
  }
  const what = erased ? "erased" : `version ${entry.version}`;
  const payload = erased ? "" : " What it holds is the node's word.";
  out.note(`Proven: the chain has this record at height ${record.proof.height}, ${what}.${payload} ${verified.text}.`);
}

/** "erased at height 9 for erasure, request 0x…" */
function erasedText({ edits }: RecordJson): string {
  const last = edits.at(-1);
  return `erased at height ${last?.executedAt} for ${last?.reason}, request ${last?.request}`;
}

function addReplacement(group: Command): void {
  const command = group
    .command("replacement")
    .description("what an open request would put in the payload's place: to be read before it is approved")
    .argument("<REQUEST>", "id of the request, see `record requests`", hex(32))
    .option("--out <F>", "write it to this file, which must not exist yet")
    .action(async (id: string, flags: { out?: string }, self: Command) => {
      const { client, out } = clientOf(self);
      const request = await client.call("redaction_get", { id });
      if (request.status === "open" && !request.erases) return show(self, request, flags.out);
      const why = request.erases ? "it erases: nothing comes in the payload's place" : `it is ${request.status}`;
      out.result(request, () => out.line(why));
    });
  examples(command, ["pofl record replacement 0x…", "of a request for a correction"]);
}

type Shown = PayloadJson & { readonly id: string };

/** Prints a payload, or writes it to a file; with --json and no file, all that the node said. @throws PoflError of payloadOf and print */
function show(self: Command, found: Shown, file: string | undefined): void {
  const { out, globals } = contextOf(self);
  if (out.json && file === undefined) return out.result(found, () => {});
  const payload = fromHex(payloadOf(found, globals.rpc));
  if (file === undefined) return print(out, found, payload);
  writeNew(file, payload, 0o600);
  out.result({ id: found.id, file, bytes: payload.length }, () => out.line(`${payload.length} bytes in ${file}`));
}

/** @throws PoflError RECORD_NOT_HERE, BAD_RECORD */
function payloadOf({ id, payload, malformed }: Shown, url: string): string {
  if (payload !== null) return payload;
  if (malformed) {
    throw new PoflError("BAD_RECORD", `${id}: its sender did not pad it as it must be: no payload can be told from it`);
  }
  throw new PoflError(
    "RECORD_NOT_HERE",
    `${id} is on the chain, but the node at ${url} does not have its payload yet, or is catching up; try again, or ask another with --rpc`,
  );
}

/** @throws PoflError BINARY_PAYLOAD */
function print(out: Output, { id, text }: Shown, payload: Uint8Array): void {
  const terminal = process.stdout.isTTY === true;
  if (terminal && !isPlainText(text)) {
    throw new PoflError(
      "BINARY_PAYLOAD",
      `${id}: ${payload.length} bytes that are no plain text; give --out F, or a pipe`,
    );
  }
  // As it is: what is piped on must be what was put.
  process.stdout.write(payload);
  if (terminal && !text?.endsWith("\n")) out.line();
}
