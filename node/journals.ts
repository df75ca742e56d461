import { existsSync } from "node:fs";
import { join } from "node:path";
import { Wal } from "../consensus/engine/wal.ts";
import { SignGuard } from "../consensus/signer.ts";
import { isPoflError, PoflError } from "../types/errors.ts";
import { realDisk } from "./store/disk.ts";
import { type Journal, openJournal } from "./store/journal.ts";

/** The journals of a home, and what is to be done when one of them is damaged or gone. */

const REST = "let this validator's key rest until the network has passed the last height at which it ran";

const REMEDIES = {
  "signer.state":
    "Do not delete it while this key may sign: without it the validator could sign twice, which burns stake. Restore it from the disk's copy, " +
    `or ${REST}, then move it, consensus.wal and last_start.json away and start`,
  "consensus.wal":
    "Move it away and start again: signer.state keeps this validator from signing twice, and the height in progress is asked of the peers",
  "custodian.sessions":
    "Restore it from a copy, or move it away and start again: it remembers which sessions this custodian has signed in, lest a source of " +
    "randomness that repeats itself give its share away",
} as const;

export type JournalName = keyof typeof REMEDIES;

/** Reads a whole journal as its owner will, so that another file's entries are found where its path is known. */
const READS: Readonly<Record<JournalName, (journal: Journal) => void>> = {
  "signer.state": (journal) => void new SignGuard(journal),
  "consensus.wal": (journal) => {
    const wal = new Wal(journal);
    wal.evidence();
    wal.replay(wal.lastHeight());
  },
  "custodian.sessions": () => {},
};

/** @throws PoflError CORRUPT_JOURNAL with the file, the place and the remedy; disk errors */
export function openHomeJournal(data: string, name: JournalName): Journal {
  const path = join(data, name);
  const journal = openJournal(path, realDisk, REMEDIES[name]);
  try {
    READS[name](journal);
  } catch (cause) {
    journal.close();
    if (!isPoflError(cause, "CORRUPT_JOURNAL")) throw cause;
    throw new PoflError("CORRUPT_JOURNAL", `${path}: ${cause.message}. ${REMEDIES[name]}`, { path }, { cause });
  }
  return journal;
}

/**
 * The signer's file is made before the other two that a start with this key leaves: one of them without it means that it was lost.
 * @param lastStart the record of a start that may have been with this key, if there is one
 * @throws PoflError SIGNER_STATE_MISSING
 */
export function mustHaveSignerState(data: string, lastStart: string | undefined): void {
  const [signer, wal] = [join(data, "signer.state"), join(data, "consensus.wal")];
  if (existsSync(signer)) return;
  const left = [...(existsSync(wal) ? [wal] : []), ...(lastStart === undefined ? [] : [lastStart])];
  if (left.length === 0) return;
  throw new PoflError(
    "SIGNER_STATE_MISSING",
    `${signer}: is missing, though this node has run: without it the validator could sign twice, which burns stake. Put it back if it was moved. If it is lost, ${REST} (a key that was never bonded needs no rest), then move ${left.join(" and ")} away and start`,
    { file: signer },
  );
}

/** Of a validator whose chain is older than its signer's file: from a snapshot or a backup, or everything that tells of starts was lost. */
export function newSignerState(data: string, height: number): string {
  return `${join(data, "signer.state")}: is new, though this node's key is bonded at height ${height}: what it has signed is not known here, and signing twice burns stake. If it ran before, here or elsewhere, stop this node and ${REST}`;
}
