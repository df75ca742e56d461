import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { auroc, compareAuroc, erfc } from "../../learning/auroc.ts";
import { parseRecords } from "../../learning/csv.ts";
import { coarseMetrics, type Evaluation, evaluate, rowLoss } from "../../learning/evaluate.ts";
import { testWith, vectorFile } from "./support.ts";

const close = (actual: number | undefined, expected: number, id: string, tolerance = 1e-9) =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) <= tolerance, `${id}: ${actual}, not ${expected}`);
const numbers = (path: string): number[][] =>
  parseRecords(readFileSync(path, "utf8"), path)
    .slice(1)
    .map((r) => r.cells.map(Number));
const names = ["cleveland", "hungarian", "switzerland", "va"];

testWith(
  [vectorFile("heart_newton.json")],
  "equals the published Newton regression on the four heart hospitals",
  () => {
    const golden = JSON.parse(readFileSync(vectorFile("heart_newton.json"), "utf8"));
    for (const key of Object.keys(golden)) {
      const theta: number[] = golden[key]["theta[intercept,f0..f12]"];
      const logits: number[] = [];
      const labels: number[] = [];
      for (const name of names) {
        const rows = numbers(vectorFile("heart_features", `${name}_test.csv`));
        const z = rows.map((r) => theta[0]! + r.slice(0, 13).reduce((sum, v, i) => sum + v * theta[i + 1]!, 0));
        const y = rows.map((r) => r[13]!);
        logits.push(...z);
        labels.push(...y);
        const e = evaluate(z, y);
        const site = golden[key].sites[name];
        assert.equal(e.counts, { tp: site.tp, fp: site.fp, fn: site.fn, tn: site.tn }, name);
        for (const metric of ["n", "accuracy", "precision", "sensitivity", "specificity", "brier"] as const) {
          close(e[metric], site[metric], `${name} ${metric}`);
        }
        close(e.loss, site.logloss, `${name} log loss`);
        if (site.auroc === undefined) continue;
        close(e.auroc?.value, site.auroc, `${name} AUROC`);
        close(e.auroc?.variance, site.delong_var, `${name} variance`);
        close(e.auroc?.ci95?.[0], site.ci95[0], `${name} CI`);
        close(e.auroc?.ci95?.[1], site.ci95[1], `${name} CI`);
      }
      const all = evaluate(logits, labels);
      const expected = golden[key].all_test;
      assert.is(all.n, expected.n);
      close(all.accuracy, expected.accuracy, "accuracy");
      close(all.brier, expected.brier, "Brier");
      close(all.auroc?.value, expected.auroc, "AUROC");
      close(all.auroc?.variance, expected.delong_var, "variance");
    }
  },
);

testWith([vectorFile("aSAH.csv")], "DeLong equals R's pROC on its own data", () => {
  const rows = numbers(vectorFile("aSAH.csv"));
  const column = (i: number) => rows.map((r) => r[i]!);
  const y = column(0);
  const expected = [
    [1, 0.731368563686, 0.00266868245717, 0.630118211762, 0.83261891561],
    [2, 0.61195799458, 0.00319081054939, 0.501244999272, 0.722670989888],
    [3, 0.823678861789, 0.00146991470882, 0.748534887819, 0.898822835758],
  ] as const;
  for (const [i, value, variance, low, high] of expected) {
    const a = auroc(column(i), y);
    close(a?.value, value, `AUROC ${i}`);
    close(a?.variance, variance, `variance ${i}`);
    close(a?.ci95?.[0], low, `CI ${i}`);
    close(a?.ci95?.[1], high, `CI ${i}`);
  }
  const ndka = compareAuroc(column(1), column(2), y);
  close(ndka?.z, 1.39077002574, "Z");
  close(ndka?.p, 0.164295175223, "p");
  const wfns = compareAuroc(column(1), column(3), y);
  close(wfns?.z, -2.20898359144, "Z");
  close(wfns?.p, 0.0271757822292, "p");
});

test("AUROC counts pairs, ties half, whatever the scores", () => {
  const row = fc.tuple(fc.integer({ min: -3, max: 3 }), fc.constantFrom(0, 1));
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 30 }), (rows) => {
      const [scores, labels] = [rows.map((r) => r[0]), rows.map((r) => r[1])];
      let [wins, pairs] = [0, 0];
      for (const [a, p] of rows)
        for (const [b, q] of rows)
          if (p === 1 && q === 0) {
            pairs++;
            wins += a > b ? 1 : a === b ? 0.5 : 0;
          }
      const result = auroc(scores, labels);
      if (pairs === 0) assert.is(result, undefined);
      else close(result?.value, wins / pairs, "AUROC", 1e-12);
    }),
  );
});

test("what is not defined is undefined, never 0 or NaN", () => {
  const one = evaluate([1, 2, -1], [1, 1, 1]);
  assert.is(one.auroc, undefined);
  assert.is(one.specificity, undefined);
  assert.is(evaluate([-1, -2], [0, 1]).precision, undefined);
  const single = evaluate([1, 2, -1], [1, 1, 0]).auroc;
  assert.equal(single, { value: 1, variance: undefined, ci95: undefined });
  assert.is(compareAuroc([1, 2, 3, 4], [2, 4, 6, 8], [0, 1, 0, 1]), undefined);
});

test("extreme logits keep a finite loss; erfc holds on both of its branches", () => {
  assert.is(rowLoss(800, 0), 800);
  assert.is(rowLoss(800, 1), 0);
  close(rowLoss(0, 1), Math.LN2, "log 2", 1e-15);
  const table = [
    [0, 1],
    [0.5, 0.4795001221869535],
    // erfc(2) and its derivative: just below the seam of the two branches.
    [2 - 1e-6, 0.004677734981047266 + (2e-6 / Math.sqrt(Math.PI)) * Math.exp(-4)],
    [2, 0.004677734981047266],
    [3, 2.209049699858544e-5],
    [5, 1.5374597944280349e-12],
  ] as const;
  for (const [x, value] of table) assert.ok(Math.abs(erfc(x) / value - 1) < 1e-8, `erfc(${x}) = ${erfc(x)}`);
});

test("published metrics are coarse", () => {
  const e = { ...evaluate([1], [1]), n: 127, loss: 0.43678, accuracy: 0.7812, auroc: { value: 0.8427 } } as Evaluation;
  assert.equal(coarseMetrics(e), { n: 64, loss: 440, accuracy: 780, auroc: 845 });
  assert.is(coarseMetrics(evaluate([1, 2], [1, 1])).auroc, 0);
  assert.is(coarseMetrics(evaluate([100, -100], [0, 1])).loss, 2000);
});

test.run();
