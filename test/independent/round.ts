import { createHash } from "node:crypto";
import { cosine, dot, factor, lower, root, squaredDistance, without } from "./numbers.ts";
import { copies, fixed, moved, type PlainOptimiser } from "./optimiser.ts";
import { applyRule } from "./rules.ts";

/**
 * The sum of a round, once more, written from docs/protocol.md ("Learning round") and from no other code of this repository:
 * bigints throughout, distances from differences, roots by bisection. What the node computes must be equal to it, bit for bit.
 */

export type PlainUpdate = {
  miner: number;
  institution: Uint8Array;
  samples: number;
  blob: Uint8Array;
  harmful: number;
  neutral: number;
  helpful: number;
  /** Its miner's credit and variance before the round. */
  credit: bigint;
  variance: bigint;
};

export type PlainRound = {
  /** The task's `aggregation`, as in its JSON. */
  aggregation: PlainOptimiser & {
    rule: string;
    f: "auto" | number;
    maxF: number;
    weights: "equal" | "samples";
    weightCapPermille: number;
    normBoundPermille: number;
    normFloorPermille: number;
    firstNormBound: number;
    duplicateCosinePermille: number;
    duplicateDistancePermille: number;
  };
  scaleBits: number;
  minimumUpdates: number;
  /** seed of the block before. */
  seed: Uint8Array;
  /** As stored: parameters, then moments. */
  model: Int32Array;
  exponent: number;
  medianNorm: bigint;
  committeeSize: number;
  pool: bigint;
  updates: PlainUpdate[];
  /** The recorded updates of the last round. */
  past: { blob: Uint8Array; coefficient: bigint }[];
};

export type PlainLine = {
  miner: number;
  status: string;
  norm2: bigint;
  score: bigint;
  contribution: bigint;
  credit: bigint;
  variance: bigint;
  weight: bigint;
  scale: bigint;
  pay: bigint;
};

export type PlainResult = {
  model: Int32Array;
  modelRoot: Uint8Array;
  f: number;
  medianNorm: bigint;
  nextExponent: number;
  /** Ascending by miner. */
  lines: PlainLine[];
};

/** @returns undefined when the block may carry no learning */
export function independentRound(round: PlainRound): PlainResult | undefined {
  const { aggregation: rule, exponent, committeeSize } = round;
  if (round.updates.length < round.minimumUpdates) return undefined;
  const d = round.model.length / copies(rule);
  const unit = 2n ** BigInt(exponent);
  const liars = committeeSize < 1 ? 0 : Math.floor((committeeSize - 1) / 3);

  const lines = new Map<PlainUpdate, PlainLine>();
  const walk = [...round.updates].sort((a, b) => {
    const [x, y] = [orderKey(round.seed, a), orderKey(round.seed, b)];
    return x === y ? a.miner - b.miner : x < y ? -1 : 1;
  });
  const vectors = new Map<PlainUpdate, bigint[]>();
  const kept: PlainUpdate[] = [];
  const vec = (u: PlainUpdate) => vectors.get(u) as bigint[];
  for (const u of walk) {
    const line = {
      miner: u.miner,
      status: "",
      norm2: 0n,
      score: 0n,
      contribution: 0n,
      credit: (u.credit * 7n) / 8n,
      variance: (u.variance * 49n) / 64n,
      weight: 0n,
      scale: 0n,
      pay: 0n,
    };
    lines.set(u, line);
    const v = readLanes(u.blob);
    if (v === undefined || v.length !== d || v.some((q) => q > 2047n || q < -2047n)) {
      line.status = "malformed";
      continue;
    }
    vectors.set(u, v);
    line.norm2 = dot(v, v);
    // Everything squared, times a million for the per mille.
    const size = line.norm2 * unit * unit * 1_000_000n;
    const reference = round.medianNorm > 0n ? round.medianNorm : fixed(rule.firstNormBound, round.scaleBits);
    const over = round.medianNorm > 0n ? BigInt(rule.normBoundPermille) : 1000n;
    const under = round.medianNorm > 0n ? BigInt(rule.normFloorPermille) : 0n;
    if (size > (reference * over) ** 2n) line.status = "too-large";
    else if (line.norm2 === 0n || size < (reference * under) ** 2n) line.status = "too-small";
    else if (kept.some((k) => same(k.institution, u.institution) || isCopy(vec(k), v, rule))) line.status = "duplicate";
    else kept.push(u);
  }

  const n = kept.length;
  let f: number;
  if (rule.f === "auto") {
    f = 0;
    while (f < rule.maxF && n >= 2 * (f + 1) + 3) f++;
  } else {
    f = rule.f;
    if (n < 2 * f + 3) return undefined;
  }
  if (rule.rule === "fedavg") f = 0;
  const guilty = (u: PlainUpdate) => {
    const cast = u.harmful + u.neutral + u.helpful;
    return cast >= 2 * liars + 1 && u.harmful > cast - u.harmful && u.harmful > liars;
  };
  const norm2 = (u: PlainUpdate) => dot(vec(u), vec(u));
  const rows = kept.map((u) => ({ v: vec(u), guilty: guilty(u), samples: BigInt(u.samples) }));
  const applied = applyRule(rule, rows, f);
  const { target2 } = applied;
  kept.forEach((u, i) => {
    const line = lines.get(u) as PlainLine;
    line.score = applied.lines[i]?.score as bigint;
    line.weight = applied.lines[i]?.weight as bigint;
    line.status = applied.lines[i]?.status as string;
  });
  const is = (u: PlainUpdate, status: string) => lines.get(u)?.status === status;
  const entering = kept.filter((u) => is(u, "accepted") || is(u, "accepted-clipped"));

  const stored = Array.from(round.model, BigInt);
  const after = applied.mean ? moved(rule, round.scaleBits, stored, applied.mean, exponent) : stored;
  if (after.some((value) => value >= 2n ** 31n || value < -(2n ** 31n))) return undefined;
  const next = Int32Array.from(after, Number);

  // What is new in each, whether it agrees, and pay.
  const record = round.past.map((p) => ({ v: readLanes(p.blob) as bigint[], k: p.coefficient }));
  const step = Array.from({ length: d }, (_, k) => record.reduce((s, p) => s + p.k * (p.v[k] as bigint), 0n));
  const offStep = (v: bigint[]) => without(v, step);
  const seen = record.map((p) => offStep(p.v)).filter((v) => dot(v, v) > 0n);
  let magnitude = 0n;
  for (const u of kept) {
    const line = lines.get(u) as PlainLine;
    line.scale = is(u, "accepted") ? 65536n : factor(norm2(u), target2);
    const mine = offStep(vec(u));
    let source: bigint[] | undefined;
    for (const v of seen) {
      if (dot(v, mine) === 0n) continue;
      const better = (w: bigint[]) => dot(v, mine) ** 2n * dot(w, w) > dot(w, mine) ** 2n * dot(v, v);
      if (!source || better(source)) source = v;
    }
    const fresh = (v: bigint[]) => (source ? without(offStep(v), source) : offStep(v));
    const own = fresh(vec(u));
    const cosines = kept.filter((v) => v !== u).map((v) => cosine(own, fresh(vec(v))));
    const free = BigInt(d - (dot(step, step) > 0n ? 1 : 0) - (source ? 1 : 0));
    if (dot(own, own) > 0n && free > 0n && cosines.length > 0) {
      const sorted = [...cosines].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      for (let t = 0; t < Math.floor(n / 4) && sorted.length >= 3; t++) {
        sorted.pop();
        sorted.shift();
      }
      const total = sorted.reduce((s, c) => s + c, 0n);
      const size = (total < 0n ? -total : total) / BigInt(sorted.length);
      line.contribution = total < 0n ? -size : size;
      line.credit += line.contribution;
      line.variance += 4294967296n / free;
    }
    magnitude += line.contribution > 0n ? line.contribution : -line.contribution;
  }
  for (const u of entering) {
    const line = lines.get(u) as PlainLine;
    const beyond = line.credit - (root(line.variance) * 3n) / 2n;
    if (line.contribution <= 0n || beyond <= 0n) continue;
    const cast = u.harmful + u.neutral + u.helpful;
    let v = 65536n;
    if (cast >= 2 * liars + 1) {
      const points = [...Array(u.harmful).fill(0n), ...Array(u.neutral).fill(1n), ...Array(u.helpful).fill(2n)];
      const counted = points.slice(liars, points.length - liars) as bigint[];
      v = (65536n * counted.reduce((s, p) => s + p, 0n)) / BigInt(2 * counted.length);
    }
    line.pay = (round.pool * line.contribution * beyond * v) / (magnitude * line.credit * 65536n);
  }

  const sizes = entering.map((u) => {
    const own = norm2(u);
    return is(u, "accepted") || own < target2 ? own : target2;
  });
  const middle = lower(sizes);
  const medianNorm = middle === undefined ? round.medianNorm : root(middle * unit * unit);
  return {
    model: next,
    modelRoot: independentModelRoot(next),
    f,
    medianNorm,
    nextExponent: middle === undefined ? exponent : stepExponent(exponent, medianNorm, d),
    lines: [...lines.values()].sort((a, b) => a.miner - b.miner),
  };
}

/** One up when the expected peak lane min(1, 4/√d)·m passes 2^10, one down when it is below 2^9; within 0 to 15. */
function stepExponent(exponent: number, m: bigint, d: number): number {
  // peak² = m²·16/d (at most m²), in lane units m / 2^e; compared without division.
  const peak2TimesD = m * m * (d < 16 ? BigInt(d) : 16n);
  const lane = (x: bigint) => (x * 2n ** BigInt(exponent)) ** 2n * BigInt(d);
  if (m === 0n) return exponent;
  if (peak2TimesD > lane(1024n)) return exponent === 15 ? 15 : exponent + 1;
  if (peak2TimesD < lane(512n)) return exponent === 0 ? 0 : exponent - 1;
  return exponent;
}

function isCopy(a: bigint[], b: bigint[], rule: PlainRound["aggregation"]): boolean {
  const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
  const larger = aa < bb ? bb : aa;
  if (squaredDistance(a, b) * 1000n > larger * BigInt(rule.duplicateDistancePermille)) return false;
  return ab > 0n && (ab * 1000n) ** 2n >= BigInt(rule.duplicateCosinePermille) ** 2n * aa * bb;
}

function readLanes(blob: Uint8Array): bigint[] | undefined {
  if (blob.length % 2 === 1) return undefined;
  return Array.from({ length: blob.length / 2 }, (_, k) =>
    BigInt.asIntN(16, BigInt(blob[2 * k] as number) + 256n * BigInt(blob[2 * k + 1] as number)),
  );
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return hex(a) === hex(b);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function tagged(tag: string, ...parts: Uint8Array[]): Uint8Array {
  const t = createHash("sha256").update(tag).digest();
  return createHash("sha256")
    .update(Buffer.concat([t, t, ...parts]))
    .digest();
}

function orderKey(seed: Uint8Array, u: PlainUpdate): string {
  return hex(tagged("pofl/canonical-order/1", seed, u.institution));
}

/** The blob root of the model's int32 little-endian bytes. */
export function independentModelRoot(model: Int32Array): Uint8Array {
  const bytes = Buffer.alloc(4 * model.length);
  model.forEach((v, k) => {
    bytes.writeInt32LE(v, 4 * k);
  });
  let leaves: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += 262_144) {
    leaves.push(tagged("pofl/blob/leaf/1", bytes.subarray(at, at + 262_144)));
  }
  // Level by level, an odd last one rising unchanged: the tree of RFC 6962, built from below.
  while (leaves.length > 1) {
    const level: Uint8Array[] = [];
    for (let i = 0; i < leaves.length; i += 2) {
      const [a, b] = [leaves[i] as Uint8Array, leaves[i + 1]];
      level.push(b ? tagged("pofl/blob/node/1", a, b) : a);
    }
    leaves = level;
  }
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes.length));
  return tagged("pofl/blob/root/1", size, leaves[0] as Uint8Array);
}
