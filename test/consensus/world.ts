import { createHash } from "node:crypto";
import { genesisHead } from "../../consensus/block/context.ts";
import { Engine } from "../../consensus/engine/engine.ts";
import type { Applied, EngineDeps, EngineNet, EngineRounds, EngineTrainer } from "../../consensus/engine/types.ts";
import { computeRound } from "../../consensus/round/compute.ts";
import { blobRoot } from "../../crypto/blob.ts";
import { addressOf } from "../../crypto/domain.ts";
import { type KeyPair, keyPair } from "../../crypto/ed25519.ts";
import { type Sidecar, sidecarOpens } from "../../crypto/record.ts";
import { type Genesis, genesisHash } from "../../genesis/genesis.ts";
import { createGenesis, TOKEN } from "../../genesis/presets.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import type { CertifiedBlock } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import { HELPFUL } from "../../types/round.ts";
import type { Tx } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";
import { random } from "./bft-cluster.ts";

/** Real engines, real signatures and real blocks on a virtual network under a virtual clock. */

export type Keys = { account: KeyPair; consensus: KeyPair; vrf: KeyPair };

const keys = new Map<string, Keys>();

export function testKeys(name: string): Keys {
  const known = keys.get(name);
  if (known) return known;
  const seed = (what: string) => new Uint8Array(createHash("sha256").update(`${what}/${name}`).digest());
  const made = { account: keyPair(seed("account")), consensus: keyPair(seed("consensus")), vrf: keyPair(seed("vrf")) };
  keys.set(name, made);
  return made;
}

export const TASK: TaskSpec = parseTask(
  JSON.stringify({
    name: "test",
    schema: {
      features: [
        { name: "age", kind: "number", unit: "years", min: 0, max: 100 },
        { name: "sex", kind: "binary" },
      ],
      label: { name: "ill" },
    },
    model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
    training: { steps: 1, batch: 1, learningRate: 0.1 },
    rounds: { maximum: 1000 },
    windows: { pledgeMs: 400, revealMs: 200, attestMs: 100 },
    bounty: "1000000",
    split: { test: 0, validation: 0.2, seed: 1 },
  }),
);

export function testGenesis(
  names: readonly string[],
  task?: TaskSpec,
  more: Partial<Genesis["consensus"]> = {},
): Genesis {
  return createGenesis({
    chainId: "test",
    genesisTime: "2026-01-01T00:00:00.000Z",
    validators: names.map((moniker) => {
      const keys = testKeys(moniker);
      return {
        moniker,
        address: toHex(addressOf(keys.account.publicKey)),
        consensusKey: toHex(keys.consensus.publicKey),
        vrfKey: toHex(keys.vrf.publicKey),
        institution: toHex(createHash("sha256").update(moniker).digest()),
        stake: (1000n * TOKEN).toString(),
      };
    }),
    accounts: [
      { address: toHex(addressOf(testKeys("faucet").account.publicKey)), balance: (1_000_000n * TOKEN).toString() },
    ],
    ...(task && { task: { spec: task, escrow: (1_000n * TOKEN).toString() } }),
    consensus: { keyDelay: 2, ...more },
  });
}

/** In the place of a hospital's data: an update that depends on the model, the height and the name only. */
export function fakeTrainer(name: string, lanes = 3): EngineTrainer {
  return {
    train: async ({ model, height }) => {
      const rand = random(createHash("sha256").update(`${name}/${height}/${model.join()}`).digest().readUInt32LE(0));
      const blob = new Uint8Array(2 * lanes);
      const view = new DataView(blob.buffer);
      for (let i = 0; i < lanes; i++) view.setInt16(2 * i, Math.floor(rand() * 2000) - 800, true);
      return { blob, samples: 100 };
    },
    judge: async ({ updates }) => ({
      votes: updates.map(() => HELPFUL),
      metrics: { n: 64, loss: 500, accuracy: 800, auroc: 850 },
    }),
  };
}

/** A durable log whose unsynced tail is lost in a crash. */
export class CrashLog {
  entries: Uint8Array[] = [];
  #synced = 0;
  append(bytes: Uint8Array, { sync }: { sync: boolean }): void {
    this.entries.push(bytes.slice());
    if (sync) this.sync();
  }
  sync(): void {
    this.#synced = this.entries.length;
  }
  reset(entries: readonly Uint8Array[] = []): void {
    this.entries = entries.map((e) => e.slice());
    this.sync();
  }
  crash(): void {
    this.entries.length = this.#synced;
  }
}

type Disk = {
  wal: CrashLog;
  signer: CrashLog;
  blobs: Map<string, Uint8Array>;
  /** Payloads beside the chain, by the id that they lie under. */
  records: Map<string, Sidecar>;
  blocks: Applied[];
};

type Queued = { at: number; seq: number; act: () => void };

export type WorldOptions = {
  names: readonly string[];
  genesis: Genesis;
  seed: number;
  /** Mean delay, ms. */
  delay?: number;
  loss?: number;
  trainer?: (name: string) => EngineTrainer | undefined;
  rounds?: (name: string) => EngineRounds | undefined;
  /** What stands between the engine of `name` and the network. */
  net?: (name: string, net: EngineNet) => EngineNet;
  /** Whether a new signer waits for `takePart`. */
  newSignerWaits?: boolean;
  /** A node that may log errors: they are warnings here. */
  broken?: string;
  /** Everybody is connected to this one only. */
  hub?: string;
  /** Every message takes `delay`, and salts come from names: the blocks depend on nothing but the rules. */
  steady?: boolean;
  /** What the chain begins with besides its genesis, such as a key of custodians. */
  begin?: (state: State) => State;
};

export class World {
  readonly options: WorldOptions;
  readonly genesis: Genesis;
  readonly hash: Hash;
  readonly engines = new Map<string, Engine>();
  readonly disks = new Map<string, Disk>();
  /** Nodes that others can't reach. */
  readonly cut = new Set<string>();
  /** Nodes that give no payload to others. */
  readonly withholding = new Set<string>();
  readonly mempool: Tx[] = [];
  /** Whether the transaction waits at this node too. */
  picks: (name: string, tx: Tx) => boolean = () => true;
  readonly faults: string[] = [];
  readonly reports: string[] = [];
  readonly warnings: string[] = [];
  /** Sees every frame on its way; false drops it. */
  filter: (from: string, to: string, frame: Uint8Array) => boolean = () => true;
  now: number;
  readonly rand: () => number;
  #queue: Queued[] = [];
  #seq = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    this.genesis = options.genesis;
    this.hash = genesisHash(options.genesis);
    this.rand = random(options.seed);
    this.now = Date.parse(options.genesis.genesisTime) + 1000;
    for (const name of options.names) {
      this.disks.set(name, {
        wal: new CrashLog(),
        signer: new CrashLog(),
        blobs: new Map(),
        records: new Map(),
        blocks: [],
      });
    }
  }

  start(name: string): Engine {
    const disk = this.disks.get(name) as Disk;
    const last = disk.blocks.at(-1);
    const { begin = (state) => state } = this.options;
    const head = last?.head ?? genesisHead(this.hash, begin(State.genesis(this.genesis)));
    const engine: Engine = new Engine(
      head,
      this.#deps(name, disk, () => this.engines.get(name) === engine),
    );
    this.engines.set(name, engine);
    engine.start();
    for (const other of this.engines.keys()) if (other !== name) engine.onPeer(other);
    return engine;
  }

  /** As kill −9 with a power failure: what was not synced is gone. */
  kill(name: string): void {
    const engine = this.engines.get(name);
    this.engines.delete(name);
    void engine?.stop();
    const disk = this.disks.get(name) as Disk;
    disk.wal.crash();
    disk.signer.crash();
  }

  height(name: string): number {
    return this.disks.get(name)?.blocks.length ?? 0;
  }

  certified(name: string, height: number): CertifiedBlock | undefined {
    return this.disks.get(name)?.blocks[height - 1]?.certified;
  }

  /** Runs until `done` or for `ms` of virtual time; true when done. */
  async run(ms: number, done: () => boolean): Promise<boolean> {
    const until = this.now + ms;
    for (;;) {
      await settle();
      if (this.faults.length > 0) throw new Error(this.faults.join("; "));
      if (done()) return true;
      let best = 0;
      this.#queue.forEach((q, i) => {
        const b = this.#queue[best] as Queued;
        if (q.at < b.at || (q.at === b.at && q.seq < b.seq)) best = i;
      });
      const next = this.#queue[best];
      if (!next || next.at > until) {
        this.now = until;
        return false;
      }
      this.#queue.splice(best, 1);
      this.now = Math.max(this.now, next.at);
      next.act();
    }
  }

  at(delay: number, act: () => void): () => void {
    const entry = { at: this.now + delay, seq: this.#seq++, act };
    this.#queue.push(entry);
    return () => {
      const i = this.#queue.indexOf(entry);
      if (i >= 0) this.#queue.splice(i, 1);
    };
  }

  #linked(a: string, b: string): boolean {
    const { hub } = this.options;
    return !this.cut.has(a) && !this.cut.has(b) && (hub === undefined || a === hub || b === hub);
  }

  #deliver(from: string, to: string, frame: Uint8Array): void {
    if (!this.#linked(from, to) || !this.filter(from, to, frame)) return;
    if (this.rand() < (this.options.loss ?? 0)) return;
    const mean = this.options.delay ?? 5;
    const delay = this.options.steady ? mean : -Math.log(1 - this.rand()) * mean;
    this.at(delay, () => {
      if (this.#linked(from, to)) this.engines.get(to)?.onFrame(from, frame);
    });
  }

  #deps(name: string, disk: Disk, alive: () => boolean): EngineDeps {
    const keys = testKeys(name);
    const log = (data: Record<string, unknown>, text: string) => {
      if (data.err) this.faults.push(`${name}: ${text}: ${(data.err as Error).stack}`);
    };
    const net: EngineNet = {
      send: (peer, frame) => this.#deliver(name, peer, frame),
      broadcast: (frame) => {
        for (const other of this.engines.keys()) if (other !== name) this.#deliver(name, other, frame);
      },
      peers: () => [...this.engines.keys()].filter((other) => other !== name && this.#linked(name, other)).length,
      fetchBlob: async (root) => {
        for (const [other, { blobs }] of this.disks) {
          const bytes = blobs.get(toHex(root));
          if (bytes && this.engines.has(other) && this.#linked(name, other)) return bytes;
        }
        throw new Error("no peer has it");
      },
      report: (peer, verdict, why) => {
        this.reports.push(`${name} on ${peer}: ${verdict}: ${why}`);
      },
    };
    return {
      genesis: this.genesis,
      genesisHash: this.hash,
      keys: { consensus: keys.consensus, vrf: keys.vrf },
      newSignerWaits: this.options.newSignerWaits ?? false,
      clock: {
        now: () => Math.floor(this.now),
        timer: (ms, act) => this.at(ms, () => alive() && act()),
      },
      random: () => {
        const from = this.options.steady ? `${name}/${disk.blocks.length}` : `${this.rand()}`;
        return new Uint8Array(createHash("sha256").update(from).digest());
      },
      net: this.options.net?.(name, net) ?? net,
      blobs: {
        get: async (root) => disk.blobs.get(toHex(root)),
        put: async (bytes) => {
          const root = blobRoot(bytes);
          disk.blobs.set(toHex(root), bytes);
          return root;
        },
      },
      records: {
        ensure: async (beside) => {
          for (const { id, cm, length } of beside) {
            const key = toHex(id);
            const others = [...this.disks].filter(([other]) => this.engines.has(other) && this.#linked(name, other));
            const serving = others.filter(([other]) => !this.withholding.has(other)).map(([, { records }]) => records);
            const found = [disk.records, ...serving]
              .map((r) => r.get(key))
              .find((s) => s && sidecarOpens(s, cm, length));
            if (!found) throw new PoflError("MISSING_RECORDS", `nobody has given the payload of ${key}`);
            disk.records.set(key, found);
          }
        },
      },
      wal: disk.wal,
      signerLog: disk.signer,
      trainer: (this.options.trainer ?? fakeTrainer)(name),
      rounds: this.options.rounds?.(name) ?? { compute: async (input) => computeRound(input) },
      pickTxs: () => this.mempool.filter((tx) => this.picks(name, tx)),
      commit: async (applied) => {
        if (!alive()) throw new Error("the node is dead");
        disk.blocks.push(...applied);
        for (const tx of applied.flatMap(({ certified }) => certified.block.txs)) {
          const i = this.mempool.findIndex((t) => Buffer.compare(t.signature, tx.signature) === 0);
          if (i >= 0) this.mempool.splice(i, 1);
        }
      },
      certified: async (height) => disk.blocks[height - 1]?.certified,
      behind: (peer, height) => {
        // The node's sync in small: certified blocks in order from the peer.
        const engine = this.engines.get(name);
        if (!engine || height <= engine.head.height + 1) return;
        this.at(10, () => void this.#catchUp(name, peer));
      },
      log: {
        debug: log,
        info: log,
        warn: (data, text) => {
          this.warnings.push(`${name}: ${text}`);
          log(data, text);
        },
        error: (data, text) =>
          name === this.options.broken ? this.warnings.push(`${name}: ${text}`) : log(data, text),
      },
      fatal: (error) => {
        if (alive()) this.faults.push(`${name}: fatal: ${(error as Error).stack}`);
      },
    };
  }

  async #catchUp(name: string, peer: string): Promise<void> {
    const engine = this.engines.get(name);
    for (;;) {
      const block = engine && this.certified(peer, engine.head.height + 1);
      if (!engine || !block || (await engine.applyCertified([block])) === 0) return;
    }
  }
}

/** Lets every promise that can settle now do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
