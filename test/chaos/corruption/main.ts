import { whole } from "../../../cli/parse.ts";
import { orExit, testProgram } from "../../flags.ts";
import { leaveNothing } from "../tidy.ts";
import { COUNTS, corrupt, printed } from "./run.ts";

/** `node dist/test/chaos/corruption/main.js [--seed S]`: all mutations, as a table; exit code 1 if one is not detected. */

const { seed } = orExit(() =>
  testProgram("corruption/main.js", "Changes files of a home at random.")
    .option("--seed <SEED>", "of the chance", whole(), 1)
    .parse()
    .opts<{ readonly seed: number }>(),
);
leaveNothing("pofl-corrupt-");
const outcome = await corrupt(COUNTS, seed, 10);
console.log(printed(outcome));
for (const line of outcome.undetected.slice(0, 30)) console.log(line);
const asked = Object.values(COUNTS).reduce((a, b) => a + b, 0);
process.exitCode = outcome.undetected.length > 0 || outcome.total < asked ? 1 : 0;
