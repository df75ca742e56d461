import { EventEmitter } from "node:events";
import { MemoryLevel } from "memory-level";
import type { Head } from "../../consensus/block/context.ts";
import type { Applied, Timings } from "../../consensus/engine/types.ts";
import { type Sidecar, sidecarOpens } from "../../crypto/record.ts";
import { initialModel, modelBytes } from "../../genesis/model.ts";
import { createMempool, type Mempool } from "../../node/mempool.ts";
import type { NodeContext } from "../../node/rpc/context.ts";
import { memoryBlobStore } from "../../node/store/blobs.ts";
import { type Database, ENCODINGS } from "../../node/store/database.ts";
import { openStore } from "../../node/store/store.ts";
import { Block, blockId, bodyRoots, Header, ValidatorSet } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { toHex, ZERO_HASH } from "../../types/primitives.ts";
import { HELD } from "../../types/round.ts";
import type { Tx } from "../../types/tx.ts";
import type { BlockInput } from "../../vm/execute.ts";
import { besideTx } from "../../vm/records.ts";
import { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { addressFor, Chain, genesisWith, learningOf, spec } from "../vm/support.ts";

function newChain(): Chain {
  const genesis = genesisWith();
  return new Chain(genesis, State.genesis(genesis));
}

/** A node's context on a real chain of the state machine, store and mempool; its network and clock are the test's. */
export async function rpcWorld(chain: Chain = newChain(), db: Database = new MemoryLevel(ENCODINGS)) {
  const { genesis } = chain;
  const store = await openStore(db, {
    genesisHash: chain.hash,
    genesisState: () => chain.state,
    path: "test",
  });
  const blobs = memoryBlobStore();
  /** By record or request, 0x…; tests put in and take out what they like. */
  const sidecars = new Map<string, Sidecar>();
  const commit0 = { height: 0, round: 0, blockId: chain.hash, signatures: [] };
  let head: Head = {
    height: 0,
    id: chain.hash,
    header: undefined,
    state: chain.state,
    validators: [],
    commit: commit0,
  };
  const settings = { catchingUp: false, problem: undefined as string | undefined };
  const timings: Timings[] = [];
  const events = Object.assign(new EventEmitter(), { timings });
  const mempool: Mempool = createMempool({ state: () => chain.state, genesis, genesisHash: chain.hash, now: () => 0 });

  /** Runs a block through the state machine and stores it; the certificate has no signatures. */
  const run = async (change: Partial<BlockInput> = {}): Promise<Applied> => {
    const parent = chain.state;
    const validators = validatorSet(parent, genesis);
    const input = chain.input(change);
    chain.run(change);
    const { learning } = input;
    const body = {
      txs: [...input.txs],
      learning: learning ? [learning] : [],
      evidence: [...input.evidence],
      lastCommit: head.commit,
    };
    const header = {
      ...Header.defaultValue(),
      ...bodyRoots(body),
      version: 1,
      height: input.height,
      time: input.time,
      parent: head.id,
      proposer: input.proposer,
      seed: input.seed,
      task: learning?.task ?? ZERO_HASH,
      metrics: input.metrics,
      stateRoot: chain.state.root(),
      modelRoot: chain.state.activeTask()?.record.modelRoot ?? ZERO_HASH,
      validatorsRoot: ValidatorSet.hashTreeRoot(validators),
    };
    const block = { ...Block.defaultValue(), header, ...body };
    const commit = { height: input.height, round: 0, blockId: blockId(header), signatures: [] };
    const certified = { block, commit };
    const receipts = [...chain.receipts];
    await store.append(certified, receipts, chain.state.changes(), validators);
    head = { height: input.height, id: commit.blockId, header, state: chain.state, validators, commit };
    mempool.onBlock(input.txs);
    const marks: Timings = {
      height: input.height,
      startedAt: input.time,
      ready: 10,
      proposed: 12,
      decided: 30,
      stored: 31,
    };
    timings.push(marks);
    const applied: Applied = { certified, receipts, parent, head, timings: marks };
    events.emit("block", applied);
    return applied;
  };

  /** What a node does with a sidecar: only what the transaction needs, and only if it opens. */
  const keep = (tx: Tx, sidecar: Sidecar | undefined) => {
    const [needed] = besideTx(chain.hash, tx);
    if (!needed && sidecar) throw new PoflError("BAD_SIDECAR", "nothing travels beside this transaction");
    if (!needed) return;
    if (!sidecar) throw new PoflError("MISSING_SIDECAR", "its payload is missing");
    if (!sidecarOpens(sidecar, needed.cm, needed.length)) throw new PoflError("BAD_SIDECAR", "it does not open cm");
    sidecars.set(toHex(needed.id), sidecar);
  };

  const context: NodeContext = {
    version: "0.0.0-test",
    moniker: "anna",
    genesis,
    genesisHash: chain.hash,
    address: addressFor("anna"),
    store,
    blobs,
    mempool,
    network: {
      peerId: "12D3KooWTest",
      peers: () => [
        {
          peer: "12D3KooWOther",
          address: "/ip4/127.0.0.1/tcp/1",
          direction: "outbound",
          connectedAt: 5,
          listens: [],
          score: 0.5,
          queuedBytes: 0,
          bytesIn: 10,
          bytesOut: 20,
        },
      ],
      counters: () => {
        const traffic = { in: 1, out: 2 };
        return { direct: traffic, gossip: traffic, blobs: traffic, requests: traffic };
      },
    },
    head: () => head,
    progress: () => ({ round: 1, phase: "prevote" }),
    catchingUp: () => settings.catchingUp,
    problem: () => settings.problem,
    rejected: () => ({ vote: 3 }),
    records: {
      read: async (id, cm, length) => {
        const found = sidecars.get(toHex(id));
        return found && sidecarOpens(found, cm, length) ? found : undefined;
      },
    },
    submit: (tx, sidecar) => {
      keep(tx, sidecar);
      const id = mempool.add(tx);
      events.emit("tx", id);
      return id;
    },
    custody: undefined,
    events,
  };

  /** The first round: ben's update is refused, anna's helps, cleo's hurts. Its model is stored. */
  const learn = async (): Promise<Applied> => {
    const task = chain.state.activeTask()?.record;
    if (!task) throw new Error("no task is active");
    const lanes = initialModel(spec(), task.id);
    lanes[0] = 12_345;
    const root = await blobs.put(modelBytes(lanes));
    const updates = [
      { miner: 0, pay: 5000n, contribution: 700n },
      { miner: 1, status: "harmful" as const, contribution: 0n },
      { miner: 2, contribution: -300n },
    ];
    const learning = learningOf(task.id, updates, root);
    learning.attestations.push({
      message: {
        height: chain.state.height + 1,
        task: task.id,
        member: 3,
        updates: [{ miner: 0, commitment: ZERO_HASH, status: HELD, vote: 3 }],
        metrics: [{ n: 64, loss: 690, accuracy: 505, auroc: 0 }],
      },
      signature: new Uint8Array(64),
    });
    return run({ learning, metrics: { n: 1, loss: 690, accuracy: 505, auroc: 0 }, committee: [addressFor("dora")] });
  };
  return { sidecars, chain, context, run, learn, settings, mempool, blobs, store };
}
