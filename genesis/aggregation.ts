import { z } from "zod";
import { fixedPoint, wholeSchema } from "./json.ts";

/** The part of a task file that says how updates become one step of the model: rule, weights, bounds, server optimiser. */

/** Names of the rules, defined in docs/protocol.md ("Rules"). */
export const AGGREGATION_RULES = [
  "multi-krum",
  "nnm+multi-krum",
  "nnm+trimmed-mean",
  "median",
  "trimmed-mean",
  "centered-clipping",
  "fedavg",
] as const;
export type AggregationRule = (typeof AGGREGATION_RULES)[number];
/** Rules that are means of whole vectors, in which one may weigh more than another. */
export const WEIGHTED_RULES: readonly AggregationRule[] = ["multi-krum", "nnm+multi-krum", "fedavg"];

/** Reddi et al. 2021, "Adaptive Federated Optimization". */
export const SERVER_OPTIMISERS = ["fedavg", "fedavgm", "fedadam"] as const;

const settings = z.strictObject({
  rule: z.enum(AGGREGATION_RULES).default("multi-krum"),
  /** "auto" = floor((n − 3) / 2), at most maxF. A fixed f with n < 2f + 3 means a block without learning. */
  f: z.union([z.literal("auto"), wholeSchema(0, 62)]).default("auto"),
  maxF: wholeSchema(0, 62).default(62),
  /** "equal" per institution, or declared sample counts: capped at this multiple (per mille) of their median, since nobody can check them. */
  weights: z.enum(["equal", "samples"]).default("equal"),
  weightCapPermille: wholeSchema(1000, 1_000_000).default(2000),
  /** Norm bound and floor as multiples of the running median norm, in per mille. */
  normBoundPermille: wholeSchema(1000, 100_000).default(4000),
  normFloorPermille: wholeSchema(0, 1000).default(20),
  /** Bound before there is a median, in model units as a real number. */
  firstNormBound: z.number().positive().max(1_000_000).default(64),
  /** Near-equal: cosine at least this (per mille) and distance² at most this share (per mille) of the larger norm². */
  duplicateCosinePermille: wholeSchema(500, 1000).default(999),
  duplicateDistancePermille: wholeSchema(0, 1000).default(10),
  /** Validation rows that a committee member needs to vote and report metrics. */
  minimumRows: wholeSchema(1, 1_000_000).default(50),
  /** How the combined update moves the model; left out = by itself ("fedavg"). The rest belongs to the other two. */
  optimiser: z.enum(SERVER_OPTIMISERS).optional(),
  /** Learning rate of the server, η. */
  serverRate: z.number().min(0.0001).max(16).optional(),
  /** Decay of the first moment: β of fedavgm, β1 of fedadam. */
  momentum: z.number().min(0).max(0.9999).optional(),
  /** Decay of the second moment, β2. */
  secondMomentum: z.number().min(0).max(0.9999).optional(),
  /** Added to the root of the second moment, in model units as a real number: how adaptive fedadam is. */
  tau: z.number().positive().max(1).optional(),
});
type Settings = z.output<typeof settings>;

/** What each optimiser takes when the file leaves it out; it takes no others. */
const OPTIMISER_DEFAULTS = {
  fedavgm: { serverRate: 1, momentum: 0.9 },
  fedadam: { serverRate: 0.1, momentum: 0.9, secondMomentum: 0.99, tau: 0.001 },
} as const;

/** Every default is written out, but the ordinary step is no field: a task has one encoding. */
export const aggregationSchema = settings.overwrite(({ optimiser = "fedavg", ...rest }): Settings => {
  return optimiser === "fedavg" ? rest : { ...OPTIMISER_DEFAULTS[optimiser], ...rest, optimiser };
});

/** What the fields say only together. */
export function aggregationProblems(
  aggregation: Settings,
  scaleBits: number,
): { readonly field: keyof Settings; readonly message: string }[] {
  const { rule, weights, f, optimiser = "fedavg", tau } = aggregation;
  const found: { field: keyof Settings; message: string }[] = [];
  if (weights !== "equal" && !WEIGHTED_RULES.includes(rule)) {
    found.push({ field: "weights", message: `must be "equal" with ${rule}, which counts every institution once` });
  }
  if (rule === "fedavg" && f !== "auto" && f > 0) {
    found.push({ field: "f", message: 'must be "auto" or 0 with fedavg: a mean tolerates nobody' });
  }
  const taken = optimiser === "fedavg" ? {} : OPTIMISER_DEFAULTS[optimiser];
  for (const field of ["serverRate", "momentum", "secondMomentum", "tau"] as const) {
    if (aggregation[field] !== undefined && !(field in taken)) {
      found.push({ field, message: `has no meaning with the optimiser ${optimiser}` });
    }
  }
  if (tau !== undefined && fixedPoint(tau, scaleBits) < MINIMUM_TAU) {
    found.push({ field: "tau", message: `must be at least ${MINIMUM_TAU} of the model's steps of 2^-${scaleBits}` });
  }
  return found;
}

/** Distinct updates without which no block learns: 2f + 3 for a fixed f, n ≥ 2f + 3 being what Krum's guarantee asks for. */
export function leastUpdates({ rule, f }: Pick<Settings, "rule" | "f">): number {
  return f === "auto" || rule === "fedavg" ? 1 : 2 * f + 3;
}

/** In model units: the root of the second moment is a whole number of them, and so is what is lost of it. */
const MINIMUM_TAU = 64;

/** Moments that an optimiser keeps of each parameter. */
export const MOMENTS = { fedavg: 0, fedavgm: 1, fedadam: 2 } as const;

/** A task's optimiser in fixed point: rates and decays of 2^16, τ in model units. */
export type ServerOptimiser =
  | { readonly name: "fedavg" }
  | { readonly name: "fedavgm"; readonly rate: number; readonly momentum: number }
  | {
      readonly name: "fedadam";
      readonly rate: number;
      readonly momentum: number;
      readonly secondMomentum: number;
      readonly tau: number;
      readonly scaleBits: number;
    };

/** 1.0 of a rate or a decay is 2^16. */
const RATE_BITS = 16;

export function serverOptimiser(aggregation: Settings, scaleBits: number): ServerOptimiser {
  const of = (value: number | undefined, bits = RATE_BITS) => Number(fixedPoint(value ?? 0, bits));
  const rate = of(aggregation.serverRate);
  const momentum = of(aggregation.momentum);
  switch (aggregation.optimiser) {
    case "fedavgm":
      return { name: "fedavgm", rate, momentum };
    case "fedadam": {
      const secondMomentum = of(aggregation.secondMomentum);
      const tau = of(aggregation.tau, scaleBits);
      return { name: "fedadam", rate, momentum, secondMomentum, tau, scaleBits };
    }
    default:
      return { name: "fedavg" };
  }
}
