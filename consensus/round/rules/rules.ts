import type { AggregationRule } from "../../../genesis/aggregation.ts";
import type { TaskSpec } from "../../../genesis/task.ts";
import { krumTolerance } from "../krum.ts";
import { centeredClipping } from "./centered-clipping.ts";
import { median, trimmedMean } from "./coordinates.ts";
import { mixedKrum, mixedTrimmedMean } from "./mixing.ts";
import { multiKrum, weightedMean } from "./multi-krum.ts";
import { everyone, type Rule } from "./rule.ts";

/** Every rule that a task may name. */
export const RULES: Readonly<Record<AggregationRule, Rule>> = {
  "multi-krum": { select: multiKrum, combine: weightedMean },
  "nnm+multi-krum": { select: mixedKrum, combine: weightedMean },
  "nnm+trimmed-mean": { select: everyone, combine: mixedTrimmedMean },
  median: { select: everyone, combine: median },
  "trimmed-mean": { select: everyone, combine: trimmedMean },
  "centered-clipping": { select: everyone, combine: centeredClipping },
  fedavg: { select: everyone, combine: weightedMean },
};

/** f of a round with n distinct updates; a mean tolerates nobody. Undefined when n does not carry the f that the task fixes. */
export function toleranceOf(aggregation: TaskSpec["aggregation"], n: number): number | undefined {
  return aggregation.rule === "fedavg" ? 0 : krumTolerance(aggregation, n);
}
