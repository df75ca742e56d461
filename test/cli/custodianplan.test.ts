import { test } from "uvu";
import * as assert from "uvu/assert";
import { ceremonyFee, executionFee } from "../../cli/custodian/fees.ts";
import { ceremonyText, requestText } from "../../cli/custodian/follow.ts";
import { handOverPlan, nextKeyPlan, type Office, type Plan, planBytes, planId } from "../../cli/custodian/plan.ts";
import type { Ceremony, Epoch, Request } from "../../cli/custodian/status.ts";
import { CeremonyPlan } from "../../types/ceremony.ts";
import { decode, toHex } from "../../types/primitives.ts";
import { refused } from "./support.ts";

const key = (n: number): string => `0x${n.toString(16).padStart(2, "0").repeat(32)}`;
const [A, B, C, D] = [key(1), key(2), key(3), key(4)] as const;
const GENESIS = { keys: [A, B, C], threshold: 2 };

function epoch(n: number, change: Partial<Epoch> = {}): Epoch {
  const base = { publicKey: key(0xe0 + n), generation: 0, registeredAt: 7, since: 7, share: true };
  return { epoch: n, ...base, ...GENESIS, ...change };
}

function ceremony(change: Partial<Ceremony> = {}): Ceremony {
  const base = { id: key(0xcc), epoch: 0, generation: 0, attempt: 0, dealers: [], startedAt: 3, endedAt: 0, dealt: [] };
  return { ...base, status: "open", awaited: [], culprit: null, here: null, ...GENESIS, ...change };
}
const failed = (change: Partial<Ceremony>) => ceremony({ status: "failed", endedAt: 9, ...change });

const first: Plan = { epoch: 0, generation: 0, attempt: 0, dealers: [], ...GENESIS };

type Seen = {
  epochs?: Epoch[];
  ceremonies?: Ceremony[];
  own?: string;
  epoch?: number;
  attempt?: number;
  genesis?: Office;
};
const next = ({ epochs = [], ceremonies = [], own = A, epoch, attempt, genesis = GENESIS }: Seen) =>
  nextKeyPlan({ epochs, ceremonies }, genesis, own, { epoch: epoch ?? (epochs.at(-1)?.epoch ?? -1) + 1, attempt });

const PLANS: [id: string, seen: Seen, plan: Plan][] = [
  ["the first key, by genesis", {}, first],
  ["whoever of them asks", { own: C }, first],
  ["another attempt, as told", { attempt: 4 }, { ...first, attempt: 4 }],
  ["the next key", { epochs: [epoch(0)], ceremonies: [ceremony({ status: "done" })] }, { ...first, epoch: 1 }],
  [
    "by those in office, not of genesis",
    { epochs: [epoch(0, { keys: [D, A], generation: 1 })] },
    { ...first, epoch: 1, keys: [D, A] },
  ],
  ["their threshold", { epochs: [epoch(0), epoch(1, { threshold: 3 })] }, { ...first, epoch: 2, threshold: 3 }],
  ["of more keys than the node lists", { epochs: [epoch(70), epoch(71)] }, { ...first, epoch: 72 }],
  [
    "without a proven cheat, and anew",
    { ceremonies: [failed({ culprit: B })] },
    { ...first, attempt: 1, keys: [A, C] },
  ],
  [
    "past the highest that failed",
    { ceremonies: [failed({ attempt: 5, culprit: B }), failed({ attempt: 2, culprit: D })] },
    { ...first, attempt: 6, keys: [A, C] },
  ],
  [
    "a cheat of an earlier key stays out",
    { epochs: [epoch(0)], ceremonies: [failed({ culprit: B })] },
    { ...first, epoch: 1, keys: [A, C] },
  ],
  [
    "the ceremony under way is joined",
    { ceremonies: [ceremony({ attempt: 3, keys: [A, C] })] },
    { ...first, attempt: 3, keys: [A, C] },
  ],
  [
    "that which this node has joined, too",
    { ceremonies: [ceremony({ attempt: 3, status: "joining" })] },
    { ...first, attempt: 3 },
  ],
  ["of two the later", { ceremonies: [ceremony({ attempt: 3 }), ceremony({ attempt: 2 })] }, { ...first, attempt: 3 }],
  [
    "or the one told",
    { ceremonies: [ceremony({ attempt: 3 }), ceremony({ attempt: 2, keys: [A, B] })], attempt: 2 },
    { ...first, attempt: 2, keys: [A, B] },
  ],
  ["another than the one nobody finishes", { ceremonies: [ceremony()], attempt: 1 }, { ...first, attempt: 1 }],
  ["one that names others is not joined", { ceremonies: [ceremony({ keys: [B, C] })] }, first],
  ["nor one for another key", { ceremonies: [ceremony({ epoch: 1 }), ceremony({ generation: 1 })] }, first],
]; // prettier-ignore
for (const [id, seen, plan] of PLANS) test(`the plan of a key: ${id}`, () => assert.equal(next(seen), plan));

const REFUSED: [id: string, seen: Seen, code: string, says: RegExp][] = [
  ["no custodians", { genesis: { keys: [], threshold: 0 } }, "NO_CUSTODIANS", /genesis names no custodians/],
  ["not in office", { own: D }, "NOT_CUSTODIAN", /not in office.*reshare/],
  ["the same key twice", { epochs: [epoch(0)], epoch: 0 }, "KEY_EXISTS", /made already; --epoch 1 makes another/],
  ["a key too far", { epoch: 2 }, "NO_EPOCH", /the next key is that of epoch 0/],
  ["no longer in office", { own: B, epochs: [epoch(0, { keys: [A, C] })] }, "NOT_CUSTODIAN", /not in office/],
  ["a cheat", { own: B, ceremonies: [failed({ culprit: B })] }, "NOT_CUSTODIAN", /proven to have dealt a bad share/],
  [
    "too few honest ones, first key",
    { ceremonies: [failed({ culprit: B }), failed({ culprit: C, attempt: 1 })] },
    "TOO_FEW_CUSTODIANS",
    /only 1 .* 2 make an edit: agree on a genesis file/,
  ],
  [
    "too few honest ones, later",
    { epochs: [epoch(0)], ceremonies: [failed({ culprit: B }), failed({ culprit: C, attempt: 1 })] },
    "TOO_FEW_CUSTODIANS",
    /hand the key of epoch 0 to others first/,
  ],
];
for (const [id, seen, code, says] of REFUSED) {
  test(`no plan of a key: ${id}`, async () => assert.match((await refused(() => next(seen), code)).message, says));
}

const to = { keys: [B, D], threshold: 2 };
const handed: Plan = { epoch: 0, generation: 1, attempt: 0, dealers: [0, 1], ...to };
type Told = Seen & { dealers?: string[] };
const handOver = ({ epochs = [epoch(0)], ceremonies = [], own = A, ...told }: Told, at = 0) =>
  handOverPlan({ epochs, ceremonies }, at, to, own, told);
/** A hand-over that somebody has begun. */
const begun = (change: Partial<Ceremony> = {}) =>
  ceremony({ generation: 1, attempt: 2, dealers: [1, 2], ...to, ...change });

const HAND_OVERS: [id: string, told: Told, plan: Plan][] = [
  ["by one who holds it", {}, handed],
  ["by one who gets it", { own: D }, handed],
  ["the next generation", { epochs: [epoch(0, { generation: 4 })] }, { ...handed, generation: 5 }],
  ["attempt as told", { attempt: 2 }, { ...handed, attempt: 2 }],
  ["dealers as told, in the order of their places", { dealers: [C, A] }, { ...handed, dealers: [0, 2] }],
  [
    "the first who are not proven to cheat",
    { ceremonies: [failed({ culprit: A })], own: B },
    { ...handed, dealers: [1, 2] },
  ],
  [
    "a cheat where there are not enough others",
    { ceremonies: [failed({ culprit: A }), failed({ culprit: C })] },
    handed,
  ],
  ["one under way", { ceremonies: [begun()], own: C }, { ...handed, attempt: 2, dealers: [1, 2] }],
  [
    "one under way that this node has joined",
    { ceremonies: [begun({ status: "joining" })], own: C },
    { ...handed, attempt: 2, dealers: [1, 2] },
  ],
  ["another than that, as told", { ceremonies: [begun()], attempt: 3 }, { ...handed, attempt: 3 }],
  ["other dealers than its, as told", { ceremonies: [begun()], dealers: [A, B] }, handed],
  ["one under way to others", { ceremonies: [begun({ keys: [D, B] })] }, handed],
  ["one under way with another threshold", { ceremonies: [begun({ threshold: 3 })] }, handed],
  ["after one that failed", { ceremonies: [failed({ generation: 1, culprit: C })] }, { ...handed, attempt: 1 }],
  ["after another generation's", { ceremonies: [failed({ generation: 0, culprit: C })] }, handed],
]; // prettier-ignore
for (const [id, told, plan] of HAND_OVERS)
  test(`the plan of a hand-over: ${id}`, () => assert.equal(handOver(told), plan));

test("no plan of a hand-over: no such key, other dealers, or no part in it", async () => {
  const says = async (code: string, make: () => Plan) => (await refused(make, code)).message;
  assert.match(await says("NO_EPOCH", () => handOver({ epochs: [] })), /no key of epoch 0.*dkg/);
  assert.match(await says("NO_EPOCH", () => handOver({}, 3)), /of epoch 3; the latest key .* epoch 0/);
  assert.match(await says("BAD_DEALERS", () => handOver({ dealers: [A, D] })), /040404.* holds no share/);
  assert.match(
    await says("BAD_DEALERS", () => handOver({ dealers: [A] })),
    /threshold .* is 2: 2 hand it over.* 1 are named/,
  );
  await refused(() => handOver({ dealers: [A, B, C] }), "BAD_DEALERS");
  assert.match(await says("NOT_CUSTODIAN", () => handOver({ own: key(9) })), /holds no share of it and is to get none/);
  assert.match(await says("NOT_CUSTODIAN", () => handOver({ own: C })), /not among those who deal/);
});

test("a plan's bytes and id are those of the container", () => {
  const decoded = decode(CeremonyPlan, planBytes(handed));
  assert.equal({ ...decoded, keys: decoded.keys.map(toHex) }, { ...handed, dealers: [...handed.dealers] });
  assert.equal(planId(handed), CeremonyPlan.hashTreeRoot(decoded));
});

test("what a ceremony costs grows with its custodians, and an edit with its approvals", () => {
  const fees = { base: "1000", perByte: "10" };
  const more = ceremonyFee(fees, { ...first, keys: [A, B, C, D] }) - ceremonyFee(fees, first);
  // A key in the deal's plan, and a signature under the outcome.
  assert.is(more, 10n * (32n + 64n));
  assert.is(executionFee(fees, 3) - executionFee(fees, 2), 10n * (4n + 64n));
  assert.is(ceremonyFee({ base: "1", perByte: "0" }, first), 2n);
});

const TEXTS: [id: string, ceremony: Ceremony | undefined, plan: Plan, says: RegExp][] = [
  ["not on the chain", undefined, first, /takes part; nothing of the ceremony is on the chain yet$/],
  [
    "joining a hand-over",
    ceremony({ status: "joining", here: "waits" }),
    handed,
    /one of the dealers must begin \(waits\)/,
  ],
  [
    "some have dealt",
    ceremony({ dealt: [A], awaited: [B, C] }),
    first,
    /^1 of 3 have dealt; waits for 0x020202…0202, 0x030303…0303$/,
  ],
  [
    "this one has not",
    ceremony({ dealt: [B, C], awaited: [A] }),
    first,
    /^2 of 3 have dealt; waits for 0x010101…0101 \(this one\)$/,
  ],
  [
    "this one has not, and why",
    ceremony({ dealt: [B, C], awaited: [A], here: "no money" }),
    first,
    /\(this one\): no money$/,
  ],
  [
    "it has, others are told of",
    ceremony({ dealt: [A, C], awaited: [B], here: "waits" }),
    first,
    /waits for 0x020202…0202$/,
  ],
  [
    "all have",
    ceremony({ dealt: [A, B, C], here: "checks shares" }),
    first,
    /^3 of 3 have dealt; here: checks shares$/,
  ],
  ["a hand-over", begun({ dealt: [A, B], awaited: [D] }), handed, /^2 of 3 take part; waits for 0x040404…0404$/],
]; // prettier-ignore
for (const [id, given, plan, says] of TEXTS)
  test(`how a ceremony stands: ${id}`, () => assert.match(ceremonyText(given, plan, A), says));

test("how a request stands", () => {
  assert.is(requestText({ approvals: 2, threshold: 3, state: "open" } as Request), "2 of 3 have approved; open");
});

test.run();
