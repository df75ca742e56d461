import { test } from "uvu";
import * as assert from "uvu/assert";
import { genesisTaskId } from "../../genesis/genesis.ts";
import { initialExponent, initialModel, modelRoot } from "../../genesis/model.ts";
import { encodeTask } from "../../genesis/task.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Metrics } from "../../types/round.ts";
import { TASK_STATUS } from "../../types/state.ts";
import { State } from "../../vm/state.ts";
import { reachesTarget } from "../../vm/tasks.ts";
import { BALANCE, Chain, type GenesisChange, genesisWith, learningOf, NO_METRICS, seedOf, spec } from "./support.ts";

function start(change: GenesisChange = { task: undefined }): Chain {
  const genesis = genesisWith(change);
  return new Chain(genesis, State.genesis(genesis));
}
const record = (chain: Chain, id: Hash) => {
  const found = chain.state.task(id)?.record;
  if (!found) throw new Error("no such task");
  return found;
};
const status = (chain: Chain, id: Hash) => TASK_STATUS[record(chain, id).status];
const activeName = (chain: Chain) => {
  const active = chain.state.activeTask()?.record;
  return active && (JSON.parse(new TextDecoder().decode(active.spec)) as { name: string }).name;
};
const learn = (chain: Chain, metrics: Metrics = NO_METRICS, model = seedOf("model")) =>
  chain.run({ learning: learningOf(chain.state.activeTask()?.record.id as Hash, [], model), metrics });
const metrics = (change: Partial<Metrics>): Metrics => ({ n: 3, loss: 500, accuracy: 500, auroc: 500, ...change });

test("the task of genesis starts at once from its initial model", () => {
  const task = spec();
  const chain = start({ task: { spec: task, escrow: "10000" } });
  const id = genesisTaskId(task);
  assert.is(status(chain, id), "active");
  assert.equal(record(chain, id).modelRoot, modelRoot(initialModel(task, id)));
  assert.is(record(chain, id).exponent, initialExponent(task));
  assert.is(chain.state.singles.minted, 4n * 1_000_000n + 7n * BALANCE + 10_000n);
});

test("a published task starts in its block when none is active, and a round enters it", () => {
  const chain = start();
  const { tx, id } = chain.publish("emil", spec(), 5000n);
  assert.equal(chain.send(tx), [""]);
  assert.is(status(chain, id), "active");
  assert.equal(record(chain, id).modelRoot, modelRoot(initialModel(spec(), id)));
  chain.run();
  assert.is(record(chain, id).failed, 1);
  learn(chain);
  learn(chain, NO_METRICS, seedOf("second"));
  const { round, failed, modelRoot: root, exponent, medianNorm, lastLearning, priorLearning } = record(chain, id);
  assert.equal(
    { round, failed, root: toHex(root), exponent, medianNorm, lastLearning, priorLearning },
    {
      round: 2,
      failed: 0,
      root: toHex(seedOf("second")),
      exponent: 9,
      medianNorm: 77n,
      lastLearning: 4,
      priorLearning: 3,
    },
  );
});

test("a task ends at its maximum of rounds, and the rest of its escrow returns", () => {
  const chain = start();
  const { tx, id } = chain.publish("emil", spec({ rounds: { maximum: 2 } }), 5000n);
  chain.send(tx);
  learn(chain);
  assert.is(status(chain, id), "active");
  learn(chain);
  assert.is(status(chain, id), "exhausted");
  assert.is(record(chain, id).endedAt, 3);
  assert.is(record(chain, id).escrow, 0n);
  assert.is(chain.balance("emil"), BALANCE - tx.body.fee, "no update and no attestation was paid for");
  assert.is(chain.state.activeTask(), undefined);
});

test("a task ends on its target once its minimum of rounds lies behind the measured model", () => {
  const target = { metric: "accuracy" as const, value: 0.8, releasePermille: 500 };
  const chain = start({ task: { spec: spec({ rounds: { minimum: 1, maximum: 9, target } }), escrow: "10000" } });
  const id = chain.state.activeTask()?.record.id as Hash;
  learn(chain, metrics({ accuracy: 900 }));
  assert.is(status(chain, id), "active", "the model that was measured had no round behind it");
  learn(chain, metrics({ accuracy: 795 }));
  assert.is(status(chain, id), "active");
  const burned = chain.state.singles.burned;
  learn(chain, metrics({ accuracy: 800 }));
  assert.is(status(chain, id), "reached");
  assert.is(record(chain, id).round, 3);
  // Nobody published it, so the rest belongs to nobody.
  assert.is(chain.state.singles.burned, burned + 10_000n);
});

test("reaching the target pays a part of the rest to those who trained, as they earned, to the last unit", () => {
  const target = { metric: "accuracy" as const, value: 0.8, releasePermille: 250 };
  const chain = start();
  const { tx, id } = chain.publish(
    "emil",
    spec({ bounty: "1000", rounds: { minimum: 0, maximum: 9, target } }),
    9_001n,
  );
  assert.equal(chain.send(tx), [""]);
  const updates = [
    { miner: 0, pay: 301n },
    { miner: 2, pay: 100n },
    { miner: 3, pay: 0n },
  ];
  chain.run({ learning: learningOf(id, updates, seedOf("model")) });
  const earned = (at: number) => chain.state.minerAt(at)?.earned as bigint;
  const before = [0, 1, 2, 3].map(earned);
  const { escrow } = record(chain, id);
  const balance = chain.balance("emil");
  chain.run({ metrics: metrics({ accuracy: 800 }) });
  assert.is(status(chain, id), "reached");
  const pot = escrow / 4n;
  const shares = [(pot * 301n) / 401n, 0n, (pot * 100n) / 401n, 0n];
  assert.equal(
    [0, 1, 2, 3].map((i) => earned(i) - (before[i] as bigint)),
    shares,
  );
  assert.is(record(chain, id).escrow, 0n);
  assert.is(chain.balance("emil") - balance, escrow - (shares[0] as bigint) - (shares[2] as bigint));
  assert.equal(
    record(chain, id).standings.map((s) => [s.miner, s.earned]),
    [
      [0, 301n + (shares[0] as bigint)],
      [2, 100n + (shares[2] as bigint)],
      [3, 0n],
    ],
  );
});

const targets: {
  id: string;
  metric: "accuracy" | "auroc" | "loss";
  value: number;
  reported: Partial<Metrics>;
  met: boolean;
}[] = [
  { id: "accuracy met exactly", metric: "accuracy", value: 0.785, reported: { accuracy: 785 }, met: true },
  { id: "accuracy missed by a step", metric: "accuracy", value: 0.785, reported: { accuracy: 780 }, met: false },
  { id: "AUROC met", metric: "auroc", value: 0.9, reported: { auroc: 905 }, met: true },
  { id: "AUROC not defined", metric: "auroc", value: 0.9, reported: { auroc: 0 }, met: false },
  { id: "loss met from below", metric: "loss", value: 0.29, reported: { loss: 290 }, met: true },
  { id: "loss above", metric: "loss", value: 0.29, reported: { loss: 300 }, met: false },
  { id: "nobody reported", metric: "loss", value: 0.29, reported: { n: 0, loss: 0 }, met: false },
];
for (const { id, metric, value, reported, met } of targets) {
  test(`target: ${id}`, () => {
    assert.is(
      reachesTarget(spec({ rounds: { target: { metric, value, releasePermille: 0 } } }), metrics(reported)),
      met,
    );
  });
}

test("the queue goes by bounty, then age", () => {
  const chain = start();
  const names: string[] = [];
  const published = [
    { name: "first", bounty: "5", rounds: { maximum: 1 } },
    { name: "old", bounty: "7", rounds: { maximum: 1 } },
    { name: "young", bounty: "7", rounds: { maximum: 1 } },
    { name: "rich", bounty: "9", rounds: { maximum: 1 } },
  ];
  // One block, or the first would fail heights meanwhile.
  const txs = published.map((change, nonce) => {
    const value = { spec: encodeTask(spec(change)), escrow: 1000n };
    return chain.tx("emil", { kind: "task-publish", value }, { nonce });
  });
  assert.equal(chain.send(...txs), ["", "", "", ""]);
  while (chain.state.activeTask()) {
    names.push(activeName(chain) as string);
    learn(chain);
  }
  assert.equal(names, ["rich", "old", "young", "first"]);
});

test("failed heights send a task behind all others for a fee that is burned; it goes on where it was", () => {
  const chain = start();
  const rich = chain.publish("emil", spec({ name: "rich", bounty: "9" }), 1200n);
  chain.send(rich.tx);
  learn(chain);
  const { modelRoot: root } = record(chain, rich.id);
  chain.send(chain.publish("fay", spec({ name: "poor", bounty: "1", rounds: { maximum: 1 } }), 1000n).tx);
  chain.run();
  assert.is(activeName(chain), "rich");
  const { burned } = chain.state.singles;
  chain.run();
  assert.is(activeName(chain), "poor");
  assert.is(status(chain, rich.id), "queued");
  assert.is(record(chain, rich.id).escrow, 700n);
  assert.is(chain.state.singles.burned, burned + 500n);
  learn(chain);
  assert.is(activeName(chain), "rich");
  assert.equal([record(chain, rich.id).round, record(chain, rich.id).failed], [1, 0]);
  assert.equal(record(chain, rich.id).modelRoot, root);
  // Alone in the queue it pays and stays, with what it has.
  for (let i = 0; i < 6; i++) chain.run();
  assert.is(record(chain, rich.id).escrow, 0n);
  assert.is(record(chain, rich.id).requeues, 3);
  assert.is(activeName(chain), "rich");
});

test("funding adds to the escrow; cancelling a queued task returns it at once", () => {
  const chain = start({ task: { spec: spec(), escrow: "10000" } });
  const { tx, id } = chain.publish("emil", spec({ name: "waits" }), 1000n);
  chain.send(tx);
  const fund = chain.tx("fay", { kind: "task-fund", value: { task: id, amount: 250n } });
  chain.send(fund);
  assert.is(record(chain, id).escrow, 1250n);
  const cancel = chain.tx("emil", { kind: "task-cancel", value: { task: id } });
  chain.send(cancel);
  assert.is(status(chain, id), "cancelled");
  assert.is(chain.balance("emil"), BALANCE - tx.body.fee - cancel.body.fee + 250n);
  assert.is(chain.balance("fay"), BALANCE - fund.body.fee - 250n);
});

test.run();
