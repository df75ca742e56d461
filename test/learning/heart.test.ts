import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { compareTraining, evaluateModel } from "../../learning/compare.ts";
import { parseRecords } from "../../learning/csv.ts";
import { loadDataset } from "../../learning/dataset.ts";
import { evaluate } from "../../learning/evaluate.ts";
import { dequantiseModel, quantise } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import type { Samples } from "../../learning/samples.ts";
import { LearningSession } from "../../learning/session.ts";
import { splitDataset } from "../../learning/split.ts";
import { DenseTrainer } from "../../learning/trainers/dense.ts";
import { deviation, federate, type Hospital, mean } from "./federation.ts";
import { dataFile, testWith, vectorFile } from "./support.ts";

const names = ["cleveland", "hungarian", "switzerland", "va"];
const files = names.map((n) => dataFile("heart-disease", `processed.${n}.data`));
const splitFile = dataFile("heart-disease", "flamby_split.json");
const task = parseTask(readFileSync("examples/heart-disease/task.json", "utf8"));
const three = (values: readonly number[]) => values.map((v) => v.toFixed(3)).join(" / ");

test("the example's task is what it says", () => {
  assert.is(task.schema.features.length, 10);
  assert.is(task.split, "flamby_split.json");
});

testWith([...files, splitFile], "the schema keeps the rows, and the labels, that FLamby keeps", () => {
  const { centers } = JSON.parse(readFileSync(splitFile, "utf8"));
  names.forEach((name, i) => {
    const data = loadDataset(files[i]!, task);
    assert.equal([...data.rows], centers[name].kept_rows, name);
    const split = splitDataset(data, files[i]!, task);
    assert.is(split.train.n + split.validation.n, centers[name].n_train, name);
    assert.is(split.test.n, centers[name].n_test, name);
    const positives = (s: Samples) => s.y.reduce((a, b) => a + b, 0);
    assert.is(positives(split.train) + positives(split.validation), centers[name].pos_train, name);
    assert.is(positives(split.test), centers[name].pos_test, name);
  });
});

testWith(
  [...files, splitFile],
  "four heart hospitals, 15 rounds on the chain's path, five seeds: at least .75 of the test rows right",
  async () => {
    const [accuracy, auroc, alone, pooled]: number[][] = [[], [], [], []];
    const perHospital = names.map((): number[] => []);
    for (let seed = 1; seed <= 5; seed++) {
      const sessions = files.map((file, i) => new LearningSession({ file, seed: `heart/${seed}/${i}` }));
      const model = await federate(task, sessions, 15, `heart/${seed}`);
      const scores = await evaluateModel(model, task, files);
      assert.is(scores.pooled.n, 254);
      accuracy!.push(scores.pooled.accuracy);
      auroc!.push(scores.pooled.auroc!.value);
      names.forEach((name, i) => {
        perHospital[i]!.push(scores.perHospital[name]!.accuracy);
      });
      const compared = await compareTraining({ files, task, rounds: 15, seed: `heart/${seed}` });
      alone!.push(mean(names.map((name) => compared.localOnly[name]!.pooled.accuracy)));
      pooled!.push(compared.pooled.pooled.accuracy);
    }
    console.log(
      `heart: accuracy ${mean(accuracy!).toFixed(3)} ± ${deviation(accuracy!).toFixed(3)} (${three(accuracy!)}; published FedAvg .748, pooled .795), ` +
        `AUROC ${mean(auroc!).toFixed(3)}; ${names.join("/")} ${three(perHospital.map(mean))}; ` +
        `here pooled ${mean(pooled!).toFixed(3)}, local only ${mean(alone!).toFixed(3)}`,
    );
    assert.ok(mean(accuracy!) >= 0.75, `${mean(accuracy!)}`);
  },
);

function matrix(name: string, part: string): Samples {
  const path = vectorFile("heart_features", `${name}_${part}.csv`);
  const rows = parseRecords(readFileSync(path, "utf8"), path)
    .slice(1)
    .map((r) => r.cells.map(Number));
  return {
    n: rows.length,
    width: 13,
    x: Float32Array.from(rows.flatMap((r) => r.slice(0, 13))),
    y: Float32Array.from(rows, (r) => r[13]!),
    lines: Uint32Array.from(rows, (_, i) => i + 2),
  };
}

function flamby(): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: "flamby",
      schema: {
        features: Array.from({ length: 13 }, (_, i) => ({ name: `f${i}`, kind: "binary" })),
        label: { name: "y" },
      },
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
      training: { steps: 100, batch: 4, learningRate: 0.01 },
      // FLamby weighs by sample counts and clips nothing; Switzerland's update is small and far from the others'.
      aggregation: {
        weights: "samples",
        weightCapPermille: 1_000_000,
        normFloorPermille: 0,
        normBoundPermille: 100_000,
      },
      rounds: { maximum: 15 },
      split: { test: 0.3, validation: 0, seed: 1 },
    }),
  );
}

testWith(
  names.flatMap((n) => ["train", "test"].map((part) => vectorFile("heart_features", `${n}_${part}.csv`))),
  "FLamby's protocol from its prepared matrices: mean accuracy of the hospitals within .02 of .723",
  async () => {
    const t = flamby();
    const trainer = new DenseTrainer(t);
    const means: number[] = [];
    const each = names.map((): number[] => []);
    for (let seed = 1; seed <= 5; seed++) {
      const hospitals = names.map((name): Hospital => {
        const rows = matrix(name, "train");
        return {
          async train({ model, exponent, height }) {
            const start = dequantiseModel(model, t.model.scaleBits);
            const end = await trainer.train(start, rows, new Random("flamby", seed, name, height));
            const delta = end.map((p, i) => p - start[i]!);
            const rounding = new Random("rounding", seed, name, height);
            return { blob: quantise(delta, t.model.scaleBits, exponent, rounding), samples: rows.n };
          },
        };
      });
      const parameters = dequantiseModel(await federate(t, hospitals, 15, `flamby/${seed}`), t.model.scaleBits);
      const accuracies: number[] = [];
      for (const name of names) {
        const rows = matrix(name, "test");
        accuracies.push(evaluate(await trainer.logits(parameters, rows), rows.y).accuracy);
      }
      means.push(mean(accuracies));
      accuracies.forEach((a, i) => {
        each[i]!.push(a);
      });
    }
    console.log(
      `FLamby's protocol: mean of hospitals ${mean(means).toFixed(3)} ± ${deviation(means).toFixed(3)}; ${names.join("/")} ${three(each.map(mean))} (published re-run .771 / .762 / .738 / .622)`,
    );
    assert.ok(Math.abs(mean(means) - 0.723) <= 0.02, `${mean(means)}`);
  },
);

test.run();
