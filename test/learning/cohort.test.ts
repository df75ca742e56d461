import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeTask } from "../../genesis/task.ts";
import type { Attack } from "../../learning/attacks/index.ts";
import { checkData } from "../../learning/check.ts";
import { COHORT_SEED, cohortTask, generateCohort, writeCohort } from "../../learning/cohort.ts";
import { compareTraining, evaluateModel } from "../../learning/compare.ts";
import { LearningSession } from "../../learning/session.ts";
import { hospitalName } from "../../learning/split.ts";
import { federate, lowerMedian, mean } from "./federation.ts";

const task = cohortTask();
const target = task.rounds.target!.value;

async function withCohort(hospitals: number, use: (files: string[]) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-cohort-"));
  try {
    await use(writeCohort(folder, { hospitals, seed: COHORT_SEED }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a seed gives the same bytes on every engine", () => {
  const digest = (seed: number) => {
    const hash = createHash("sha256");
    for (const { name, csv } of generateCohort({ hospitals: 7, seed })) hash.update(name).update(csv);
    return hash.digest("hex");
  };
  assert.is(digest(COHORT_SEED), "4a50137d0886639211a993183f20a79df4662adbab10de1e8d2f5289d745de51");
  assert.not.equal(digest(2), digest(COHORT_SEED));
});

test("every file fits the task; hospitals differ; each has the rows to vote", async () => {
  assert.ok(encodeTask(task).length > 0);
  await withCohort(9, async (files) => {
    assert.is(new Set(files).size, 9);
    const prevalences: number[] = [];
    for (const file of files) {
      const report = checkData(file, task);
      assert.ok(report.ok, JSON.stringify(report.problems[0] ?? report.failure));
      assert.ok(
        report.columns.some((c) => c.missing > 0),
        "some values are missing",
      );
      prevalences.push(report.positives / report.used);
      const summary = await new LearningSession({ file, seed: "1" }).load(task);
      assert.ok(summary.validation >= task.aggregation.minimumRows, `${summary.validation} validation rows`);
    }
    assert.ok(Math.max(...prevalences) > 2 * Math.min(...prevalences), prevalences.join());
  });
});

/** Rounds to the target by the committee's median, as the chain counts: the metrics of a round are of the model before it. */
type Run = { rounds: number; auroc: number; keptOut: number; honestHarmful: number; attackerPay: bigint };

async function run(files: string[], seed: string, attackers: readonly number[] = [], attack?: Attack): Promise<Run> {
  const sessions = files.map(
    (file, i) =>
      new LearningSession({ file, seed: `${seed}/${i}`, attack: attackers.includes(i) ? attack : undefined }),
  );
  const last = { rounds: 0, keptOut: 0, honestHarmful: 0, attackerPay: 0n };
  const model = await federate(task, sessions, task.rounds.maximum, seed, ({ round, metrics, status, result }) => {
    if (lowerMedian(metrics.map((m) => m.auroc)) >= 1000 * target) return false;
    last.rounds = round;
    status.forEach((s, i) => {
      if (attackers.includes(i)) {
        if (!s.startsWith("accepted")) last.keptOut++;
        last.attackerPay += result.updates[i]!.pay;
      } else if (s === "harmful") last.honestHarmful++;
    });
    return true;
  });
  const { pooled } = await evaluateModel(model, task, files);
  return { ...last, auroc: pooled.auroc!.value };
}

test("four hospitals: alone none reaches the target, together they do in 5 to 12 rounds", async () => {
  await withCohort(4, async (files) => {
    for (let seed = 1; seed <= 3; seed++) {
      const { rounds, auroc } = await run(files, `four/${seed}`);
      const compared = await compareTraining({ files, task, rounds, seed: `four/${seed}` });
      const alone = files.map((f) => compared.localOnly[hospitalName(f)]!.pooled.auroc!.value);
      const pooled = compared.pooled.pooled.auroc!.value;
      console.log(
        `cohort 4, seed ${seed}: ${rounds} rounds; AUROC on all test rows: alone ${alone.map((a) => a.toFixed(3)).join(" ")}, ` +
          `federated ${auroc.toFixed(3)}, pooled ${pooled.toFixed(3)}`,
      );
      assert.ok(rounds >= 5 && rounds <= 12, `${rounds} rounds`);
      assert.ok(Math.max(...alone) < target, `alone ${Math.max(...alone)}`);
      assert.ok(auroc > Math.max(...alone) + 0.02 && pooled > auroc - 0.01, `${auroc} and ${pooled}`);
    }
  });
});

test("seven hospitals, two of them reversing their updates fourfold: the target is met without them", async () => {
  await withCohort(7, async (files) => {
    const runs: Run[] = [];
    for (const attackers of [
      [0, 1],
      [2, 5],
    ]) {
      const r = await run(files, `seven/${attackers}`, attackers, "sign-flip");
      console.log(
        `cohort 7, hospitals ${attackers} flip signs: ${r.rounds} rounds, AUROC ${r.auroc.toFixed(3)}, kept out ` +
          `${r.keptOut} of ${2 * r.rounds}, honest updates called harmful ${r.honestHarmful} of ${5 * r.rounds}, paid ${r.attackerPay}`,
      );
      assert.ok(r.rounds < task.rounds.maximum, `${r.rounds} rounds`);
      runs.push(r);
    }
    assert.ok(mean(runs.map((r) => r.keptOut / (2 * r.rounds))) >= 0.9);
    assert.ok(mean(runs.map((r) => r.honestHarmful / (5 * r.rounds))) <= 0.02);
    const clean = await run(files, "seven/clean");
    console.log(
      `cohort 7, all honest: ${clean.rounds} rounds, AUROC ${clean.auroc.toFixed(3)}, called harmful ${clean.honestHarmful}`,
    );
    assert.is(clean.honestHarmful, 0);
  });
});

test.run();
