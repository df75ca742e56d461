/**
 * One error class for the whole project: a stable `code` that callers switch on, never the text.
 * The message says what is wrong, where, and what to do about it.
 */
export class PoflError<Code extends string = string> extends Error {
  override readonly name = "PoflError";
  readonly code: Code;
  /** Machine-readable particulars (a path, a line, a limit); JSON-safe, never secrets. */
  readonly data: Readonly<Record<string, string | number | boolean | null>>;

  constructor(
    code: Code,
    message: string,
    data: Readonly<Record<string, string | number | boolean | null>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.data = data;
  }
}

/** True when `error` is a PoflError, optionally with the given code. */
export function isPoflError(error: unknown, code?: string): error is PoflError {
  return error instanceof PoflError && (code === undefined || error.code === code);
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
