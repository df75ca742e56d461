import { randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Searcher } from "../../node/records/search.ts";
import { ENCODINGS } from "../../node/store/database.ts";
import { inFolder } from "../cli/support.ts";

/** The search of `pofl record audit`: nothing that is there is missed, wherever chunks part, and nothing else is found. */

const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });

test("every needle is found at its place in a file, whatever the size of the chunks", () =>
  inFolder(async (dir) => {
    const file = join(dir, "haystack");
    await fc.assert(
      fc.asyncProperty(
        fc.array(bytes(16, 80), { minLength: 1, maxLength: 4 }),
        fc.array(bytes(0, 120), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 200 }),
        async (needles, gaps, chunk) => {
          const searcher = new Searcher<number>(chunk);
          needles.forEach((needle, what) => {
            searcher.add({ bytes: needle, what });
          });
          const hay = Buffer.concat(gaps.flatMap((gap, i) => [gap, needles[i % needles.length] as Uint8Array]));
          writeFileSync(file, hay);
          const expected = needles.flatMap((needle, what) => {
            const places: string[] = [];
            for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, at + 1)) places.push(`${what}@${at}`);
            return places;
          });
          const { found, bytes: read } = await searcher.findInFile(file);
          assert.equal(found.map(([what, at]) => `${what}@${at}`).sort(), expected.sort());
          assert.is(read, hay.length);
        },
      ),
      { numRuns: 200 },
    );
  }));

test("an empty file, one shorter than a needle, no needles at all; a needle that is too short is refused", () =>
  inFolder(async (dir) => {
    const file = join(dir, "f");
    const searcher = new Searcher<string>();
    writeFileSync(file, "");
    assert.equal(await searcher.findInFile(file), { found: [], bytes: 0 });
    searcher.add({ bytes: Buffer.from("0123456789abcdef"), what: "x" });
    assert.equal(await searcher.findInFile(file), { found: [], bytes: 0 });
    writeFileSync(file, "0123456789abcde");
    assert.equal((await searcher.findInFile(file)).found, []);
    assert.throws(() => searcher.add({ bytes: new Uint8Array(15), what: "y" }), /too short/);
  }));

test("salts in a compressed database are found in its files: 32 random bytes stay as they are, but for a cut between two halves", () =>
  inFolder(async (dir) => {
    const searcher = new Searcher<number>();
    const salts = Array.from({ length: 400 }, () => randomBytes(32));
    salts.forEach((salt, what) => {
      searcher.add({ bytes: salt.subarray(0, 16), what });
      searcher.add({ bytes: salt.subarray(16), what });
    });
    // As builds before made it: database.ts doesn't let LevelDB compress any more.
    const db = new ClassicLevel<Uint8Array, Uint8Array>(join(dir, "db"), ENCODINGS);
    // Values as a block has them: repetitive, so that they are compressed, some larger than a piece that is compressed at once.
    for (const [i, salt] of salts.entries()) {
      const around = Buffer.from("consent of a patient to a trial; ".repeat(1 + (i % 4 === 0 ? 4000 : i)));
      await db.put(Buffer.from(`k${i}`), Buffer.concat([around, salt, around]));
    }
    await db.close();
    // Opening again turns the log into a table, which is what is compressed.
    await db.open();
    await db.close();
    const found = new Set<number>();
    let stored = 0;
    for (const name of readdirSync(join(dir, "db"))) {
      const searched = await searcher.findInFile(join(dir, "db", name));
      stored += searched.bytes;
      for (const [what] of searched.found) found.add(what);
    }
    assert.ok(stored < 5_000_000, `compressed, or this says nothing: ${stored} bytes`);
    assert.is(found.size, salts.length);
  }));

test.run();
