import { z } from "zod";
import { PHASES, type Timings } from "../../../consensus/engine/types.ts";
import { genesisTimeMs } from "../../../genesis/genesis.ts";
import { bytesEqual, toHex } from "../../../types/primitives.ts";
import { validatorSet } from "../../../vm/validators.ts";
import { type Jail, jailOf, jailText } from "../../penalty.ts";
import type { NodeContext } from "../context.ts";
import { type Method, method } from "../jsonrpc.ts";
import { type NodeHealth, netCounters, nodeHealth, nodeStatus, peer, type Timing, timing } from "../types.ts";
import { noParams } from "./params.ts";

function ownJail({ address, genesis, head }: NodeContext): Jail | undefined {
  return address && jailOf(head().state, address, genesis);
}

/** A jailed node serves and follows as others do: it says so, and is as ready as they are. */
export function healthOf(context: NodeContext): NodeHealth {
  const problem = context.problem();
  const jail = ownJail(context);
  return {
    status: problem !== undefined ? "failing" : context.catchingUp() ? "syncing" : "ok",
    height: context.head().height,
    peers: context.network.peers().length,
    reason: problem ?? (jail ? jailText(jail) : null),
  };
}

function timingJson(t: Timings): Timing {
  const phases: Record<string, number> = {};
  for (const phase of PHASES) {
    const ms = t[phase];
    if (ms !== undefined) phases[phase] = ms;
  }
  const proposable = t.ready ?? t.proposed;
  const finalityMs = t.decided === undefined || proposable === undefined ? null : Math.max(0, t.decided - proposable);
  return { height: t.height, startedAt: t.startedAt, phases, finalityMs };
}

export function nodeMethods(context: NodeContext): Record<string, Method> {
  return {
    node_status: method({
      summary: "Who this node is, where its chain stands, and what it is doing",
      params: noParams,
      result: nodeStatus,
      run: () => {
        const head = context.head();
        const { address, genesis } = context;
        return {
          chainId: genesis.chainId,
          genesisHash: toHex(context.genesisHash),
          height: head.height,
          headHash: toHex(head.id),
          headTime: head.header?.time ?? genesisTimeMs(genesis),
          catchingUp: context.catchingUp(),
          peers: context.network.peers().length,
          validator:
            address !== undefined && validatorSet(head.state, genesis).some((v) => bytesEqual(v.address, address)),
          jailed: ownJail(context) ?? null,
          version: context.version,
          moniker: context.moniker,
          address: address ? toHex(address) : null,
          peerId: context.network.peerId,
          ...context.progress(),
        };
      },
    }),
    node_health: method({
      summary: "Whether the node does its work; GET /health says the same with 200, 206 or 503",
      params: noParams,
      result: nodeHealth,
      run: () => healthOf(context),
    }),
    node_timings: method({
      summary: "Milliseconds to the end of each phase of recent heights, newest last, since the node's start",
      params: z.strictObject({ count: z.int().min(1).max(1024).default(20) }),
      result: z.array(timing),
      run: ({ count }) => context.events.timings.slice(-count).map(timingJson),
    }),
    net_peers: method({
      summary: "Connected peers",
      params: noParams,
      result: z.array(peer),
      run: () =>
        context.network
          .peers()
          .map(({ peer, address, direction, connectedAt, score, queuedBytes, bytesIn, bytesOut }) => ({
            peer,
            address,
            direction,
            connectedAt,
            score,
            queuedBytes,
            bytesIn,
            bytesOut,
          })),
    }),
    net_counters: method({
      summary: "Bytes by channel and refused messages by reason, since the node's start",
      params: noParams,
      result: netCounters,
      run: () => {
        const { direct, gossip, blobs, requests } = context.network.counters();
        const traffic = (t: { in: number; out: number }) => ({ in: t.in, out: t.out });
        return {
          direct: traffic(direct),
          gossip: traffic(gossip),
          blobs: traffic(blobs),
          requests: traffic(requests),
          rejected: { ...context.rejected() },
        };
      },
    }),
  };
}
