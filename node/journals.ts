import { existsSync } from "node:fs";
import { join } from "node:path";
import { PoflError } from "../types/errors.ts";
import { realDisk } from "./store/disk.ts";
import { type Journal, openJournal } from "./store/journal.ts";

/** The journals of a home, and what is to be done when one of them is damaged or gone. */

const REST = "let this validator's key rest until the network has passed the last height at which it ran";

const REMEDIES = {
  "signer.state":
    "Do not delete it while this key may sign: without it the validator could sign twice, which burns stake. Restore it from the disk's copy, " +
    `or ${REST}`,
  "consensus.wal":
    "Move it away and start again: signer.state keeps this validator from signing twice, and the height in progress is asked of the peers",
  "custodian.sessions":
    "Restore it from a copy, or move it away and start again: it remembers which sessions this custodian has signed in, lest a source of " +
    "randomness that repeats itself give its share away",
} as const;

export type JournalName = keyof typeof REMEDIES;

/** @throws PoflError CORRUPT_JOURNAL with the place and the remedy; SIGNER_STATE_MISSING, as mustHaveSignerState; disk errors */
export function openHomeJournal(data: string, name: JournalName): Journal {
  if (name === "signer.state") mustHaveSignerState(data);
  return openJournal(join(data, name), realDisk, REMEDIES[name]);
}

/** The signer's file is made before the consensus log: a log without it means that it was lost. */
function mustHaveSignerState(data: string): void {
  const [signer, wal] = [join(data, "signer.state"), join(data, "consensus.wal")];
  if (existsSync(signer) || !existsSync(wal)) return;
  throw new PoflError(
    "SIGNER_STATE_MISSING",
    `${signer}: is missing, though this node has run: without it the validator could sign twice, which burns stake. Put it back if it was moved. If it is lost, ${REST}, then move ${wal} away and start`,
    { file: signer },
  );
}
