import { availableParallelism } from "node:os";
import { Argument, Option } from "commander";
import { whole } from "../../cli/parse.ts";
import { testProgram } from "../flags.ts";
import { PLANTS } from "./plants.ts";

export type Flags = {
  /** Left out: the gate. */
  readonly seeds?: number;
  readonly from: number;
  readonly n?: number;
  readonly heights?: number;
  readonly real?: boolean;
  readonly planted?: boolean;
  readonly jobs: number;
  /** Of planted bugs; none: all. */
  readonly names: readonly string[];
};

/** Flags that mean something with `--seeds` only. */
const OF_SEEDS = ["n", "heights", "real"] as const;

/** @throws CommanderError */
export function simFlags(argv: readonly string[]): Flags {
  const program = testProgram(
    "npm run test:sim --",
    "Simulates finality; without flags, the seeds a change must survive.",
  )
    .addArgument(new Argument("[NAME...]", "with --planted: these bugs only").choices(PLANTS.map(({ name }) => name)))
    .option("--seeds <N>", "so many seeds instead of the gate", whole(1))
    .option("--from <SEED>", "the first seed", whole(), 1)
    .option("--n <N>", "with --seeds: validators (default: each seed draws its own number)", whole(1))
    .option("--heights <N>", "with --seeds: heights of each seed (default: 4)", whole(1))
    .option("--real", "with --seeds: real signatures (default: keyed hashes)")
    .addOption(
      new Option("--planted", "find the planted bugs, all if no NAME is given").conflicts([
        "seeds",
        "from",
        ...OF_SEEDS,
      ]),
    )
    .option("--jobs <N>", "processes at a time", whole(1), availableParallelism())
    .parse(argv, { from: "user" });
  const flags = { ...program.opts<Omit<Flags, "names">>(), names: program.args };
  if (flags.names.length > 0 && !flags.planted) program.error(`error: ${flags.names.join(" ")}: goes with --planted`);
  for (const flag of OF_SEEDS)
    if (flags[flag] && flags.seeds === undefined) program.error(`error: --${flag}: goes with --seeds`);
  return flags;
}
