import type { MinerJson, NodeStatus, RoundJson, TaskSummary } from "../../node/rpc/types.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import type { DevNode, Processes } from "./processes.ts";

/** Follows a running devnet by RPC until its task is over. */

const POLL_MS = 150;

export type Followed = {
  /** By height, every learning round. */
  readonly rounds: Map<number, RoundJson>;
  miners: MinerJson[];
  task: TaskSummary | undefined;
  status: NodeStatus | undefined;
  /** Why it ended before the task did: TIMED_OUT or NODE_CRASHED. */
  failure: PoflError | undefined;
};

export type FollowOptions = {
  readonly timeoutMs: number;
  /** After this many rounds `crash` nodes are killed. */
  readonly crashAfter: number;
  readonly crash: readonly DevNode[];
  readonly onProgress: (seen: Followed) => void;
  readonly signal: AbortSignal;
};

/** Resolves when the task has ended, or with a `failure`. @throws PoflError INTERRUPTED */
export async function follow(net: Processes, options: FollowOptions): Promise<Followed> {
  const seen: Followed = { rounds: new Map(), miners: [], task: undefined, status: undefined, failure: undefined };
  const end = Date.now() + options.timeoutMs;
  net.onCrash = (node, why) => {
    seen.failure ??= new PoflError("NODE_CRASHED", `${node.moniker}: ${why}; its log is ${node.log}`);
  };
  let height = 0;
  for (;;) {
    if (options.signal.aborted) throw new PoflError("INTERRUPTED", "interrupted; the nodes were stopped");
    if (Date.now() > end) {
      const where = seen.status ? `height ${seen.status.height}, ${seen.status.phase}` : "no node answered";
      seen.failure ??= new PoflError(
        "TIMED_OUT",
        `the task is not over after ${options.timeoutMs / 1000} s (${where}); give a longer --timeout`,
      );
    }
    if (seen.failure) return seen;
    const source = net.nodes.find((n) => n.honest && n.process);
    try {
      if (source) height = await observe(source, height, seen);
    } catch (error) {
      // A node that is still starting, or was just killed.
      if (!isPoflError(error)) throw error;
    }
    if (seen.rounds.size >= options.crashAfter) {
      for (const node of options.crash) if (!node.stopped) await net.stop(node, "SIGKILL");
    }
    options.onProgress(seen);
    // The task may have ended in a block after those that were read: its last round belongs to the report.
    const over = seen.task && seen.task.status !== "active" && seen.task.status !== "queued";
    if (over && height >= (seen.task?.endedAt ?? 0)) return seen;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Reads what is new since `height`; returns the height that it has read. */
async function observe({ rpc }: DevNode, height: number, seen: Followed): Promise<number> {
  const status = await rpc.call("node_status");
  seen.status = status;
  for (let h = height + 1; h <= status.height; h++) {
    const block = await rpc.call("chain_getBlock", { height: h });
    if (block.learning) seen.rounds.set(h, await rpc.call("round_get", { height: h }));
  }
  if (status.height > height || seen.task === undefined) {
    seen.miners = await rpc.call("miner_list");
    seen.task = (await rpc.call("task_list")).at(-1);
  }
  return status.height;
}

/** Waits until every honest node has the height; returns each node's block hash there (null = it has not). */
export async function headsAt(net: Processes, height: number, timeoutMs: number): Promise<(string | null)[]> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const heads = await Promise.all(
      net.nodes.map(async ({ rpc, process: alive }) =>
        alive
          ? rpc.call("chain_getHeader", { height }).then(
              (h) => h.hash,
              () => null,
            )
          : null,
      ),
    );
    // A node that was killed on purpose will not answer.
    if (net.nodes.every((n, i) => !n.honest || n.stopped || heads[i] !== null) || Date.now() > end) return heads;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
