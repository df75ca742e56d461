import { stripVTControlCharacters, styleText } from "node:util";

/** What goes to the terminal. With `--json`, exactly one JSON document on stdout and nothing else. */

export type Style = "bold" | "dim" | "green" | "red" | "yellow" | "cyan";

/** The flags that say how a command speaks. */
export type OutputFlags = { readonly json: boolean; readonly quiet: boolean; readonly color: boolean };

export type Output = {
  /** Lines for people; silent with --json. */
  line(text?: string): void;
  /** Notes beside the result: silent with --json and --quiet. */
  note(text: string): void;
  /** How something stands that takes a while: to stderr, since stdout may be a document; silent with --quiet. */
  progress(text: string): void;
  /** Something that must not be missed, to stderr, also with --json and --quiet. */
  warn(text: string): void;
  /** The result: `value` with --json, else what `human` prints. */
  result(value: unknown, human: () => void): void;
  paint(style: Style, text: string): string;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  readonly json: boolean;
  /** A person watches, and the terminal can redraw. */
  readonly live: boolean;
};

export function createOutput(
  flags: OutputFlags,
  stdout: NodeJS.WriteStream = process.stdout,
  stderr: NodeJS.WriteStream = process.stderr,
): Output {
  const colour = flags.color && process.env.NO_COLOR === undefined && stdout.isTTY === true;
  const write = (text: string) => stdout.write(`${text}\n`);
  const out: Output = {
    json: flags.json,
    live: stdout.isTTY === true && !flags.json && !flags.quiet,
    line: (text = "") => {
      if (!flags.json) write(text);
    },
    note: (text) => {
      if (!flags.json && !flags.quiet) write(text);
    },
    progress: (text) => {
      if (!flags.quiet) stderr.write(`${text}\n`);
    },
    warn: (text) => {
      stderr.write(`pofl: ${text}\n`);
    },
    result: (value, human) => {
      if (flags.json) write(JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString() : v), 2));
      else human();
    },
    paint: (style, text) => (colour ? styleText(style, text, { validateStream: false }) : text),
    table: (head, rows) => {
      for (const row of layout([head.map((h) => out.paint("dim", h)), ...rows])) out.line(row);
    },
  };
  return out;
}

const NUMERIC = /^[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s?(?:%|ms|s|[KMG]?i?B)?$/;

/** Columns as wide as their widest cell; a column of numbers stands to the right. */
export function layout(rows: readonly (readonly string[])[]): string[] {
  const width = (cell: string) => stripVTControlCharacters(cell).length;
  const columns = Math.max(0, ...rows.map((r) => r.length));
  const shape = Array.from({ length: columns }, (_, c) => {
    const cells = rows.slice(1).map((r) => stripVTControlCharacters(r[c] ?? ""));
    return {
      width: Math.max(0, ...rows.map((r) => width(r[c] ?? ""))),
      right: cells.length > 0 && cells.every((s) => s === "" || s === "–" || NUMERIC.test(s)),
    };
  });
  return rows.map((row) =>
    shape
      .map((s, c) => {
        const cell = row[c] ?? "";
        const pad = " ".repeat(s.width - width(cell));
        return s.right ? pad + cell : cell + pad;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** A thousands separator that no locale changes. */
export function grouped(amount: string): string {
  return amount.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 block", "1,234 blocks". */
export function counted(n: number, what: string): string {
  return `${grouped(String(n))} ${what}${n === 1 ? "" : "s"}`;
}

export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : [bytes / 1024 ** 2, "MiB"];
  return `${value.toFixed(1)} ${unit}`;
}

/** 0x1234…cdef: enough to tell hashes apart in a table. */
export function short(hex: string): string {
  return hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-4)}` : hex;
}
