import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "uvu";

const data = resolve(process.env.POFL_DATA ?? "../shared/data");

/** Where the real data sets and the reference vectors lie, when they are there at all. */
export const dataFile = (...path: string[]): string => join(data, ...path);
export const vectorFile = (...path: string[]): string => join(dirname(data), "vectors", ...path);

/** A test that needs files which are not in the repository; without them it is skipped, and says so. */
export function testWith(files: string[], name: string, run: () => void | Promise<void>): void {
  if (files.every((f) => existsSync(f))) return void test(name, run);
  console.log(`skipped: no data for "${name}"`);
  test.skip(name, run);
}

/** Runs `use` in a folder with the given files, and removes it. */
export async function withFiles<T>(
  files: Record<string, string | Uint8Array>,
  use: (folder: string) => T | Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-learning-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
