import { krumRanking } from "../krum.ts";
import { type Combination, distances2, type Entrants, type Field, type Selection } from "./rule.ts";

/** Σ w·u / Σ w. 128 weights of at most 2^35 times 2^11 are at most 2^53: exact in doubles. */
export function weightedMean({ parts }: Pick<Entrants, "parts">): Combination {
  const sums = new Float64Array(parts[0]?.lanes.length ?? 0);
  for (const { lanes, weight } of parts) {
    for (let k = 0; k < sums.length; k++) sums[k]! += weight * (lanes[k] as number);
  }
  return { sums, denominator: parts.reduce((sum, p) => sum + p.weight, 0) };
}

/**
 * Multi-Krum (Blanchard et al. 2017): everyone is ranked, the harmful too; the n − f best are central, and the rest enters
 * clipped.
 */
export function multiKrum(field: Field): Selection {
  const { harmful, f } = field;
  const n = harmful.length;
  const { scores, order } = krumRanking(distances2(field), n, f);
  const central = new Set(order.slice(0, n - f));
  return { scores, central: harmful.map((_, i) => central.has(i)), counts: harmful.map((h) => (h ? 0 : 1)) };
}
