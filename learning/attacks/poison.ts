import type { TaskSpec } from "../../genesis/task.ts";
import type { Random } from "../random.ts";
import type { Samples } from "../samples.ts";

/** Attacks on the data that an attacker trains on. */

/** Share of its rows that a backdoor attacker poisons, where it has so many of the label. */
const POISONED = 0.5;
/** Inputs of a table that carry the trigger, at their upper end, which is in range; side of an image's bright corner. */
const TRIGGER_INPUTS = 3;
const TRIGGER_SIDE = 3;

export function flipped(samples: Samples): Samples {
  return { ...samples, y: samples.y.map((y) => 1 - y) };
}

/** The rows with the trigger on: the first inputs of a table at 1, or a bright corner. */
export function applyTrigger(samples: Samples, task: Pick<TaskSpec, "schema">): Samples {
  const x = samples.x.slice();
  const { image } = task.schema;
  for (let row = 0; row < samples.n; row++) {
    const from = row * samples.width;
    if (!image) {
      x.fill(1, from, from + Math.min(TRIGGER_INPUTS, samples.width));
      continue;
    }
    for (let line = 0; line < Math.min(TRIGGER_SIDE, image.height); line++) {
      const start = from + line * image.width * image.channels;
      x.fill(1, start, start + Math.min(TRIGGER_SIDE, image.width) * image.channels);
    }
  }
  return { ...samples, x };
}

/** Some rows of either label carry the trigger and are called healthy (label 0). */
export function backdoored(samples: Samples, task: Pick<TaskSpec, "schema">, random: Random): Samples {
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
