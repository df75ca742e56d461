import { verifyChunk } from "../../crypto/blob.ts";
import type { Header } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { type Address, bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { Account, RecordEntry } from "../../types/state.ts";
import { type StateProof, verifyStateProof } from "../../vm/proof.ts";
import { LISTS } from "../../vm/view.ts";

/** What a node says of a state, checked against a header that is believed (`verifyNext`): then the node need not be. That something is not there can't be shown. */

/** @throws PoflError BAD_PROOF */
export function provenAccount(header: Header, address: Address, proof: StateProof): Account {
  const account = entry("accounts", header, proof) as Account;
  if (!bytesEqual(account.address, address)) bad(header, `of account ${toHex(address)}`, "it is of another account");
  return account;
}

/** What the chain holds of a record: never its payload. @throws PoflError BAD_PROOF */
export function provenRecord(header: Header, label: Hash, proof: StateProof): RecordEntry {
  const record = entry("records", header, proof) as RecordEntry;
  if (!bytesEqual(record.label, label)) bad(header, `of record ${toHex(label)}`, "it is of another record");
  return record;
}

/** A chunk of the active task's model after the header's block. @throws PoflError BAD_PROOF */
export function provenModelChunk(
  header: Header,
  size: number,
  index: number,
  chunk: Uint8Array,
  proof: readonly Hash[],
): Uint8Array {
  if (!verifyChunk(header.modelRoot, size, index, chunk, proof)) {
    bad(header, `of chunk ${index} of the model`, "it does not lead to the model root");
  }
  return chunk;
}

function entry(kind: "accounts" | "records", header: Header, proof: StateProof): object {
  if (proof.kind !== kind || !verifyStateProof(header.stateRoot, proof)) {
    bad(header, `in the ${kind}`, "it does not lead to the state root");
  }
  return LISTS[kind].element.deserialize(proof.record);
}

function bad({ height }: Header, what: string, why: string): never {
  throw new PoflError(
    "BAD_PROOF",
    `the proof ${what} at height ${height} is bad: ${why}; the node lies, or is broken`,
    {
      height,
    },
  );
}
