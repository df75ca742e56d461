import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { joinSidecar, type Sidecar } from "../../crypto/record.ts";
import { placeName } from "../../node/records/files.ts";
import type { RequestHandler } from "../../p2p/types.ts";
import { isPoflError } from "../../types/errors.ts";
import type { Hash } from "../../types/primitives.ts";
import { Ledger, Peers, RecordNode, type Step, settled } from "./recordnet.ts";

/** What a node keeps beside the chain is what the final state says, whatever happens to its disk and whatever its peers send. */

const SECRET = "the patient withdrew consent on the third of May";
const BETTER = "the patient withdrew consent on the fifth of May";

/** The steps of a record's life: made, corrected, erased. */
function life() {
  const ledger = new Ledger();
  const begun = ledger.state;
  const made = ledger.note(SECRET);
  ledger.block(made.tx);
  const edit = (text?: string) => {
    const asked = ledger.ask(made.label, text);
    ledger.block(asked.tx);
    ledger.block();
    ledger.block();
    ledger.block(ledger.custody.executeTx(asked.id));
    return asked;
  };
  const corrected = edit(BETTER);
  const kept = ledger.state;
  edit();
  const [record, , , , correction] = ledger.steps as [Step, Step, Step, Step, Step];
  return { ledger, begun, made, corrected, kept, record, correction, erasure: ledger.steps.at(-1) as Step };
}

const holds = (node: RecordNode, text: string) => node.disk.content.includes(text);

const code = (work: Promise<unknown>) =>
  work.then(
    () => "",
    (error) => (isPoflError(error) ? error.code : String(error)),
  );

/** A handler that gives every asker the same bytes. */
const always = (sidecar: Sidecar): RequestHandler =>
  async function* () {
    yield joinSidecar(sidecar);
  };

async function ask(peers: Peers, peer: string, id: Hash, cm: Hash): Promise<Uint8Array[]> {
  const answer: Uint8Array[] = [];
  const request = Uint8Array.of(...id, ...cm);
  for await (const frame of peers.of("asker").request(peer, "record/1", request, { timeoutMs: 1, maxBytes: 1 })) {
    answer.push(frame);
  }
  return answer;
}

test("a record's life: stored, replaced, erased, and after each block the folder is what the state says", async () => {
  const { ledger, begun, made } = life();
  const node = await new RecordNode("a", ledger, new Peers(), begun).start();
  for (const step of ledger.steps) {
    await node.vote(step);
    assert.equal(node.disk.files, node.wanted, `height ${step.state.height}`);
  }
  assert.equal(node.disk.files, []);
  assert.not.ok(
    holds(node, SECRET) || holds(node, BETTER) || node.disk.content.includes(Buffer.from(made.sidecar.salt)),
  );
  assert.equal(node.fatal, []);
});

test("what a vote rests on is in a synced file before it is given", async () => {
  const { ledger, begun, made, record } = life();
  const node = await new RecordNode("a", ledger, new Peers(), begun).start();
  node.offer(made.tx);
  await node.sidecars.ensure(record.beside);
  // Power fails between the vote and the block.
  await node.crash("synced");
  assert.is(await code(node.sidecars.ensure(record.beside)), "");
  await node.follow(record);
  assert.equal(node.disk.files, node.wanted);
});

test("a node that dies at any step of an edit has what the state says after its next start, and nothing else", async () => {
  const { ledger, begun, corrected, kept } = life();
  const at = (step: Step) => ledger.steps.indexOf(step);
  for (const step of ledger.steps.filter((s) => s.txs.length > 0)) {
    for (const kind of ["synced", "all"] as const) {
      for (let call = 1; ; call++) {
        const id = `height ${step.state.height}, dead at call ${call}, ${kind}`;
        const node = await new RecordNode("a", ledger, new Peers(), begun).start();
        for (const before of ledger.steps.slice(0, at(step))) await node.vote(before);
        for (const tx of step.txs) node.offer(tx);
        await node.sidecars.ensure(step.beside);
        node.disk.diesAt = node.disk.calls + call;
        const done = (await code(node.follow(step))) === "";
        // The block was stored before: the stored state is the new one.
        await node.crash(kind);
        assert.equal(node.disk.files, node.wanted, id);
        node.disk.restart("synced");
        assert.equal(node.disk.files, node.wanted, `${id}: and that lasts`);
        if (node.state.height > kept.height + 3) assert.not.ok(holds(node, BETTER), id);
        if (done) break;
        assert.ok(call < 50, "it ends");
      }
    }
  }
  assert.ok(corrected.sidecar);
});

test("a node that was down while a record was erased, or follows many blocks at once, does the same", async () => {
  const { ledger, begun, record } = life();
  const node = await new RecordNode("a", ledger, new Peers(), begun).start();
  await node.vote(record);
  assert.ok(holds(node, SECRET));
  await node.crash("synced");
  node.catchingUp = true;
  for (const step of ledger.steps.slice(1)) await node.follow(step);
  assert.equal(node.disk.files, []);
  // The same with a database that knows all of it already, such as one copied from another node.
  const other = await new RecordNode("b", ledger, new Peers(), begun).start();
  await other.vote(record);
  await other.crash("all", ledger.state);
  assert.equal(other.disk.files, []);
  assert.not.ok(holds(other, SECRET));
});

test("a peer that serves the erased original is refused and reported, and the next one is asked", async () => {
  const { ledger, made, kept, corrected } = life();
  const { id, cm } = { id: made.label, cm: made.value.cm };
  const replacement = corrected.sidecar as Sidecar;
  const current = kept.find("records", id)?.record;
  assert.ok(current && Buffer.compare(current.cm, cm) !== 0);
  const next = { txs: [], receipts: [], parent: kept, state: kept, beside: [] };
  for (const kind of ["one that runs and lost its file", "one that has just joined"]) {
    const peers = new Peers();
    peers.handlers.set("stale", always(made.sidecar));
    const node = await new RecordNode("a", ledger, peers, kept).start();
    if (kind === "one that runs and lost its file") {
      await node.follow(next);
    } else {
      node.catchingUp = true;
      await node.follow(next);
      await settled();
      assert.equal(peers.reports, [], `${kind}: it asks nobody while it catches up`);
      node.catchingUp = false;
      await node.follow(next);
    }
    await settled();
    assert.equal(peers.reports, ["a on stale: reject"], kind);
    assert.ok(
      node.log.some((l) => l.level === "warn" && l.fields.peer === "stale" && /refused and reported/.test(l.text)),
      kind,
    );
    assert.not.ok(holds(node, SECRET), `${kind}: nothing of it was written`);
    assert.is(await node.sidecars.read(id, current.cm, current.length), undefined);
    assert.is(await node.sidecars.read(id, cm, made.value.length), undefined);
    // Nobody had it: asked again after a while, and an honest one is there then.
    peers.handlers.set("honest", always(replacement));
    assert.is(node.timers.length, 1);
    node.timers[0]?.act();
    await settled();
    assert.equal(await node.sidecars.read(id, current.cm, current.length), replacement, kind);
    assert.equal(node.disk.files, node.wanted, kind);
    await node.sidecars.stop();
  }
});

test("what nobody serves is asked for less and less often, and a payload that was erased meanwhile is not wanted any more", async () => {
  const { ledger, record, erasure } = life();
  const node = await new RecordNode("a", ledger, new Peers(), record.state).start();
  await node.follow({ ...record, txs: [], receipts: [] });
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    await settled();
    assert.is(node.timers.length, 1);
    const timer = node.timers.shift();
    waits.push(timer?.ms ?? 0);
    timer?.act();
  }
  assert.equal(waits.slice(0, 3), [2000, 4000, 8000]);
  assert.is(waits.at(-1), 120_000);
  await settled();
  await node.follow(erasure);
  node.timers.shift()?.act();
  await settled();
  assert.is(node.timers.length, 0, "nothing is missing");
  await node.sidecars.stop();
});

test("an answer that comes after the erasure is not kept", async () => {
  const { ledger, made, record, erasure } = life();
  const peers = new Peers();
  const { promise, resolve } = Promise.withResolvers<void>();
  peers.handlers.set("slow", async function* () {
    await promise;
    yield joinSidecar(made.sidecar);
  });
  const node = await new RecordNode("a", ledger, peers, record.state).start();
  await node.follow({ ...record, txs: [], receipts: [] });
  await settled();
  await node.follow(erasure);
  resolve();
  await settled();
  assert.equal(node.disk.files, []);
  assert.not.ok(holds(node, SECRET));
  assert.equal(peers.reports, [], "it did not lie when it was asked");
  await node.sidecars.stop();
});

test("served is what the final state holds, to whoever asks with its commitment, and never while catching up", async () => {
  const { ledger, begun, made, corrected, record, correction } = life();
  const peers = new Peers();
  const node = await new RecordNode("a", ledger, peers, begun).start();
  const original = [made.label, made.value.cm] as const;
  const served = async (id: Hash, cm: Hash) => (await ask(peers, "a", id, cm)).length === 1;
  node.offer(made.tx);
  assert.equal(await ask(peers, "a", ...original), [joinSidecar(made.sidecar)], "it waits here");
  node.catchingUp = true;
  assert.not.ok(await served(...original));
  node.catchingUp = false;
  await node.vote(record);
  assert.ok(await served(...original));
  // After a start the stored state may be an old one, in which the record is not erased yet.
  await node.crash("synced");
  assert.not.ok(await served(...original));
  assert.is(await node.sidecars.read(...original, made.value.length), undefined);
  const asking = ledger.steps[1] as Step;
  await node.vote(asking);
  assert.ok(await served(...original));
  assert.equal(await node.sidecars.read(...original, made.value.length), made.sidecar);
  const { cm } = asking.beside[0] as { cm: Hash };
  assert.ok(await served(corrected.id, cm), "the replacement that an open request names");
  node.catchingUp = true;
  assert.not.ok((await served(...original)) || (await served(corrected.id, cm)));
  node.catchingUp = false;
  for (const step of ledger.steps.slice(2, 5)) await node.vote(step);
  assert.is(node.state, correction.state);
  assert.not.ok(await served(...original), "the original, once it is replaced");
  assert.not.ok(await served(corrected.id, cm), "nor under the request, which is executed");
  assert.ok(await served(made.label, cm));
  assert.not.ok(await served(made.label, made.label), "another commitment");
  await node.sidecars.stop();
});

test("a payload that waits nowhere is pulled for the vote; if nobody has it, the vote waits", async () => {
  const { ledger, begun, made, record } = life();
  const peers = new Peers();
  const node = await new RecordNode("a", ledger, peers, begun).start();
  peers.handlers.set("empty", async function* () {});
  peers.handlers.set("liar", always({ salt: made.sidecar.salt, body: made.sidecar.body.slice().fill(1) }));
  peers.handlers.set("broken", async function* () {
    yield new Uint8Array(3);
  });
  assert.is(await code(node.sidecars.ensure(record.beside)), "MISSING_RECORDS");
  assert.equal(peers.reports.sort(), ["a on broken: reject", "a on liar: reject"]);
  assert.equal(node.disk.files, []);
  peers.handlers.set("honest", always(made.sidecar));
  assert.is(await code(node.sidecars.ensure(record.beside)), "");
  assert.equal(node.disk.files, [placeName({ id: made.label, cm: made.value.cm })]);
  assert.equal(node.timers, [], "no timer is left behind");
});

test("a peer that stalls costs a second, not the vote", async () => {
  const { ledger, begun, made, record } = life();
  const peers = new Peers();
  const node = await new RecordNode("a", ledger, peers, begun).start();
  peers.handlers.set("stalls", async function* () {
    await new Promise(() => {});
    yield new Uint8Array(0);
  });
  peers.handlers.set("honest", always(made.sidecar));
  const ensured = node.sidecars.ensure(record.beside);
  await settled();
  const hedge = node.timers.find((t) => t.ms === 1000);
  hedge?.act();
  assert.is(await code(ensured), "");
});

test("a damaged file is pulled again", async () => {
  const { ledger, begun, made, record } = life();
  const peers = new Peers();
  const node = await new RecordNode("a", ledger, peers, begun).start();
  await node.vote(record);
  const place = { id: made.label, cm: made.value.cm };
  node.disk.damage(placeName(place), (data) => data.slice().fill(9));
  assert.is(await node.sidecars.read(place.id, place.cm, made.value.length), undefined);
  assert.equal(node.disk.files, []);
  peers.handlers.set("honest", always(made.sidecar));
  assert.is(await code(node.sidecars.ensure(record.beside)), "");
  assert.equal(node.disk.files, [placeName(place)]);
});

test("a damaged or vanished file of a record is asked for again at once, without a restart", async () => {
  const { ledger, begun, made, record } = life();
  const { cm } = made.value;
  for (const how of ["damaged", "vanished"]) {
    const peers = new Peers();
    const node = await new RecordNode("a", ledger, peers, begun).start();
    await node.vote(record);
    peers.handlers.set("b", always(made.sidecar));
    const name = placeName({ id: made.label, cm });
    if (how === "damaged") node.disk.damage(name, (data) => data.map((b) => b ^ 1));
    else await node.disk.unlink(`/records/${name}`);
    assert.is(await node.sidecars.read(made.label, cm, record.beside[0]!.length), undefined, `${how}: never served`);
    await settled();
    assert.ok(await node.sidecars.read(made.label, cm, record.beside[0]!.length), how);
    assert.equal(node.disk.files, node.wanted, how);
    const said = node.log.filter(({ level, fields }) => level === "warn" && fields.file === name);
    assert.is(said.length, 1, how);
    assert.equal(node.fatal, []);
  }
});

test("a payload whose block lost stays while its transaction waits, and no longer", async () => {
  const ledger = new Ledger();
  const begun = ledger.state;
  const lost = ledger.note("never final");
  const beside = [{ id: lost.label, cm: lost.value.cm, length: lost.value.length }];
  const node = await new RecordNode("a", ledger, new Peers(), begun).start();
  node.offer(lost.tx);
  await node.sidecars.ensure(beside);
  await node.follow(ledger.block());
  assert.is(node.disk.files.length, 1, "it waits");
  await node.crash("all");
  assert.is(node.disk.files.length, 1, "a block that this node voted for may be decided yet");
  await node.follow(ledger.block());
  assert.equal(node.disk.files, [], "the mempool forgot it, and the height that it was for is over");
});

test("of two transactions with one nonce the payload of the one that became final stays", async () => {
  const ledger = new Ledger();
  const node = await new RecordNode("a", ledger, new Peers()).start();
  const [lost, won] = [ledger.note("one"), ledger.note("two")];
  assert.equal(lost.label, won.label);
  node.offer(lost.tx);
  await node.sidecars.ensure([{ id: lost.label, cm: lost.value.cm, length: lost.value.length }]);
  const step = ledger.block(won.tx);
  node.offer(won.tx);
  await node.sidecars.ensure(step.beside);
  assert.is(node.disk.files.length, 2, "both may be voted for");
  await node.follow(step);
  assert.equal(node.disk.files, [placeName({ id: won.label, cm: won.value.cm })]);
  assert.equal(node.disk.files, node.wanted);
});

test("the replacement of a request that was stopped, lapsed or overtaken goes", async () => {
  const ledger = new Ledger();
  const { custody } = ledger;
  const begun = ledger.state;
  const [made, other, third] = [ledger.note("one"), ledger.note("two", "ben"), ledger.note("three", "cleo")];
  ledger.block(made.tx, other.tx, third.tx);
  const stopped = ledger.ask(made.label, "stopped");
  ledger.block(stopped.tx);
  const lapses = ledger.ask(other.label, "lapses");
  ledger.block(lapses.tx);
  const overtaken = ledger.ask(third.label, "overtaken");
  ledger.block(overtaken.tx);
  const quicker = ledger.ask(third.label, "quicker");
  ledger.block(quicker.tx);
  ledger.block();
  const object = (name: string) => custody.chain.tx(name, { kind: "redact-object", value: { request: stopped.id } });
  ledger.block(object("anna"), object("ben"), object("cleo"));
  ledger.block(custody.executeTx(quicker.id));
  while (ledger.state.height <= custody.asked(lapses.id).lapsesAt) ledger.block();

  const node = await new RecordNode("a", ledger, new Peers(), begun).start();
  const has = (text: string) => holds(node, text);
  const seen: string[] = [];
  for (const step of ledger.steps) {
    await node.vote(step);
    assert.equal(node.disk.files, node.wanted, `height ${step.state.height}`);
    seen.push(["stopped", "lapses", "overtaken", "quicker"].filter(has).join());
  }
  assert.equal(
    seen.filter((now, i) => now !== seen[i - 1]),
    ["", "stopped", "stopped,lapses", "stopped,lapses,overtaken", "stopped,lapses,overtaken,quicker"].concat(
      "lapses,overtaken,quicker",
      "lapses,quicker",
      "quicker",
    ),
  );
});

type Op = { readonly kind: "note" | "correct" | "erase" | "idle"; readonly which: number; readonly how: How };
/** How the node gets through the blocks of an operation: it votes, it only follows, or it dies at some call and starts again. */
type How =
  | { readonly kind: "votes" | "follows" }
  | { readonly kind: "dies"; readonly at: number; readonly all: boolean };

const how: fc.Arbitrary<How> = fc.oneof(
  fc.constantFrom({ kind: "votes" } as const, { kind: "follows" } as const),
  fc.record({ kind: fc.constant("dies" as const), at: fc.integer({ min: 1, max: 12 }), all: fc.boolean() }),
);
const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom("note", "note", "correct", "erase", "idle"),
  which: fc.nat(7),
  how,
});

test("whatever is recorded, corrected and erased, and whenever the node dies: the folder ends as the state says", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 8 }), async (ops) => {
      const ledger = new Ledger();
      const peers = new Peers();
      // Gives whatever it is asked for, erased or not: what the node asks for is what matters.
      peers.handlers.set("archive", async function* (_peer, request) {
        const found = ledger.payloads.get(placeName({ id: request.slice(0, 32), cm: request.slice(32) }));
        if (found) yield joinSidecar(found);
      });
      const node = await new RecordNode("a", ledger, peers).start();
      const labels: Hash[] = [];
      const erased = new Set<Hash>();
      const through = async (step: Step, how: How) => {
        if (how.kind !== "dies") return how.kind === "votes" ? node.vote(step) : node.follow(step);
        node.disk.diesAt = node.disk.calls + how.at;
        await node.vote(step).catch(() => {});
        await node.crash(how.all ? "all" : "synced", step.state);
      };
      for (const { kind, which, how } of ops) {
        const label = labels[which % Math.max(1, labels.length)];
        if (kind === "note") {
          const made = ledger.note(`note ${labels.length}`);
          labels.push(made.label);
          await through(ledger.block(made.tx), how);
        } else if (kind === "idle" || !label || erased.has(label)) {
          await through(ledger.block(), how);
        } else {
          if (kind === "erase") erased.add(label);
          const asked = ledger.ask(label, kind === "erase" ? undefined : `correction ${ledger.steps.length}`);
          await through(ledger.block(asked.tx), how);
          await through(ledger.block(), { kind: "votes" });
          await through(ledger.block(), { kind: "votes" });
          await through(ledger.block(ledger.custody.executeTx(asked.id)), how);
        }
        await settled();
        const extra = node.disk.files.filter((file) => !node.wanted.includes(file));
        assert.equal(extra, [], "nothing that the state does not want");
      }
      await node.vote(ledger.block());
      await settled();
      assert.equal(node.disk.files, node.wanted, "and all that it wants");
      assert.equal(node.fatal, []);
      assert.equal(peers.reports, []);
      await node.sidecars.stop();
    }),
    { numRuns: 40, seed: 9 },
  );
});

test.run();
