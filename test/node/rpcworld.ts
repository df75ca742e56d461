import { EventEmitter } from "node:events";
import { MemoryLevel } from "memory-level";
import type { Head } from "../../consensus/block/context.ts";
import type { Applied, Timings } from "../../consensus/engine/types.ts";
import { initialModel, modelBytes } from "../../genesis/model.ts";
import { createMempool, type Mempool } from "../../node/mempool.ts";
import type { NodeContext } from "../../node/rpc/context.ts";
import { memoryBlobStore } from "../../node/store/blobs.ts";
import { ENCODINGS } from "../../node/store/database.ts";
import { openStore } from "../../node/store/store.ts";
import { Block, blockId, bodyRoots, Header, ValidatorSet } from "../../types/block.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { HELD } from "../../types/round.ts";
import type { BlockInput } from "../../vm/execute.ts";
import { State } from "../../vm/state.ts";
import { validatorSet } from "../../vm/validators.ts";
import { addressFor, Chain, genesisWith, learningOf, spec } from "../vm/support.ts";

/** A node's context on a real chain of the state machine, store and mempool; its network and clock are the test's. */
export async function rpcWorld() {
  const genesis = genesisWith();
  const chain = new Chain(genesis, State.genesis(genesis));
  const store = await openStore(new MemoryLevel<Uint8Array, Uint8Array>(ENCODINGS), {
    genesisHash: chain.hash,
    genesisState: () => chain.state,
    path: "test",
  });
  const blobs = memoryBlobStore();
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
    submit: (tx) => {
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
  return { chain, context, run, learn, settings, mempool, blobs, store };
}
