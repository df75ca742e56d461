import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { takeLock } from "../../node/lock.ts";
import { isPoflError } from "../../types/errors.ts";
import { inFolder } from "../cli/support.ts";

/** One process per home, whatever another one does between two steps of it. */

/** What `takeLock` may do with files; another process can come before each. */
const STEPS = ["open", "write", "writeFile", "close", "fsync", "link", "rename", "readdir", "readFile", "rm", "unlink"];
const calls = fs as unknown as Record<string, (...args: unknown[]) => unknown>;

/** Does `work`, and each of `acts` before the step of its number; how many steps there were. */
function interleaved(acts: ReadonlyMap<number, () => void>, work: () => void): number {
  const real = STEPS.map((name) => calls[`${name}Sync`] as (typeof calls)[string]);
  let step = 0;
  STEPS.forEach((name, i) => {
    calls[`${name}Sync`] = (...args) => {
      acts.get(step++)?.();
      return real[i]?.(...args);
    };
  });
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    STEPS.forEach((name, i) => {
      calls[`${name}Sync`] = real[i] as (typeof calls)[string];
    });
    syncBuiltinESMExports();
  }
  return step;
}

/** Undefined: it was refused. */
function tryLock(file: string): (() => void) | undefined {
  try {
    return takeLock(file);
  } catch (error) {
    if (!isPoflError(error, "HOME_LOCKED")) throw error;
    return undefined;
  }
}

/** Leaves the lock of a process that is gone. */
function die(file: string): void {
  const url = new URL("../../node/lock.js", import.meta.url).href;
  const script = `import(${JSON.stringify(url)}).then((m) => { m.takeLock(${JSON.stringify(file)}); process.exit(0); })`;
  assert.is(spawnSync(process.execPath, ["-e", script]).status, 0);
}

test("of three that come between one another's steps at most one holds the home, be it free or a dead one's", () =>
  inFolder(async (dir) => {
    const dead = join(dir, "dead");
    fs.mkdirSync(dead);
    die(join(dead, "LOCK"));
    assert.is(fs.readdirSync(dead).length, 1);
    const free = join(dir, "free");
    fs.mkdirSync(free);
    const home = join(dir, "home");
    const file = join(home, "LOCK");
    for (const from of [free, dead]) {
      for (const stays of [true, false]) {
        for (let second = 0, steps = 1; second < steps; second++) {
          for (let third = second; third < steps; third++) {
            fs.cpSync(from, home, { recursive: true });
            const holders: (() => void)[] = [];
            const come = (stay: boolean) => () => {
              const unlock = tryLock(file);
              if (unlock && stay) holders.push(unlock);
              else unlock?.();
            };
            const acts = new Map([[third, come(true)]]);
            if (second !== third) acts.set(second, come(stays));
            steps = Math.max(
              steps,
              interleaved(acts, () => come(true)()),
            );
            assert.ok(holders.length <= 1, `${from}, before steps ${second} and ${third}: ${holders.length} hold it`);
            if (holders.length > 0) assert.is(tryLock(file), undefined, "and it is held");
            for (const unlock of holders) unlock();
            takeLock(file)();
            assert.equal(fs.readdirSync(home), [], "nothing is left");
            fs.rmSync(home, { recursive: true });
          }
        }
      }
    }
  }));

test("only one's own lock is given back", () =>
  inFolder(async (dir) => {
    const file = join(dir, "LOCK");
    const first = takeLock(file);
    // Somebody thought it was a dead one's.
    for (const name of fs.readdirSync(dir)) fs.rmSync(join(dir, name));
    const second = takeLock(file);
    first();
    assert.is(tryLock(file), undefined);
    second();
    takeLock(file)();
  }));

test.run();
