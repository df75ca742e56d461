import { chameleonDigest } from "../../crypto/chameleon.ts";
import { recordCommitment } from "../../crypto/record.ts";
import type { Database } from "../../node/store/database.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Ceremony, KeyEpoch } from "../../types/state.ts";
import type { Tx } from "../../types/tx.ts";
import { failureName } from "../../vm/failures.ts";
import { State } from "../../vm/state.ts";
import { Custody, custodyChain, withKey } from "../vm/custody-support.ts";
import { rpcWorld } from "./rpcworld.ts";

/** A node's context on a chain whose genesis state holds a key of five custodians, three of whom edit. */
export async function recordWorld(db?: Database) {
  const made = withKey();
  const chain = custodyChain();
  // A ceremony takes blocks, and the node's store begins with the first: so the chain begins after it.
  const draft = chain.state.draft();
  draft.add("epochs", made.chain.state.entry("epochs", 0) as KeyEpoch);
  draft.add("ceremonies", made.chain.state.entry("ceremonies", 0) as Ceremony);
  chain.state = new State(draft.seal());
  const custody = new Custody(chain);
  for (const [id, share] of made.shares) custody.shares.set(id, share);
  const world = await rpcWorld(chain, db);

  /** One block with these transactions, each of which must do what it says. */
  const done = async (...txs: Tx[]): Promise<void> => {
    await world.run({ txs });
    const failed = chain.receipts.map(({ code }) => failureName(code)).filter((name) => name !== undefined);
    if (failed.length > 0) throw new Error(`failed: ${failed.join(", ")}`);
  };
  const to = async (height: number): Promise<void> => {
    while (chain.state.height < height) await world.run();
  };
  /** A record with its payload in this node. */
  const put = async (sender: string, text: string, change: Parameters<Custody["record"]>[2] = {}) => {
    const record = custody.record(sender, text, change);
    await done(record.tx);
    world.sidecars.set(toHex(record.label), record.sidecar);
    return record;
  };
  /** A record with any body, which its sender need not have padded; returns its label. */
  const putBody = async (sender: string, body: Uint8Array): Promise<Hash> => {
    const { label, value } = custody.record(sender, "");
    const sidecar = { salt: new Uint8Array(32).fill(3), body };
    const cm = recordCommitment(sidecar);
    const digest = chameleonDigest(custody.epoch(0).publicKey, label, { ...value, cm, version: 0 }) as Hash;
    await done(custody.record(sender, "", { cm, digest, length: body.length }).tx);
    world.sidecars.set(toHex(label), sidecar);
    return label;
  };
  /** A whole edit, as nodes with custodians do it: the payload in its place, or gone. */
  const edit = async (...ask: Parameters<Custody["request"]>) => {
    const asked = custody.request(...ask);
    await done(asked.tx);
    await to(custody.asked(asked.id).opensAt - 1);
    await done(custody.executeTx(asked.id));
    const label = toHex(ask[1]);
    if (asked.sidecar) world.sidecars.set(label, asked.sidecar);
    else world.sidecars.delete(label);
    return asked;
  };
  return { ...world, custody, done, to, put, putBody, edit };
}
