import { type Command, InvalidArgumentError } from "commander";
import { erasedCommitment, recordCommitment } from "../../crypto/record.ts";
import { MAX_CUSTODIANS } from "../../types/limits.ts";
import { fromHex } from "../../types/primitives.ts";
import { REDACTION_REASONS, type RedactionReason } from "../../types/record.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { hex } from "../parse.ts";
import { givenPayload, type PayloadFlags, payloadOptions, sealPayload } from "../payload.ts";
import { common, type Flags, send } from "../sending.ts";

/** `pofl tx redact-…`: asking for the redaction of a record, objecting to it, and carrying it out. */

function reasonOf(text: string): RedactionReason {
  const reason = REDACTION_REASONS.find((known) => known === text);
  if (!reason) throw new InvalidArgumentError(`Must be one of ${REDACTION_REASONS.join(", ")}.`);
  return reason;
}

type Approval = { custodian: number; signature: Uint8Array };

/** `N:HEX`, as often as there are approvals. */
function approval(text: string, before: Approval[] = []): Approval[] {
  const match = /^(\d{1,2}):(0x[0-9a-fA-F]{128})$/.exec(text);
  const custodian = Number(match?.[1]);
  if (!match || custodian >= MAX_CUSTODIANS) {
    throw new InvalidArgumentError("Must be N:SIGNATURE, the custodian's number from 0 and 64 bytes of hex.");
  }
  return [...before, { custodian, signature: fromHex(match[2] as string, 64) }];
}

export function addRedactions(group: Command): void {
  const request = payloadOptions(
    common(group.command("redact-request").description("ask that a record be erased, or replaced by something else")),
    "what comes in the payload's place; without it nothing does: the record is erased",
  )
    .argument("<ID>", "the record, or the transaction that made it", hex(32))
    .requiredOption("--reason <REASON>", `one of ${REDACTION_REASONS.join(", ")}`, reasonOf)
    .action((id: string, flags: Flags & PayloadFlags & { reason: RedactionReason }, self: Command) =>
      send(self, flags, async ({ client }) => {
        const payload = await givenPayload(flags);
        if (!payload && flags.reason === "correction")
          throw usage("a correction needs --file or --text; without it the record would be erased");
        const record = await client.call("record_get", { id });
        const label = fromHex(record.id, 32);
        const sidecar = payload && sealPayload(payload);
        const value = {
          label,
          version: record.version,
          reason: REDACTION_REASONS.indexOf(flags.reason),
          cm: sidecar ? recordCommitment(sidecar) : erasedCommitment(label, record.version + 1),
          length: sidecar?.body.length ?? 0,
        };
        return {
          payload: { kind: "redact-request", value },
          ...(sidecar && { sidecar }),
          makes: ["request", "its hash"],
        };
      }),
    );
  examples(
    request,
    ["pofl tx redact-request 0x… --reason erasure --from fay", "its sender, its subject or a regulator may ask"],
    ["pofl tx redact-request 0x… --reason correction --file right.txt", "put something else in its place"],
  );
  request.addHelpText(
    "after",
    "\nPrints the request's id. After the delay of genesis the custodians carry it out, unless validators object with more than two thirds\n" +
      "of the stake; `pofl record requests` shows where it stands. Only a regulator of genesis may give the reason emergency.",
  );

  const object = common(group.command("redact-object").description("object to a redaction, as a validator"))
    .argument("<REQUEST>", "id of the request", hex(32))
    .action((id: string, flags: Flags, self: Command) =>
      send(self, flags, async () => ({ payload: { kind: "redact-object", value: { request: fromHex(id, 32) } } })),
    );
  examples(object, ["pofl tx redact-object 0x…", "with more than two thirds of the stake against it, it is stopped"]);

  const execute = common(
    group.command("redact-execute").description("carry a redaction out; custodians' nodes do this by themselves"),
  )
    .argument("<REQUEST>", "id of the request", hex(32))
    .requiredOption("--r <HEX>", "opening of the record's digest: r", hex(32))
    .requiredOption("--s <HEX>", "and s", hex(32))
    .requiredOption("--approval <N:HEX>", "a custodian's number and signature; once for each, ascending", approval)
    .action((id: string, flags: Flags & { r: string; s: string; approval: Approval[] }, self: Command) =>
      send(self, flags, async () => ({
        payload: {
          kind: "redact-execute",
          value: {
            request: fromHex(id, 32),
            r: fromHex(flags.r, 32),
            s: fromHex(flags.s, 32),
            approvals: flags.approval,
          },
        },
      })),
    );
  examples(execute, [
    "pofl tx redact-execute 0x… --r 0x… --s 0x… --approval 0:0x… --approval 2:0x…",
    "an opening that custodians made, and who approves it",
  ]);
}
