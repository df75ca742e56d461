import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { consentSigning } from "../../crypto/custodian.ts";
import type { KeyPair } from "../../crypto/ed25519.ts";
import { Custody } from "../../node/custodian/custody.ts";
import { Holdings } from "../../node/custodian/holdings.ts";
import { Question, type QuestionKind, typedQuestion } from "../../node/custodian/messages.ts";
import { openVault } from "../../node/custodian/vault.ts";
import { createMempool, type Mempool } from "../../node/mempool.ts";
import { type Journal, openJournal } from "../../node/store/journal.ts";
import type { Verdict } from "../../p2p/types.ts";
import { type CeremonyPlan, CONSENT_CEREMONY, CONSENT_REDACTION } from "../../types/ceremony.ts";
import { PoflError } from "../../types/errors.ts";
import { decode, type Hash, toHex } from "../../types/primitives.ts";
import { type Tx, typedPayload } from "../../types/tx.ts";
import { ceremonyId, ceremonyStatus } from "../../vm/ceremony.ts";
import { failureName } from "../../vm/failures.ts";
import type { State } from "../../vm/state.ts";
import { custodianOf, custodyChain, Custody as Records } from "../vm/custody-support.ts";
import { type Chain, keys, OTHERS } from "../vm/support.ts";

/**
 * Custodians' nodes in one process, on one chain of the state machine: vaults and journals are real files, the network is the test's.
 * Custodian n is also the peer `String(n)`.
 */

/** Accounts that pay for what the custodians send; gus and emil are left to the tests. */
const PAYERS = ["anna", "ben", "cleo", "dora", "fay"] as const;
/** Milliseconds that a block takes. */
const BLOCK_MS = 5000;

export type Lie = (question: QuestionKind, answer: Uint8Array | undefined, asker: number) => Uint8Array | undefined;

export class Driver {
  readonly n: number;
  readonly folder: string;
  readonly #world: World;
  readonly #journalPath: string;
  keys: KeyPair;
  custody!: Custody;
  holdings!: Holdings;
  sessions!: Journal;
  online = true;
  catchingUp = false;
  /** Its own final state, when it is not the chain's. */
  state: State | undefined;
  /** Changes what it answers. */
  lie: Lie | undefined;
  /** Lets its transactions get lost on the way. */
  loses = false;
  random: (bytes: number) => Uint8Array = randomBytes;
  readonly reports: { readonly peer: string; readonly verdict: Verdict }[] = [];
  readonly lines: string[] = [];

  constructor(world: World, n: number, folder: string) {
    this.n = n;
    this.#world = world;
    this.keys = custodianOf(n);
    this.folder = join(folder, String(n), "custodian");
    this.#journalPath = join(folder, String(n), "custodian.sessions");
    this.open();
  }

  open(): void {
    const { chain, mempool } = this.#world;
    this.holdings = new Holdings(openVault(this.folder, this.keys.secret, (bytes) => this.random(bytes)));
    this.sessions = openJournal(this.#journalPath);
    const log = (level: string) => (fields: object, message: string) => {
      this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
      if (process.env.CUSTODY_LOG) console.log(this.n, level, message, JSON.stringify(fields));
    };
    this.custody = new Custody({
      genesis: chain.genesis,
      genesisHash: chain.hash,
      custodian: this.keys,
      account: keys(PAYERS[this.n % PAYERS.length] as string),
      state: () => this.state ?? chain.state,
      catchingUp: () => this.catchingUp,
      now: () => this.#world.now,
      random: (bytes) => this.random(bytes),
      network: {
        peers: () => this.#world.drivers.filter((d) => d !== this && d.online).map((d) => String(d.n)),
        ask: async (peer, question) => this.#world.carry(this, Number(peer), question),
        report: (peer, verdict) => this.reports.push({ peer, verdict }),
      },
      mempool,
      submit: (tx) => this.#world.submit(this, tx),
      holdings: this.holdings,
      sessions: this.sessions,
      log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    });
  }

  /** As if the process had ended and was started again. */
  restart(): void {
    this.sessions.close();
    this.open();
  }

  join(plan: CeremonyPlan): Hash {
    const id = ceremonyId(plan);
    const consent = { what: CONSENT_CEREMONY, id };
    return this.custody.join(plan, consentSigning.sign(this.#world.chain.hash, this.keys.secret, consent));
  }
  approve(request: Hash): void {
    const consent = { what: CONSENT_REDACTION, id: request };
    this.custody.approve(request, consentSigning.sign(this.#world.chain.hash, this.keys.secret, consent));
  }

  /** All bytes of its files, for searches. */
  files(): Buffer[] {
    return fs.readdirSync(this.folder).map((name) => fs.readFileSync(join(this.folder, name)));
  }
}

export class World {
  readonly chain: Chain;
  readonly records: Records;
  readonly mempool: Mempool;
  readonly drivers: Driver[];
  readonly #dir: string;
  now = 0;
  /** Every question that was answered with something. */
  readonly answered: {
    readonly kind: QuestionKind;
    readonly from: number;
    readonly to: number;
    readonly height: number;
  }[] = [];
  /** What became of every transaction in a block: kind, and "" or its failure. */
  readonly done: { readonly kind: string; readonly code: string }[] = [];

  constructor(custodians: number, threshold: number, drivers = custodians) {
    this.chain = custodyChain(custodians, threshold);
    this.records = new Records(this.chain);
    this.mempool = createMempool({
      state: () => this.chain.state,
      genesis: this.chain.genesis,
      genesisHash: this.chain.hash,
      now: () => this.now,
    });
    this.#dir = fs.mkdtempSync(join(tmpdir(), "custody-"));
    this.drivers = Array.from({ length: drivers }, (_, n) => new Driver(this, n, this.#dir));
  }

  close(): void {
    for (const driver of this.drivers) driver.sessions.close();
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }

  driver(n: number): Driver {
    const found = this.drivers[n];
    if (!found) throw new Error(`no driver ${n}`);
    return found;
  }

  async carry(from: Driver, to: number, question: Uint8Array): Promise<Uint8Array | undefined> {
    const target = this.driver(to);
    if (!from.online || !target.online) throw new PoflError("NOT_CONNECTED", `${to} is not connected`);
    let answer: Uint8Array | undefined;
    try {
      answer = target.custody.answer(String(from.n), question);
    } catch (error) {
      if (!(error instanceof PoflError)) throw error;
    }
    const { kind } = typedQuestion(decode(Question, question));
    if (answer) this.answered.push({ kind, from: from.n, to, height: this.chain.state.height });
    return target.lie ? target.lie(kind, answer, from.n) : answer;
  }

  submit(from: Driver, tx: Tx): Hash {
    if (!from.loses) return this.mempool.add(tx);
    from.loses = false;
    return new Uint8Array(32);
  }

  /** A block with what waits, or with these. */
  block(txs: readonly Tx[] = this.mempool.pick()): void {
    this.chain.run({ txs: [...txs] });
    this.chain.receipts.forEach(({ code }, i) => {
      this.done.push({ kind: typedPayload((txs[i] as Tx).body.payload).kind, code: failureName(code) ?? "" });
    });
    this.mempool.onBlock(txs);
    this.now += BLOCK_MS;
  }

  async step(): Promise<void> {
    await Promise.all(this.drivers.filter((d) => d.online).map((d) => d.custody.step()));
  }

  /** Steps and blocks until the condition holds. */
  async until(what: string, condition: () => boolean, blocks = 60): Promise<void> {
    for (let i = 0; i < blocks; i++) {
      if (condition()) return;
      await this.step();
      this.block();
    }
    if (!condition()) throw new Error(`not after ${blocks} blocks: ${what}`);
  }

  async rounds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.step();
      this.block();
    }
  }

  statusOf(id: Hash): string | undefined {
    const found = this.chain.state.find("ceremonies", id)?.record;
    return found && ceremonyStatus(found);
  }

  /** All drivers with these numbers make the next key. */
  async makeKey(change: Partial<CeremonyPlan> = {}, numbers?: readonly number[]): Promise<Hash> {
    const plan = this.records.plan(change);
    const id = ceremonyId(plan);
    for (const n of numbers ?? plan.keys.keys()) this.driver(n).join(plan);
    await this.until(`the key of ${toHex(id)}`, () => this.statusOf(id) === "done");
    await this.step();
    return id;
  }

  /** How often a kind of transaction was in a block, and failed. */
  count(kind: string): { readonly done: number; readonly failed: number } {
    const of = this.done.filter((d) => d.kind === kind);
    return { done: of.filter((d) => d.code === "").length, failed: of.filter((d) => d.code !== "").length };
  }

  /** A record of emil's and a request to erase it, on the chain. */
  ask(text = "consent of a patient"): { readonly label: Hash; readonly id: Hash } {
    const record = this.records.record(OTHERS[0], text);
    this.block([record.tx]);
    const request = this.records.request(OTHERS[0], record.label);
    this.block([request.tx]);
    return { label: record.label, id: request.id };
  }
}

/** Runs a test in a world of its own, and takes it away whatever happens. */
export function inWorld(
  custodians: number,
  threshold: number,
  body: (world: World) => Promise<void>,
  drivers?: number,
) {
  return async () => {
    const world = new World(custodians, threshold, drivers);
    try {
      await body(world);
    } finally {
      world.close();
    }
  };
}
