import { norm } from "../quantise.ts";
import { deviation, direction, distance2, inner, mean, plus, scaled } from "./vectors.ts";
import type { AttackView } from "./view.ts";

/** Attacks on the model. */

/** A sign flipper sends this multiple of its honest update. */
export const SIGN_FLIP_FACTOR = -4;
/** Norm of the noise of "gaussian" as a multiple of the honest update's norm: below the chain's default norm bound. */
export const GAUSSIAN_FACTOR = 3;
/** Inner-product manipulation sends minus this multiple of the honest mean: small enough to stay near the others. */
export const IPM_FACTOR = 0.5;
/** Largest factor that the optimised attack tries, and steps of its search. */
const MAX_FACTOR = 16;
const SEARCH_STEPS = 24;

/** What it takes for an honest update: the others' where it sees them, else its allies' and what was revealed last. */
function believed({ peers, allies, past }: AttackView): readonly Float32Array[] {
  if (peers && peers.length > 0) return peers;
  return [...allies, ...(past?.updates.map((u) => u.delta) ?? [])];
}

export function signFlip({ own }: AttackView, factor: number): Float32Array {
  return scaled(own, factor);
}

export function gaussian({ own, random }: AttackView): Float32Array {
  return direction(own.length, GAUSSIAN_FACTOR * norm(own), random);
}

/**
 * A Little Is Enough (Baruch et al. 2019): the honest mean less z standard deviations per coordinate, z the largest for which enough
 * honest updates lie farther out to support it: Φ(z) < (n − m − s) / (n − m), s = ⌊n/2 + 1⌋ − m.
 */
export function alie(view: AttackView): Float32Array {
  const honest = believed(view);
  const centre = mean(honest);
  return plus(centre, deviation(honest, centre), -alieFactor(view.participants, view.allies.length));
}

/** z of the paper for n participants, m of them attackers; no larger than 1.5 where few honest ones make the formula run away. */
export function alieFactor(n: number, m: number): number {
  const supporters = Math.floor(n / 2 + 1) - m;
  const share = (n - m - supporters) / (n - m);
  return Math.max(0, Math.min(1.5, quantile(share)));
}

/** Of the normal distribution, by bisection on a series of its cumulative distribution. */
function quantile(p: number): number {
  let [low, high] = [-4, 4];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (cumulative(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function cumulative(z: number): number {
  let [term, sum] = [z, z];
  for (let k = 1; Math.abs(term) > 1e-12 && k < 200; k++) {
    term *= (z * z) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

/**
 * The same direction as far as multi-Krum still takes it in (Shejwalkar and Houmansadr 2021, min-max in spirit): the largest factor at
 * which the copies of all colluders are among the n − f best scores.
 */
export function alieOptimised(view: AttackView): Float32Array {
  const honest = believed(view);
  const centre = mean(honest);
  const spread = deviation(honest, centre);
  const at = (z: number) => plus(centre, spread, -z);
  let [low, high] = [0, MAX_FACTOR];
  for (let i = 0; i < SEARCH_STEPS; i++) {
    const middle = (low + high) / 2;
    if (passesKrum(at(middle), view.allies.length, honest, view.f)) low = middle;
    else high = middle;
  }
  return at(low);
}

function passesKrum(sent: Float32Array, colluders: number, honest: readonly Float32Array[], f: number): boolean {
  const all = [...Array.from({ length: colluders }, () => sent), ...honest];
  const neighbours = Math.max(1, all.length - f - 2);
  const scores = all.map((u, i) =>
    all
      .flatMap((v, j) => (j === i ? [] : [distance2(u, v)]))
      .sort((a, b) => a - b)
      .slice(0, neighbours)
      .reduce((a, b) => a + b, 0),
  );
  const better = scores.slice(colluders).filter((s) => s < (scores[0] as number)).length;
  return better + colluders <= all.length - f;
}

/** Inner-product manipulation (Xie et al. 2020): against the honest mean, but no longer than honest updates are. */
export function ipm(view: AttackView): Float32Array {
  return scaled(mean(believed(view)), -IPM_FACTOR);
}

/** Mimic (Karimireddy et al. 2022): all colluders repeat the honest one that lies farthest out along the main direction of spread. */
export function mimic(view: AttackView): Float32Array {
  const honest = believed(view);
  const centre = mean(honest);
  const centred = honest.map((u) => plus(u, centre, -1));
  let axis = centred.reduce((a, b) => (norm(b) > norm(a) ? b : a));
  for (let i = 0; i < 20; i++) {
    const next = new Float32Array(axis.length);
    for (const c of centred) {
      const weight = inner(c, axis);
      for (let k = 0; k < next.length; k++) next[k]! += weight * (c[k] as number);
    }
    const size = norm(next);
    if (size === 0) break;
    axis = scaled(next, 1 / size);
  }
  const far = centred.reduce(
    (best, c, i) => (inner(c, axis) > inner(centred[best] as Float32Array, axis) ? i : best),
    0,
  );
  return honest[far] as Float32Array;
}

/** Model replacement (Bagdasaryan et al. 2020): as long as it takes for the mean to become the attackers' model. */
export function replacement({ own, allies, participants }: AttackView): Float32Array {
  return scaled(own, participants / allies.length);
}
