import { test } from "uvu";
import * as assert from "uvu/assert";
import { consentSigning } from "../../crypto/custodian.ts";
import type { NodeContext } from "../../node/rpc/context.ts";
import { type CustodianStatus, custodianStatus } from "../../node/rpc/custodiantypes.ts";
import { custodianMethods } from "../../node/rpc/methods/custodian.ts";
import { CeremonyPlan, CONSENT_CEREMONY, CONSENT_REDACTION } from "../../types/ceremony.ts";
import { toHex } from "../../types/primitives.ts";
import { ceremonyId } from "../../vm/ceremony.ts";
import { custodianOf, REDACTION } from "../vm/custody-support.ts";
import { expectCode } from "../vm/support.ts";
import { type Driver, inWorld, type World } from "./custodyworld.ts";

const keyOf = (n: number): string => toHex(custodianOf(n).publicKey);

/** The methods of a custodian's node; of one that is none, without a driver. */
function rpc(world: World, driver?: Driver) {
  const context = { head: () => ({ state: world.chain.state }), custody: driver?.custody };
  const methods = custodianMethods(context as unknown as NodeContext);
  const call = async (name: string, params: object): Promise<unknown> => {
    const found = methods[name];
    if (!found) throw new Error(name);
    return found.run(found.params.parse(params) as never, undefined as never);
  };
  return {
    call,
    status: async (): Promise<CustodianStatus> => custodianStatus.parse(await call("custodian_status", {})),
  };
}
const rejects = async (work: Promise<unknown>, code: string) => {
  let error: unknown;
  await work.catch((e) => {
    error = e;
  });
  expectCode(code)(error);
};

test(
  "a ceremony and an approval by RPC, and what the status says on the way",
  inWorld(3, 2, async (world) => {
    const own = rpc(world, world.driver(0));
    assert.equal(await own.status(), { custodian: keyOf(0), epochs: [], ceremonies: [], requests: [] });
    const plan = world.records.plan();
    const id = ceremonyId(plan);
    const sign = (n: number) => {
      const consent = { what: CONSENT_CEREMONY, id };
      return toHex(consentSigning.sign(world.chain.hash, custodianOf(n).secret, consent));
    };
    const params = { plan: toHex(CeremonyPlan.serialize(plan)), signature: sign(0) };
    await rejects(own.call("custodian_join", { ...params, signature: sign(1) }), "BAD_CONSENT");
    await rejects(own.call("custodian_join", { ...params, plan: `${params.plan}00` }), "BAD_ENCODING");
    await rejects(rpc(world).call("custodian_join", params), "NOT_CUSTODIAN");
    assert.equal(await own.call("custodian_join", params), { ceremony: toHex(id) });
    await world.step();
    const [joining] = (await own.status()).ceremonies;
    assert.equal([joining?.status, joining?.here], ["joining", "has sent its first round, waits for a block"]);
    world.block();
    await world.step();
    const [open] = (await own.status()).ceremonies;
    assert.equal([open?.status, open?.dealt, open?.awaited], ["open", [keyOf(0)], [keyOf(1), keyOf(2)]]);
    assert.is(open?.here, `waits for the first round of ${keyOf(1)}, ${keyOf(2)}`);
    for (const n of [1, 2]) world.driver(n).join(plan);
    await world.until("the key", () => world.statusOf(id) === "done");
    await world.step();

    const { label, id: request } = world.ask();
    const stranger = rpc(world);
    const seen = await stranger.status();
    assert.is(seen.custodian, null);
    assert.equal([seen.epochs[0]?.share, seen.ceremonies[0]?.here], [false, null]);
    const { opensAt, lapsesAt } = world.records.asked(request);
    assert.equal(seen.requests, [
      {
        id: toHex(request),
        record: toHex(label),
        epoch: 0,
        reason: "erasure",
        erases: true,
        opensAt,
        lapsesAt,
        threshold: 2,
        approvedHere: false,
        approvals: 0,
        state: `open: can be executed from height ${opensAt} on`,
      },
    ]);
    const consent = { what: CONSENT_REDACTION, id: request };
    const signature = toHex(consentSigning.sign(world.chain.hash, custodianOf(0).secret, consent));
    await rejects(stranger.call("custodian_approve", { request: toHex(request), signature }), "NOT_CUSTODIAN");
    // A consent to something else is none to this.
    await rejects(own.call("custodian_approve", { request: toHex(request), signature: sign(0) }), "BAD_CONSENT");
    await own.call("custodian_approve", { request: toHex(request), signature });
    world.driver(1).approve(request);
    await world.step();
    const after = await own.status();
    assert.is(after.epochs[0]?.share, true);
    const [mine] = after.requests;
    assert.equal([mine?.approvedHere, mine?.approvals], [true, 2]);
    assert.is(mine?.state, `approved by 2; waits for height ${opensAt}`);
    await world.rounds(REDACTION.delay + 1);
    assert.equal((await own.status()).requests, []);
    assert.is(world.records.entry(label).version, 1);
  }),
);

test.run();
