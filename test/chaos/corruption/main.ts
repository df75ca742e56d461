import { parseArgs } from "node:util";
import { COUNTS, corrupt, printed } from "./run.ts";

/** `node dist/test/chaos/corruption/main.js [--seed S]`: all mutations, as a table; exit code 1 if one is not detected. */

const { values } = parseArgs({ options: { seed: { type: "string", default: "1" } } });
const outcome = await corrupt(COUNTS, Number(values.seed), 10);
console.log(printed(outcome));
for (const line of outcome.undetected.slice(0, 30)) console.log(line);
process.exitCode = outcome.undetected.length > 0 ? 1 : 0;
