import { createHash } from "node:crypto";
import { MemoryLevel } from "memory-level";
import { genesisHead, type Head } from "../../../consensus/block/context.ts";
import { Engine } from "../../../consensus/engine/engine.ts";
import type { EngineDeps } from "../../../consensus/engine/types.ts";
import { computeRound } from "../../../consensus/round/compute.ts";
import { blobRoot } from "../../../crypto/blob.ts";
import { type Database, ENCODINGS } from "../../../node/store/database.ts";
import { diskError } from "../../../node/store/disk.ts";
import { type Journal, openJournal } from "../../../node/store/journal.ts";
import { openStore, type Store } from "../../../node/store/store.ts";
import type { CertifiedBlock } from "../../../types/block.ts";
import { toHex } from "../../../types/primitives.ts";
import { State } from "../../../vm/state.ts";
import { fakeTrainer, testKeys } from "../../consensus/world.ts";
import { type Effect, type Fault, type Loss, MemoryDisk } from "./disk.ts";
import type { PointWorld } from "./world.ts";

export const WAL = "/home/data/consensus.wal";
export const SIGNER = "/home/data/signer.state";
/** Between a crash and the next start, ms: within the height, so that the machine comes back to what it had begun. */
const RESTART_MS = 3;

/** What one run of the program holds in memory; after its end nothing that it does has an effect. */
type Life = { engine: Engine; store: Store; dead: boolean };

/** One machine: the real engine, guard, log, journal and store, on a disk, a wire and a clock in memory. */
export class Machine {
  readonly name: string;
  readonly #world: PointWorld;
  readonly disk: MemoryDisk;
  readonly #db: Database = new MemoryLevel<Uint8Array, Uint8Array>({ ...ENCODINGS, storeEncoding: "view" });
  readonly blobs = new Map<string, Uint8Array>();
  life: Life | undefined;
  lives = 0;
  /** The batch in progress was handed to the database: it counts after a restart whether or not the program heard of it. */
  #loss: Loss = "kill";
  /** Why lives ended that ended by an error. */
  readonly ends: string[] = [];

  constructor(world: PointWorld, name: string) {
    this.#world = world;
    this.name = name;
    this.disk = new MemoryDisk(
      (effect) => this.#gate(effect),
      () => this.crash(),
    );
  }

  get height(): number {
    return this.life?.engine.head.height ?? 0;
  }

  #gate(effect: Effect): Fault | undefined {
    return this.#world.effect(this, effect);
  }

  /** An effect that is no call of the disk. False: it does not happen. */
  #outward(op: string, path: string): boolean {
    if (this.disk.dead) return false;
    const fault = this.#gate({ op, path, bytes: 0 });
    if (this.disk.dead) return false;
    if (!fault) return true;
    if (fault.kind === "fails") {
      const said = fault.code === "ENOSPC" ? "no space left on device" : "input/output error";
      throw diskError(Object.assign(new Error(said), { code: fault.code }), path);
    }
    this.crash();
    return fault.kind === "after";
  }

  crash(loss: Loss = this.#world.loss): void {
    if (this.disk.dead) return;
    this.#loss = loss;
    this.disk.dead = true;
    const { life } = this;
    this.life = undefined;
    if (life) {
      life.dead = true;
      void life.engine.stop();
    }
    this.#world.crashed(this);
    this.#world.clock.at(RESTART_MS, () => void this.start());
  }

  /** The program ends by an error, as `startNode` does on `fatal` and Node.js on an error that nobody catches. */
  #ends(life: Life, error: unknown): void {
    if (life.dead || this.disk.dead) return;
    this.ends.push((error as { code?: string }).code ?? String(error));
    this.crash();
  }

  async start(): Promise<void> {
    this.disk.restart(this.#loss);
    this.lives++;
    const life = { dead: false } as Life;
    try {
      await this.#start(life);
    } catch (error) {
      this.#ends(life, error);
    }
  }

  async #start(life: Life): Promise<void> {
    const { genesis, hash } = this.#world;
    const signer = openJournal(SIGNER, this.disk.calls);
    const wal = openJournal(WAL, this.disk.calls);
    this.#world.remembered(this, signer.entries);
    const genesisState = () => State.genesis(genesis);
    const batch = this.#db.batch.bind(this.#db) as (...args: unknown[]) => Promise<void>;
    const db = new Proxy(this.#db, {
      get: (target, key) => {
        if (key === "close") return async () => {};
        if (key === "batch") {
          return async (...args: unknown[]) => {
            if (this.#before("batch")) await batch(...args);
            if (life.dead) return new Promise(() => {});
            if (!this.#outward("batch-done", "db")) return new Promise(() => {});
          };
        }
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }) as Database;
    life.store = await openStore(db, { genesisHash: hash, genesisState, path: "/home/data/chain" });
    if (life.dead || this.disk.dead) return;
    const head = await headOf(life.store, genesisHead(hash, genesisState()));
    this.#world.reopened(this, head);
    life.engine = new Engine(head, this.#deps(life, wal, signer));
    this.life = life;
    life.engine.start();
    if (life.dead) return;
    for (const other of this.#world.machines) {
      if (other === this || !other.life) continue;
      life.engine.onPeer(other.name);
      other.life?.engine.onPeer(this.name);
    }
  }

  /** The batch is atomic: it is in the database, or it is not. */
  #before(op: string): boolean {
    return this.#outward(op, "db");
  }

  receive(from: string, frame: Uint8Array): void {
    const { life } = this;
    if (!life || life.dead) return;
    try {
      life.engine.onFrame(from, frame);
    } catch (error) {
      // p2p/direct.ts would only log it, and the program would go on as if nothing were.
      if (!life.dead) this.#world.fail(this, `an error ends in onFrame: ${(error as Error).stack}`);
    }
  }

  #deps(life: Life, wal: Journal, signer: Journal): EngineDeps {
    const world = this.#world;
    const keys = testKeys(this.name);
    const log = (level: string) => (fields: Record<string, unknown>, text: string) => {
      if (!life.dead) world.logged(this, level, `${text} ${(fields.err as Error)?.stack ?? ""}`);
    };
    const send = (peer: string, frame: Uint8Array) => {
      if (life.dead) return;
      world.spoke(this, frame);
      if (this.#outward("send", peer)) world.deliver(this.name, peer, frame);
    };
    return {
      genesis: world.genesis,
      genesisHash: world.hash,
      keys: { consensus: keys.consensus, vrf: keys.vrf },
      clock: {
        now: () => Math.floor(world.clock.now),
        timer: (ms, act) =>
          world.clock.at(ms, () => {
            if (life.dead) return;
            try {
              act();
            } catch (error) {
              // It would end the process without a word to its user.
              if (!life.dead) world.fail(this, `nobody catches: ${(error as Error).stack}`);
            }
          }),
      },
      random: () => new Uint8Array(createHash("sha256").update(`${this.name}/${this.height}/${this.lives}`).digest()),
      net: {
        send,
        broadcast: (frame) => {
          for (const { name } of world.machines) if (name !== this.name) send(name, frame);
        },
        peers: () => world.machines.filter((m) => m !== this && m.life).length,
        fetchBlob: async (root) => {
          const found = world.machines.map((m) => m.life && m.blobs.get(toHex(root))).find((b) => b);
          if (!found) throw new Error("no peer has it");
          return found;
        },
        report: (peer, verdict, why) => world.reported(this, peer, verdict, why),
      },
      blobs: {
        get: async (root) => this.blobs.get(toHex(root)),
        put: async (bytes) => {
          const root = blobRoot(bytes);
          if (this.#outward("blob", "blob")) this.blobs.set(toHex(root), bytes);
          return life.dead ? new Promise(() => {}) : root;
        },
      },
      records: { ensure: async () => {} },
      wal,
      signerLog: {
        entries: signer.entries,
        append: (entry, options) => {
          // The signature is made, and nobody knows of it.
          if (this.#outward("signature", SIGNER)) signer.append(entry, options);
        },
        sync: () => signer.sync(),
        reset: (entries) => signer.reset(entries),
      },
      trainer: fakeTrainer(this.name),
      rounds: { compute: async (input) => computeRound(input) },
      // A restart forgets what waits in memory: whoever builds anew builds something else.
      pickTxs: () => (this.lives === 1 ? [world.transfer(life.engine.head.state)] : []),
      commit: async (blocks) => {
        await life.store.appendAll(
          blocks.map(({ certified, receipts, head: { state, validators } }) => ({
            certified,
            receipts,
            changes: state.changes(),
            validators,
          })),
        );
        if (life.dead) return new Promise(() => {});
        for (const { head } of blocks) world.stored(this, head);
      },
      certified: (height) => life.store.certified(height),
      behind: (peer, height) => {
        if (height > life.engine.head.height + 1) world.clock.at(5, () => void this.#catchUp(life, peer));
      },
      log: { debug: () => {}, info: () => {}, warn: log("warn"), error: log("error") },
      fatal: (error) => this.#ends(life, error),
    };
  }

  /** The node's sync in small: certified blocks in order from the peer, all that it has at a time. */
  async #catchUp(life: Life, peer: string): Promise<void> {
    for (;;) {
      const blocks: CertifiedBlock[] = [];
      for (;;) {
        if (life.dead) return;
        const height = life.engine.head.height + 1 + blocks.length;
        const block = await this.#world.machine(peer).life?.store.certified(height);
        if (!block) break;
        blocks.push(block);
      }
      if (life.dead || (await life.engine.applyCertified(blocks)) === 0) return;
    }
  }
}

async function headOf(store: Store, genesis: Head): Promise<Head> {
  const { height, id } = store.head();
  if (height === 0) return genesis;
  const state = await store.loadState();
  const certified = await store.certified(height);
  const validators = await store.validators(height);
  if (!certified || !validators) throw new Error(`the store has no block ${height}, though it is its head`);
  return { height, id, header: certified.block.header, state, validators, commit: certified.commit };
}
