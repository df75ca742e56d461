import { type DestinationStream, type Logger, pino } from "pino";

/** How a node logs: JSON for machines, or one short line per event for people. */
export function createLogger(options: { level: string; format: "pretty" | "json"; moniker: string }): Logger {
  const { level, format, moniker } = options;
  if (format === "json") return pino({ level, base: { node: moniker } });
  const write: DestinationStream = { write: (line) => process.stdout.write(`${readable(line)}\n`) };
  return pino({ level, base: null }, write);
}

const LEVELS: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info ",
  40: "warn ",
  50: "error",
  60: "fatal",
};
/** What pino adds to each record; the rest is the caller's. */
const OWN = new Set(["level", "time", "msg", "err", "module"]);

function readable(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const time = new Date(record.time as number).toISOString().slice(11, 23);
  const fields = Object.entries(record)
    .filter(([key]) => !OWN.has(key))
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("");
  const err = record.err as { stack?: string; message?: string } | undefined;
  const trace = err ? `\n${err.stack ?? err.message}` : "";
  return `${time} ${LEVELS[record.level as number] ?? "info "} ${record.module ?? "node"}: ${record.msg}${fields}${trace}`;
}
