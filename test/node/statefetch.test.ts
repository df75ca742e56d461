import { test } from "uvu";
import * as assert from "uvu/assert";
import { fetchBlock, fetchState } from "../../node/snapshots/fetch.ts";
import { decodeQuestion, SNAPSHOT_PROTOCOL } from "../../node/snapshots/wire.ts";
import type { Peer, RequestOptions } from "../../p2p/types.ts";
import type { Header } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { ChainState } from "../../types/state.ts";
import { pieceOf, StatePiece, StateTop, topOf } from "../../vm/snapshot.ts";
import { State } from "../../vm/state.ts";
import { changingChain } from "../light/chains.ts";
import { FakeNetwork, QUIET, serving } from "../light/peers.ts";
import { settle, VirtualClock } from "../sim/clock.ts";
import { genesisWith, seedOf } from "../vm/support.ts";

/** How long slow sources may hold up a state or a block; under a virtual clock. */

const AT = 14;
const chain = changingChain(16);
const { head } = chain.blocks[AT - 1]!;
/** Each task is a piece. */
const TASKS = 30;
const STATE = large();
const honest = serving(chain, []).then((handlers) =>
  handlers.set(SNAPSHOT_PROTOCOL, async function* (_peer, request) {
    const question = decodeQuestion(request);
    if (question.kind === "top") yield StateTop.serialize(topOf(STATE));
    if (question.kind === "piece") yield StatePiece.serialize(pieceOf(STATE, question.piece)!);
  }),
);

function large(): State {
  const { accounts, miners, tasks: _, ...singles } = ChainState.defaultValue();
  const [task] = Array.from(State.genesis(genesisWith()).tasks(), (t) => structuredClone(t.record));
  const tasks = Array.from({ length: TASKS }, (_, n) => ({ ...task!, id: seedOf(`task ${n}`) }));
  return State.of({ ...singles, height: AT }, { accounts, miners, tasks });
}

/** Peers that take so many milliseconds for each answer. */
class SlowNetwork extends FakeNetwork {
  readonly clock = new VirtualClock(0);
  readonly paces = new Map<Peer, number>();
  underWay = 0;

  async add(prefix: string, count: number, pace: number): Promise<this> {
    for (let i = 0; i < count; i++) {
      this.peers.set(`${prefix}${i}`, await honest);
      this.paces.set(`${prefix}${i}`, pace);
    }
    return this;
  }

  override async *request(
    peer: Peer,
    protocol: string,
    bytes: Uint8Array,
    options?: RequestOptions,
  ): AsyncGenerator<Uint8Array> {
    const { signal, timeoutMs } = options as RequestOptions;
    const pace = this.paces.get(peer) as number;
    this.underWay += 1;
    try {
      await new Promise<void>((resolve, reject) => {
        const cancel = this.clock.at(Math.min(pace, timeoutMs), () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        });
        const stop = () => {
          cancel();
          reject(new PoflError("ABORTED", "given up"));
        };
        signal?.addEventListener("abort", stop);
      });
      if (pace > timeoutMs) throw new PoflError("REQUEST_TIMEOUT", "no answer");
      yield* super.request(peer, protocol, bytes);
    } finally {
      this.underWay -= 1;
    }
  }

  count(prefix: string): number {
    return [...this.asked].filter(([peer]) => peer.startsWith(prefix)).reduce((sum, [, all]) => sum + all.length, 0);
  }

  /** What came, and after how long. */
  async run<T>(work: (deps: Parameters<typeof fetchState>[0], peers: readonly Peer[]) => Promise<T>) {
    const { clock } = this;
    const real = { setTimeout, clearTimeout };
    const timer = (act: () => void, ms: number) => ({ cancel: clock.at(ms, act) });
    Object.assign(globalThis, { setTimeout: timer, clearTimeout: (t?: { cancel(): void }) => t?.cancel() });
    try {
      const began = clock.now;
      let ended: number | undefined;
      const { signal } = new AbortController();
      const deps = { network: this, signal, genesisHash: chain.hash, log: QUIET };
      const working = work(deps, [...this.peers.keys()]).finally(() => {
        ended = clock.now;
      });
      for (await settle(); ended === undefined; await settle()) {
        const next = clock.next(Number.POSITIVE_INFINITY);
        assert.ok(next, "nothing will ever happen again");
        next();
      }
      await settle();
      assert.is(this.underWay, 0, "no question outlasts the fetch");
      return { found: await working, took: ended - began };
    } finally {
      Object.assign(globalThis, real);
    }
  }
}

const header = head.header as Header;
const { height, id, validators } = head;
const next = validators;
const anchor = { height, id, header, validators, time: header.time, next, nextRoot: header.nextValidatorsRoot };
const ofState = { ...anchor, header: { ...header, stateRoot: STATE.root() } };
/** The first piece and all others. */
const PIECES = 1 + TASKS;

async function fetched(network: SlowNetwork): Promise<number> {
  const { found, took } = await network.run((deps, peers) => fetchState(deps, ofState, peers));
  assert.equal(found?.root(), STATE.root());
  assert.equal(network.reports, []);
  return took;
}

for (const [what, pace] of [
  ["just answer in time", 9_900],
  ["never answer", 1e9],
] as const) {
  test(`sources that ${what} don't hold up a state or a block while a quick one is free`, async () => {
    const network = await (await new SlowNetwork().add("slow", 4, pace)).add("quick", 1, 100);
    const state = await fetched(network);
    assert.ok(state < 21_000, `${state} ms`);
    const { found, took } = await network.run((deps, peers) => fetchBlock(deps, anchor, peers));
    assert.equal(found, chain.certified(AT));
    assert.ok(took < 15_000, `${took} ms`);
  });
}

test("quick sources share a state, and none is asked for what another brings", async () => {
  const network = await new SlowNetwork().add("quick", 6, 100);
  assert.ok((await fetched(network)) < 1000);
  assert.is(network.asked.size, 4);
  assert.is(network.count("quick"), PIECES);
});

test("where all sources are slow a state comes all the same, and little of it twice", async () => {
  const network = await new SlowNetwork().add("slow", 12, 9_000);
  await fetched(network);
  assert.ok(network.count("slow") < 1.5 * PIECES, `${network.count("slow")} questions for ${PIECES} pieces`);
});

test("giving up ends it at once", async () => {
  const network = await new SlowNetwork().add("slow", 2, 9_000);
  const stop = new AbortController();
  network.clock.at(10_000, () => stop.abort());
  const { found, took } = await network.run((deps, peers) =>
    fetchState({ ...deps, signal: stop.signal }, ofState, peers),
  );
  assert.is(found, undefined);
  assert.is(took, 10_000);
  assert.equal(network.reports, []);
});

test.run();
