import { ContainerType } from "@chainsafe/ssz";
import { type Anchor, type Checkpoint, checkpointAnchor, genesisAnchor } from "../../consensus/light/chain.ts";
import { Follower } from "../../consensus/light/follower.ts";
import { blobRoot } from "../../crypto/blob.ts";
import { type Genesis, genesisHash } from "../../genesis/genesis.ts";
import {
  CertifiedBlock,
  type LightBlock,
  LightBlocks,
  MAX_LIGHT_BLOCKS,
  type Validator,
  ValidatorSet,
} from "../../types/block.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { Bytes32, bytesEqual, decode, HASH_BYTES, type Hash, type Height, toHex, U53 } from "../../types/primitives.ts";
import { PieceName, pieceOf, StateBuilder, StatePiece, StateTop, topOf } from "../../vm/snapshot.ts";
import { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { type HomePaths, homePaths, makeFolder, readGenesis } from "../home.ts";
import { takeLock } from "../lock.ts";
import { openBlobStore, readBlob } from "../store/blobs.ts";
import { damagedFile, mustHaveDatabase, noChain, openDatabase } from "../store/database.ts";
import { openStore, type Store } from "../store/store.ts";
import { checkedBlock } from "./fetch.ts";
import { readSections, SECTIONS, type Section, type SectionKind, SectionWriter } from "./sections.ts";
import { lightAt } from "./serve.ts";

/**
 * `pofl snapshot`: what a joining node pulls from peers, in a file: headers with certificates, the last block, the state, and the models of open tasks.
 * Never a payload of a record: those come from peers, in the form that they have when the node has caught up.
 */

const About = new ContainerType({ genesisHash: Bytes32, from: U53, height: U53 }, { typeName: "SnapshotAbout" });
/** All others come once. */
const REPEATED: readonly SectionKind[] = ["headers", "piece", "model"];
const PIECE_NAME_BYTES = PieceName.fixedSize as number;

export type SnapshotReport = {
  readonly file: string;
  readonly chainId: string;
  readonly height: Height;
  readonly headHash: string;
  readonly stateRoot: string;
  /** Headers from this height on are in the file; above 1 it can only be imported with a trusted block. */
  readonly from: Height;
  readonly records: number;
  readonly models: number;
};

/** @param create take genesis where no chain is stored; else there must be one */
async function withHome<T>(
  dir: string,
  create: boolean,
  onDamage: (what: string) => void,
  work: (paths: HomePaths, genesis: Genesis, store: Store) => Promise<T>,
): Promise<T> {
  const paths = homePaths(dir);
  const genesis = readGenesis(paths.genesis);
  if (create) makeFolder(paths.data);
  else mustHaveDatabase(paths.chain);
  const unlock = takeLock(paths.lock);
  try {
    const warn = (what: string) => onDamage(damagedFile(paths.chain, what));
    const store = await openStore(await openDatabase(paths.chain, warn), {
      genesisHash: genesisHash(genesis),
      genesisState: () => (create ? State.genesis(genesis) : refuse(noChain(paths.chain))),
      path: paths.chain,
    });
    try {
      return await work(paths, genesis, store);
    } finally {
      await store.close();
    }
  } finally {
    unlock();
  }
}

function refuse(error: PoflError): never {
  throw error;
}

const recordsOf = (state: State): number => Object.values(state.parts.tables).reduce((n, { length }) => n + length, 0);

/**
 * Writes the head of a stopped node's chain into a file that must not exist yet.
 * @param onDamage told of damaged files of the database that could be opened all the same
 * @throws PoflError NO_GENESIS, NO_CHAIN, HOME_LOCKED, ALREADY_EXISTS; of store and disk
 */
export function exportSnapshot(
  dir: string,
  file: string,
  onDamage: (what: string) => void = () => {},
): Promise<SnapshotReport> {
  return withHome(dir, false, onDamage, async (paths, genesis, store) => {
    const { height, id } = store.head();
    if (height === 0)
      throw new PoflError("NO_CHAIN", `${paths.chain}: the chain is at its genesis; there is nothing to export`);
    const state = await store.loadState();
    const writer = new SectionWriter(file);
    try {
      await store.walkOn();
      const from = 1 + (store.holes()[0]?.to ?? 0);
      const models = await write(writer, { paths, genesis, store, state, from });
      writer.finish();
      const about = { file, chainId: genesis.chainId, height, headHash: toHex(id), from };
      return { ...about, stateRoot: toHex(state.root()), records: recordsOf(state), models };
    } catch (error) {
      writer.abandon();
      throw error;
    }
  });
}

type Exported = {
  readonly paths: HomePaths;
  readonly genesis: Genesis;
  readonly store: Store;
  readonly state: State;
  readonly from: Height;
};

async function write(writer: SectionWriter, { paths, genesis, store, state, from }: Exported): Promise<number> {
  const { height } = store.head();
  const setAt = async (h: Height) => (h > height ? validatorSet(state, genesis) : store.validators(h));
  writer.add("chain", About.serialize({ genesisHash: genesisHash(genesis), from, height }));
  if (from > 1) {
    // Who decides the first header's height: a home that has no headers from genesis is where it must be said.
    const validators = (await setAt(from)) ?? refuse(gone(from));
    writer.add("beginning", ValidatorSet.serialize([...validators]));
  }
  let batch: LightBlock[] = [];
  for (let h = from; h <= height; h++) {
    batch.push((await lightAt(store, h, setAt)) ?? refuse(gone(h)));
    if (batch.length < MAX_LIGHT_BLOCKS && h < height) continue;
    writer.add("headers", LightBlocks.serialize(batch));
    batch = [];
  }
  writer.add("block", CertifiedBlock.serialize((await store.certified(height)) ?? refuse(gone(height))));
  const top = topOf(state);
  writer.add("state", StateTop.serialize(top));
  for (const name of new StateBuilder(state.root(), top).missing()) {
    writer.add(
      "piece",
      Buffer.concat([PieceName.serialize(name), StatePiece.serialize(pieceOf(state, name) as StatePiece)]),
    );
  }
  let models = 0;
  for (const root of modelRoots(state)) {
    const bytes = await readBlob(paths.blobs, root);
    // One that is not here is computed from the task, or pulled from peers.
    if (!bytes) continue;
    writer.add("model", Buffer.concat([root, bytes]));
    models++;
  }
  writer.add("end", new Uint8Array(0));
  return models;
}

function gone(height: Height): PoflError {
  return new PoflError(
    "DATABASE_HOLE",
    `header ${height}, its certificate or its validators are not here; let the node run until it has fetched them`,
  );
}

const modelRoots = (state: State): Hash[] => Array.from(state.openTasks(), ({ record }) => record.modelRoot);

/**
 * Takes a snapshot into a home without a chain, after everything in it was verified: from genesis, or from the trusted block.
 * @throws PoflError SNAPSHOT_DAMAGED, BAD_SNAPSHOT with the place in the file; FOREIGN_SNAPSHOT; NO_TRUST; NOT_EMPTY; NO_GENESIS, HOME_LOCKED; of store and disk
 */
export function importSnapshot(dir: string, file: string, trust: Checkpoint | undefined): Promise<SnapshotReport> {
  return withHome(
    dir,
    true,
    () => {},
    async (paths, genesis, store) => {
      if (store.head().height > 0) {
        throw new PoflError(
          "NOT_EMPTY",
          `${paths.chain} holds a chain of ${store.head().height} blocks; \`pofl reset --unsafe\` takes it away`,
        );
      }
      const reading = new Reading(genesis, file, trust);
      for (const section of readSections(file)) reading.add(section);
      const { state, anchor, certified, sets, from, models } = reading.whole();
      const blobs = openBlobStore(paths.blobs, () => {});
      for (const bytes of models) await blobs.put(bytes);
      await store.restore({ certified, state, sets });
      const about = { file, chainId: genesis.chainId, height: anchor.height, headHash: toHex(anchor.id), from };
      return { ...about, stateRoot: toHex(state.root()), records: recordsOf(state), models: models.length };
    },
  );
}

/** A file as far as it has been read and verified. */
class Reading {
  readonly #genesis: Genesis;
  readonly #file: string;
  readonly #trust: Checkpoint | undefined;
  readonly #hash: Hash;
  readonly #models = new Map<string, Uint8Array>();
  #last: SectionKind | undefined;
  #about: { from: Height; height: Height } | undefined;
  /** Who decides the next header's height, as the file says: believed once a trusted header names it. */
  #validators: readonly Validator[] | undefined;
  #seen = 0;
  #follower: Follower | undefined;
  #certified: CertifiedBlock | undefined;
  #builder: StateBuilder | undefined;
  #state: State | undefined;

  constructor(genesis: Genesis, file: string, trust: Checkpoint | undefined) {
    this.#genesis = genesis;
    this.#file = file;
    this.#trust = trust;
    this.#hash = genesisHash(genesis);
  }

  /** @throws PoflError BAD_SNAPSHOT naming the section and its place */
  add(section: Section): void {
    try {
      this.#take(section);
    } catch (cause) {
      if (!isPoflError(cause) || ["FOREIGN_SNAPSHOT", "NO_TRUST", "NOT_TRUSTED"].includes(cause.code)) throw cause;
      const where = `${this.#file}: byte ${section.at}, section "${section.kind}"`;
      throw new PoflError(
        "BAD_SNAPSHOT",
        `${where}: ${cause.message}`,
        { file: this.#file, at: section.at },
        { cause },
      );
    }
  }

  #take({ kind, bytes }: Section): void {
    // So that block, state and models can't be of two heights.
    const [before, place] = [this.#last ? SECTIONS.indexOf(this.#last) : -1, SECTIONS.indexOf(kind)];
    if (place < before) misplaced(`it comes after the section "${this.#last}"`);
    if (place === before && !REPEATED.includes(kind)) misplaced("it is there twice");
    this.#last = kind;
    switch (kind) {
      case "chain":
        return this.#begin(bytes);
      case "beginning":
        this.#validators = decode(ValidatorSet, bytes);
        return;
      case "headers":
        for (const block of decode(LightBlocks, bytes)) this.#header(block);
        return;
      case "block":
        this.#certified = checkedBlock(this.#hash, this.#anchor(), decode(CertifiedBlock, bytes));
        return;
      case "state":
        this.#builder = new StateBuilder(this.#anchor().header?.stateRoot as Hash, decode(StateTop, bytes));
        return;
      case "piece": {
        const builder = this.#builder ?? misplaced("a piece comes before the state");
        builder.add(
          decode(PieceName, bytes.slice(0, PIECE_NAME_BYTES)),
          decode(StatePiece, bytes.slice(PIECE_NAME_BYTES)),
        );
        return;
      }
      case "model": {
        const model = bytes.slice(HASH_BYTES);
        const root = blobRoot(model);
        if (!bytesEqual(root, bytes.subarray(0, HASH_BYTES))) misplaced("a model does not have its root");
        if (!modelRoots(this.#finish()).some((r) => bytesEqual(r, root))) misplaced("no open task has this model");
        if (this.#models.has(toHex(root))) misplaced("this model is there twice");
        this.#models.set(toHex(root), model);
        return;
      }
      case "end":
        this.#finish();
    }
  }

  #begin(bytes: Uint8Array): void {
    const { genesisHash: hash, from, height } = decode(About, bytes);
    if (!bytesEqual(hash, this.#hash)) {
      throw new PoflError(
        "FOREIGN_SNAPSHOT",
        `${this.#file} is of the chain with genesis ${toHex(hash)}, this home's is ${toHex(this.#hash)}`,
      );
    }
    const trust = this.#trust;
    if (from > 1 && !trust) {
      throw new PoflError(
        "NO_TRUST",
        `${this.#file} has headers from height ${from} on only, since it is from a home that began with a snapshot: give --trust with a block of height ${from} to ${height}`,
      );
    }
    if (trust && (trust.height < from || trust.height > height)) {
      throw new PoflError(
        "NO_TRUST",
        `${this.#file} has headers ${from} to ${height}; the trusted block ${trust.height} is not among them`,
      );
    }
    this.#about = { from, height };
    this.#seen = from - 1;
    if (from === 1) {
      const light = { genesisHash: this.#hash, checkpoint: trust };
      this.#follower = new Follower(light, genesisAnchor(this.#genesis));
    }
  }

  #header(block: LightBlock): void {
    this.#about ?? misplaced("headers come before the chain");
    this.#seen++;
    if (this.#follower) return this.#follower.add(block);
    const validators = this.#validators ?? misplaced("the validators of the first header are missing");
    const trust = this.#trust as Checkpoint;
    const next = block.next[0] ?? validators;
    if (this.#seen === trust.height) {
      const anchor = checkpointAnchor(trust, block.header, validators, next);
      this.#follower = new Follower({ genesisHash: this.#hash }, anchor);
      return;
    }
    // Below the trusted block nothing is believed: only who follows on whom is read, and the trusted header names its own.
    this.#validators = next;
  }

  #anchor(): Anchor {
    const { anchor } = this.#follower ?? misplaced("it comes before the headers");
    if (anchor.height !== this.#about?.height)
      misplaced(`the headers end at ${anchor.height}, not at ${this.#about?.height}`);
    return anchor;
  }

  #finish(): State {
    this.#state ??= (this.#builder ?? misplaced("it comes before the state")).finish();
    return this.#state;
  }

  whole() {
    const anchor = this.#anchor();
    const certified = this.#certified ?? misplaced(`${this.#file}: the block is missing`);
    const sets = (this.#follower as Follower).sets.filter((s) => s.height <= anchor.height);
    return {
      state: this.#finish(),
      anchor,
      certified,
      sets,
      from: this.#about?.from as Height,
      models: [...this.#models.values()],
    };
  }
}

function misplaced(why: string): never {
  throw new PoflError("BAD_SNAPSHOT", why);
}
