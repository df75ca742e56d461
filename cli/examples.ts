import type { Command } from "commander";

/** Adds examples to a command's help: each [what is typed, what it does]. */
export function examples(command: Command, ...list: readonly (readonly [string, string])[]): Command {
  const lines = list.flatMap(([typed, does]) => [`  # ${does}`, `  $ ${typed}`]);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}
