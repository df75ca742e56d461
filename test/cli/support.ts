import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { run } from "../../cli/run.ts";
import { isPoflError } from "../../types/errors.ts";

/** Runs `body` with a folder of its own, which is gone afterwards. */
export async function inFolder(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-test-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The PoflError that `run` throws; fails if it throws nothing or something else. */
export async function refused(run: () => unknown, code: string): Promise<Error> {
  try {
    await run();
  } catch (error) {
    if (!isPoflError(error)) throw error;
    assert.is(error.code, code, error.message);
    return error;
  }
  return assert.unreachable(`expected ${code}`) as never;
}

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Runs a command line in this process and catches what it prints; the environment's POFL_ variables don't count. */
export async function cli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const before = { ...process.env };
  const streams = { stdout: process.stdout.write, stderr: process.stderr.write };
  const caught = { stdout: "", stderr: "" };
  for (const name of Object.keys(before)) if (name.startsWith("POFL_")) delete process.env[name];
  Object.assign(process.env, { NO_COLOR: "1", ...env });
  for (const name of ["stdout", "stderr"] as const) {
    process[name].write = (chunk: string | Uint8Array) => {
      caught[name] += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
      return true;
    };
  }
  try {
    return { code: await run(args), ...caught };
  } finally {
    process.stdout.write = streams.stdout;
    process.stderr.write = streams.stderr;
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
}
