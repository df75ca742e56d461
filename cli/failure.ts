import { errorText, isPoflError, PoflError } from "../types/errors.ts";

/** The exit codes of INTERFACES.md. */
export const EXIT = { done: 0, failed: 1, usage: 2, noConnection: 3, timedOut: 4 } as const;

const BY_CODE: Readonly<Record<string, number>> = {
  USAGE: EXIT.usage,
  RPC_UNREACHABLE: EXIT.noConnection,
  RPC_TIMEOUT: EXIT.timedOut,
  TIMED_OUT: EXIT.timedOut,
};

export function usage(message: string): PoflError {
  return new PoflError("USAGE", message);
}

export function exitCode(error: unknown): number {
  return isPoflError(error) ? (BY_CODE[error.code] ?? EXIT.failed) : EXIT.failed;
}

/** One line: the code is stable, the text says what, where and what to do. */
export function errorLine(error: unknown): string {
  const text = errorText(error).replaceAll(/\s*\n\s*/g, " ");
  return isPoflError(error) ? `pofl: ${text} [${error.code}]` : `pofl: ${text} (run again with --debug to see where)`;
}
