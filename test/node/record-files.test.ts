import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { padPayload, recordCommitment, type Sidecar } from "../../crypto/record.ts";
import { type Place, placeName, RecordFiles } from "../../node/records/files.ts";
import { isPoflError } from "../../types/errors.ts";
import { seedOf } from "../vm/support.ts";
import { CrashDisk } from "./crashdisk.ts";

type Item = { place: Place; sidecar: Sidecar };

function item(name: string, id = name): Item {
  const sidecar = { salt: seedOf(`salt/${name}`), body: padPayload(new TextEncoder().encode(name.repeat(200))) };
  return { place: { id: seedOf(id), cm: recordCommitment(sidecar) }, sidecar };
}
const [one, two, three] = [item("one"), item("two"), item("three")] as [Item, Item, Item];
const names = (...items: Item[]) => items.map(({ place }) => placeName(place)).sort();

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "pofl-records-"));
  try {
    await body(join(dir, "records"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test("a payload is a file of salt and body that its owner alone can read", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    await files.put([one, two]);
    assert.equal(readdirSync(folder).sort(), names(one, two));
    const path = join(folder, placeName(one.place));
    assert.is(statSync(path).mode & 0o777, 0o600);
    assert.is(statSync(folder).mode & 0o777, 0o700);
    assert.equal(new Uint8Array(readFileSync(path)), Uint8Array.of(...one.sidecar.salt, ...one.sidecar.body));
    assert.equal(await files.read(one.place, one.sidecar.body.length), one.sidecar);
    const again = await RecordFiles.open(folder);
    assert.equal(again.held().map(placeName).sort(), names(one, two));
    assert.equal(await again.read(two.place), two.sidecar);
  }));

test("what does not open the commitment is not given out, and is removed", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    await files.put([one, two, three]);
    const path = (i: Item) => join(folder, placeName(i.place));
    const bytes = readFileSync(path(one));
    bytes[40] = (bytes[40] as number) ^ 1;
    writeFileSync(path(one), bytes);
    writeFileSync(path(two), new Uint8Array(3));
    rmSync(path(three));
    for (const { place } of [one, two, three]) {
      assert.is(await files.read(place), undefined);
      assert.not.ok(files.has(place));
    }
    assert.equal(readdirSync(folder), []);
    // And it can be put back.
    await files.put([one]);
    assert.equal(await files.read(one.place), one.sidecar);
  }));

test("a payload of another length than asked for is not given out", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    await files.put([one]);
    assert.is(await files.read(one.place, one.sidecar.body.length + 1024), undefined);
    assert.equal(await files.read(one.place), one.sidecar, "that says nothing against the file");
  }));

test("moving and removing may be asked for twice", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    const to = item("two", "one");
    await files.put([one, two]);
    const edit = () => ({ moves: [{ from: two.place, to: to.place }], removals: [one.place] });
    await files.edit(edit);
    assert.equal(readdirSync(folder), names(to));
    await files.edit(edit);
    assert.equal(await files.read(to.place), two.sidecar);
    assert.equal(files.held().map(placeName), names(to));
  }));

test("two payloads under one label lie side by side: both may be voted for", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    const rival = item("rival", "one");
    await files.put([one]);
    await files.put([rival]);
    assert.equal(await files.read(one.place), one.sidecar);
    assert.equal(await files.read(rival.place), rival.sidecar);
    assert.equal(files.heldUnder(one.place.id).map(placeName).sort(), names(one, rival));
  }));

test("what is not wanted any more when its turn comes is not written", () =>
  inFolder(async (folder) => {
    const files = await RecordFiles.open(folder);
    let erased = false;
    const first = files.put([one]);
    const second = files.put([two], () => !erased);
    erased = true;
    await Promise.all([first, second]);
    assert.equal(readdirSync(folder), names(one));
  }));

test("the disk's refusals are named", async () => {
  for (const [errno, code] of [
    ["ENOSPC", "DISK_FULL"],
    ["EROFS", "READ_ONLY"],
    ["EIO", "DISK_FAILED"],
  ] as const) {
    const disk = new CrashDisk();
    const files = await RecordFiles.open("/records", disk);
    disk.open = async () => {
      throw Object.assign(new Error(errno), { code: errno });
    };
    for (const act of [() => files.put([one]), () => files.edit(() => ({ moves: [], removals: [one.place] }))]) {
      const error = await act().then(
        () => undefined,
        (e) => e,
      );
      assert.ok(isPoflError(error, code), `${errno}: ${error}`);
      assert.not.ok(files.has(one.place));
    }
  }
});

test("what resolved is there after a power failure; what did not is whole or gone, and no half file stays", async () => {
  const count = async (act: (files: RecordFiles) => Promise<void>) => {
    const disk = new CrashDisk();
    const files = await RecordFiles.open("/records", disk);
    await files.put([one]);
    const before = disk.calls;
    await act(files);
    return disk.calls - before;
  };
  const acts: Record<string, (files: RecordFiles) => Promise<void>> = {
    put: (files) => files.put([two, three]),
    edit: (files) => files.edit(() => ({ moves: [{ from: one.place, to: two.place }], removals: [three.place] })),
    remove: (files) => files.edit(() => ({ moves: [], removals: [one.place] })),
  };
  const after = { put: names(one, two, three), edit: names({ ...one, place: two.place }), remove: [] };
  for (const [name, act] of Object.entries(acts)) {
    const calls = await count(act);
    assert.ok(calls > 2);
    for (let at = 1; at <= calls + 1; at++) {
      for (const kept of ["synced", "all"] as const) {
        const id = `${name}, dead at call ${at} of ${calls}, ${kept}`;
        const disk = new CrashDisk();
        const files = await RecordFiles.open("/records", disk);
        await files.put([one]);
        disk.diesAt = disk.calls + at;
        const done = await act(files).then(
          () => true,
          () => false,
        );
        disk.restart(kept);
        const again = await RecordFiles.open("/records", disk);
        assert.not.ok(
          disk.files.some((file) => file.endsWith(".new")),
          id,
        );
        if (done) assert.equal(disk.files, after[name as keyof typeof after], id);
        if (name === "put") assert.ok(again.has(one.place), id);
        for (const place of again.held()) {
          if (name === "put") assert.ok(await again.read(place), `${id}: ${placeName(place)} is whole`);
        }
        disk.restart("synced");
        assert.equal(disk.files, again.held().map(placeName).sort(), `${id}: opening makes it lasting`);
      }
    }
  }
});

test.run();
