import { availableParallelism } from "node:os";
import { InvalidArgumentError } from "commander";
import { whole } from "../../cli/parse.ts";
import { testProgram } from "../flags.ts";

export const PARTS = ["points", "planted", "corruption", "kills"] as const;
type Part = (typeof PARTS)[number];

export type Flags = {
  readonly only: readonly Part[];
  readonly kills: number;
  readonly seed: number;
  readonly jobs: number;
};

function parts(text: string): Part[] {
  return text.split(",").map((name) => {
    const part = PARTS.find((p) => p === name);
    if (!part) throw new InvalidArgumentError(`Must be of ${PARTS.join(", ")}, with commas between.`);
    return part;
  });
}

/** @throws CommanderError */
export function chaosFlags(argv: readonly string[]): Flags {
  const program = testProgram("npm run test:chaos --", "Crash points, their planted bugs, changed files and kills.")
    .option("--only <PARTS>", `of ${PARTS.join(", ")}, with commas between (default: all)`, parts)
    .option("--kills <N>", "at least so many SIGKILLs; given without --only, nothing else is run", whole(1), 100)
    .option("--seed <SEED>", "of the chance in corruption and kills", whole(), 1)
    .option("--jobs <N>", "processes at a time in points", whole(1), availableParallelism())
    .parse(argv, { from: "user" });
  const flags = program.opts<Omit<Flags, "only"> & { readonly only?: readonly Part[] }>();
  const counted = program.getOptionValueSource("kills") === "cli";
  const only = flags.only ?? (counted ? ["kills"] : PARTS);
  if (counted && !only.includes("kills"))
    program.error(`error: --kills ${flags.kills}: --only must name kills as well`);
  return { ...flags, only };
}
