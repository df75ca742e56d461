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
 * ⌊value · 2^bits⌋ of a non-negative number of a task file, from the decimal digits that canonical JSON prints: nodes agree on
 * text, and no float arithmetic is left to agree on.
 */
export function fixedPoint(value: number, bits: number): bigint {
  const [mantissa = "0", power = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(power) - fraction.length;
  const scaled = BigInt(whole + fraction) << BigInt(bits);
  return shift >= 0 ? scaled * 10n ** BigInt(shift) : scaled / 10n ** BigInt(-shift);
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
  const twice = repeatedMember(text);
  if (twice) throw problem(what, twice, "is written twice");
  return checkJson(what, schema, value);
}

/** As parseJson, for a value that is already parsed. */
export function checkJson<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  // A misspelt field is unknown and missing at once; the first is what helps.
  const first = issues.find((i) => i.code === "unrecognized_keys") ?? issues[0];
  const { path, message } = explain(first as z.core.$ZodIssue, value);
  throw problem(what, path, issues.length > 1 ? `${message} (and ${issues.length - 1} more)` : message);
}

type Path = readonly PropertyKey[];

/** The error for a place in a document. */
export function problem(what: string, path: Path, message: string): PoflError {
  const place = jsonPath(path);
  return new PoflError(`BAD_${what.toUpperCase()}`, `${what}: ${place}: ${message}`, { path: place });
}

function jsonPath(path: Path): string {
  return path.reduce<string>((p, key) => {
    if (typeof key === "number") return `${p}[${key}]`;
    const name = String(key);
    return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? `${p}.${name}` : `${p}[${JSON.stringify(name.slice(0, 80))}]`;
  }, "$");
}

/** Zod's issue as a person wants it: an unknown field named by its own path, a missing one called missing. */
function explain(issue: z.core.$ZodIssue, value: unknown): { path: Path; message: string } {
  if (issue.code === "unrecognized_keys") {
    return { path: [...issue.path, issue.keys[0] as string], message: "is not a known field" };
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The form that the value comes closest to is the one in which something deeper is wrong.
    const nearest = issue.errors.map((e) => e[0]).find((i) => i && (i.path.length > 0 || i.code !== "invalid_type"));
    if (!nearest) return { path: issue.path, message: "has a type that is not allowed here" };
    return explain({ ...nearest, path: [...issue.path, ...nearest.path] } as z.core.$ZodIssue, value);
  }
  if (issue.code === "invalid_type" || issue.code === "invalid_union") {
    const found = issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value);
    if (found === undefined) return { path: issue.path, message: "is missing" };
  }
  return { path: issue.path, message: issue.message };
}

/**
 * Path of the first object member that is written twice: JSON.parse keeps the last in silence, a reader may believe the first.
 * @param text valid JSON
 */
function repeatedMember(text: string): Path | undefined {
  const open: { seen: Set<string> | undefined; at: string | number; key: boolean }[] = [];
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/g)) {
    const inside = open.at(-1);
    if (token === "{") open.push({ seen: new Set(), at: "", key: true });
    else if (token === "[") open.push({ seen: undefined, at: 0, key: false });
    else if (token === "}" || token === "]") open.pop();
    else if (token === ",") {
      if (inside?.seen) inside.key = true;
      else if (inside) inside.at = (inside.at as number) + 1;
    } else if (inside?.seen && inside.key) {
      inside.at = JSON.parse(token) as string;
      inside.key = false;
      if (inside.seen.has(inside.at)) return open.map((o) => o.at);
      inside.seen.add(inside.at);
    }
  }
  return undefined;
}

const AMOUNT = "must be a decimal string, a whole number of the smallest unit";

/** A whole number of the smallest unit as a decimal string within u64; stays a string so that JSON keeps it exact. */
export const amountSchema = z
  .string(AMOUNT)
  .regex(/^(?:0|[1-9][0-9]{0,19})$/, AMOUNT)
  .refine((s) => (amountIn(s) ?? 0n) < 1n << 64n, "must be below 2^64");

/** The amount in a string that the schema may not have accepted yet: refinements of an object run although a member is bad. */
export function amountIn(text: string): bigint | undefined {
  return /^[0-9]{1,20}$/.test(text) ? BigInt(text) : undefined;
}

export const hexSchema = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`), `must be 0x and ${2 * bytes} lower-case hexadecimal digits`);

export const wholeSchema = (min: number, max: number) => z.int().min(min).max(max);

/**
 * Text that people see: bounded in bytes of UTF-8, and free of what would let it act on a terminal or disguise itself (control
 * characters, direction marks) and of lone surrogates. Ranges, not Unicode classes: those differ between versions of Node.
 */
export const textSchema = (minBytes: number, maxBytes: number) =>
  z
    .string()
    .refine(
      (s) => Buffer.byteLength(s) >= minBytes,
      minBytes === 1 ? "must not be empty" : `is under ${minBytes} bytes`,
    )
    .refine((s) => Buffer.byteLength(s) <= maxBytes, `must be at most ${maxBytes} bytes of UTF-8`)
    .refine(isPlainText, "must not contain control characters, direction marks or broken characters");

const NOT_PLAIN: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
  [0xd800, 0xdfff],
];

function isPlainText(text: string): boolean {
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    if (NOT_PLAIN.some(([from, to]) => point >= from && point <= to)) return false;
  }
  return true;
}
