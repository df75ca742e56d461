import { Command, CommanderError } from "commander";

/**
 * The command line of a test program, which refuses whatever it does not take: a gate that runs something else than it was asked for
 * would be green for nothing. Numbers are read by `whole` of `cli/parse.ts`. Parsing throws CommanderError, for `orExit`.
 */
export function testProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .helpOption("--help", "show help")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
}

/** What it returns; after help this process ends with 0, after a refusal with 2 and the reason in one line. */
export function orExit<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) process.exit(0);
    console.error(error.message.replaceAll("\n", " "));
    process.exit(2);
  }
}
