import { test } from "uvu";
import * as assert from "uvu/assert";
import { endingOnDiskErrors } from "../../consensus/engine/disk.ts";
import type { EngineDeps } from "../../consensus/engine/types.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { ZERO_HASH } from "../../types/primitives.ts";

const full = new PoflError("DISK_FULL", "no space left");
const missing = new PoflError("MISSING_RECORDS", "no peer gave it");

/** What the engine asks of disks that all answer with `error`, and what it heard of it. */
function refusing(error: unknown) {
  const told: unknown[] = [];
  const reject = () => Promise.reject(error);
  const fail = () => {
    throw error;
  };
  const given = {
    blobs: { get: reject, put: reject },
    records: { ensure: reject },
    wal: { entries: [], append: fail, sync: fail, reset: fail },
    fatal: (e: unknown) => void told.push(e),
  };
  return { told, deps: endingOnDiskErrors(given as unknown as EngineDeps) };
}

const calls: Readonly<Record<string, (deps: EngineDeps) => unknown>> = {
  "blobs.get": ({ blobs }) => blobs.get(ZERO_HASH),
  "blobs.put": ({ blobs }) => blobs.put(new Uint8Array(1)),
  "records.ensure": ({ records }) => records.ensure([]),
  "wal.append": ({ wal }) => wal.append(new Uint8Array(1), { sync: true }),
  "wal.sync": ({ wal }) => wal.sync(),
  "wal.reset": ({ wal }) => wal.reset(),
};

async function thrown(act: () => unknown): Promise<unknown> {
  try {
    await act();
  } catch (error) {
    return error;
  }
  return undefined;
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name}: a disk that refuses ends the node, and is nobody's fault`, async () => {
    const { told, deps } = refusing(full);
    for (let time = 0; time < 2; time++) {
      const error = await thrown(() => call(deps));
      assert.ok(error instanceof Error && !isPoflError(error));
      assert.is(error.cause, full);
    }
    assert.equal(told, [full], "told once");
  });
}

test("a payload that no peer gave is no failure of the disk", async () => {
  const { told, deps } = refusing(missing);
  assert.is(await thrown(() => deps.records.ensure([])), missing);
  assert.equal(told, []);
});

test.run();
