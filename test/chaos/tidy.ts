import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Ends this process as shells say that a signal ended it. */
export const exitBy = (signal: NodeJS.Signals): never => process.exit(128 + constants.signals[signal]);

export function onSignal(act: (signal: NodeJS.Signals) => void): void {
  for (const signal of SIGNALS) process.on(signal, act);
}

/**
 * However this process ends, but for SIGKILL, no process that it started outlives it and none of its temporary folders: they all
 * come to lie in one. What is to be left tidy is done at once and not by promises, so that nothing is started in the meantime.
 */
export function leaveNothing(prefix: string): void {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  for (const name of ["TMPDIR", "TEMP", "TMP"]) process.env[name] = folder;
  const children = new Set<ChildProcess>();
  subscribe("child_process", (message) => {
    const { process: child } = message as { process: ChildProcess };
    children.add(child);
    child.once("exit", () => children.delete(child));
  });
  process.once("exit", () => {
    for (const child of children) child.kill("SIGKILL");
    // Who was just killed may still have been writing.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  });
  onSignal(exitBy);
}
