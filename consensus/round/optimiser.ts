import { MOMENTS, type ServerOptimiser } from "../../genesis/aggregation.ts";
import { packSquare, unpackSquare } from "../../genesis/moments.ts";
import { meanOf } from "./integers.ts";
import type { Combination } from "./rules/rule.ts";

/**
 * The step of the model: the combined update Δ goes through the task's server optimiser (Reddi et al. 2021, "Adaptive Federated
 * Optimization"). What is stored is the parameters, then the first moment of each, then the second. Whole numbers below 2^53
 * throughout. What decays is truncated towards zero: rounded to nearest it would stop short of it and push the model for ever.
 */

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** 1.0 of a rate or a decay. */
const ONE = 2 ** 16;
/** Steps of fedadam's first moment per model unit. |Δ| is below 2^26, so that the moment never leaves int32. */
const FINE = 2 ** 4;

/**
 * Δ = sums · 2^exponent / denominator in model units, rounded to nearest, halves away from zero.
 * @param stored parameters and moments before the round
 * @returns what is stored after it; undefined when a number leaves int32: a model that diverged is not saturated into one that
 * nobody trained
 */
export function moveModel(
  optimiser: ServerOptimiser,
  stored: Int32Array,
  { sums, denominator }: Combination,
  exponent: number,
): Int32Array | undefined {
  const d = stored.length / (1 + MOMENTS[optimiser.name]);
  const out = new Int32Array(stored.length);
  const at = (k: number) => stored[k] as number;
  const put = (k: number, value: number) => {
    out[k] = value;
    return value <= INT32_MAX && value >= INT32_MIN;
  };
  for (let k = 0; k < d; k++) {
    let step = meanOf(sums[k] as number, exponent, denominator);
    if (optimiser.name === "fedavgm") {
      const m = Math.trunc((optimiser.momentum * at(d + k)) / ONE) + step;
      if (!put(d + k, m)) return undefined;
      step = meanOf(optimiser.rate * m, 0, ONE);
    } else if (optimiser.name === "fedadam") {
      const m = firstMoment(at(d + k), step, optimiser.momentum);
      const v = packSquare(secondMoment(unpackSquare(at(2 * d + k)), step, optimiser.secondMomentum));
      out[d + k] = m;
      out[2 * d + k] = v;
      step = adaptiveStep(m, unpackSquare(v), optimiser);
    }
    if (!put(k, at(k) + step)) return undefined;
  }
  return out;
}

/** β·m + (1 − β)·Δ, in sixteenths of model units. */
function firstMoment(m: number, delta: number, beta: number): number {
  return Math.trunc((beta * m + (ONE - beta) * FINE * delta) / ONE);
}

/** β·v + (1 − β)·Δ², in squared model units, as v + ⌊(1 − β)·(Δ² − v)⌋: below 2^52, as Δ² is. */
function secondMoment(v: number, delta: number, beta: number): number {
  const apart = delta * delta - v;
  // (ONE − β) · apart / ONE would pass 2^53 undivided: whole multiples of ONE first, then the rest.
  const high = Math.floor(apart / ONE);
  return v + (ONE - beta) * high + Math.floor(((ONE - beta) * (apart - high * ONE)) / ONE);
}

/** η·m / (√v + τ) in model units: halves away from zero, the root rounded down. */
function adaptiveStep(m: number, v: number, { rate, tau, scaleBits }: ServerOptimiser & { name: "fedadam" }): number {
  // m is of 2^4, the rate of 2^16, the quotient of 1.
  const bits = scaleBits - 20;
  return meanOf(rate * m, Math.max(0, bits), (root(v) + tau) * 2 ** Math.max(0, -bits));
}

/** ⌊√n⌋ of n below 2^52. The square root is a guess; what is returned is exact whatever it is. */
function root(n: number): number {
  let r = Math.floor(Math.sqrt(n));
  while (r * r > n) r--;
  while ((r + 1) * (r + 1) <= n) r++;
  return r;
}
