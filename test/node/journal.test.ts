import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type DiskCalls, realDisk } from "../../node/store/disk.ts";
import { openJournal, readJournal } from "../../node/store/journal.ts";
import { isPoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";

const code = (expected: string) => (error: unknown) => isPoflError(error, expected);
const bytes = (text: string) => new TextEncoder().encode(text);

function inFolder(work: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "pofl-journal-"));
  try {
    work(join(folder, "sub", "wal"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function write(path: string, entries: readonly Uint8Array[], disk?: DiskCalls): void {
  const journal = openJournal(path, disk);
  for (const entry of entries) journal.append(entry, { sync: false });
  journal.close();
}

function read(path: string): readonly Uint8Array[] {
  const journal = openJournal(path);
  journal.close();
  return journal.entries;
}

const frameBytes = (entry: Uint8Array): number => 16 + Math.ceil(entry.length / 8) * 8;

const SAMPLE = [bytes("first"), new Uint8Array(0), new Uint8Array(40), bytes("the last one")];

test("what was appended comes back, over any number of openings and resets", () => {
  const step = fc.oneof(
    fc.record({ append: fc.uint8Array({ maxLength: 300 }) }),
    fc.record({ reset: fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 3 }) }),
    fc.constant({ reopen: true }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      inFolder((path) => {
        let journal = openJournal(path);
        let model: Uint8Array[] = [];
        for (const s of steps) {
          if ("append" in s) {
            journal.append(s.append, { sync: true });
            model.push(s.append);
          } else if ("reset" in s) {
            journal.reset(s.reset);
            model = [...s.reset];
          } else {
            journal.close();
            journal = openJournal(path);
            assert.equal(journal.entries, model);
          }
        }
        journal.close();
        assert.equal(read(path), model);
      });
    }),
    { numRuns: 60 },
  );
});

test("cut at every byte: the whole entries before the cut, and appending goes on from there", () => {
  inFolder((path) => {
    write(path, SAMPLE);
    const whole = readFileSync(path);
    const copy = `${path}.copy`;
    const ends = [16];
    for (const entry of SAMPLE) ends.push((ends.at(-1) as number) + frameBytes(entry));
    assert.is(ends.at(-1), whole.length);
    for (let cut = 0; cut < whole.length; cut++) {
      writeFileSync(copy, whole.subarray(0, cut));
      if (cut < 16) {
        assert.throws(() => openJournal(copy), code("CORRUPT_JOURNAL"), `cut at ${cut}`);
        continue;
      }
      const expected = SAMPLE.slice(0, ends.filter((end) => end <= cut).length - 1);
      const journal = openJournal(copy);
      assert.equal(journal.entries, expected, `cut at ${cut}`);
      assert.is(journal.tornBytes, cut - (ends[expected.length] as number), `cut at ${cut}`);
      journal.append(bytes("next"), { sync: true });
      journal.close();
      assert.equal(read(copy), [...expected, bytes("next")], `cut at ${cut}`);
    }
  });
});

test("a tail that the file system allotted and never filled is torn, not damaged", () => {
  inFolder((path) => {
    write(path, SAMPLE);
    const whole = readFileSync(path);
    const lastEntry = whole.length - frameBytes(SAMPLE.at(-1) as Uint8Array);
    const filled = (from: number, zeros: number) =>
      Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from + zeros)]);
    writeFileSync(path, filled(whole.length, 4096));
    assert.equal(read(path), SAMPLE, "zeros after the last entry");
    for (let from = lastEntry; from <= whole.length - 8; from += 8) {
      writeFileSync(path, filled(from, 0));
      assert.equal(read(path), SAMPLE.slice(0, -1), `zeros from byte ${from}`);
    }
  });
});

test("every flipped bit of every byte is found", () => {
  inFolder((path) => {
    write(path, SAMPLE);
    const whole = readFileSync(path);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.throws(() => readJournal(damaged, path), code("CORRUPT_JOURNAL"), `bit ${bit}`);
    }
  });
});

test("random damage in the middle never gives other entries than a prefix", () => {
  const damage = fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) });
  const entries = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 8 });
  inFolder((path) => {
    fc.assert(
      fc.property(entries, damage, (list, d) => {
        rmSync(path, { force: true });
        write(path, list);
        const file = readFileSync(path);
        file.set(d.bytes.subarray(0, file.length), d.at % Math.max(1, file.length - d.bytes.length));
        try {
          const found = readJournal(file, path).entries;
          assert.ok(found.length <= list.length && found.every((e, i) => bytesEqual(e, list[i] as Uint8Array)));
        } catch (error) {
          assert.ok(isPoflError(error, "CORRUPT_JOURNAL"), String(error));
        }
      }),
      { numRuns: 400 },
    );
  });
});

test("an entry removed, repeated or moved is found though each frame is whole", () => {
  inFolder((path) => {
    write(path, [bytes("a"), bytes("b"), bytes("c")]);
    const whole = readFileSync(path);
    const frame = (i: number) => whole.subarray(16 + 24 * i, 16 + 24 * (i + 1));
    const table: Record<string, number[]> = { removed: [0, 2], repeated: [0, 1, 1, 2], moved: [0, 2, 1] };
    for (const [id, order] of Object.entries(table)) {
      const file = Buffer.concat([whole.subarray(0, 16), ...order.map(frame)]);
      assert.throws(() => readJournal(file, path), code("CORRUPT_JOURNAL"), id);
    }
  });
});

function failing(call: keyof DiskCalls, errno: string, when: () => boolean, partial = 0): DiskCalls {
  const real = realDisk[call] as (...args: unknown[]) => unknown;
  return {
    ...realDisk,
    [call]: (...args: unknown[]) => {
      if (!when()) return real(...args);
      if (partial > 0) realDisk.writeSync(args[0] as number, (args[1] as Uint8Array).subarray(0, partial));
      throw Object.assign(new Error(`${errno}: injected`), { code: errno });
    },
  };
}

test("a full disk: DISK_FULL, the half-written entry is gone, and the next one works", () => {
  inFolder((path) => {
    let full = false;
    const journal = openJournal(
      path,
      failing("writeSync", "ENOSPC", () => full, 11),
    );
    journal.append(bytes("kept"), { sync: true });
    full = true;
    assert.throws(() => journal.append(bytes("lost"), { sync: true }), code("DISK_FULL"));
    assert.throws(() => journal.reset([bytes("new")]), code("DISK_FULL"));
    full = false;
    journal.append(bytes("later"), { sync: true });
    journal.close();
    assert.equal(read(path), [bytes("kept"), bytes("later")]);
  });
});

test("a failed sync is final: no later success may hide it", () => {
  inFolder((path) => {
    let fails = false;
    const journal = openJournal(
      path,
      failing("fsyncSync", "EIO", () => fails),
    );
    fails = true;
    assert.throws(() => journal.append(bytes("x"), { sync: true }), code("DISK_FAILED"));
    fails = false;
    assert.throws(() => journal.append(bytes("y"), { sync: true }), code("JOURNAL_FAILED"));
    journal.close();
    assert.throws(
      () =>
        openJournal(
          path,
          failing("openSync", "EROFS", () => true),
        ),
      code("READ_ONLY"),
    );
  });
});

test("syncs: the entry before `append` returns, the folder when the file is made or replaced", () => {
  inFolder((path) => {
    const calls: string[] = [];
    const names = new Map<number, string>();
    const disk: DiskCalls = {
      ...realDisk,
      openSync: (file, ...rest) => {
        const fd = realDisk.openSync(file, ...rest);
        names.set(fd, String(file).split("/").at(-1) as string);
        return fd;
      },
      fsyncSync: (fd) => {
        calls.push(`sync ${names.get(fd)}`);
        realDisk.fsyncSync(fd);
      },
      renameSync: (from, to) => {
        calls.push("rename");
        realDisk.renameSync(from, to);
      },
    };
    const journal = openJournal(path, disk);
    assert.equal(calls.splice(0), ["sync wal.new", "rename", "sync sub"]);
    journal.append(bytes("x"), { sync: false });
    assert.equal(calls.splice(0), []);
    journal.append(bytes("y"), { sync: true });
    assert.equal(calls.splice(0), ["sync wal"]);
    journal.reset();
    assert.equal(calls.splice(0), ["sync wal.new", "rename", "sync sub"]);
    journal.close();
    assert.throws(() => journal.append(bytes("z"), { sync: true }), code("JOURNAL_CLOSED"));
  });
});

test("a copy left by a crash before the rename changes nothing", () => {
  inFolder((path) => {
    write(path, SAMPLE);
    copyFileSync(path, `${path}.new`);
    writeFileSync(`${path}.new`, "half a fi");
    const journal = openJournal(path);
    assert.equal(journal.entries, SAMPLE);
    journal.reset([bytes("fresh")]);
    journal.close();
    assert.equal(read(path), [bytes("fresh")]);
  });
});

test.run();
