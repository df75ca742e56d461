import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
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

export type Ran = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

const MAIN = join(import.meta.dirname, "..", "..", "cli", "main.js");

/** Runs the compiled command line in a process of its own, without the environment's POFL_ variables. */
export function pofl(
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<Ran> {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("POFL_")));
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...clean, NO_COLOR: "1", ...options.env } });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(options.input ?? "");
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}
