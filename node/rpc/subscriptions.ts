import { z } from "zod";
import type { Applied } from "../../consensus/engine/types.ts";
import { PoflError } from "../../types/errors.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import { failureName } from "../../vm/failures.ts";
import type { NodeContext } from "./context.ts";
import { type Method, method } from "./jsonrpc.ts";
import { roundJson } from "./methods/learning.ts";
import type { HeadEvent, RoundJson, TxEvent } from "./types.ts";

/** `chain_subscribe`: news of the chain over a WebSocket, to whoever reads them fast enough. */

const TOPICS = ["heads", "rounds", "txs"] as const;
export type Topic = (typeof TOPICS)[number];
export type News = { heads: HeadEvent; rounds: RoundJson; txs: TxEvent };

export const MAX_SUBSCRIPTIONS = 16;

/** A WebSocket's side of it; plain HTTP has none. */
export type Caller = { readonly subscriber?: Subscriber };

export class Subscriber {
  readonly #topics = new Map<string, Topic>();
  readonly #send: (text: string) => void;
  #last = 0;

  /** `send` drops a client that is too slow. */
  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  /** @throws PoflError TOO_MANY_SUBSCRIPTIONS */
  add(topic: Topic): string {
    if (this.#topics.size >= MAX_SUBSCRIPTIONS) {
      throw new PoflError("TOO_MANY_SUBSCRIPTIONS", `a connection has at most ${MAX_SUBSCRIPTIONS} subscriptions`);
    }
    const id = String(++this.#last);
    this.#topics.set(id, topic);
    return id;
  }

  remove(id: string): boolean {
    return this.#topics.delete(id);
  }

  publish(topic: Topic, result: unknown): void {
    for (const [subscription, wanted] of this.#topics) {
      if (wanted !== topic) continue;
      this.#send(
        JSON.stringify({ jsonrpc: "2.0", method: "chain_subscription", params: { subscription, topic, result } }),
      );
    }
  }
}

/** Passes the node's events to all subscribers; returns how to stop. */
export function publishEvents(context: NodeContext, subscribers: ReadonlySet<Subscriber>): () => void {
  const publish = <T extends Topic>(topic: T, make: () => News[T] | undefined) => {
    if (subscribers.size === 0) return;
    const news = make();
    if (news === undefined) return;
    for (const subscriber of subscribers) subscriber.publish(topic, news);
  };
  const onBlock = ({ certified: { block }, receipts, head }: Applied) => {
    const { header } = block;
    publish("heads", () => ({
      height: header.height,
      hash: toHex(head.id),
      time: header.time,
      proposer: toHex(header.proposer),
      txs: block.txs.length,
      learning: block.learning.length > 0,
    }));
    publish("rounds", () => roundJson(block, head.validators, head.state));
    for (const { tx, code } of receipts) {
      const failed = failureName(code) ?? null;
      publish("txs", () => ({ hash: toHex(tx), status: "final", height: header.height, code: failed }));
    }
  };
  const onTx = (id: Hash) => publish("txs", () => ({ hash: toHex(id), status: "pending", height: null, code: null }));
  context.events.on("block", onBlock);
  context.events.on("tx", onTx);
  return () => {
    context.events.off("block", onBlock);
    context.events.off("tx", onTx);
  };
}

function subscriberOf({ subscriber }: Caller): Subscriber {
  if (subscriber) return subscriber;
  throw new PoflError("WEBSOCKET_ONLY", "subscriptions need a WebSocket: connect to ws:// on the same address");
}

export function subscriptionMethods(): Record<string, Method<Caller>> {
  return {
    chain_subscribe: method({
      summary:
        "Over a WebSocket: news as `chain_subscription` notifications; a client that reads too slowly is dropped",
      params: z.strictObject({ topic: z.enum(TOPICS) }),
      result: z.string(),
      run: ({ topic }, caller: Caller) => subscriberOf(caller).add(topic),
    }),
    chain_unsubscribe: method({
      summary: "Ends a subscription; false if there is none of that id",
      params: z.strictObject({ subscription: z.string().max(20) }),
      result: z.boolean(),
      run: ({ subscription }, caller: Caller) => subscriberOf(caller).remove(subscription),
    }),
  };
}
