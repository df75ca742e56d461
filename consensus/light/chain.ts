import { type Genesis, genesisHash, genesisTimeMs } from "../../genesis/genesis.ts";
import {
  BLOCK_VERSION,
  blockId,
  type Header,
  type LightBlock,
  type Validator,
  ValidatorSet,
} from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, type Height, toHex } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { verifyCommit } from "../block/commit.ts";

/**
 * Headers and certificates without blocks: what a joining node verifies before it takes a state, and what whoever only wants to check a
 * proof needs. Each header is checked against the one before it, through every change of the validator set. Skipping heights, because more
 * than a third of a trusted set signed far ahead, is left out on purpose: it holds only within the unbonding period of the header that is
 * trusted, by a clock that this room does not have, and a chain of a million headers is minutes of work.
 */

/** A header that is believed, and who decides the height after it. */
export type Anchor = {
  readonly height: Height;
  /** That of genesis is the genesis hash. */
  readonly id: Hash;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Undefined at genesis. */
  readonly header: Header | undefined;
  /** The set that decided it; empty at genesis. */
  readonly validators: readonly Validator[];
  /** The set of height + 1, and its root. */
  readonly next: readonly Validator[];
  readonly nextRoot: Hash;
};

/** A block that is trusted because somebody said so: over the telephone, on paper. */
export type Checkpoint = { readonly height: Height; readonly id: Hash };

/** Genesis, which its hash fixes. */
export function genesisAnchor(genesis: Genesis): Anchor {
  const next = validatorSet(State.genesis(genesis), genesis);
  return {
    height: 0,
    id: genesisHash(genesis),
    time: genesisTimeMs(genesis),
    header: undefined,
    validators: [],
    next,
    nextRoot: ValidatorSet.hashTreeRoot(next),
  };
}

/**
 * The header that a checkpoint names. Its certificate need not be checked: the hash says more.
 * @param validators the set that decided it, and `next` that of the height after it: the header names both by their roots
 * @throws PoflError NOT_TRUSTED
 */
export function checkpointAnchor(
  { height, id }: Checkpoint,
  header: Header,
  validators: readonly Validator[],
  next: readonly Validator[],
): Anchor {
  const found = blockId(header);
  if (header.height !== height || !bytesEqual(found, id)) {
    throw new PoflError(
      "NOT_TRUSTED",
      `height ${height}: the trusted block is ${toHex(id)}, this one is ${toHex(found)} of height ${header.height}`,
      { height },
    );
  }
  const [root, nextRoot] = [validators, next].map((set) => ValidatorSet.hashTreeRoot([...set])) as [Hash, Hash];
  if (!bytesEqual(root, header.validatorsRoot) || !bytesEqual(nextRoot, header.nextValidatorsRoot)) {
    throw new PoflError("NOT_TRUSTED", `height ${height}: these are not the validators that the trusted header names`);
  }
  return { height, id, time: header.time, header, validators, next, nextRoot };
}

/** What one step costs is its signatures: about a tenth of a millisecond each. */
export type LightChain = {
  readonly genesisHash: Hash;
  /** Undefined: genesis alone is trusted. A chain that has another block at its height is refused. */
  readonly checkpoint?: Checkpoint | undefined;
};

/**
 * The header after `anchor`, believed because more than two thirds of the power of the set that `anchor` names signed it.
 * @throws PoflError BAD_HEADER, BAD_COMMIT with the height; NOT_TRUSTED when it contradicts the checkpoint; FORKED when it is certified by
 *   that set and yet does not follow `anchor`, so that more than a third of the power signed on two chains
 */
export function verifyNext({ genesisHash, checkpoint }: LightChain, anchor: Anchor, block: LightBlock): Anchor {
  const { header, commit } = block;
  const height = anchor.height + 1;
  const id = blockId(header);
  const refuse = (why: string): never => {
    throw new PoflError("BAD_HEADER", `header of height ${height}: ${why}`, { height });
  };
  if (header.version !== BLOCK_VERSION)
    refuse(`it is of version ${header.version}, this program knows ${BLOCK_VERSION}`);
  if (header.height !== height) refuse(`it is of height ${header.height}`);
  if (checkpoint?.height === height && !bytesEqual(checkpoint.id, id)) {
    throw new PoflError("NOT_TRUSTED", `height ${height} is ${toHex(id)}, but ${toHex(checkpoint.id)} is trusted`, {
      height,
    });
  }
  if (!bytesEqual(header.parent, anchor.id)) {
    if (isCertified()) {
      throw new PoflError(
        "FORKED",
        `height ${height}: the validators certified a block on ${toHex(header.parent)}, and ${toHex(anchor.id)} is certified too`,
        { height },
      );
    }
    refuse("its parent is another block");
  }
  if (!bytesEqual(header.validatorsRoot, anchor.nextRoot)) refuse("its validators are not those that its parent names");
  if (header.time <= anchor.time) refuse("it is not later than its parent");
  verifyCommit(genesisHash, anchor.next, height, id, commit);
  const change = block.next[0];
  const same = bytesEqual(header.nextValidatorsRoot, anchor.nextRoot);
  if (same && change) refuse("it comes with validators though they stay");
  const believed = { height, id, time: header.time, header, validators: anchor.next };
  if (same) return { ...believed, next: anchor.next, nextRoot: anchor.nextRoot };
  const next = change ?? refuse("the validators of the next height are missing");
  if (!bytesEqual(ValidatorSet.hashTreeRoot(next), header.nextValidatorsRoot)) {
    refuse("the validators of the next height are not those that it names");
  }
  return { ...believed, next, nextRoot: header.nextValidatorsRoot };

  function isCertified(): boolean {
    try {
      verifyCommit(genesisHash, anchor.next, height, id, commit);
      return true;
    } catch (error) {
      if (isPoflError(error, "BAD_COMMIT")) return false;
      throw error;
    }
  }
}

/** The light form of a certified block. @param next who decides the height after it */
export function lightBlock(header: Header, commit: LightBlock["commit"], next: readonly Validator[]): LightBlock {
  const changed = !bytesEqual(header.validatorsRoot, header.nextValidatorsRoot);
  return { header, commit, next: changed ? [[...next]] : [] };
}
