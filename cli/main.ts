#!/usr/bin/env node
import "../p2p/polyfill.ts";
import { CommanderError } from "commander";
import { EXIT, errorLine, exitCode } from "./failure.ts";
import { buildProgram } from "./program.ts";

/** Exit codes: 0 done, 1 failed, 2 usage, 3 could not connect, 4 timed out. */

// `pofl … | head` closes the pipe early: that is the reader's choice, not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.done);
  throw error;
});

try {
  await buildProgram().parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version end with 0; commander has printed its one line on stderr already.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else {
    process.stderr.write(`${errorLine(error)}\n`);
    if (process.argv.includes("--debug") && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = exitCode(error);
  }
}
