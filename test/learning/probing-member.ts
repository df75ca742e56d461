import type { TaskSpec } from "../../genesis/task.ts";
import { parseTask } from "../../genesis/task.ts";
import { meanLoss } from "../../learning/evaluate.ts";
import { type Judgement, type JudgeRequest, levels } from "../../learning/judge.ts";
import { Random } from "../../learning/random.ts";
import type { Samples } from "../../learning/samples.ts";
import type { Trainer } from "../../learning/trainers/trainer.ts";
import { HARMFUL } from "../../types/round.ts";

/** What an adversary needs that reads a member's patients out of what the member says of models and updates. */

/** Columns of a patient; the bias is the last of the D parameters of a logistic regression. */
export const COLUMNS = 13;
export const D = COLUMNS + 1;
const SCALE_BITS = 20;

export function probedTask(minimumRows: number): TaskSpec {
  const number = { kind: "number", unit: "", min: -1, max: 1 };
  return parseTask(
    JSON.stringify({
      name: "probed",
      schema: {
        features: Array.from({ length: COLUMNS }, (_, i) => ({ name: `f${i}`, ...number })),
        label: { name: "y" },
      },
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }], scaleBits: SCALE_BITS },
      training: { steps: 1, batch: 1, learningRate: 0.1 },
      aggregation: { minimumRows },
      rounds: { maximum: 1_000_000 },
      split: { test: 0.2, validation: 0.2, seed: 1 },
    }),
  );
}

/** Invented patients of one hospital: seven numbers, six findings that are there or not, an outcome that depends on them. */
export function patients(n: number, seed: number): Samples {
  const r = new Random("patients", seed);
  const truth = Array.from({ length: D }, () => r.normal());
  const x = new Float32Array(n * COLUMNS);
  const y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let risk = truth[COLUMNS]! - 0.3;
    for (let j = 0; j < COLUMNS; j++) {
      const value = j < 7 ? 2 * r.uniform() - 1 : Number(r.uniform() < 0.4);
      x[i * COLUMNS + j] = value;
      risk += 1.2 * truth[j]! * value;
    }
    y[i] = Number(risk + 0.8 * r.normal() > 0);
  }
  return { n, width: COLUMNS, x, y, lines: new Uint32Array(n) };
}

export type Vector = Float64Array<ArrayBuffer>;
export const dot = (a: Vector, b: Vector): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
export const norm = (a: Vector): number => Math.sqrt(dot(a, a));
export const cosine = (a: Vector, b: Vector): number => dot(a, b) / (norm(a) * norm(b));
export const plus = (a: Vector, b: Vector, times = 1): Vector => a.map((v, i) => v + times * b[i]!);
export const gaussian = (random: Random, size: number): Vector =>
  Float64Array.from({ length: D }, () => size * random.normal());

/** Patients as the loss sees them, −(x, 1) if ill and (x, 1) if not: the loss is the mean of log(1 + exp(a·w)). */
export function signed({ n, x, y }: Samples): Vector[] {
  return Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: D }, (_, j) => (1 - 2 * y[i]!) * (j < COLUMNS ? x[i * COLUMNS + j]! : 1)),
  );
}

export const logistic = (z: number): number => 1 / (1 + Math.exp(-z));

/** Gradients of the single patients' losses at w, each as its share in the mean. */
export function shares(rows: readonly Vector[], w: Vector): Vector[] {
  return rows.map((a) => a.map((v) => (v * logistic(dot(a, w))) / rows.length));
}

/**
 * A member under attack by everybody else: they have moved the model to `at`, and fill the round with two zero updates and a probe. Their
 * median is zero, so that the vote on the probe is about loss(at) − loss(to); what the chain makes of such a round does not matter here.
 */
export class Member {
  rounds = 0;
  readonly #task: TaskSpec;
  readonly #ask: (request: JudgeRequest) => Promise<Judgement>;

  constructor(task: TaskSpec, ask: (request: JudgeRequest) => Promise<Judgement>) {
    this.#task = task;
    this.#ask = ask;
  }

  /** Whether the step from `at` by `step` is called harmful; both as they are after quantisation. */
  async vote(at: Vector, step: Vector): Promise<{ from: Vector; to: Vector; harmful: boolean }> {
    const wanted = step.map((v) => 3 * v * 2 ** SCALE_BITS);
    const largest = Math.max(...wanted.map(Math.abs));
    const exponent = Math.max(0, Math.ceil(Math.log2(largest / 2047)));
    const lanes = Int16Array.from(wanted, (v) => Math.round(v / 2 ** exponent));
    const { from, votes } = await this.#round(at, exponent, [new Int16Array(D), new Int16Array(D), lanes]);
    const to = from.map((v, i) => v + (lanes[i]! * 2 ** exponent) / 3 / 2 ** SCALE_BITS);
    return { from, to, harmful: votes[2] === HARMFUL };
  }

  /** Accuracy of the model, as a share of 1. */
  async accuracy(at: Vector): Promise<number> {
    return (await this.#round(at, 0, [])).metrics!.accuracy / 1000;
  }

  async #round(at: Vector, exponent: number, lanes: readonly Int16Array[]): Promise<Judgement & { from: Vector }> {
    this.rounds++;
    const model = Int32Array.from(at, (v) => Math.round(v * 2 ** SCALE_BITS));
    const updates = lanes.map((l, miner) => ({ miner, blob: new Uint8Array(l.buffer) }));
    const judged = await this.#ask({ task: this.#task, model, exponent, medianNorm: 1n << 30n, updates });
    return { ...judged, from: Float64Array.from(model, (v) => v / 2 ** SCALE_BITS) };
  }
}

/** The answer of a member that used all its rows as they are; of rounds as `Member` fills them. */
export async function plain(
  trainer: Trainer,
  rows: Samples,
  { model, exponent, updates }: JudgeRequest,
): Promise<Pick<Judgement, "votes">> {
  const at = Float32Array.from(model, (v) => v / 2 ** SCALE_BITS);
  const probe = new Int16Array(updates.at(-1)!.blob.buffer);
  const moved = at.map((v, i) => v + (probe[i]! * 2 ** exponent) / 3 / 2 ** SCALE_BITS);
  const loss = async (w: Float32Array) => meanLoss(await trainer.logits(w, rows), rows.y);
  const raw = (await loss(at)) - (await loss(moved));
  return { votes: levels([...updates.slice(1).map(() => ({ raw: 0, error: 0 })), { raw, error: 0 }]) };
}

/** Root mean square of the differences of two patients' columns. */
export function distance(a: Vector, b: Vector): number {
  return norm(plus(a, b, -1).subarray(0, COLUMNS)) / Math.sqrt(COLUMNS);
}
