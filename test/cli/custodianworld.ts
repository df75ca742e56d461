import { join } from "node:path";
import * as assert from "uvu/assert";
import { planId } from "../../cli/custodian/plan.ts";
import { makeTestnet } from "../../cli/testnet.ts";
import { consentSigning } from "../../crypto/custodian.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { openHome } from "../../node/home.ts";
import { CeremonyPlan, CONSENT_CEREMONY, CONSENT_REDACTION } from "../../types/ceremony.ts";
import { PoflError } from "../../types/errors.ts";
import { decode, fromHex, type Hash, toHex } from "../../types/primitives.ts";
import type { Answers } from "./fakenode.ts";
import { cli, inFolder } from "./support.ts";

/** A node of a custodian that answers as told, and checks every signature as a node does. */

export type World = {
  readonly home: string;
  readonly own: string;
  readonly others: readonly [string, string];
  readonly keys: readonly string[];
  readonly custodian: KeyPair;
  readonly genesisHash: Hash;
  /** What every node answers. */
  readonly common: Answers;
};

/** Homes of three custodians of whom two make an edit; the first is who types. */
export async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  await inFolder(async (dir) => {
    const net = await makeTestnet({ out: join(dir, "net"), nodes: 3, empty: true, custodians: 3, threshold: 2 });
    const home = join(dir, "net", "node0");
    const { custodian, genesis, genesisHash } = await openHome(home);
    const address = net.nodes[0]?.address;
    const { keys } = genesis.custodians;
    const [own, ...others] = keys as [string, string, string];
    const common: Answers = {
      node_status: () => ({ genesisHash: toHex(genesisHash), chainId: genesis.chainId, address, height: 50 }),
      chain_params: () => genesis,
      account_get: () => ({ balance: "1000000" }),
      custodian_status: () => status(own),
    };
    assert.ok(custodian);
    await body({ home, own, others, keys, custodian: custodian as KeyPair, genesisHash, common });
  });
}

export const status = (custodian: string | null, parts: object = {}) => ({
  custodian,
  epochs: [],
  ceremonies: [],
  requests: [],
  ...parts,
});
export const PUBLIC = `0x${"ee".repeat(32)}`;
export const RECORD = `0x${"aa".repeat(32)}`;
export const REQUEST = `0x${"bb".repeat(32)}`;
export const REQUESTER = `0x${"cd".repeat(20)}`;

export const run = (url: string, home: string, ...args: string[]) =>
  cli(["custodian", ...args, "--rpc", url, "--home", home]);

export const epochOf = (keys: readonly string[], change: object = {}) => ({
  ...{ epoch: 0, publicKey: PUBLIC, generation: 0, threshold: 2, keys, registeredAt: 9, since: 9, share: true },
  ...change,
});
export const ceremonyOf = (keys: readonly string[], id: string, change: object = {}) => ({
  ...{ id, epoch: 0, generation: 0, attempt: 0, keys, threshold: 2, status: "open", startedAt: 3, endedAt: 0 },
  ...{ dealers: [], dealt: [], awaited: [], culprit: null, here: "deals" },
  ...change,
});
export const firstId = (keys: readonly string[], attempt = 0) =>
  toHex(planId({ epoch: 0, generation: 0, attempt, keys, threshold: 2, dealers: [] }));

/** Takes a plan in as a node does; `joined` holds its id. */
export function joining({ custodian, genesisHash }: World) {
  const joined: string[] = [];
  const custodian_join = ({ plan, signature }: { plan: string; signature: string }) => {
    const id = CeremonyPlan.hashTreeRoot(decode(CeremonyPlan, fromHex(plan)));
    const consent = { what: CONSENT_CEREMONY, id };
    if (!consentSigning.verify(genesisHash, custodian.publicKey, consent, fromHex(signature)))
      throw new PoflError("BAD_CONSENT", "not signed by this node's custodian key");
    joined.push(toHex(id));
    return { ceremony: toHex(id) };
  };
  return { joined, custodian_join };
}

export const requestOf = (change: object = {}) => ({
  ...{
    id: REQUEST,
    record: RECORD,
    epoch: 0,
    reason: "erasure",
    erases: true,
    opensAt: 60,
    lapsesAt: 900,
    threshold: 2,
  },
  ...{ approvedHere: false, approvals: 0, state: "open: can be executed from height 60 on", ...change },
});
export const redactionOf = (change: object = {}) => ({
  ...{ id: REQUEST, record: RECORD, reason: "erasure", requester: REQUESTER, erases: true, askedAt: 40, opensAt: 60 },
  ...{ lapsesAt: 900, status: "open", endedAt: null, objectionsPermille: 125, approvals: [], ...change },
});

/** Takes approvals as a node does. */
export function approving({ custodian, genesisHash }: World) {
  const approved: string[] = [];
  const custodian_approve = ({ request, signature }: { request: string; signature: string }) => {
    const consent = { what: CONSENT_REDACTION, id: fromHex(request) };
    if (!consentSigning.verify(genesisHash, custodian.publicKey, consent, fromHex(signature)))
      throw new PoflError("BAD_CONSENT", "not signed by this node's custodian key");
    approved.push(request);
    return { request };
  };
  return { approved, custodian_approve };
}
