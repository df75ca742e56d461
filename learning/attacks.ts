import { norm } from "./quantise.ts";
import type { Random } from "./random.ts";
import type { Samples } from "./samples.ts";

/** Misbehaving trainers, for tests and `devnet --attack`: each is what a dishonest or broken hospital could do with its own node. */
export const ATTACKS = ["label-flip", "sign-flip", "gaussian", "free-rider"] as const;
export type Attack = (typeof ATTACKS)[number];

/** A sign flipper sends this multiple of its honest update. */
export const SIGN_FLIP_FACTOR = -4;
/** Norm of the noise of "gaussian" as a multiple of the honest update's norm: below the chain's default norm bound. */
export const GAUSSIAN_FACTOR = 3;

/** The rows that the attacker trains on. */
export function attackSamples(attack: Attack | undefined, samples: Samples): Samples {
  return attack === "label-flip" ? { ...samples, y: samples.y.map((y) => 1 - y) } : samples;
}

/** What the attacker sends in place of the honest `delta`. */
export function attackDelta(attack: Attack | undefined, delta: Float32Array, random: Random): Float32Array {
  switch (attack) {
    case undefined:
    case "label-flip":
      return delta;
    case "sign-flip":
      return delta.map((v) => SIGN_FLIP_FACTOR * v);
    case "free-rider":
      return new Float32Array(delta.length);
    case "gaussian": {
      const sigma = (GAUSSIAN_FACTOR * norm(delta)) / Math.sqrt(delta.length);
      return delta.map(() => sigma * random.normal());
    }
  }
}
