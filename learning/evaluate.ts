import type { Metrics } from "../types/round.ts";
import { type Auroc, auroc } from "./auroc.ts";

/** How a model does on labelled rows, as a clinician reads it. Rates whose denominator is 0 are undefined. */
export type Evaluation = {
  readonly n: number;
  readonly positives: number;
  readonly accuracy: number;
  /** Mean negative log-likelihood, nats. */
  readonly loss: number;
  /** Mean squared error of the probability. */
  readonly brier: number;
  readonly counts: { readonly tp: number; readonly fp: number; readonly fn: number; readonly tn: number };
  readonly precision: number | undefined;
  readonly sensitivity: number | undefined;
  readonly specificity: number | undefined;
  readonly auroc: Auroc | undefined;
};

/** −log p(label), from the logit, without overflow: softplus(z) − z·y. */
export function rowLoss(logit: number, label: number): number {
  return Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - logit * label;
}

/** Mean of rowLoss; 0 of no rows. */
export function meanLoss(logits: ArrayLike<number>, labels: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += rowLoss(logits[i]!, labels[i]!);
  return logits.length === 0 ? 0 : sum / logits.length;
}

/** Evaluates logits against 0/1 labels; a row is called positive when its probability is above one half. */
export function evaluate(logits: ArrayLike<number>, labels: ArrayLike<number>): Evaluation {
  const n = logits.length;
  const counts = { tp: 0, fp: 0, fn: 0, tn: 0 };
  let brier = 0;
  for (let i = 0; i < n; i++) {
    const z = logits[i]!;
    const y = labels[i]!;
    if (z > 0) counts[y === 1 ? "tp" : "fp"]++;
    else counts[y === 1 ? "fn" : "tn"]++;
    brier += (1 / (1 + Math.exp(-z)) - y) ** 2;
  }
  const { tp, fp, fn, tn } = counts;
  const ratio = (a: number, b: number) => (b === 0 ? undefined : a / b);
  return {
    n,
    positives: tp + fn,
    accuracy: ratio(tp + tn, n) ?? 0,
    loss: meanLoss(logits, labels),
    brier: ratio(brier, n) ?? 0,
    counts,
    precision: ratio(tp, tp + fp),
    sensitivity: ratio(tp, tp + fn),
    specificity: ratio(tn, tn + fp),
    auroc: auroc(logits, labels),
  };
}

/** A higher loss is published as this one: a guess that looks at no patient does better, and a model scaled up would sharpen the step. */
const MAX_LOSS = 2;

/** Metrics fit for publication, in coarse steps (types/round.ts). The steps alone hide no patient from who moves the model: see judge.ts. */
export function coarseMetrics(e: Evaluation): Metrics {
  const step = (value: number, size: number) => size * Math.round((1000 * value) / size);
  return {
    n: e.n < 1 ? 0 : 2 ** Math.floor(Math.log2(e.n)),
    loss: step(Math.min(e.loss, MAX_LOSS), 10),
    accuracy: step(e.accuracy, 5),
    auroc: e.auroc === undefined ? 0 : step(e.auroc.value, 5),
  };
}
