import type { Applied } from "../../consensus/engine/types.ts";
import type { Sidecar } from "../../crypto/record.ts";
import { placeName, RecordFiles } from "../../node/records/files.ts";
import { RECORD_PROTOCOL } from "../../node/records/peers.ts";
import { Sidecars } from "../../node/records/sidecars.ts";
import { wantedBy } from "../../node/records/truth.ts";
import type { Network, PeerInfo, RequestHandler } from "../../p2p/types.ts";
import type { Receipt } from "../../types/block.ts";
import type { Tx } from "../../types/tx.ts";
import { type Beside, besideBlock } from "../../vm/records.ts";
import type { State } from "../../vm/state.ts";
import { type Custody, withKey } from "../vm/custody-support.ts";
import { addressFor } from "../vm/support.ts";
import { CrashDisk } from "./crashdisk.ts";

/** Nodes that keep payloads beside one chain, on disks that may fail, with peers that may lie. */

/** One block of the chain, and what it needs beside it. */
export type Step = {
  readonly txs: readonly Tx[];
  readonly receipts: readonly Receipt[];
  readonly parent: State;
  readonly state: State;
  readonly beside: readonly Beside[];
};

/** A chain with custodians on which records are made and edited, and what belongs beside each of its blocks. */
export class Ledger {
  readonly custody: Custody = withKey();
  /** Every payload that was ever sent, by place. */
  readonly payloads = new Map<string, Sidecar>();
  readonly steps: Step[] = [];

  get state(): State {
    return this.custody.chain.state;
  }

  get hash() {
    return this.custody.chain.hash;
  }

  block(...txs: Tx[]): Step {
    const { chain } = this.custody;
    const parent = chain.state;
    const codes = chain.send(...txs);
    if (codes.some((code) => code !== "")) throw new Error(`a transaction failed: ${codes.join()}`);
    const { receipts, state, hash } = chain;
    const step = { txs, receipts, parent, state, beside: besideBlock(hash, txs, receipts) };
    this.steps.push(step);
    return step;
  }

  /** The transaction of a record, which is in no block yet. */
  note(text: string, sender = "anna") {
    const made = this.custody.record(sender, text);
    this.payloads.set(placeName({ id: made.label, cm: made.value.cm }), made.sidecar);
    return made;
  }

  /** The transaction of a request by the regulator, which waits the least. */
  ask(label: Uint8Array, text?: string) {
    const asked = this.custody.request("gus", label, "emergency", text);
    if (asked.sidecar) {
      const { cm } = requestOf(asked.tx, this.hash) as Beside;
      this.payloads.set(placeName({ id: asked.id, cm }), asked.sidecar);
      this.payloads.set(placeName({ id: label, cm }), asked.sidecar);
    }
    return asked;
  }
}

const requestOf = (tx: Tx, hash: Uint8Array) =>
  besideBlock(hash, [tx], [{ tx: new Uint8Array(32), code: 0, fee: 0n }])[0];

export const applied = ({ txs, receipts, parent, state }: Step): Applied =>
  ({ certified: { block: { txs } }, receipts, parent, head: { state } }) as unknown as Applied;

/** Peers by name: what each serves under the record protocol, and what is said of whom. */
export class Peers {
  readonly handlers = new Map<string, RequestHandler>();
  readonly reports: string[] = [];

  /** The network as `self` sees it. */
  of(self: string): Network {
    const network: Partial<Network> = {
      peers: () => [...this.handlers.keys()].filter((peer) => peer !== self).map((peer) => ({ peer }) as PeerInfo),
      request: (peer, protocol, bytes) => {
        const handler = this.handlers.get(peer);
        if (!handler || protocol !== RECORD_PROTOCOL) throw new Error("not connected");
        return handler(self, bytes);
      },
      serve: async (_protocol, handler) => {
        this.handlers.set(self, handler);
      },
      report: (peer, verdict) => {
        this.reports.push(`${self} on ${peer}: ${verdict}`);
      },
    };
    return network as Network;
  }
}

export class RecordNode {
  readonly name: string;
  readonly ledger: Ledger;
  readonly peers: Peers;
  readonly disk = new CrashDisk();
  readonly log: { level: string; fields: Record<string, unknown>; text: string }[] = [];
  readonly fatal: unknown[] = [];
  timers: { ms: number; act: () => void }[] = [];
  catchingUp = false;
  state: State;
  files!: RecordFiles;
  sidecars!: Sidecars;

  constructor(name: string, ledger: Ledger, peers: Peers, state = ledger.state) {
    this.name = name;
    this.ledger = ledger;
    this.peers = peers;
    this.state = state;
  }

  async start(): Promise<this> {
    const at = (level: string) => (fields: object, text: string) => {
      this.log.push({ level, fields: fields as Record<string, unknown>, text });
    };
    this.files = await RecordFiles.open("/records", this.disk);
    this.timers = [];
    this.sidecars = new Sidecars({
      files: this.files,
      genesisHash: this.ledger.hash,
      state: () => this.state,
      network: this.peers.of(this.name),
      catchingUp: () => this.catchingUp,
      timer: (ms, act) => {
        const timer = { ms, act };
        this.timers.push(timer);
        return () => {
          this.timers = this.timers.filter((t) => t !== timer);
        };
      },
      log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
      fatal: (error) => this.fatal.push(error),
    });
    await this.sidecars.start();
    return this;
  }

  /** Takes part in a block: what it needs is handed in as a submitted transaction's, then made sure of, then the block is final. */
  async vote(step: Step): Promise<void> {
    for (const tx of step.txs) this.offer(tx);
    await this.sidecars.ensure(step.beside);
    await this.follow(step);
  }

  offer(tx: Tx): void {
    const beside = requestOf(tx, this.ledger.hash);
    const sidecar = beside && this.ledger.payloads.get(placeName(beside));
    if (sidecar) this.sidecars.offer(tx, sidecar);
  }

  /** A block becomes final, as in the node's commit: stored, then the folder, then the mempool. */
  async follow(step: Step): Promise<void> {
    this.state = step.state;
    await this.sidecars.onBlock(applied(step));
    for (const tx of step.txs) this.sidecars.withdraw(tx);
  }

  /** The process dies, the computer starts again, and the node with the state that it had stored. */
  async crash(kept: "synced" | "all", state = this.state): Promise<this> {
    void this.sidecars.stop();
    await settled();
    this.disk.restart(kept);
    this.state = state;
    return this.start();
  }

  /** What the state wants to be here. */
  get wanted(): string[] {
    return Array.from(wantedBy(this.state), placeName).sort();
  }
}

/** Lets everything that needs no timer come to its end. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
}

export const anna = addressFor("anna");
