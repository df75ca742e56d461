import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { chameleonDigest, scalarBytes } from "../../crypto/chameleon.ts";
import { recordCommitment, recordLabel } from "../../crypto/record.ts";
import { PoflError } from "../../types/errors.ts";
import { ADDRESS_BYTES, fromHex, toHex } from "../../types/primitives.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { hex } from "../parse.ts";
import { givenPayload, type PayloadFlags, payloadOptions, sealPayload } from "../payload.ts";
import { type At, common, type Flags, type Made, send } from "../sending.ts";

/** `pofl record put`, and by the name of its transaction `pofl tx record`. */

export function addPut(group: Command, name: "put" | "record"): void {
  const typed = `pofl ${group.name()} ${name}`;
  const put = payloadOptions(
    common(group.command(name).description("put a record on the chain; prints its id")),
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
    [`${typed} --file consent.txt --subject 0x… --from lab`, "its sender and its subject may ask for its erasure"],
    [`gzip -c trial.log | ${typed} --file - --from lab`, "from stdin; any bytes"],
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
