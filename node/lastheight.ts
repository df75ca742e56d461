import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Wal } from "../consensus/engine/wal.ts";
import { type DurableLog, SignGuard } from "../consensus/signer.ts";
import type { JournalName } from "./journals.ts";
import { onDisk } from "./store/disk.ts";
import { readJournal } from "./store/journal.ts";

/**
 * The height that a stopped node was last at, by what it has signed and by its consensus log: in progress, so its head may be one below.
 * Writes nothing. 0 if neither file is there.
 * @throws PoflError CORRUPT_JOURNAL; disk errors
 */
export function lastHeight(data: string): number {
  return Math.max(
    new SignGuard(readOnly(data, "signer.state")).height,
    new Wal(readOnly(data, "consensus.wal")).lastHeight(),
  );
}

function readOnly(data: string, name: JournalName): DurableLog {
  const path = join(data, name);
  const refuse = (): never => {
    throw new Error(`${path} is open for reading alone`);
  };
  const entries = existsSync(path)
    ? readJournal(
        onDisk(path, () => readFileSync(path)),
        path,
        "Start the node, which says what to do",
      ).entries
    : [];
  return { entries, append: refuse, sync: refuse, reset: refuse };
}
