import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { chameleonDigest, scalarBytes } from "../../crypto/chameleon.ts";
import { recordCommitment, recordLabel } from "../../crypto/record.ts";
import { writeNew } from "../../node/home.ts";
import type { PayloadJson, RecordJson } from "../../node/rpc/recordtypes.ts";
import { PoflError } from "../../types/errors.ts";
import { ADDRESS_BYTES, fromHex, toHex } from "../../types/primitives.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import type { Output } from "../output.ts";
import { hex } from "../parse.ts";
import { givenPayload, isPlainText, type PayloadFlags, payloadOptions, sealPayload } from "../payload.ts";
import { type At, common, type Flags, type Made, send } from "../sending.ts";
import { addAudit } from "./audit.ts";
import { addHistory } from "./history.ts";
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
      await get(id, undefined, self);
    });
  examples(
    group,
    ["pofl record put --file consent.pdf --from lab", "prints the record's id"],
    ["pofl record 0x…", "what it holds, or why it was erased"],
    ["pofl record requests", "who asked for which redaction, and where that stands"],
  );
  addPut(group);
  addGet(group);
  addReplacement(group);
  addHistory(group);
  addAudit(group);
}

function addPut(group: Command): void {
  const put = payloadOptions(
    common(group.command("put").description("put a record on the chain; prints its id")),
    "what it holds, up to 256 KiB",
  )
    .option("--subject <ADDR>", "account of whom it is about, who may then ask for its erasure", hex(ADDRESS_BYTES))
    .action((flags: Flags & PayloadFlags & { subject?: string }, self: Command) =>
      send(self, flags, async (at) => {
        const payload = await givenPayload(flags);
        if (!payload) throw usage("give --file F, --file - for stdin, or --text T");
        return newRecord(at, payload, flags.subject);
      }),
    );
  examples(
    put,
    [
      "pofl record put --file consent.txt --subject 0x… --from lab",
      "its sender and its subject may ask for its erasure",
    ],
    ["gzip -c trial.log | pofl record put --file - --from lab", "from stdin; any bytes"],
  );
  put.addHelpText(
    "after",
    "\nEvery node of the network keeps a copy beside the chain, until the record is erased: encrypt what they must not read. The salt that\n" +
      "hides what was erased is made here and goes to the node; this command writes neither it nor the payload to a disk. A file that\n" +
      "you give stays where it is, and is yours to delete when the record is erased.",
  );
}

/** @throws PoflError TX_NO_CUSTODIANS */
async function newRecord(at: At, payload: Uint8Array, subject: string | undefined): Promise<Made> {
  const sidecar = sealPayload(payload);
  const key = (await at.client.call("custodian_status")).epochs.at(-1);
  if (!key) {
    throw new PoflError(
      "TX_NO_CUSTODIANS",
      "the custodians of this chain have not made their key yet, without which no record can be made; they do it by `pofl custodian dkg`",
    );
  }
  const label = recordLabel(at.genesisHash, at.sender, at.nonce);
  const opening = { cm: recordCommitment(sidecar), version: 0, r: randomScalar(), s: randomScalar() };
  const digest = chameleonDigest(fromHex(key.publicKey, 32), label, opening);
  if (!digest) throw new Error("a random scalar is canonical");
  const value = {
    epoch: key.epoch,
    digest,
    cm: opening.cm,
    r: opening.r,
    s: opening.s,
    length: sidecar.body.length,
    subject: subject === undefined ? new Uint8Array(ADDRESS_BYTES) : fromHex(subject, ADDRESS_BYTES),
  };
  return { payload: { kind: "record", value }, sidecar, makes: ["record", toHex(label)] };
}

/** 512 random bits modulo the group's order: uniform but for 2^-259. */
function randomScalar(): Uint8Array {
  return scalarBytes(BigInt(toHex(randomBytes(64))));
}

function addGet(group: Command): void {
  const command = group
    .command("get")
    .description("what a record holds now, or why it was erased")
    .argument("<ID>", "the record, or the transaction that made it: 0x and 64 hexadecimal digits", hex(32))
    .option("--out <F>", "write the payload to this file, which must not exist yet")
    .action((id: string, flags: { out?: string }, self: Command) => get(id, flags.out, self));
  examples(
    command,
    ["pofl record get 0x…", "prints it; a terminal gets text only"],
    ["pofl record get 0x… --out consent.pdf", "its bytes, as they were put"],
  );
}

async function get(id: string, file: string | undefined, self: Command): Promise<void> {
  const { client, out } = clientOf(self);
  const record = await client.call("record_get", { id });
  if (record.status === "erased") return out.result(record, () => out.line(erasedText(record)));
  show(self, record, file);
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
