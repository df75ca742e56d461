import { compareBigints, lowerMedian } from "../../consensus/round/integers.ts";
import { lanesOf } from "../../consensus/round/model.ts";
import { moveModel } from "../../consensus/round/optimiser.ts";
import { weightedMean } from "../../consensus/round/rules/multi-krum.ts";
import type { Part } from "../../consensus/round/rules/rule.ts";
import { clipLanes, clipScale, SCALE_ONE } from "../../consensus/round/select.ts";
import type { Round } from "./ledger.ts";

/** How suspects of multi-Krum may enter: the variants of the study, of which the chain has "clipped". */
export const ENTRIES = ["clipped", "all-clipped", "clipped-to-twice", "full", "half", "in-turn", "dropped"] as const;
export type Entry = (typeof ENTRIES)[number];

/** The model of a round under a variant: the chain's own statuses and clipping factors, another mean. */
export function enter(
  entry: Entry,
  round: Round,
  model: Int32Array,
  blobs: readonly Uint8Array[],
  turn: number,
): Int32Array {
  const { result, status } = round;
  const central = result.updates.filter((_, i) => status[i] === "accepted").map((u) => u.norm2);
  const target2 = lowerMedian(central, compareBigints) ?? 0n;
  const suspects = status.flatMap((s, i) => (s === "accepted-clipped" ? [i] : []));
  const parts = result.updates.flatMap((u, i): Part[] => {
    const lanes = lanesOf(blobs[i] as Uint8Array);
    const scale = clipScale(u.norm2, target2);
    const clipped = () => clipLanes(lanes, scale);
    // Central ones count two, so that a half is a whole number.
    if (status[i] === "accepted") return [{ lanes: entry === "all-clipped" ? clipped() : lanes, weight: 2 }];
    if (status[i] !== "accepted-clipped") return [];
    switch (entry) {
      case "dropped":
        return [];
      case "full":
        return [{ lanes, weight: 2 }];
      case "clipped-to-twice":
        return [{ lanes: clipLanes(lanes, Math.min(SCALE_ONE, 2 * scale)), weight: 2 }];
      case "half":
        return [{ lanes: clipped(), weight: 1 }];
      case "in-turn":
        return suspects[turn % suspects.length] === i ? [{ lanes: clipped(), weight: 2 }] : [];
      case "clipped":
      case "all-clipped":
        return [{ lanes: clipped(), weight: 2 }];
    }
  });
  if (parts.length === 0) return model.slice();
  const next = moveModel({ name: "fedavg" }, model, weightedMean({ parts }), result.exponent);
  if (!next) throw new Error("a parameter left int32");
  return next;
}
