import { EventEmitter } from "node:events";
import type { Applied, Timings } from "../consensus/engine/types.ts";
import type { Hash } from "../types/primitives.ts";

export type NodeEvents = {
  /** A block is final and stored. */
  block: [applied: Applied];
  /** A transaction was admitted. */
  tx: [id: Hash];
};

/** Heights of which phase timings are kept in memory. */
const TIMINGS_KEPT = 1024;

/** What happens in a node, for RPC subscriptions and metrics. */
export class Events extends EventEmitter<NodeEvents> {
  readonly timings: Timings[] = [];

  constructor() {
    super();
    this.setMaxListeners(0);
    this.on("block", ({ timings }) => {
      if (!timings) return;
      this.timings.push(timings);
      if (this.timings.length > TIMINGS_KEPT) this.timings.shift();
    });
  }
}
