import { norm } from "../quantise.ts";
import { COPY_NOISE, direction, inner, mean, noisy, plus, toNorm } from "./vectors.ts";
import type { AttackView } from "./view.ts";

/** Those who want pay without training. None of them looks at `own`, but the one that resends its first update. */

export const HEAVY_COPY_NOISE = 0.5;
const REPLAY_NOISE = 0.05;
/** Norm of what is sent before anything can be copied. */
const FIRST_NORM = 1;
/** Private noise of a ring, as a share of what its members have in common. */
const RING_NOISE = 0.2;

/** Lower median norm of what was revealed last. */
function usualNorm({ past }: AttackView): number {
  const sizes = past?.updates.map((u) => norm(u.delta)).sort((a, b) => a - b) ?? [];
  return sizes[Math.ceil(sizes.length / 2) - 1] ?? FIRST_NORM;
}

export function zero({ own }: AttackView): Float32Array {
  return new Float32Array(own.length);
}

export function noise(view: AttackView): Float32Array {
  return direction(view.own.length, usualNorm(view), view.random);
}

/** The last step of the model, as long as an update. */
export function replay(view: AttackView): Float32Array {
  if (!view.past || norm(view.past.step) === 0) return noise(view);
  return noisy(toNorm(view.past.step, usualNorm(view)), REPLAY_NOISE, view.random);
}

/** What the miner revealed that went most with the last step, with noise. Within a round there is nothing to copy: pledges close first. */
export function copycat(view: AttackView, share: number): Float32Array {
  const { past } = view;
  const [first, ...rest] = past?.updates ?? [];
  if (!past || !first) return noise(view);
  const agreement = (u: Float32Array) => inner(u, past.step) / (norm(u) || 1);
  const best = rest.reduce((a, b) => (agreement(b.delta) > agreement(a.delta) ? b : a), first);
  return noisy(best.delta, share, view.random);
}

/** The mean of all that was revealed, as long as an update. */
export function averagingCopier(view: AttackView): Float32Array {
  const revealed = view.past?.updates.map((u) => u.delta) ?? [];
  if (revealed.length === 0) return noise(view);
  return noisy(toNorm(mean(revealed), usualNorm(view)), COPY_NOISE, view.random);
}

/** All colluders send one direction, each with a little noise of its own, so that they confirm one another. */
export function ring(view: AttackView): Float32Array {
  const size = usualNorm(view);
  const common = direction(view.own.length, size, view.shared);
  return toNorm(plus(common, direction(view.own.length, RING_NOISE * size, view.random)), size);
}

/** Trains once, and sends that again for ever. */
export function ownReplay({ own, random }: AttackView, first: Float32Array | undefined): Float32Array {
  return first ? noisy(first, REPLAY_NOISE, random) : own;
}
