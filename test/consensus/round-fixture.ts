import { canonicalKey } from "../../consensus/committee.ts";
import { computeRound, type RoundInput, type RoundOutcome, type RoundUpdate } from "../../consensus/round/compute.ts";
import { NO_STANDING } from "../../consensus/round/credit.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import type { Validator } from "../../types/block.ts";
import { compareBytes, type Hash } from "../../types/primitives.ts";
import { type RoundResult, UPDATE_STATUS } from "../../types/round.ts";

/** Plain rounds for tests: an update is a list of lanes, an institution a number. */

export const SEED: Hash = new Uint8Array(32).fill(7);

export function hash(n: number): Hash {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

export function task(aggregation: Partial<TaskSpec["aggregation"]> = {}, minimumUpdates = 1): TaskSpec {
  return parseTask(
    JSON.stringify({
      name: "t",
      schema: { features: [{ name: "x", kind: "binary" }], label: { name: "y" } },
      model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
      training: { steps: 1, batch: 1, learningRate: 0.1 },
      aggregation,
      rounds: { maximum: 10, minimumUpdates },
      split: { test: 0.2, validation: 0.2, seed: 1 },
    }),
  );
}

export function blobOf(lanes: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * lanes.length);
  lanes.forEach((q, k) => {
    new DataView(bytes.buffer).setInt16(2 * k, q, true);
  });
  return bytes;
}

export function update(miner: number, lanes: readonly number[], more: Partial<RoundUpdate> = {}): RoundUpdate {
  const votes = { harmful: 0, neutral: 0, helpful: 0 };
  const names = { institution: hash(miner), commitment: hash(1000 + miner) };
  return { miner, ...names, ...votes, samples: 100, standing: NO_STANDING, blob: blobOf(lanes), ...more };
}

export function round(updates: readonly RoundUpdate[], more: Partial<RoundInput> = {}): RoundInput {
  return {
    spec: task(),
    seed: SEED,
    model: new Int32Array((updates[0]?.blob.length ?? 0) / 2),
    exponent: 0,
    medianNorm: 0n,
    committeeSize: updates.length,
    updates,
    past: [],
    notHeld: [],
    pool: 1_000_000n,
    ...more,
  };
}

/** The outcome, which must be a learning block. */
export function learned(input: RoundInput): { result: RoundResult; model: Int32Array } {
  const outcome: RoundOutcome = computeRound(input);
  if (outcome.failure !== undefined) throw new Error(`${outcome.failure}: ${outcome.why}`);
  return outcome;
}

export function statuses(result: RoundResult): string[] {
  return result.updates.map((u) => UPDATE_STATUS[u.status] as string);
}

/** The miners in canonical order. */
export function canonicalOrder(miners: readonly number[]): number[] {
  return miners.toSorted((a, b) => compareBytes(canonicalKey(SEED, hash(a)), canonicalKey(SEED, hash(b))));
}

export function validators(n: number, more: (i: number) => Partial<Validator> = () => ({})): Validator[] {
  return Array.from({ length: n }, (_, i) => ({
    address: hash(i).slice(0, 20),
    institution: hash(i),
    consensusKey: hash(i),
    vrfKey: hash(i),
    power: 100n,
    committeeWeight: 100n,
    ...more(i),
  }));
}

/** A small generator of test vectors with a fixed seed (mulberry32): the same in every run. */
export function lcg(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
