import type { Command } from "commander";
import { createCustodianKey, homePaths } from "../../node/home.ts";
import type { Redaction } from "../../node/rpc/recordtypes.ts";
import { PoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { type Context, contextOf, newPassword } from "../context.ts";
import { approvalQuestion, printStatus, requestLines } from "../custodian/display.ts";
import { followCeremony, followRequest, requestOver, requestText } from "../custodian/follow.ts";
import {
  type HandOver,
  handOverPlan,
  type NextKey,
  nextKeyPlan,
  type Office,
  type Plan,
  planId,
} from "../custodian/plan.ts";
import { approve, checkCeremonyFee, executionFeeNote, join, openSession, type Session } from "../custodian/session.ts";
import type { Request, Status } from "../custodian/status.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { hex, hexList, whole } from "../parse.ts";
import { confirm } from "../prompt.ts";
import { clientOf } from "./query.ts";

/** What custodians of editable records do: their key, the ceremonies, and their word to a redaction. */

function addKeygen(group: Command): void {
  const command = group
    .command("keygen")
    .description("make the custodian's key of this home, and print its public key for the genesis file")
    .option("--encrypt", "encrypt it with a password, that of the validator's keys if those are encrypted too")
    .action(async (flags: { encrypt?: boolean }, self: Command) => {
      const { globals, out } = contextOf(self);
      const paths = homePaths(globals.home);
      const password = flags.encrypt ? await newPassword(globals, "the custodian's key") : "";
      if (flags.encrypt && password === "") throw usage("an empty password protects nothing; leave --encrypt out");
      const publicKey = toHex((await createCustodianKey(paths, password)).publicKey);
      const result = { publicKey, file: paths.custodianKey, encrypted: password !== "" };
      out.result(result, () => {
        out.line(publicKey);
        out.note(
          `Written to ${result.file}${result.encrypted ? "" : ", not encrypted"}. Keep a copy: nobody can restore it. The public key ` +
            "is for the genesis file (`pofl genesis build --custodian`), or for `pofl custodian reshare --keys`.",
        );
      });
    });
  examples(command, ["pofl custodian keygen --home /srv/pofl --encrypt", "asks for a password twice"]);
}

type Waiting = { readonly wait: boolean; readonly timeout: number };

/** What every command takes that waits for other custodians. */
function waiting(command: Command): Command {
  return command
    .option("--no-wait", "only tell the node: it goes on by itself")
    .option("--timeout <SECONDS>", "for the others to do their part", whole(1), 600);
}

async function takePart(ctx: Context, flags: Waiting, planOf: (session: Session, seen: Status) => Promise<Plan>) {
  const session = await openSession(ctx);
  const { out } = ctx;
  const seen = await session.client.call("custodian_status");
  const plan = await planOf(session, seen);
  const id = toHex(planId(plan));
  const known = seen.ceremonies.find((c) => c.id === id);
  if (!known || known.here === null) {
    await checkCeremonyFee(session, plan);
    await join(session, plan);
  }
  const { epoch, generation, attempt, keys, threshold } = plan;
  const what = generation === 0 ? `a key for epoch ${epoch}` : `hand over the key of epoch ${epoch}`;
  out.progress(`Ceremony ${id}: ${what}, ${threshold} of ${keys.length} custodians, attempt ${attempt}`);
  if (!flags.wait) {
    out.result({ ceremony: id, ...plan }, () => out.line(id));
    return;
  }
  const watch = { ...session, timeoutMs: 1000 * flags.timeout, progress: out.progress };
  const { publicKey, share } = await followCeremony(watch, id, plan);
  out.result({ ceremony: id, epoch, generation, publicKey, threshold, keys, share }, () => {
    out.line(`Epoch       ${epoch}`);
    out.line(`Public key  ${publicKey}`);
    out.line(`Threshold   ${threshold} of ${keys.length} custodians`);
    out.note(`A share of it is ${share ? "in this node's data/custodian: back the home up now" : "not on this node"}.`);
  });
}

function addDkg(group: Command): void {
  const command = waiting(group.command("dkg"))
    .description("make the next key of editable records, together with the other custodians, who run the same")
    .option("--epoch <N>", "of the key: 0 is the first; each later one is for new records", whole(), 0)
    .option("--attempt <A>", "another number, the same for all, after a ceremony that nobody finishes", whole())
    .action((flags: Waiting & NextKey, self: Command) =>
      takePart(contextOf(self), flags, async ({ client, own }, seen) => {
        const { custodians } = await client.call("chain_params");
        return nextKeyPlan(seen, custodians, own, flags);
      }),
    );
  command.addHelpText("after", FEES);
  examples(
    command,
    ["pofl custodian dkg --home /srv/pofl", "at every custodian, within the same ten minutes"],
    ["pofl custodian dkg --attempt 1", "anew, when one of them never came"],
    ["pofl custodian dkg --epoch 1", "a fresh key for new records, after a suspicion"],
  );
}

type ReshareFlags = Waiting & HandOver & { epoch: number; threshold: number; keys: string[] };

function addReshare(group: Command): void {
  const command = waiting(group.command("reshare"))
    .description("hand a key over to other custodians: they, and those who deal, run the same")
    .requiredOption("--epoch <N>", "of the key", whole())
    .requiredOption("--threshold <T>", "how many of the new custodians make an edit, at least 2", whole(2))
    .requiredOption("--keys <KEY,KEY>", "public keys of all new custodians, in the same order everywhere", hexList(32))
    .option("--dealers <KEY,KEY>", "who hands it over, as many as its threshold (default: the first)", hexList(32))
    .option("--attempt <A>", "another number, the same for all, after a ceremony that nobody finishes", whole())
    .action((flags: ReshareFlags, self: Command) => {
      const { threshold, keys } = flags;
      if (threshold > keys.length) throw usage(`--threshold ${threshold} is more than the ${keys.length} of --keys`);
      const to: Office = { keys, threshold };
      return takePart(contextOf(self), flags, async ({ own }, seen) => handOverPlan(seen, flags.epoch, to, own, flags));
    });
  command.addHelpText("after", FEES);
  examples(command, [
    "pofl custodian reshare --epoch 0 --threshold 2 --keys 0x…,0x…,0x…",
    "the key of epoch 0 to three custodians, who may be new",
  ]);
}

const FEES = "\nThe node pays for its transactions from its own account (`pofl keys show validator`).";

function addList(group: Command): void {
  const command = group
    .command("list")
    .description("keys of custodians, ceremonies under way, and requests that wait for approval")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const status = await client.call("custodian_status");
      const { custodians } = await client.call("chain_params");
      out.result(status, () => printStatus(out, status, custodians));
    });
  examples(command, ["pofl custodian list", "who holds which key, and what there is to approve"]);
}

function addApprove(group: Command): void {
  const command = waiting(group.command("approve"))
    .description("approve a redaction, after showing what is asked; so many custodians as the threshold says must")
    .argument("<REQUEST>", "0x and 64 hexadecimal digits, see `pofl custodian list`", hex(32))
    .option("--yes", "don't ask")
    .action(async (id: string, flags: Waiting & { yes?: boolean }, self: Command) => {
      const ctx = contextOf(self);
      const { out } = ctx;
      const session = await openSession(ctx);
      const { client } = session;
      const asked = await client.call("redaction_get", { id });
      const request = await waitingRequest(session, asked);
      const { height } = await client.call("node_status");
      for (const line of requestLines(request, asked, height)) out.progress(line);
      if (!request.approvedHere) {
        if (!(flags.yes || (await confirm(approvalQuestion(request, asked))))) {
          throw new PoflError("CANCELLED", "not approved; nothing was signed");
        }
        await approve(session, id);
        const note = await executionFeeNote(session, request.threshold);
        if (note !== undefined) out.progress(note);
      } else out.progress("This custodian has approved it already.");
      if (!flags.wait) {
        const now = (await client.call("custodian_status")).requests.find((r) => r.id === id) ?? request;
        const { approvals, threshold, state } = now;
        out.result({ request: id, approvals, threshold, state }, () => out.line(requestText(now)));
        return;
      }
      const watch = { ...session, timeoutMs: 1000 * flags.timeout, progress: out.progress };
      const done = await followRequest(watch, id);
      const { threshold } = request;
      const result = { request: id, record: done.record, height: done.endedAt, approvals: done.approvals, threshold };
      out.result(result, () =>
        out.line(
          `Record ${done.record}: ${done.erases ? "erased" : "corrected"} in block ${done.endedAt}, approved by ` +
            `${done.approvals.length} custodians (${threshold} were needed)`,
        ),
      );
    });
  examples(command, ["pofl custodian approve 0x…", "shows what is asked, asks, and waits for the others"]);
}

/** @throws PoflError REQUEST_OVER when it doesn't wait for anybody */
async function waitingRequest({ client }: Session, asked: Redaction): Promise<Request> {
  const request = (await client.call("custodian_status")).requests.find((r) => r.id === asked.id);
  if (request) return request;
  throw requestOver(asked);
}

export function addCustodian(program: Command): void {
  const group = program.command("custodian").description("the key of editable records, and edits by its custodians");
  examples(
    group,
    ["pofl custodian keygen", "make this home's custodian key"],
    ["pofl custodian list", "keys, ceremonies, requests"],
  );
  addKeygen(group);
  addDkg(group);
  addReshare(group);
  addList(group);
  addApprove(group);
}
