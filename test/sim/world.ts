import { createHash } from "node:crypto";
import type { Applied, EngineTrainer } from "../../consensus/engine/types.ts";
import { addressOf } from "../../crypto/domain.ts";
import { type Genesis, genesisHash } from "../../genesis/genesis.ts";
import { createGenesis, TOKEN } from "../../genesis/presets.ts";
import type { RequestHandler } from "../../p2p/types.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { fakeTrainer, TASK, testKeys } from "../consensus/world.ts";
import { Adversary } from "./adversary.ts";
import { Clients } from "./clients.ts";
import { Chance, settle, VirtualClock } from "./clock.ts";
import { Ledger } from "./ledger.ts";
import { SimNode } from "./node.ts";
import { MAX_POWER_PERMILLE, type Params } from "./params.ts";
import { type Peeked, peek, peekText } from "./peek.ts";
import { Watch } from "./watch.ts";
import { Weather } from "./weather.ts";
import { Wire } from "./wire.ts";

/** Everything of one seed: machines, wire, clock, adversary, invariants. */

/** Short, so that rounds and partitions are of one size; the ratios are those of the preset. */
const TIMEOUTS = { proposeMs: 300, prevoteMs: 100, precommitMs: 100, deltaMs: 100 };
const IDLE_MS = 50;

export class SimWorld {
  readonly params: Params;
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly wire: Wire;
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  readonly genesisState: State;
  readonly nodes: SimNode[] = [];
  readonly correct: SimNode[] = [];
  readonly ledger = new Ledger();
  readonly watch: Watch;
  readonly adversary: Adversary;
  readonly weather: Weather;
  readonly served = new Map<string, RequestHandler>();
  readonly invalid = new Set<string>();
  readonly builtRound = new Map<string, number>();
  /** Nodes to which the event in progress has happened. */
  readonly touched = new Set<SimNode>();
  violation: string | undefined;
  events = 0;
  frames = 0;
  /** The readable trace, if one is wanted. */
  readonly trace: string[] | undefined;
  readonly start: number;
  readonly #hash = createHash("sha256");
  readonly #byName = new Map<string, SimNode>();

  constructor(params: Params, trace: boolean) {
    this.params = params;
    this.trace = trace ? [] : undefined;
    this.chance = new Chance(params.seed * 7 + 1);
    this.genesis = simGenesis(params);
    this.genesisHash = genesisHash(this.genesis);
    this.genesisState = State.genesis(this.genesis);
    this.start = Date.parse(this.genesis.genesisTime) + 60_000;
    this.clock = new VirtualClock(this.start);
    this.wire = new Wire(this.clock, this.chance.fork(), params);
    const faultyKeys = new Set(params.faulty.map((i) => toHex(testKeys(`v${i}`).consensus.publicKey)));
    const { ledger, invalid, builtRound } = this;
    const faulty = params.faulty.length;
    this.watch = new Watch({
      ledger,
      genesisHash: this.genesisHash,
      faultyKeys,
      faulty,
      invalid,
      builtRound,
      fail: (what) => this.fail(what),
    });
    for (let i = 0; i < params.stakes.length; i++) this.#add(`v${i}`, `v${i}`, params.faulty.includes(i));
    if (params.habits.includes("twins")) for (const i of params.faulty) this.#add(`t${i}`, `v${i}`, true);
    // A newcomer follows from the start, and bonds in some seeds.
    if (params.memberChanges) this.#add("new", "new", false);
    this.adversary = new Adversary(this, this.chance.fork());
    this.weather = new Weather(this, this.chance.fork());
    new Clients(this, this.chance.fork()).begin();
  }

  #add(name: string, keyName: string, faulty: boolean): void {
    const { params, chance } = this;
    const trainer: EngineTrainer | undefined = params.learning && name !== "new" ? fakeTrainer(keyName) : undefined;
    const node = new SimNode(
      this,
      {
        name,
        keys: testKeys(keyName),
        faulty,
        trainer,
        skewMs: chance.between(-params.skewMs, params.skewMs),
        speed: 1 + chance.between(-params.driftPermille, params.driftPermille) / 1000,
      },
      chance.fork(),
    );
    this.nodes.push(node);
    if (!faulty) this.correct.push(node);
    this.#byName.set(name, node);
  }

  node(name: string): SimNode | undefined {
    return this.#byName.get(name);
  }

  // ---- running ----

  async begin(): Promise<void> {
    for (const node of this.nodes) await node.start();
    this.weather.begin();
    await settle();
  }

  /** Runs until `done`, a violation, or for `ms` of virtual time; true when done. */
  async run(ms: number, done: () => boolean): Promise<boolean> {
    const until = this.clock.now + ms;
    for (;;) {
      if (this.violation !== undefined) return false;
      if (done()) return true;
      const act = this.clock.next(until);
      if (!act) return false;
      this.events++;
      act();
      await settle();
      // Judged when all that the event led to has happened.
      for (const node of this.touched) this.watch.acted(node);
      this.touched.clear();
    }
  }

  fail(what: string): void {
    this.violation ??= what;
    this.note("!!", what);
  }

  /** Into the hash of the trace, and into the trace if somebody reads it. */
  note(who: string, what: string, bytes?: Uint8Array): void {
    this.#hash.update(`${this.clock.now}|${who}|${what}`);
    if (bytes) this.#hash.update(bytes);
    this.#write(who, what);
  }

  #write(who: string, what: string): void {
    this.trace?.push(`${(this.clock.now - this.start).toFixed(1).padStart(9)}  ${who.padEnd(8)} ${what}`);
  }

  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  // ---- what nodes report ----

  /** Before its frame leaves for anybody. */
  spoke(node: SimNode, frame: Uint8Array, peeked: Peeked): void {
    if (peeked.kind === "proposal") this.adversary.learn(frame, peeked);
    const run = node.engine?.run;
    if (run) this.ledger.open(run.ctx);
    if (node.options.faulty) this.ledger.record(peeked);
    else this.watch.sent(node, frame, peeked);
    if (this.trace && peeked.kind !== "status") this.#write(node.name, `says ${peekText(peeked)}`);
    this.adversary.heard(node, peeked, frame);
  }

  outgoing(node: SimNode, to: string, frame: Uint8Array, peeked: Peeked): void {
    this.frames++;
    const frames = node.options.faulty ? this.adversary.outgoing(node, to, frame, peeked) : [frame];
    for (const f of frames) this.wire.send(node.name, to, f, f === frame ? peeked : peek(f));
  }

  received(node: SimNode, from: string, frame: Uint8Array, peeked: Peeked): void {
    this.note(`${from}>${node.name}`, peekText(peeked), frame);
  }

  onDecided(node: SimNode, applied: Applied): void {
    const { header } = applied.certified.block;
    this.note(node.name, `decides ${header.height} in round ${applied.certified.commit.round}`, header.stateRoot);
    if (!node.options.faulty) this.watch.decision(node, applied);
    this.adversary.decided(node, header.height);
  }

  onCrash(node: SimNode): void {
    this.note(node.name, "loses power");
    this.weather.crashed(node);
  }

  onReport(node: SimNode, peer: string, verdict: string, why: string): void {
    this.note(node.name, `${verdict} ${peer}: ${why}`);
    if (node.options.faulty || this.node(peer)?.options.faulty || verdict !== "reject") return;
    this.fail(`${node.name} punishes ${peer}, which is correct: ${why}`);
  }

  onLog(node: SimNode, level: string, fields: Record<string, unknown>, text: string): void {
    if (level === "warn" || level === "error") this.note(node.name, `${level}: ${text}`);
    if (node.options.faulty) return;
    if (level === "error") this.fail(`${node.name} logs an error: ${text} ${(fields.err as Error)?.stack ?? ""}`);
    // A correct machine never asks for a second signature; the guard is for what is not foreseen.
    if (text.startsWith("refused: ")) this.fail(`${node.name} asked its guard for a second value: ${text}`);
  }

  broken(node: SimNode, what: string): void {
    if (!node.options.faulty) this.fail(`${node.name}: ${what}`);
    else if (node.up) node.crash();
  }

  withholds(node: SimNode): boolean {
    return this.adversary.withholds(node);
  }
}

const geneses = new Map<string, Genesis>();

function simGenesis({ stakes, learning }: Params): Genesis {
  const key = `${stakes.join()}/${learning}`;
  const known = geneses.get(key);
  if (known) return known;
  const hex = (text: string) => toHex(createHash("sha256").update(text).digest());
  const genesis = createGenesis({
    chainId: "sim",
    genesisTime: "2026-01-01T00:00:00.000Z",
    validators: stakes.map((stake, i) => {
      const keys = testKeys(`v${i}`);
      return {
        moniker: `v${i}`,
        address: toHex(addressOf(keys.account.publicKey)),
        consensusKey: toHex(keys.consensus.publicKey),
        vrfKey: toHex(keys.vrf.publicKey),
        institution: hex(`institution ${i}`),
        stake: (BigInt(stake) * TOKEN).toString(),
      };
    }),
    accounts: [...stakes.map((_, i) => `v${i}`), "new", "client"].map((name) => ({
      address: toHex(addressOf(testKeys(name).account.publicKey)),
      balance: (10_000n * TOKEN).toString(),
    })),
    ...(learning && { task: { spec: TASK, escrow: (1_000n * TOKEN).toString() } }),
    consensus: { keyDelay: 1, timeouts: TIMEOUTS, idleIntervalMs: IDLE_MS, maxPowerPermille: MAX_POWER_PERMILLE },
  });
  geneses.set(key, genesis);
  if (geneses.size > 64) geneses.delete(geneses.keys().next().value as string);
  return genesis;
}
