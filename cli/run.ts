import { CommanderError } from "commander";
import { EXIT, errorLine, exitCode } from "./failure.ts";
import { buildProgram } from "./program.ts";

/**
 * Runs one command line and returns its exit code: 0 done, 1 failed, 2 usage, 3 could not connect, 4 timed out.
 * @param args what follows the program's name
 */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(args, { from: "user" });
    return EXIT.done;
  } catch (error) {
    // Help and version end with 0; commander has printed its one line on stderr already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    process.stderr.write(`${errorLine(error)}\n`);
    if (args.includes("--debug") && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return exitCode(error);
  }
}
