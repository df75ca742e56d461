import { z } from "zod";
import { CeremonyPlan } from "../../../types/ceremony.ts";
import { PoflError } from "../../../types/errors.ts";
import { bytesEqual, decode, fromHex, toHex, ZERO_HASH } from "../../../types/primitives.ts";
import { REDACTION_REASONS, type RedactionReason } from "../../../types/record.ts";
import type { Ceremony, KeyEpoch, RequestEntry } from "../../../types/state.ts";
import { awaited, ceremonyId, ceremonyStatus } from "../../../vm/ceremony.ts";
import { requestStatus } from "../../../vm/records.ts";
import type { State } from "../../../vm/state.ts";
import type { CustodyView } from "../../custodian/view.ts";
import type { NodeContext } from "../context.ts";
import { type CustodianStatus, custodianApproved, custodianJoined, custodianStatus } from "../custodiantypes.ts";
import { type Method, method } from "../jsonrpc.ts";
import { hashParam, noParams } from "./params.ts";

/** The newest of each that are listed; a request is looked for among the newest so many. */
const MAX_LISTED = 64;
const MAX_SCANNED = 4096;
const MAX_REQUESTS_LISTED = 256;
/** A plan of MAX_CUSTODIANS keys. */
const MAX_PLAN_BYTES = 4096;

type Epochs = CustodianStatus["epochs"];
type Ceremonies = CustodianStatus["ceremonies"];
type Requests = CustodianStatus["requests"];

/** The newest indices of a list of so many, newest first. */
function* newest(count: number, most: number): Generator<number> {
  for (let i = count - 1; i >= Math.max(0, count - most); i--) yield i;
}

function epochsOf(state: State, custody: CustodyView | undefined): Epochs {
  const found: Epochs = [];
  for (const epoch of newest(state.count("epochs"), MAX_LISTED)) {
    const { publicKey, generation, threshold, keys, registeredAt, since } = state.entry("epochs", epoch) as KeyEpoch;
    const share = custody?.holds(epoch) ?? false;
    const shown = keys.map(toHex);
    found.unshift({
      epoch,
      publicKey: toHex(publicKey),
      generation,
      threshold,
      keys: shown,
      registeredAt,
      since,
      share,
    });
  }
  return found;
}

function planJson({ keys, dealers, ...numbers }: CeremonyPlan) {
  return { ...numbers, keys: keys.map(toHex), dealers: [...dealers] };
}

function ceremoniesOf(state: State, custody: CustodyView | undefined): Ceremonies {
  const found: Ceremonies = [];
  for (const i of newest(state.count("ceremonies"), MAX_LISTED)) {
    const ceremony = state.entry("ceremonies", i) as Ceremony;
    const status = ceremonyStatus(ceremony);
    found.unshift({
      id: toHex(ceremony.id),
      ...planJson(ceremony.plan),
      status,
      startedAt: ceremony.startedAt,
      endedAt: ceremony.endedAt,
      dealt: ceremony.deals.map((deal) => toHex(deal.custodian)),
      awaited: status === "open" ? awaited(state, ceremony).map(toHex) : [],
      culprit: bytesEqual(ceremony.culprit, ZERO_HASH) ? null : toHex(ceremony.culprit),
      here: custody?.doing(ceremony.id) ?? null,
    });
  }
  for (const { id, plan } of custody?.joined() ?? []) {
    if (state.find("ceremonies", id)) continue;
    found.push({
      id: toHex(id),
      ...planJson(plan),
      status: "joining",
      startedAt: 0,
      endedAt: 0,
      dealt: [],
      awaited: plan.keys.map(toHex),
      culprit: null,
      here: custody?.doing(id) ?? null,
    });
  }
  return found;
}

function requestsOf(state: State, custody: CustodyView | undefined): Requests {
  const found: Requests = [];
  const next = state.height + 1;
  for (const i of newest(state.count("requests"), MAX_SCANNED)) {
    if (found.length >= MAX_REQUESTS_LISTED) break;
    const asked = state.entry("requests", i) as RequestEntry;
    const record = state.find("records", asked.label)?.record;
    const over = requestStatus(asked) !== "open" || next > asked.lapsesAt || record?.version !== asked.version;
    if (!record || over) continue;
    found.unshift({
      id: toHex(asked.id),
      record: toHex(asked.label),
      epoch: record.epoch,
      reason: REDACTION_REASONS[asked.reason] as RedactionReason,
      erases: asked.length === 0,
      opensAt: asked.opensAt,
      lapsesAt: asked.lapsesAt,
      threshold: (state.entry("epochs", record.epoch) as KeyEpoch).threshold,
      approvedHere: custody?.approved(asked.id) ?? false,
      approvals: custody?.approvals(asked.id) ?? 0,
      state: custody?.working(asked.id) ?? waiting(asked, next),
    });
  }
  return found;
}

function waiting({ opensAt, lapsesAt }: Readonly<RequestEntry>, next: number): string {
  return next < opensAt
    ? `open: can be executed from height ${opensAt} on`
    : `open: can be executed up to height ${lapsesAt}`;
}

function custodyOf({ custody }: NodeContext): CustodyView {
  if (custody) return custody;
  throw new PoflError(
    "NOT_CUSTODIAN",
    "this node has no custodian key: make one with `pofl custodian keygen` and start the node again, or ask another node",
  );
}

const signatureParam = z
  .string()
  .regex(/^0x[0-9a-fA-F]{128}$/, "must be 0x and 128 hexadecimal digits")
  .transform((text) => fromHex(text));

export function custodianMethods(context: NodeContext): Record<string, Method> {
  return {
    custodian_status: method({
      summary: "Custodians' keys, ceremonies and requests for redaction, and what this node's custodian is doing",
      params: noParams,
      result: custodianStatus,
      run: () => {
        const { state } = context.head();
        const { custody } = context;
        return {
          custodian: custody ? toHex(custody.key) : null,
          epochs: epochsOf(state, custody),
          ceremonies: ceremoniesOf(state, custody),
          requests: requestsOf(state, custody),
        };
      },
    }),
    custodian_join: method({
      summary:
        "Lets this node's custodian take part in a ceremony; the plan (SSZ, hex) is signed with its custodian key",
      params: z.strictObject({
        plan: z
          .string()
          .max(2 + 2 * MAX_PLAN_BYTES, `must be at most ${MAX_PLAN_BYTES} bytes`)
          .regex(/^0x(?:[0-9a-fA-F]{2})*$/, "must be 0x and pairs of hexadecimal digits"),
        signature: signatureParam,
      }),
      result: custodianJoined,
      run: ({ plan, signature }) => {
        const custody = custodyOf(context);
        const decoded = decode(CeremonyPlan, fromHex(plan));
        custody.join(decoded, signature);
        return { ceremony: toHex(ceremonyId(decoded)) };
      },
    }),
    custodian_approve: method({
      summary: "Lets this node's custodian take part in the redaction of a request; signed with its custodian key",
      params: z.strictObject({ request: hashParam, signature: signatureParam }),
      result: custodianApproved,
      run: ({ request, signature }) => {
        custodyOf(context).approve(request, signature);
        return { request: toHex(request) };
      },
    }),
  };
}
