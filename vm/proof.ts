import { Tree } from "@chainsafe/persistent-merkle-tree";
import { sha256 } from "../crypto/hash.ts";
import { PoflError } from "../types/errors.ts";
import { bytesEqual, type Hash } from "../types/primitives.ts";
import { ChainState } from "../types/state.ts";
import type { State } from "./state.ts";
import type { TableKind } from "./table.ts";
import { type Entries, LISTS, type ListName } from "./view.ts";

/** Merkle proofs of single records against the state root in a header (SSZ, consensus-specs "merkle-proofs"). */

export type RecordKind = ListName;
const KINDS: { readonly [N in ListName]: TableKind<Entries[N]> } = LISTS;

export type StateProof = {
  readonly kind: RecordKind;
  readonly index: number;
  /** The record as SSZ bytes of an entry of the list. */
  readonly record: Uint8Array;
  /** Sibling hashes from the record up to the root. */
  readonly branch: readonly Hash[];
};

/** Generalized index: the field's place in the state, left of the length, then the record's place. */
function gindexOf(kind: RecordKind, index: number): bigint {
  const field = ChainState.fieldsEntries.findIndex((f) => f.fieldName === kind);
  const list = (1n << BigInt(ChainState.depth)) + BigInt(field);
  return 2n * list * BigInt(KINDS[kind].limit) + BigInt(index);
}

/** @throws PoflError NOT_FOUND */
export function prove(state: State, kind: RecordKind, index: number): StateProof {
  const record = state.parts.tables[kind].get(index);
  if (!record) {
    throw new PoflError(
      "NOT_FOUND",
      `there are ${state.parts.tables[kind].length} ${kind}, none has the index ${index}`,
    );
  }
  const bytes = KINDS[kind].element.serialize(record as never);
  return { kind, index, record: bytes, branch: new Tree(state.node()).getSingleProof(gindexOf(kind, index)) };
}

/** Whether the record is at its index in the state with this root. Never throws: a malformed record or branch is just false. */
export function verifyStateProof(stateRoot: Hash, proof: StateProof): boolean {
  const { element, limit } = KINDS[proof.kind];
  if (!Number.isInteger(proof.index) || proof.index < 0 || proof.index >= limit) return false;
  let node: Hash;
  try {
    const value = element.deserialize(proof.record);
    if (!bytesEqual(element.serialize(value as never), proof.record)) return false;
    node = element.hashTreeRoot(value as never);
  } catch {
    return false;
  }
  let gindex = gindexOf(proof.kind, proof.index);
  for (const sibling of proof.branch) {
    if (gindex <= 1n || sibling.length !== 32) return false;
    node = gindex % 2n === 0n ? sha256(node, sibling) : sha256(sibling, node);
    gindex /= 2n;
  }
  return gindex === 1n && bytesEqual(node, stateRoot);
}
