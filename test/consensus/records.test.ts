import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeMessage } from "../../consensus/messages.ts";
import { chameleonDigest, scalarBytes } from "../../crypto/chameleon.ts";
import { addressOf, signTx } from "../../crypto/domain.ts";
import { padPayload, recordCommitment, recordLabel, type Sidecar } from "../../crypto/record.ts";
import { custodians } from "../../crypto/threshold.ts";
import { Block, blockId } from "../../types/block.ts";
import { bytesEqual, type Hash, toHex, ZERO_HASH } from "../../types/primitives.ts";
import { type Tx, untypedPayload } from "../../types/tx.ts";
import { PREVOTE } from "../../types/vote.ts";
import { State } from "../../vm/state.ts";
import { TASK, testGenesis, testKeys, World } from "./world.ts";

/** A block with a record is voted for by who has its payload, and by nobody else; the chain does not wait for it. */

const NAMES = ["a", "b", "c", "d"];
const { commitments } = custodians.trustedDealer({ min: 2, max: 3 }).public;
const publicKey = commitments[0] as Hash;

/** As if custodians had made a key before the first block. */
function withKey(state: State): State {
  const draft = state.draft();
  const empty = { keys: [], commitments: [], verifyingShares: [], transcript: ZERO_HASH };
  draft.add("epochs", { publicKey, generation: 0, threshold: 2, registeredAt: 0, since: 0, ...empty });
  return new State(draft.seal());
}

type Note = { tx: Tx; label: string; sidecar: Sidecar };

function note(world: World): Note {
  const { account } = testKeys("faucet");
  const sender = addressOf(account.publicKey);
  const label = recordLabel(world.hash, sender, 0);
  const sidecar = { salt: new Uint8Array(32).fill(3), body: padPayload(new TextEncoder().encode("a note")) };
  const opening = { cm: recordCommitment(sidecar), version: 0, r: scalarBytes(5n), s: scalarBytes(6n) };
  const value = {
    epoch: 0,
    digest: chameleonDigest(publicKey, label, opening) as Hash,
    cm: opening.cm,
    r: opening.r,
    s: opening.s,
    length: sidecar.body.length,
    subject: new Uint8Array(20),
  };
  const payload = untypedPayload({ kind: "record", value });
  const tx = signTx(world.hash, account, { sender, nonce: 0, fee: 1_000_000n, expires: 0, payload });
  return { tx, label: toHex(label), sidecar };
}

/** A network in which `holder` alone has a record's payload and proposes it, and what each node prevotes. */
async function network(seed: number, holder: string) {
  const world = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed, begin: withKey });
  const prevotes: { from: string; id: string }[] = [];
  const proposed = new Set<string>();
  world.filter = (from, _to, frame) => {
    const message = decodeMessage(frame);
    if (message.kind === "vote" && message.value.message.type === PREVOTE) {
      prevotes.push({ from, id: toHex(message.value.message.blockId) });
    }
    if (message.kind === "proposal" && message.value.block.length > 0) {
      const block = Block.deserialize(message.value.block);
      if (block.txs.length > 0) proposed.add(toHex(blockId(block.header)));
    }
    return true;
  };
  for (const name of NAMES) world.start(name);
  assert.ok(await world.run(60_000, () => world.height("a") >= 2));
  const made = note(world);
  world.disks.get(holder)?.records.set(made.label, made.sidecar);
  world.withholding.add(holder);
  world.picks = (name) => name === holder;
  world.mempool.push(made.tx);
  const prevotedBy = (id: string) => new Set(prevotes.filter((p) => p.id === id).map((p) => p.from));
  assert.ok(await world.run(60_000, () => proposed.size > 0), "it is proposed");
  return { world, made, proposed, prevotedBy };
}

const contains = (world: World, name: string, tx: Tx) =>
  world.disks.get(name)?.blocks.some((b) => b.certified.block.txs.some((t) => bytesEqual(t.signature, tx.signature)));

test("nobody votes for a block whose payload is missing, and everybody does once it arrives", async () => {
  const { world, made, proposed, prevotedBy } = await network(31, "b");
  const first = [...proposed][0] as string;
  // Well within the time for a proposal: everything but the payload is there.
  await world.run(2000, () => false);
  assert.equal([...prevotedBy(first)], ["b"]);
  assert.not.ok(contains(world, "a", made.tx));
  world.withholding.clear();
  assert.ok(await world.run(5000, () => NAMES.every((name) => contains(world, name, made.tx))));
  assert.is(prevotedBy(first).size, 4);
  for (const name of NAMES) assert.ok(world.disks.get(name)?.records.has(made.label), `${name} has it`);
});

test("a proposer that withholds a payload gets nil, and the chain goes on without its block", async () => {
  const { world, made, proposed, prevotedBy } = await network(32, "c");
  const from = world.height("a");
  assert.ok(await world.run(120_000, () => NAMES.every((name) => world.height(name) >= from + 6)));
  for (const id of proposed) assert.equal([...prevotedBy(id)], ["c"]);
  assert.ok(proposed.size > 1, "it tried more than once");
  assert.not.ok(NAMES.some((name) => contains(world, name, made.tx)));
});

test("a certificate stands for the payload: who lacks it does not vote, and keeps up all the same", async () => {
  const { world, made, proposed, prevotedBy } = await network(33, "a");
  const first = [...proposed][0] as string;
  for (const name of ["b", "c"]) world.disks.get(name)?.records.set(made.label, made.sidecar);
  for (const name of NAMES) world.withholding.add(name);
  assert.ok(await world.run(10_000, () => NAMES.every((name) => contains(world, name, made.tx))));
  assert.equal([...prevotedBy(first)].sort(), ["a", "b", "c"]);
  const height = world.height("d");
  assert.ok(await world.run(60_000, () => world.height("d") >= height + 3));
  assert.not.ok(world.disks.get("d")?.records.has(made.label));
});

test.run();
