import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { genesisHead, type Head, heightContext } from "../consensus/block/context.ts";
import { deriveBlock, validateBlock } from "../consensus/block/derive.ts";
import type { Applied } from "../consensus/engine/types.ts";
import { signVote } from "../crypto/domain.ts";
import { beaconAlpha, vrfProve } from "../crypto/vrf.ts";
import { RecordFiles } from "../node/records/files.ts";
import { Sidecars } from "../node/records/sidecars.ts";
import { openDatabase } from "../node/store/database.ts";
import { openStore, type Store } from "../node/store/store.ts";
import { type NewRecord, withKey } from "../test/vm/custody-support.ts";
import { consensusOf, keys } from "../test/vm/support.ts";
import { CertifiedBlock, Header } from "../types/block.ts";
import type { Hash } from "../types/primitives.ts";
import type { Tx } from "../types/tx.ts";
import { PRECOMMIT } from "../types/vote.ts";
import { State } from "../vm/state.ts";

/**
 * How long it takes a node to be rid of a payload, once the block that erases it is decided, on chains of two lengths; and what a ledger
 * whose blocks hold the payload would have to do instead: hash and sign every later block again, and have everybody accept it.
 * One validator, since each more only adds signatures; real blocks, LevelDB with synced batches, real files.
 */

const RECORDS = 10;

export type PurgeTimes = {
  readonly blocks: number;
  /** Medians, ms: checking and executing the block, its batch in the database, and the payload's file. */
  readonly validate: number;
  readonly store: number;
  readonly unlink: number;
  /** Of blocks, hashed, signed and written again from the record on. */
  readonly rewrite: number;
};

const NOTHING = () => {};
const LOG = { debug: NOTHING, info: NOTHING, warn: NOTHING, error: NOTHING };

/** A node without consensus and peers: it makes each block itself and keeps it as a node does. */
class LoneNode {
  readonly custody = withKey({
    founders: ["anna"],
    consensus: { redaction: { delay: 1, emergencyDelay: 1, window: 1_000_000 } },
  });
  readonly folder = mkdtempSync(join(tmpdir(), "pofl-purge-"));
  store!: Store;
  files!: RecordFiles;
  sidecars!: Sidecars;
  head!: Head;

  async open(): Promise<void> {
    const { chain } = this.custody;
    const path = join(this.folder, "chain");
    // The key was made on the state alone: it is where this chain begins.
    const { singles, ...state } = chain.state.parts;
    const first = new State({ ...state, singles: { ...singles, height: 0 } });
    chain.state = first;
    this.store = await openStore(await openDatabase(path), {
      genesisHash: chain.hash,
      genesisState: () => first,
      path,
    });
    this.files = await RecordFiles.open(join(this.folder, "records"));
    this.head = genesisHead(chain.hash, first);
    this.sidecars = new Sidecars({
      files: this.files,
      genesisHash: chain.hash,
      state: () => this.head.state,
      network: { peers: () => [], request: () => neverAsked(), report: NOTHING, serve: async () => {} },
      catchingUp: () => false,
      timer: () => NOTHING,
      log: LOG,
      fatal: (error) => {
        throw error;
      },
    });
    await this.sidecars.start();
  }

  /** The next block, decided. */
  make(txs: Tx[]): Applied {
    const { genesis, hash } = this.custody.chain;
    const ctx = heightContext(this.head, genesis, hash);
    const vrfProof = vrfProve(keys("anna/vrf").secret, beaconAlpha(this.head.state.seed, ctx.height));
    const inputs = {
      round: 0,
      builder: 0,
      vrfProof,
      txs,
      learning: undefined,
      evidence: [],
      lastCommit: this.head.commit,
    };
    const { block, id, state, receipts } = deriveBlock(ctx, inputs, { from: "certificate", result: undefined });
    if (receipts.some((r) => r.code !== 0)) throw new Error("a transaction failed");
    const commit = certificate(hash, ctx.height, id, block.header.time);
    const head = { height: ctx.height, id, header: block.header, state, validators: ctx.validators, commit };
    return { certified: { block, commit }, receipts, parent: this.head.state, head, timings: undefined };
  }

  /** Keeps a decided block. Returns the ms of checking, of the database, and of the payloads' files. */
  async keep(applied: Applied): Promise<[number, number, number]> {
    const { genesis, hash } = this.custody.chain;
    const { certified, receipts, head } = applied;
    const t0 = performance.now();
    const ctx = heightContext(this.head, genesis, hash);
    validateBlock(ctx, certified.block, { from: "certificate", result: undefined });
    const t1 = performance.now();
    await this.store.append(certified, receipts, head.state.changes(), head.validators);
    const t2 = performance.now();
    this.head = head;
    this.custody.chain.state = head.state;
    await this.sidecars.onBlock(applied);
    return [t1 - t0, t2 - t1, performance.now() - t2];
  }

  async run(txs: Tx[] = []): Promise<[number, number, number]> {
    return this.keep(this.make(txs));
  }

  /** Records in blocks of their own. */
  async put(count: number): Promise<NewRecord[]> {
    const made: NewRecord[] = [];
    for (let i = 0; i < count; i++) {
      const next = this.custody.record("emil", `note ${i} of ${count} at height ${this.head.height}`);
      this.sidecars.offer(next.tx, next.sidecar);
      await this.run([next.tx]);
      if (!this.files.has({ id: next.label, cm: next.value.cm })) throw new Error("the payload was not kept");
      made.push(next);
    }
    return made;
  }

  /** Erases each in a block of its own; ms as `keep` gives them. */
  async purge(records: readonly NewRecord[]): Promise<[number, number, number][]> {
    const times: [number, number, number][] = [];
    for (const { label, value } of records) {
      const asked = this.custody.request("emil", label);
      await this.run([asked.tx]);
      times.push(await this.run([this.custody.executeTx(asked.id)]));
      if (this.files.has({ id: label, cm: value.cm })) throw new Error("the payload is still there");
    }
    return times;
  }

  /** Every header from `from` on with a new parent, signed and written again. */
  async rewrite(from: number): Promise<number> {
    const { hash } = this.custody.chain;
    const began = performance.now();
    const path = join(this.folder, "rewritten");
    const db = await openDatabase(path);
    let parent = new Uint8Array(32) as Hash;
    for (let height = from; height <= this.head.height; height++) {
      const certified = await this.store.certified(height);
      if (!certified) throw new Error(`no block ${height}`);
      const header = { ...certified.block.header, parent };
      parent = Header.hashTreeRoot(header);
      const commit = certificate(hash, height, parent, header.time);
      const bytes = CertifiedBlock.serialize({ block: { ...certified.block, header }, commit });
      await db.put(Buffer.from(String(height)), bytes);
    }
    await db.close();
    return performance.now() - began;
  }

  async close(): Promise<void> {
    await this.sidecars.stop();
    await this.store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function certificate(genesisHash: Hash, height: number, id: Hash, time: number) {
  const message = { type: PRECOMMIT, height, round: 0, blockId: id, validRound: 0, time: time + 1000, validator: 0 };
  const { signature } = signVote(genesisHash, consensusOf("anna").secret, message);
  return { height, round: 0, blockId: id, signatures: [{ validator: 0, time: message.time, signature }] };
}

// biome-ignore lint/correctness/useYield: there is no peer to ask
async function* neverAsked(): AsyncGenerator<Uint8Array> {
  throw new Error("there is no peer");
}

const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1] as number;

/** Purges records from the first blocks of a chain of each of the lengths, the same chain growing. */
export async function purge(lengths: readonly number[], progress: (height: number) => void): Promise<PurgeTimes[]> {
  const node = new LoneNode();
  try {
    await node.open();
    const batches: NewRecord[][] = [];
    for (const _ of lengths) batches.push(await node.put(RECORDS));
    const results: PurgeTimes[] = [];
    for (const [i, blocks] of lengths.entries()) {
      while (node.head.height < blocks) {
        await node.run();
        if (node.head.height % 1000 === 0) progress(node.head.height);
      }
      const times = await node.purge(batches[i] as NewRecord[]);
      const [validate, store, unlink] = [0, 1, 2].map((part) => median(times.map((t) => t[part] as number)));
      results.push({
        blocks,
        validate: validate ?? 0,
        store: store ?? 0,
        unlink: unlink ?? 0,
        rewrite: await node.rewrite(1),
      });
      rmSync(join(node.folder, "rewritten"), { recursive: true, force: true });
    }
    return results;
  } finally {
    await node.close();
  }
}
