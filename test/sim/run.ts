import { settle } from "./clock.ts";
import { type Params, paramsOf, type Wanted } from "./params.ts";
import { SimWorld } from "./world.ts";

/** One seed from beginning to end. */

export type Outcome = {
  readonly seed: number;
  readonly params: Params;
  /** Undefined when every invariant held. */
  readonly violation: string | undefined;
  /** Hash of the trace. */
  readonly digest: string;
  readonly events: number;
  readonly frames: number;
  readonly heights: number;
  /** Rounds of each decision, by its first decider; 0 = the first. */
  readonly rounds: readonly number[];
  /** Rounds that the height in progress took after the faults had stopped; undefined when they never mattered. */
  readonly healedRounds: number | undefined;
  readonly trace: readonly string[] | undefined;
};

/**
 * After the faults stop, timeouts that grow pass the longest delay (2 s) within twenty rounds; then one of these rounds has a correct proposer:
 * proposers are drawn by power, and twenty faulty ones in a row come less than once in a thousand million.
 */
const MAX_HEALED_ROUNDS = 40;
const HEALED_MS = 400_000;

export async function runSeed(seed: number, wanted: Wanted & { trace?: boolean } = {}): Promise<Outcome> {
  const params = paramsOf(seed, wanted);
  const world = new SimWorld(params, wanted.trace ?? false);
  const { heights, faultsMs } = params;
  await world.begin();
  const reached = (h: number) => () => world.correct.every((n) => n.height >= h);
  let healedRounds: number | undefined;
  if (!(await world.run(faultsMs, reached(heights)))) {
    if (world.violation === undefined) healedRounds = await healed(world, heights, reached);
  }
  const outcome = {
    seed,
    params,
    violation: world.violation,
    digest: world.digest(),
    events: world.events,
    frames: world.frames,
    heights: world.watch.decided.size,
    rounds: world.watch.rounds,
    healedRounds,
    trace: world.trace,
  };
  for (const node of world.nodes) node.crash();
  await settle();
  return outcome;
}

/** The faults stop: everyone must reach the target, and the height in progress must take few rounds more. */
async function healed(
  world: SimWorld,
  heights: number,
  reached: (h: number) => () => boolean,
): Promise<number | undefined> {
  world.note("weather", "the faults stop");
  await world.weather.heal();
  await settle();
  const top = Math.max(...world.correct.map((n) => n.height));
  const before = Math.max(0, ...world.correct.map((n) => (n.height === top ? (n.engine?.run.bft.round ?? 0) : 0)));
  const target = Math.max(heights, top + 1);
  const height = top + 1;
  const decided = () => world.watch.decided.has(height);
  let rounds = 0;
  const late = () => {
    for (const { engine } of world.correct) {
      if (engine?.run.ctx.height === height) rounds = Math.max(rounds, engine.run.bft.round - before);
    }
    if (rounds > MAX_HEALED_ROUNDS)
      world.fail(`height ${height} is not decided ${rounds} rounds after the faults stopped`);
    return decided();
  };
  if (!(await world.run(HEALED_MS, late))) world.fail(`height ${height} is not decided after the faults stopped`);
  if (world.violation === undefined && !(await world.run(HEALED_MS, reached(target)))) {
    const all = world.correct.map((n) => `${n.name} ${n.height}`).join(", ");
    world.fail(`not everybody reached height ${target} after the faults stopped: ${all}`);
  }
  return rounds;
}
