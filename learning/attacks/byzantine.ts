import { norm } from "../quantise.ts";
import { COPY_NOISE, deviation, direction, distance2, inner, mean, noisy, plus, scaled } from "./vectors.ts";
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
/** Of the factor found: at the edge itself rounding and the colluders' noise keep every other one out. */
const MARGIN = 0.95;

/** What it takes for an honest update: the others' where it sees them, else its allies' and what was revealed last. */
function believed({ peers, allies, past }: AttackView): readonly Float32Array[] {
  if (peers && peers.length > 0) return peers;
  return [...allies, ...(past?.updates.map((u) => u.delta) ?? [])];
}

/** What several would send alike, told apart by noise of their own. */
function apart(v: Float32Array, { attackers, random }: AttackView): Float32Array {
  return attackers > 1 ? noisy(v, COPY_NOISE, random) : v;
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
  return apart(plus(centre, deviation(honest, centre), -alieFactor(view.participants, view.attackers)), view);
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
 * The same direction as far as multi-Krum still takes it in (Shejwalkar and Houmansadr 2021, the attack tailored to multi-Krum): the
 * largest factor at which all colluders are among the n − f best scores.
 */
export function alieOptimised(view: AttackView): Float32Array {
  const honest = believed(view);
  const centre = mean(honest);
  const spread = deviation(honest, centre);
  const at = (z: number) => plus(centre, spread, -z);
  const between = honest.map((u, i) => honest.filter((_, j) => j !== i).map((v) => distance2(u, v)));
  let [low, high] = [0, MAX_FACTOR];
  for (let i = 0; i < SEARCH_STEPS; i++) {
    const middle = (low + high) / 2;
    if (passesKrum(at(middle), honest, between, view)) low = middle;
    else high = middle;
  }
  return apart(at(MARGIN * low), view);
}

/**
 * Whether the colluders' `sent` is among the n − f best scores of multi-Krum (Blanchard et al. 2017).
 * @param between for each honest update its squared distances to the other honest ones
 */
function passesKrum(
  sent: Float32Array,
  honest: readonly Float32Array[],
  between: readonly (readonly number[])[],
  { attackers, f }: AttackView,
): boolean {
  const n = honest.length + attackers;
  const score = (distances: readonly number[]) =>
    distances
      .toSorted((a, b) => a - b)
      .slice(0, Math.max(0, n - f - 2))
      .reduce((a, b) => a + b, 0);
  // Noise is nearly at right angles to everything.
  const noise2 = attackers > 1 ? COPY_NOISE ** 2 * inner(sent, sent) : 0;
  const across = honest.map((u) => distance2(sent, u) + noise2);
  const own = score([...across, ...new Array<number>(attackers - 1).fill(2 * noise2)]);
  const better = honest.filter((_, i) => {
    const toColluders = new Array<number>(attackers).fill(across[i] as number);
    return score([...(between[i] as readonly number[]), ...toColluders]) < own;
  });
  return better.length + attackers <= n - f;
}

/** Inner-product manipulation (Xie et al. 2020): against the honest mean, and shorter than it. */
export function ipm(view: AttackView): Float32Array {
  return apart(scaled(mean(believed(view)), -IPM_FACTOR), view);
}

/**
 * Mimic (Karimireddy et al. 2022): all colluders repeat the honest one that lies farthest out along the main direction of spread, so that
 * it counts too often. With noise, or the copy and the copied would be each other's duplicates.
 */
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
  return noisy(honest[far] as Float32Array, COPY_NOISE, view.random);
}

/** Model replacement (Bagdasaryan et al. 2020): as long as it takes for the mean to become the attackers' model. */
export function replacement({ own, participants, attackers }: AttackView): Float32Array {
  return scaled(own, participants / attackers);
}
