import type { Random } from "../../learning/random.ts";
import { COLUMNS, D, dot, gaussian, logistic, type Member, norm, plus, type Vector } from "./probing-member.ts";

/** The attacks: a gradient from votes, patients from votes, a patient from metrics; and the fits that they need. */

const softplus = (z: number): number => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const lossOf = (rows: readonly Vector[], w: Vector) =>
  rows.reduce((sum, a) => sum + softplus(dot(a, w)), 0) / rows.length;

/** Steps so small that only the gradient counts, and the longest that lanes of the largest exponent hold, in each coordinate. */
const SMALL = 0.004;
const FARTHEST = 8;

/**
 * Votes on small steps from where the model stands, each at right angles to what is known of the gradient: the vote on such a step says
 * most. `after` sees the estimate at each of the given numbers of probes.
 */
export async function gradientByVotes(
  member: Member,
  at: Vector,
  random: Random,
  probes: readonly number[],
  after: (estimate: Vector) => void,
): Promise<void> {
  const votes: { step: Vector; helps: boolean }[] = [];
  let estimate = new Float64Array(D);
  const most = probes.at(-1)!;
  for (let k = 1; k <= most; k++) {
    const free = gaussian(random, 1);
    const step = norm(estimate) > 0 ? plus(free, estimate, -dot(free, estimate) / dot(estimate, estimate)) : free;
    const { from, to, harmful } = await member.vote(at, plus(new Float64Array(D), step, SMALL));
    votes.push({ step: plus(to, from, -1).map((v) => v / SMALL), helps: !harmful });
    if (probes.includes(k) || k % Math.max(7, k >> 3) === 0) estimate = direction(votes, estimate);
    if (probes.includes(k)) after(estimate);
  }
}

/**
 * Pairs of models with equal loss: along a line the loss falls, rises and is back where it was, and votes find that place by bisection.
 * Enough of them leave one set of patients.
 */
export async function patientsByVotes(
  member: Member,
  n: number,
  sick: number,
  random: Random,
  pairs: number,
  starts: number,
): Promise<Vector[]> {
  const equations: Equation[] = [];
  while (equations.length < pairs) {
    const from = gaussian(random, 0.5 + 4 * random.uniform());
    let way = gaussian(random, 1);
    const along = (t: number) => member.vote(from, plus(new Float64Array(D), way, t));
    if ((await along(0.02)).harmful) way = way.map((v) => -v);
    let [low, high] = [0, 0.5];
    while (high < FARTHEST && !(await along(high)).harmful) [low, high] = [high, 2 * high];
    let last = await along(high);
    if (!last.harmful) continue;
    for (let k = 0; k < 12; k++) {
      const middle = (low + high) / 2;
      last = await along(middle);
      if (last.harmful) high = middle;
      else low = middle;
    }
    equations.push({ from: last.from, to: last.to, value: 0, weight: 10 / norm(plus(last.to, last.from, -1)) });
  }
  return fitPatients(equations, n, sick, random, starts);
}

/**
 * The place where a threshold on v·x passes one patient, by the accuracy on its two sides; then the same place for v + reach along each
 * column, which moves by reach times the patient's value. Each reading is the mean of so many answers. Starts again with another v where
 * another patient is in the way.
 */
export async function patientByMetrics(
  member: Member,
  n: number,
  random: Random,
  answers: number,
  reach: number,
): Promise<Vector> {
  const read = async (v: Vector, threshold: number) => {
    let sum = 0;
    for (let k = 0; k < answers; k++) {
      // Another model each time, or the answer would be the same one.
      const other = v.map((x, j) => (j === COLUMNS ? -threshold : j === 0 ? x + k * 1e-5 : x));
      sum += await member.accuracy(other);
    }
    return sum / answers;
  };
  for (;;) {
    const v = gaussian(random, 1);
    const healthy = await read(v, 25);
    const passed = async (w: Vector, threshold: number) => Math.abs((await read(w, threshold)) - healthy) > 0.5 / n;
    const edge = async (w: Vector, below: number, above: number, bits: number) => {
      let [low, high] = [below, above];
      for (let k = 0; k < bits; k++) {
        const middle = (low + high) / 2;
        if (await passed(w, middle)) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    };
    let high = 8;
    while (high > -8 && !(await passed(v, high - 0.5))) high -= 0.5;
    const first = await edge(v, high - 0.5, high, 10);
    const found = new Float64Array(D);
    let column = 0;
    for (; column < COLUMNS; column++) {
      const w = v.map((x, i) => (i === column ? x + reach : x));
      const [low, top] = [first - 1.1 * reach, first + 1.1 * reach];
      if (!(await passed(w, low)) || (await passed(w, top))) break;
      found[column] = ((await edge(w, low, top, 7)) - first) / reach;
    }
    if (column === COLUMNS || member.rounds > answers * 1000) return found;
  }
}

/** Solves (H + ridge · diagonal) s = g for a symmetric positive H by Cholesky's method; undefined where it is not positive. */
function solve(h: readonly Vector[], g: Vector, ridge: number): Vector | undefined {
  const l = h.map((row) => row.slice());
  const s = g.slice();
  for (let i = 0; i < s.length; i++) {
    const li = l[i]!;
    li[i]! += ridge * (li[i]! + 1e-12);
    for (let j = 0; j <= i; j++) {
      const lj = l[j]!;
      let sum = li[j]!;
      for (let k = 0; k < j; k++) sum -= li[k]! * lj[k]!;
      if (j < i) li[j] = sum / lj[j]!;
      else if (sum > 0) li[i] = Math.sqrt(sum);
      else return undefined;
    }
    for (let k = 0; k < i; k++) s[i]! -= li[k]! * s[k]!;
    s[i]! /= li[i]!;
  }
  for (let i = s.length - 1; i >= 0; i--) {
    for (let k = i + 1; k < s.length; k++) s[i]! -= l[k]![i]! * s[k]!;
    s[i]! /= l[i]![i]!;
  }
  return s;
}

/** Adds weight · v vᵀ to the lower triangle of h. */
function addOuter(h: readonly Vector[], v: Vector, weight = 1): void {
  for (let i = 0; i < v.length; i++) {
    const at = weight * v[i]!;
    if (at === 0) continue;
    const row = h[i]!;
    for (let j = 0; j <= i; j++) row[j]! += at * v[j]!;
  }
}
const square = (n: number): Vector[] => Array.from({ length: n }, () => new Float64Array(n));

/** The likeliest direction of descent after votes on small steps: logistic regression of the votes by Newton's method. */
export function direction(votes: readonly { step: Vector; helps: boolean }[], start: Vector): Vector {
  let w = start;
  for (let pass = 0; pass < 8; pass++) {
    const h = square(D);
    const g = w.map((v) => 1e-4 * v);
    for (let i = 0; i < D; i++) h[i]![i] = 1e-4;
    for (const { step, helps } of votes) {
      const sign = helps ? 1 : -1;
      const p = logistic(-sign * dot(step, w));
      for (let i = 0; i < D; i++) g[i]! -= p * sign * step[i]!;
      addOuter(h, step, p * (1 - p));
    }
    const move = solve(h, g, 0) ?? new Float64Array(D);
    // A separable set of votes has its optimum far out: the length says nothing, so it grows slowly.
    const limit = Math.max(2, norm(w));
    w = plus(w, move, -Math.min(1, limit / (norm(move) || 1)));
    if (norm(move) < 1e-4 * limit) break;
  }
  return w;
}

/** loss(to) − loss(from) = value, or loss(to) itself; each counts by its weight. */
export type Equation = { readonly from?: Vector; readonly to: Vector; readonly value: number; readonly weight: number };

/**
 * Patients that satisfy the equations: Levenberg-Marquardt over their columns from random starts.
 * @param ill how many of the n are ill: any model that calls everybody healthy says it by its accuracy
 */
export function fitPatients(
  equations: readonly Equation[],
  n: number,
  ill: number,
  random: Random,
  starts: number,
): Vector[] {
  const size = n * COLUMNS;
  const signs = Array.from({ length: n }, (_, i) => (i < ill ? -1 : 1));
  const unfold = (p: Vector) => signs.map((s, i) => Float64Array.of(...p.subarray(i * COLUMNS, (i + 1) * COLUMNS), s));
  const residuals = (p: Vector) => {
    const rows = unfold(p);
    return Float64Array.from(
      equations,
      ({ from, to, value, weight }) => weight * (lossOf(rows, to) - (from ? lossOf(rows, from) : 0) - value),
    );
  };
  let best = { p: new Float64Array(size), error: Number.POSITIVE_INFINITY };
  for (let start = 0; start < starts && best.error > 1e-6; start++) {
    let p = Float64Array.from({ length: size }, () => 0.5 * random.normal());
    let r = residuals(p);
    let ridge = 0.01;
    for (let pass = 0; pass < 100 && ridge < 1e6; pass++) {
      const rows = unfold(p);
      const h = square(size);
      const g = new Float64Array(size);
      equations.forEach(({ from, to, weight }, k) => {
        const slope = new Float64Array(size);
        rows.forEach((a, i) => {
          const [after, before] = [to, from].map((w) => (w ? (weight * logistic(dot(a, w))) / n : 0));
          for (let j = 0; j < COLUMNS; j++) slope[i * COLUMNS + j] = after! * to[j]! - before! * (from?.[j] ?? 0);
        });
        addOuter(h, slope);
        for (let i = 0; i < size; i++) g[i]! += slope[i]! * r[k]!;
      });
      const move = solve(h, g, ridge);
      const next = move && p.map((v, i) => v - move[i]!);
      const left = next && residuals(next);
      if (next && left && dot(left, left) < dot(r, r)) {
        const done = dot(left, left) > (1 - 1e-6) * dot(r, r) || dot(left, left) < 1e-12;
        [p, r, ridge] = [next, left, ridge / 5];
        if (done) break;
      } else ridge *= 6;
    }
    if (dot(r, r) < best.error) best = { p, error: dot(r, r) };
  }
  return unfold(best.p);
}
