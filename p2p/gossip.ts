import { type GossipsubOpts, StrictNoSign, TopicValidatorResult } from "@libp2p/gossipsub";
import { taggedHash } from "../crypto/hash.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { MAX_GOSSIP_BYTES } from "../types/limits.ts";
import type { Host } from "./host.ts";
import type { Limits } from "./limits.ts";
import { TOPICS, type Topic } from "./protocols.ts";
import type { GossipHandler, Log, Peer, Verdict } from "./types.ts";

/** gossipsub for announcements. Messages carry their own signatures, so gossip adds none; the id of a message is its content. */

const RESULTS: Readonly<Record<Verdict, TopicValidatorResult>> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject,
};

const encoder = new TextEncoder();

export function gossipOptions(
  wire: (name: string) => string,
  limits: Limits,
  score: (peer: Peer) => number,
): Partial<GossipsubOpts> {
  return {
    globalSignaturePolicy: StrictNoSign,
    msgIdFn: (message) =>
      taggedHash("pofl/gossip/1", encoder.encode(message.topic), Uint8Array.of(0), message.data).subarray(0, 20),
    allowedTopics: TOPICS.map(wire),
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    fallbackToFloodsub: false,
    emitSelf: false,
    doPX: false,
    maxOutboundBufferSize: limits.gossipBufferBytes,
    // Two topics, each subscribed and perhaps left: thousands, the default, are an attack.
    maxTopicBytesPerPeer: 8 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 1024,
      maxIhaveMessageIDs: 2048,
      maxIwantMessageIDs: 2048,
      maxIdontwantMessageIDs: 512,
      maxControlMessages: 64,
      maxPeerInfos: 0,
    },
    scoreParams: {
      // Hospitals behind one gateway, and whole networks on one machine, share an address; identities are limited elsewhere.
      IPColocationFactorWeight: 0,
      appSpecificScore: score,
      appSpecificWeight: 1,
    },
    // In the units of our own score: such a peer is about to be disconnected, then banned.
    scoreThresholds: { gossipThreshold: -15, publishThreshold: -30, graylistThreshold: -45 },
  };
}

export type Gossip = {
  start(): void;
  stop(): void;
  publish(topic: Topic, bytes: Uint8Array): Promise<number>;
  on(topic: Topic, handler: GossipHandler): void;
};

export function createGossip(deps: {
  host: Host;
  wire: (name: string) => string;
  log: Log;
  report: (peer: Peer, verdict: Verdict) => void;
}): Gossip {
  const { host, wire, log, report } = deps;
  const { gossip } = host.services;
  const handlers = new Map<Topic, GossipHandler>();
  let started = false;

  async function validate(topic: Topic, peer: Peer, data: Uint8Array): Promise<TopicValidatorResult> {
    const handler = handlers.get(topic);
    if (!handler) return TopicValidatorResult.Ignore;
    if (data.length === 0 || data.length > MAX_GOSSIP_BYTES) {
      report(peer, "reject");
      return TopicValidatorResult.Reject;
    }
    try {
      const verdict = await handler(peer, data);
      report(peer, verdict);
      return RESULTS[verdict];
    } catch (error) {
      log.error({ peer, topic, error: errorText(error) }, "gossip handler failed");
      return TopicValidatorResult.Ignore;
    }
  }

  function subscribe(topic: Topic): void {
    gossip.topicValidators.set(wire(topic), (peer, message) => validate(topic, peer.toString(), message.data));
    gossip.subscribe(wire(topic));
  }

  return {
    start() {
      started = true;
      for (const topic of handlers.keys()) subscribe(topic);
    },
    stop() {
      started = false;
      gossip.topicValidators.clear();
    },
    async publish(topic, bytes) {
      // gossipsub drops messages over 4 MiB without a word; ours stop far below, with one.
      if (bytes.length === 0 || bytes.length > MAX_GOSSIP_BYTES) {
        const message = `a gossip message of ${bytes.length} bytes on ${topic}; it must have 1 to ${MAX_GOSSIP_BYTES}: announce its hash and let peers pull it`;
        throw new PoflError("GOSSIP_SIZE", message, { topic, bytes: bytes.length });
      }
      if (!started) return 0;
      const { recipients } = await gossip.publish(wire(topic), bytes);
      return recipients.length;
    },
    on(topic, handler) {
      const known = handlers.has(topic);
      handlers.set(topic, handler);
      if (started && !known) subscribe(topic);
    },
  };
}
