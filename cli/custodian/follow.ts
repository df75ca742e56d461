import type { RpcClient } from "../../node/rpc/client.ts";
import type { Redaction } from "../../node/rpc/recordtypes.ts";
import { PoflError } from "../../types/errors.ts";
import { short } from "../output.ts";
import type { Plan } from "./plan.ts";
import type { Ceremony, Epoch, Request, Status } from "./status.ts";

/** Waits for what custodians do together, and says whom it waits for. The nodes go on without whoever watches. */

const POLL_MS = 250;

type Watch = {
  readonly client: RpcClient;
  /** This node's custodian key. */
  readonly own: string;
  readonly timeoutMs: number;
  readonly progress: (text: string) => void;
};

/**
 * Asks until `look` has something to say, and passes on each new text of how things stand.
 * @throws PoflError TIMED_OUT with the last text and `remedy`; what `look` throws
 */
async function poll<T>(
  { client, timeoutMs, progress }: Watch,
  look: (status: Status) => Promise<T | string>,
  remedy: string,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last = "";
  for (;;) {
    const found = await look(await client.call("custodian_status"));
    if (typeof found !== "string") return found;
    if (found !== last) progress(found);
    last = found;
    if (Date.now() > end) {
      throw new PoflError("TIMED_OUT", `after ${timeoutMs / 1000} s: ${last}; the node goes on by itself; ${remedy}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * The key when a ceremony has put it on the chain.
 * @throws PoflError TIMED_OUT, CEREMONY_FAILED, CEREMONY_OVERTAKEN
 */
export function followCeremony(watch: Watch, id: string, plan: Plan): Promise<Epoch> {
  const again = plan.generation === 0 ? "dkg" : "reshare";
  const look = async ({ epochs, ceremonies }: Status): Promise<Epoch | string> => {
    const ceremony = ceremonies.find((c) => c.id === id);
    if (ceremony?.status === "failed") throw new PoflError("CEREMONY_FAILED", failedText(ceremony, watch.own));
    const epoch = epochs.find((e) => e.epoch === plan.epoch);
    if (epoch && epoch.generation >= plan.generation) {
      if (ceremony?.status === "done") return epoch;
      const how = plan.generation === 0 ? "has made" : "has handed over";
      const which = `another ceremony than this one (attempt ${plan.attempt}) ${how} the key of epoch ${plan.epoch}`;
      throw new PoflError("CEREMONY_OVERTAKEN", `${which}; see \`pofl custodian list\``);
    }
    return ceremonyText(ceremony, plan, watch.own);
  };
  const anew = `or all of you again with --attempt ${plan.attempt + 1}${plan.generation === 0 ? "" : " and other --dealers"}`;
  const remedy = `ask those custodians to run \`pofl custodian ${again}\` too, ${anew}`;
  return poll(watch, look, remedy);
}

/**
 * The request when the edit has been executed.
 * @throws PoflError TIMED_OUT, REQUEST_OVER when it will never be
 */
export function followRequest(watch: Watch, id: string): Promise<Redaction> {
  const look = async ({ requests }: Status): Promise<Redaction | string> => {
    const waiting = requests.find((r) => r.id === id);
    if (waiting) return requestText(waiting);
    const redaction = await watch.client.call("redaction_get", { id });
    if (redaction.status === "executed") return redaction;
    if (redaction.status !== "open") throw requestOver(redaction);
    return "waits";
  };
  return poll(watch, look, "see `pofl custodian list`, and ask the other custodians to approve");
}

export function requestOver({ id, status }: Redaction): PoflError {
  const why = {
    executed: "has been executed already",
    stopped: "was stopped by validators who object",
    lapsed: "has lapsed: nobody executed it in time; it can be asked for anew",
    superseded: "is about a version of the record that another edit has replaced; it can be asked for anew",
    open: "does not wait for this node's approval; see `pofl custodian list`",
  }[status];
  return new PoflError("REQUEST_OVER", `request ${id} ${why}`);
}

/** "2 of 3 have approved: …" */
export function requestText({ approvals, threshold, state }: Request): string {
  return `${approvals} of ${threshold} have approved; ${state}`;
}

const names = (keys: readonly string[], own: string): string =>
  keys.map((key) => (key === own ? `${short(key)} (this one)` : short(key))).join(", ");

/** How a ceremony stands, and whom it waits for. */
export function ceremonyText(ceremony: Ceremony | undefined, plan: Plan, own: string): string {
  const first = plan.generation === 0 ? "" : ", which one of the dealers must begin";
  if (!ceremony || ceremony.status === "joining") {
    const here = ceremony?.here ? ` (${ceremony.here})` : "";
    return `this node takes part; nothing of the ceremony is on the chain yet${first}${here}`;
  }
  const { dealt, awaited, here } = ceremony;
  const so = `${dealt.length} of ${dealt.length + awaited.length} ${plan.generation === 0 ? "have dealt" : "take part"}`;
  if (awaited.length === 0) return `${so}; here: ${here ?? "nothing"}`;
  // What this node itself is doing tells more than the list only where the ceremony waits for it.
  const why = here !== null && awaited.includes(own) ? `: ${here}` : "";
  return `${so}; waits for ${names(awaited, own)}${why}`;
}

function failedText({ epoch, generation, attempt, culprit }: Ceremony, own: string): string {
  const which = `the ceremony for epoch ${epoch}, attempt ${attempt}, has failed`;
  const who = culprit === null ? "one of its custodians" : culprit === own ? `${culprit}, this node,` : culprit;
  const what = `${who} is proven to have dealt a bad share`;
  const next =
    generation === 0
      ? "the others run `pofl custodian dkg` again, which leaves it out"
      : "run the same `pofl custodian reshare` again, in which others deal";
  return `${which}: custodian ${what}; ${next}`;
}
