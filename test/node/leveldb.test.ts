import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClassicLevel } from "classic-level";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openDatabase } from "../../node/store/database.ts";
import { checkFiles } from "../../node/store/leveldb/check.ts";
import { isPoflError } from "../../types/errors.ts";
import { inFolder } from "../cli/support.ts";
import { Chance } from "../sim/clock.ts";

/** LevelDB's own tables, read here as LevelDB writes them, and damaged so that it would end the process. */

const value = (i: number) => Buffer.from(`the value of key number ${i}, `.repeat(8));
const key = (i: number) => Buffer.from(`key ${String(i).padStart(6, "0")}`);

/** A database of one table or more; `filling` decides whether Snappy can pack it. */
async function tables(folder: string, filling: (i: number) => Uint8Array = value): Promise<string[]> {
  const db = await openDatabase(folder);
  for (let i = 0; i < 400; i++) await db.put(key(i), filling(i));
  await db.close();
  // Opening makes a table of the log.
  await (await openDatabase(folder)).close();
  return readdirSync(folder).filter((f) => f.endsWith(".ldb"));
}

/** Why LevelDB must not read it; what may be read in spite of damage goes to `told`. */
const refusal = (folder: string, told: string[] = []): string => {
  try {
    told.push(...checkFiles(folder));
    return "";
  } catch (error) {
    if (!isPoflError(error, "FILE_DAMAGED")) throw error;
    return error.message;
  }
};

test("a table that a killed process left half-written is nobody's: LevelDB removes it", () =>
  inFolder(async (dir) => {
    const [name] = (await tables(dir)) as [string];
    const half = readFileSync(join(dir, name));
    writeFileSync(join(dir, "999999.ldb"), half.subarray(0, half.length / 2));
    assert.is(refusal(dir), "");
    await (await openDatabase(dir)).close();
    assert.not.ok(readdirSync(dir).includes("999999.ldb"));
  }));

test("a table that is shorter than the MANIFEST says, and a MANIFEST that does not match its checksums", () =>
  inFolder(async (dir) => {
    const [name] = (await tables(dir)) as [string];
    const table = readFileSync(join(dir, name));
    writeFileSync(join(dir, name), table.subarray(1));
    assert.match(refusal(dir), /^its file \d+\.ldb: it has \d+ bytes, not \d+$/);
    writeFileSync(join(dir, name), table);
    const manifest = readdirSync(dir).find((f) => f.startsWith("MANIFEST-")) as string;
    const edits = readFileSync(join(dir, manifest));
    edits[20]! ^= 1;
    writeFileSync(join(dir, manifest), edits);
    assert.is(refusal(dir), `its file ${manifest}: its piece at 0 does not match its checksum`);
  }));

test("a database that another has open is locked, whatever is being written", () =>
  inFolder(async (dir) => {
    await tables(dir);
    const db = await openDatabase(dir);
    try {
      for (let i = 0; i < 2000; i++) await db.put(key(i), new Chance(i).bytes(3000));
      const code = await openDatabase(dir).then(
        () => "opened",
        (e: unknown) => (isPoflError(e) ? e.code : String(e)),
      );
      assert.is(code, "DATABASE_LOCKED");
    } finally {
      await db.close();
    }
  }));

test("whole tables, packed and not, are read to their end", () =>
  inFolder(async (dir) => {
    const chance = new Chance(1);
    for (const [name, filling] of [
      ["packed", value],
      ["random", () => chance.bytes(200)],
      ["large", (i: number) => (i % 50 === 0 ? chance.bytes(60_000) : value(i))],
      ["empty values", () => new Uint8Array(0)],
    ] as const) {
      assert.ok((await tables(join(dir, name), filling)).length > 0, name);
      assert.is(refusal(join(dir, name)), "", name);
    }
  }));

test("any damage: refused with the file's name, or told and LevelDB reads and compacts it", () =>
  inFolder(async (dir) => {
    const folder = join(dir, "whole");
    const [name] = (await tables(folder, (i) => new Chance(i).bytes(i % 40))) as [string];
    const whole = readFileSync(join(folder, name));
    const chance = new Chance(2);
    const count = { refused: 0, read: 0 };
    for (let i = 0; i < 150; i++) {
      const bad = Buffer.from(whole);
      const at = chance.whole(0, bad.length - 1);
      if (i % 5 === 0) bad.fill(0, at, at + 64);
      else bad[at]! ^= 1 << chance.whole(0, 7);
      if (bad.equals(whole)) continue;
      const copy = join(dir, "copy");
      cpSync(folder, copy, { recursive: true });
      writeFileSync(join(copy, name), bad);
      const told: string[] = [];
      const said = refusal(copy, told);
      if (said === "") {
        assert.match(told[0] ?? "", /^\d+\.ldb: its block at \d+ does not match its checksum$/);
        // An assertion of LevelDB's would end this process, and the test with it.
        const db = await openDatabase(copy);
        for (let k = 0; k < 400; k += 7) await db.get(key(k));
        await db.iterator().all();
        await (db as ClassicLevel<Uint8Array, Uint8Array>).compactRange(key(0), key(999));
        await db.close();
        count.read++;
      } else {
        assert.match(said, /^its file \d+\.ldb: /);
        count.refused++;
      }
      rmSync(copy, { recursive: true });
    }
    assert.ok(count.refused > 15 && count.read > 15, JSON.stringify(count));
  }));

test("a damaged key, which would end the process, is refused when the database is opened", () =>
  inFolder(async (dir) => {
    const folder = join(dir, "db");
    const [name] = (await tables(folder, (i) => new Chance(i).bytes(120))) as [string];
    const path = join(folder, name);
    const file = readFileSync(path);
    // The lengths of the first entry: its key would have no room for its tag.
    file[1] = 3;
    writeFileSync(path, file);
    let error: unknown;
    await openDatabase(folder).catch((e: unknown) => {
      error = e;
    });
    assert.ok(isPoflError(error, "DATABASE_DAMAGED"), String(error));
    assert.match((error as Error).message, /\.ldb: .*move it away and start again/);
  }));

test.run();
