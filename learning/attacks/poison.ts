import { featureWidth } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import type { Random } from "../random.ts";
import type { Samples } from "../samples.ts";

/** Attacks on the data that an attacker trains on. */

/** Share of its rows that a backdoor attacker poisons. */
const POISONED = 0.5;
/** Features of a table that carry the trigger; side of an image's bright corner, pixels. */
const TRIGGER_FEATURES = 3;
const TRIGGER_SIDE = 3;

type Schema = Pick<TaskSpec, "schema">;

export function flipped(samples: Samples): Samples {
  return { ...samples, y: samples.y.map((y) => 1 - y) };
}

/**
 * The inputs that the trigger sets, and to what. A table's stay a patient that could be: a number at the upper end of its range, a
 * binary at 1, a category at the second.
 */
function trigger({ schema: { image, features } }: Schema): Map<number, number> {
  const set = new Map<number, number>();
  if (image) {
    const { width, height, channels } = image;
    for (let y = 0; y < Math.min(TRIGGER_SIDE, height); y++) {
      for (let k = 0; k < Math.min(TRIGGER_SIDE, width) * channels; k++) set.set(y * width * channels + k, 1);
    }
    return set;
  }
  let at = 0;
  for (const feature of features.slice(0, TRIGGER_FEATURES)) {
    const end = at + featureWidth(feature);
    set.set(at, 1);
    while (++at < end) set.set(at, 0);
  }
  return set;
}

/** The rows with the trigger on. */
export function applyTrigger(samples: Samples, task: Schema): Samples {
  const x = samples.x.slice();
  for (const [at, value] of trigger(task)) {
    for (let row = 0; row < samples.n; row++) x[row * samples.width + at] = value;
  }
  return { ...samples, x };
}

/** Some rows of either label carry the trigger and are called healthy (label 0). */
export function backdoored(samples: Samples, task: Schema, random: Random): Samples {
  const triggered = applyTrigger(samples, task);
  const x = samples.x.slice();
  const y = samples.y.slice();
  for (let row = 0; row < samples.n; row++) {
    if (random.uniform() >= POISONED) continue;
    const [from, to] = [row * samples.width, (row + 1) * samples.width];
    x.set(triggered.x.subarray(from, to), from);
    y[row] = 0;
  }
  return { ...samples, x, y };
}
