import type { TaskSpec } from "../../genesis/task.ts";
import { HARMFUL, HELPFUL, NO_VOTE, type UpdateVote } from "../../types/round.ts";
import type { Random } from "../random.ts";
import type { Samples } from "../samples.ts";
import { alie, alieOptimised, gaussian, ipm, mimic, replacement, SIGN_FLIP_FACTOR, signFlip } from "./byzantine.ts";
import { averagingCopier, copycat, HEAVY_COPY_NOISE, noise, ownReplay, replay, ring, zero } from "./freeriders.ts";
import { backdoored, flipped } from "./poison.ts";
import { COPY_NOISE } from "./vectors.ts";
import type { AttackView } from "./view.ts";

export { alieFactor, GAUSSIAN_FACTOR, IPM_FACTOR, SIGN_FLIP_FACTOR } from "./byzantine.ts";
export { HEAVY_COPY_NOISE } from "./freeriders.ts";
export { applyTrigger } from "./poison.ts";
export { COPY_NOISE } from "./vectors.ts";
export type { AttackView, PastRound } from "./view.ts";

/**
 * What a dishonest or broken hospital can do with its own node: for tests, benchmarks and `devnet --attack`. One hospital under many
 * names is no attack of this kind but a matter of who is let in; the benchmark plays it with shared data.
 */
export const ATTACKS = [
  "label-flip",
  "sign-flip",
  "reversal",
  "gaussian",
  "alie",
  "alie-optimised",
  "ipm",
  "mimic",
  "model-replacement",
  "backdoor",
  "backdoor-scaled",
  "free-rider",
  "free-rider-noise",
  "free-rider-replay",
  "copycat",
  "copycat-noise",
  "copycat-heavy-noise",
  "averaging-copier",
  "own-replay",
  "noise-ring",
  "doubling",
  "lying-voters",
] as const;
export type AttackKind = (typeof ATTACKS)[number];
const LIES = "+lies";
/** With "+lies" the attacker votes as "lying-voters" do besides. */
export type Attack = AttackKind | `${AttackKind}${typeof LIES}`;

/** An attack by its name, as devnet and the configuration have it; undefined if there is none. */
export function parseAttack(text: string): Attack | undefined {
  return ATTACKS.flatMap((kind): Attack[] => [kind, `${kind}${LIES}`]).find((attack) => attack === text);
}

function kindOf(attack: Attack): AttackKind {
  return (attack.endsWith(LIES) ? attack.slice(0, -LIES.length) : attack) as AttackKind;
}

/** The rows that the attacker trains on. */
export function attackSamples(
  attack: Attack | undefined,
  samples: Samples,
  task: Pick<TaskSpec, "schema">,
  random: Random,
): Samples {
  switch (attack && kindOf(attack)) {
    case "label-flip":
    case "model-replacement":
      return flipped(samples);
    case "backdoor":
    case "backdoor-scaled":
      return backdoored(samples, task, random);
    default:
      return samples;
  }
}

/**
 * What the attacker sends in place of its honest delta.
 * @param first what it sent in its first round, if that is over
 */
export function attackDelta(attack: Attack | undefined, view: AttackView, first?: Float32Array): Float32Array {
  switch (attack && kindOf(attack)) {
    case undefined:
    case "label-flip":
    case "backdoor":
    case "lying-voters":
      return view.own;
    case "sign-flip":
      return signFlip(view, SIGN_FLIP_FACTOR);
    case "reversal":
      return signFlip(view, -1);
    case "doubling":
      return signFlip(view, 2);
    case "gaussian":
      return gaussian(view);
    case "alie":
      return alie(view);
    case "alie-optimised":
      return alieOptimised(view);
    case "ipm":
      return ipm(view);
    case "mimic":
      return mimic(view);
    case "model-replacement":
    case "backdoor-scaled":
      return replacement(view);
    case "free-rider":
      return zero(view);
    case "free-rider-noise":
      return noise(view);
    case "free-rider-replay":
      return replay(view);
    case "copycat":
      return copycat(view, 0);
    case "copycat-noise":
      return copycat(view, COPY_NOISE);
    case "copycat-heavy-noise":
      return copycat(view, HEAVY_COPY_NOISE);
    case "averaging-copier":
      return averagingCopier(view);
    case "own-replay":
      return ownReplay(view, first);
    case "noise-ring":
      return ring(view);
  }
}

/**
 * What an attacker says of the updates: a liar calls all but its friends' harmful, and these helpful.
 * @param votes what it would say in honesty
 * @param friends indices of its friends' updates
 */
export function attackVotes(
  attack: Attack | undefined,
  votes: readonly UpdateVote[],
  friends: readonly number[],
): UpdateVote[] {
  if (attack === undefined || !(attack === "lying-voters" || attack.endsWith(LIES))) return [...votes];
  return votes.map((vote, i) => (vote === NO_VOTE ? NO_VOTE : friends.includes(i) ? HELPFUL : HARMFUL));
}
