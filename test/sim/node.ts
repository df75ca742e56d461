import { genesisHead, type Head } from "../../consensus/block/context.ts";
import { Engine } from "../../consensus/engine/engine.ts";
import type { Applied, EngineDeps, EngineTrainer } from "../../consensus/engine/types.ts";
import { computeRound } from "../../consensus/round/compute.ts";
import { blobRoot } from "../../crypto/blob.ts";
import { createMempool, type Mempool } from "../../node/mempool.ts";
import { openStore, type Store } from "../../node/store/store.ts";
import { Sync } from "../../node/sync.ts";
import type { GossipHandler, Network, RequestHandler } from "../../p2p/types.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import type { State } from "../../vm/state.ts";
import type { Keys } from "../consensus/world.ts";
import type { Chance } from "./clock.ts";
import { type Disk, newDisk } from "./disk.ts";
import { type Peeked, peek } from "./peek.ts";
import type { SimWorld } from "./world.ts";

export type NodeOptions = {
  /** Its address; twins have two addresses and one key. */
  readonly name: string;
  readonly keys: Keys;
  readonly faulty: boolean;
  readonly trainer: EngineTrainer | undefined;
  readonly skewMs: number;
  readonly speed: number;
};

/** What one run of the program holds in memory. A life that has ended has no effect on anything. */
type Life = {
  readonly engine: Engine;
  readonly store: Store;
  readonly mempool: Mempool;
  readonly sync: Sync;
  dead: boolean;
};

/** A machine: the program as `node/node.ts` wires it, with a virtual clock, wire and disk. */
export class SimNode {
  readonly options: NodeOptions;
  readonly disk: Disk;
  readonly #world: SimWorld;
  readonly #chance: Chance;
  #life: Life | undefined;
  #starting = false;
  /** Outward effects so far: writes, flushes, frames. Before the one with this number the machine loses power. */
  effects = 0;
  fuse = Number.POSITIVE_INFINITY;
  lives = 0;

  constructor(world: SimWorld, options: NodeOptions, chance: Chance) {
    this.#world = world;
    this.options = options;
    this.#chance = chance;
    this.disk = newDisk(() => this.#effect());
  }

  get name(): string {
    return this.options.name;
  }
  get engine(): Engine | undefined {
    return this.#life?.engine;
  }
  get mempool(): Mempool | undefined {
    return this.#life?.mempool;
  }
  get store(): Store | undefined {
    return this.#life?.store;
  }
  get up(): boolean {
    return this.#life !== undefined;
  }
  get height(): number {
    return this.#life?.engine.head.height ?? 0;
  }
  now(): number {
    return Math.floor(this.#world.clock.now + this.options.skewMs);
  }

  /** False if the machine is, or hereby goes, without power. */
  #effect(): boolean {
    if (!this.#life && !this.#starting) return false;
    if (++this.effects < this.fuse) return true;
    this.crash();
    return false;
  }

  /** Power off, at any moment: from inside the program too. Restarted by the world. */
  crash(): void {
    this.fuse = Number.POSITIVE_INFINITY;
    const life = this.#life;
    this.#life = undefined;
    this.#starting = false;
    this.lives++;
    if (life) {
      life.dead = true;
      void life.engine.stop();
      void life.sync.stop();
    }
    this.#world.wire.disconnect(this.name);
    for (const other of this.#world.nodes) other.engine?.onGone(this.name);
    this.#world.onCrash(this);
  }

  async start(): Promise<void> {
    if (this.#life || this.#starting) return;
    this.#starting = true;
    const lives = this.lives;
    this.disk.wal.crash(this.#chance);
    this.disk.signer.crash(this.#chance);
    const { genesisHash, genesisState } = this.#world;
    const store = await openStore(this.disk.db, { genesisHash, genesisState: () => genesisState, path: this.name });
    const head = await loadHead(store, genesisHash, genesisState);
    if (lives !== this.lives) return;
    this.#live(store, head);
  }

  #live(store: Store, head: Head): void {
    const { genesis, genesisHash, wire } = this.#world;
    const life = { store, dead: false } as unknown as { -readonly [K in keyof Life]: Life[K] };
    let state: State = head.state;
    const setState = (next: State) => {
      state = next;
    };
    life.mempool = createMempool({ state: () => state, genesis, genesisHash, now: () => this.now() });
    this.#life = life;
    life.engine = new Engine(head, this.#deps(life, setState));
    life.sync = new Sync({
      network: this.#network(life),
      engine: () => life.engine,
      certified: (height) => store.certified(height),
      log: this.#log(life),
      now: () => this.now(),
    });
    void life.sync.start();
    life.engine.start();
    if (life.dead) return;
    this.#starting = false;
    this.#world.watch.started(this);
    wire.connect(this.name, (from, frame, peeked) => this.receive(from, frame, peeked));
    for (const other of this.#world.nodes) {
      if (other === this || !other.up) continue;
      life.engine.onPeer(other.name);
      other.engine?.onPeer(this.name);
    }
  }

  receive(from: string, frame: Uint8Array, peeked: Peeked): void {
    this.#world.received(this, from, frame, peeked);
    if (!this.#world.node(from)?.up) return;
    this.#life?.engine.onFrame(from, frame);
    this.#world.touched.add(this);
  }

  /** A transaction from a client or by gossip. */
  submit(tx: Tx): void {
    const life = this.#life;
    if (!life) return;
    try {
      life.mempool.add(tx);
      life.engine.onTransaction();
    } catch {
      // Known, out of turn or refused: as for any client.
    }
  }

  /** Frames leave one by one: a machine may lose power between two peers of one broadcast. */
  #send(life: Life, to: readonly string[], frame: Uint8Array): void {
    if (life.dead || !this.#effect()) return;
    const peeked = peek(frame);
    this.#world.spoke(this, frame, peeked);
    for (const peer of to) {
      if (life.dead || !this.#effect()) return;
      this.#world.outgoing(this, peer, frame, peeked);
    }
  }

  #deps(life: Life, setState: (state: State) => void): EngineDeps {
    const { genesis, genesisHash, clock, wire } = this.#world;
    const { keys, trainer, speed } = this.options;
    const others = () => wire.connected().filter((name) => name !== this.name);
    const blobs = {
      get: async (root: Hash) => this.disk.blobs.get(toHex(root)),
      put: async (bytes: Uint8Array) => {
        const root = blobRoot(bytes);
        if (!life.dead) this.disk.blobs.set(toHex(root), bytes);
        return root;
      },
    };
    return {
      genesis,
      genesisHash,
      keys: { consensus: keys.consensus, vrf: keys.vrf },
      clock: {
        now: () => this.now(),
        timer: (ms, act) =>
          clock.at(ms * speed, () => {
            if (life.dead) return;
            this.#world.note(this.name, "timer");
            act();
            this.#world.touched.add(this);
          }),
      },
      random: () => this.#chance.bytes(32),
      net: {
        send: (peer, frame) => this.#send(life, [peer], frame),
        broadcast: (frame) => this.#send(life, others(), frame),
        peers: () => others().length,
        fetchBlob: (root) => this.#fetch(root),
        report: (peer, verdict, why) => {
          if (!life.dead) this.#world.onReport(this, peer, verdict, why);
        },
      },
      blobs,
      // No transaction of a simulation has a payload beside it.
      records: { ensure: () => Promise.resolve() },
      wal: this.disk.wal,
      signerLog: this.disk.signer,
      trainer,
      rounds: { compute: async (input) => computeRound(input) },
      pickTxs: () => life.mempool.pick(),
      commit: (applied) => this.#commit(life, applied, setState),
      certified: (height) => life.store.certified(height),
      behind: (peer, height) => life.sync.claim(peer, height),
      log: this.#log(life),
      fatal: (error) => {
        if (!life.dead) this.#world.broken(this, `fatal: ${(error as Error).stack}`);
      },
    };
  }

  /** One synced batch; the machine may lose power before it or after it, and messages come in meanwhile. */
  async #commit(life: Life, blocks: readonly Applied[], setState: (state: State) => void): Promise<void> {
    const never = new Promise<void>(() => {});
    const last = blocks.at(-1) as Applied;
    for (const applied of blocks) this.#world.onDecided(this, applied);
    await this.#pause(this.#world.params.storeMs);
    if (life.dead || !this.#effect()) return never;
    try {
      await life.store.appendAll(
        blocks.map(({ certified, receipts, head: { state, validators } }) => ({
          certified,
          receipts,
          changes: state.changes(),
          validators,
        })),
      );
    } catch (error) {
      this.#world.broken(this, `storing failed: ${(error as Error).stack}`);
      return never;
    }
    this.#world.watch.stored(this, last);
    await this.#pause(this.#world.params.storeMs);
    if (life.dead || !this.#effect()) return never;
    setState(last.head.state);
    for (const { certified } of blocks) life.mempool.onBlock(certified.block.txs);
  }

  #pause(mean: number): Promise<void> {
    if (mean === 0) return Promise.resolve();
    return new Promise((resolve) => this.#world.clock.at(this.#chance.exponential(mean), resolve));
  }

  async #fetch(root: Hash): Promise<Uint8Array> {
    const { wire, chance, nodes } = this.#world;
    const key = toHex(root);
    const holders = nodes.filter((n) => n !== this && n.up && n.disk.blobs.has(key) && !this.#world.withholds(n));
    if (holders.length === 0) throw new Error("no peer has it");
    const source = chance.pick(holders);
    return wire.ask(this.name, source.name, async () => source.disk.blobs.get(key) as Uint8Array);
  }

  #log(life: Life): EngineDeps["log"] {
    const log = (level: string) => (fields: Record<string, unknown>, text: string) => {
      if (!life.dead) this.#world.onLog(this, level, fields, text);
    };
    return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  }

  /** What `Sync` uses of the network. */
  #network(life: Life): Network {
    const { wire } = this.#world;
    const used: Pick<Network, "serve" | "report" | "request" | "onGossip"> = {
      serve: async (_name: string, handler: RequestHandler) => {
        this.#world.served.set(this.name, handler);
      },
      report: (peer, verdict) => {
        if (!life.dead) this.#world.onReport(this, peer, verdict, "sync");
      },
      onGossip: (_topic: string, _handler: GossipHandler) => {},
      request: async function* (this: void, peer: string, _protocol: string, bytes: Uint8Array) {
        yield* await wire.ask(self.name, peer, async () => {
          const frames: Uint8Array[] = [];
          const handler = self.#world.served.get(peer);
          if (handler && self.#world.node(peer)?.up) for await (const f of handler(self.name, bytes)) frames.push(f);
          return frames;
        });
      },
    };
    const self = this;
    return used as Network;
  }
}

async function loadHead(store: Store, genesisHash: Hash, genesisState: State): Promise<Head> {
  const { height, id } = store.head();
  if (height === 0) return genesisHead(genesisHash, genesisState);
  const state = await store.loadState();
  const certified = await store.certified(height);
  const validators = await store.validators(height);
  if (!certified || !validators) throw new Error(`the store has no block ${height}, though it is its head`);
  return { height, id, header: certified.block.header, state, validators, commit: certified.commit };
}
