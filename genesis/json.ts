import { z } from "zod";
import { PoflError } from "../types/errors.ts";

/**
 * Canonical JSON: keys sorted by UTF-16 code unit, no white space, numbers as ECMAScript prints them (RFC 8785).
 * Only plain JSON values that came out of a schema are given to it.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(",")}}`;
  }
  if (typeof value === "number" && !Number.isFinite(value))
    throw new TypeError("canonical JSON has no NaN or infinity");
  return JSON.stringify(value);
}

/**
 * Parses JSON text and checks it against a schema; `what` names the document in errors ("genesis", "task").
 * @throws PoflError BAD_JSON (not JSON) or BAD_<WHAT> with the JSON path of the first problem
 */
export function parseJson<T>(what: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PoflError("BAD_JSON", `${what}: not JSON: ${(cause as Error).message}`, {}, { cause });
  }
  return checkJson(what, schema, value);
}

/** As parseJson, for a value that is already parsed. */
export function checkJson<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = issue ? jsonPath(issue.path) : "$";
  const more = parsed.error.issues.length > 1 ? ` (and ${parsed.error.issues.length - 1} more)` : "";
  throw new PoflError(`BAD_${what.toUpperCase()}`, `${what}: ${path}: ${issue?.message ?? "invalid"}${more}`, { path });
}

function jsonPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((p, key) => (typeof key === "number" ? `${p}[${key}]` : `${p}.${String(key)}`), "$");
}

/** A whole number of the smallest unit as a decimal string within u64; stays a string so that JSON keeps it exact. */
export const amountSchema = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,19})$/, "must be a decimal string, a whole number of the smallest unit")
  .refine((s) => !/^[0-9]{1,20}$/.test(s) || BigInt(s) < 1n << 64n, "must be below 2^64");

export const hexSchema = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`), `must be 0x and ${2 * bytes} lower-case hexadecimal digits`);

export const wholeSchema = (min: number, max: number) => z.int().min(min).max(max);
