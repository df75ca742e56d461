import { compareBigints, lowerMedian, meanOf } from "../integers.ts";
import { clipScale, SCALE_ONE } from "../select.ts";
import { dimension, lanesColumn, orderedSums } from "./coordinates.ts";
import type { Combination, Entrants } from "./rule.ts";

/**
 * Centered clipping (Karimireddy et al. 2021, "Learning from History"): v ← v + mean of (u_i − v), each clipped to length τ. Without
 * history, since the rules keep no state: v starts at the coordinate-wise lower median of the round, and τ is the lower median of
 * the distances to it.
 */

const ITERATIONS = 3;
/** v is kept in lanes / 2^8: u − v then stays below 2^20, its square is exact, and so is the sum of 2^12 squares. */
const ONE = 1 << 8;
const LANES_PER_FLUSH = 1 << 12;

export function centeredClipping(entrants: Entrants): Combination {
  const lanes = entrants.parts.map((p) => p.lanes);
  const n = lanes.length;
  const d = dimension(entrants);
  const middle = Math.floor((n - 1) / 2);
  const v = orderedSums(n, d, lanesColumn(entrants), middle, middle + 1);
  for (let k = 0; k < d; k++) v[k]! *= ONE;
  let tau2: bigint | undefined;
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const distances = lanes.map((u) => distance2(u, v));
    const target = tau2 ?? (lowerMedian(distances, compareBigints) as bigint);
    tau2 = target;
    const scales = distances.map((own) => clipScale(own, target));
    for (let k = 0; k < d; k++) {
      const centre = v[k] as number;
      // At most 2^7 · 2^16 · 2^20.
      let sum = 0;
      for (let i = 0; i < n; i++) {
        sum += (scales[i] as number) * (ONE * ((lanes[i] as Int16Array)[k] as number) - centre);
      }
      v[k] = centre + meanOf(sum, 0, n * SCALE_ONE);
    }
  }
  return { sums: v, denominator: ONE };
}

/** ‖u − v‖² in (lanes / 2^8)². */
function distance2(u: Int16Array, v: Float64Array): bigint {
  let total = 0n;
  for (let start = 0; start < u.length; start += LANES_PER_FLUSH) {
    const end = Math.min(u.length, start + LANES_PER_FLUSH);
    let sum = 0;
    for (let k = start; k < end; k++) {
      const apart = ONE * (u[k] as number) - (v[k] as number);
      sum += apart * apart;
    }
    total += BigInt(sum);
  }
  return total;
}
